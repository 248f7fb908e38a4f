"""The database's tables, by version: `NNNN_name.sql` leads from version NNNN - 1 to NNNN."""
