"""When a campaign may send, and whom of its recipients: pure decisions, asked with the time."""
