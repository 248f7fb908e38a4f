"""The journal on PostgreSQL: many campaigns in one database, many senders of each (extra `fleet`)."""
