"""SDXL as a folder or a single file: its names, loading, writing, and a tiny one."""
