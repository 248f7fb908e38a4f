"""Recipients from any source, made rows for the planner: read as a stream, one problem a bad row."""
