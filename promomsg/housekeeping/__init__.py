"""Campaigns by their journals, whoever sends them: which are there, what is asked of their senders, what is
kept elsewhere, what goes."""
