"""One class a provider: its endpoints, typed, and what the engine asks of it (`base`)."""
