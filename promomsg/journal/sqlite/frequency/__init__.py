"""Messages per person, counted over the journals of one folder."""
