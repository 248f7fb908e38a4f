"""Lists in Python: iterables, and the objects that their items may be."""
