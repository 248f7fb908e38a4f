"""The SQL of planning, and of what the user asks for between runs: retry, cancel, suppress."""
