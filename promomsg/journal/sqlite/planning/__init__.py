"""Planning in SQL: rows, groups of them, and the chunks that are leased."""
