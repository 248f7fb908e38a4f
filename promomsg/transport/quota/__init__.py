"""The quota of an account: what limits its calls, and how its senders share it."""
