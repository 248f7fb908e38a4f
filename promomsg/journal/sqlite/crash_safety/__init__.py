"""What lies beside a journal, and what it says after a crash."""
