"""The campaign file: read, checked, and made what the engine takes."""
