"""The report of an earlier campaign as the list of whom to send to again."""
