"""Campaigns in a browser: where they stand, who was reached, and what may be done now."""
