"""Calls, one recipient each: leased, paced, sent, and their results committed."""
