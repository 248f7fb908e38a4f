"""What slows or stops the sends of a campaign."""
