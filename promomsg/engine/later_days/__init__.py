"""What the provider is asked about days that are over, and until when it can be. Pure."""
