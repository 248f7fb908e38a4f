"""What the database and the way to it can do to a connection."""
