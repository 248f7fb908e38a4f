"""Group sends: called, polled until they are done, and looked for when an answer was lost."""
