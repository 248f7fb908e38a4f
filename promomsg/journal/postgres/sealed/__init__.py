"""Secrets in the database: encrypted with the key of the fleet, for every process that has it."""
