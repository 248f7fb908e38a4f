"""A campaign before its first call: the list read, planned, checked and written."""
