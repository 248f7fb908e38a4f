"""Folders of campaigns: what is there, what is kept elsewhere, what goes."""
