"""placeholder, filled when the parts are there."""
