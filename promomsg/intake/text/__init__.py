"""Lists in text files: CSV and JSON lines."""
