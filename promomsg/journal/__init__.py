"""What was intended and what happened, on disk before the wire: see `contract`."""
