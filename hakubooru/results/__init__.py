"""Show and write the posts of a selection: Arrow tables, pandas frames, Parquet files and HTML."""
