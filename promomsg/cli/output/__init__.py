"""What the terminal prints and the files that it writes."""
