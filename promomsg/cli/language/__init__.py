"""The language that the terminal speaks to a person: English, or Chinese. What programs read (JSON,
CSV, codes, the log's event names, exit statuses) is the same in every language."""
