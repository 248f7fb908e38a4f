"""People of a campaign on PostgreSQL, by the page and one by one."""
