"""Lists of people who must not be reached."""
