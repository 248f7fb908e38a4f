"""Lists in columns, read through Arrow: frames and Parquet files."""
