"""A cap on how many messages a person may have: what it says, and when it is counted."""
