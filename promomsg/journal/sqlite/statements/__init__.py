"""The SQL of a journal, by what it is for."""
