"""People of a SQLite journal, by the page and one by one."""
