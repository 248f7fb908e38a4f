"""The texts that the terminal shows, taken from the package's source for translators."""
