"""How many messages a person may have in a time, over all campaigns of an account."""
