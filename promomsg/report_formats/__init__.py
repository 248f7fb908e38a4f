"""A campaign's report as a file or a frame: HTML, Parquet, a workbook, pandas."""
