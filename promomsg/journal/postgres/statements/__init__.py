"""The SQL of sending, following and reading, and what planning shares with it."""
