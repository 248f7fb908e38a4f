"""Lists in Excel workbooks."""
