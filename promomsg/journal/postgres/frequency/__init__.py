"""Messages per person, counted over the campaigns of one database."""
