"""Campaigns that are over, and folders of campaigns: what is there, what is kept elsewhere, what goes."""
