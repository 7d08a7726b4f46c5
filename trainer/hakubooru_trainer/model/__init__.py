"""SDXL as a folder or a single file: names, reading, writing, and a tiny model for tests."""
