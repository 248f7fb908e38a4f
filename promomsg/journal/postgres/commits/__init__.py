"""How intents and results are committed: together, as one statement."""
