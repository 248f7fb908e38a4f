"""One quota for an account in the database, whoever sends for it and wherever."""
