"""The metadata file: its tables, how it is opened, and how rows are read from it and written to it."""
