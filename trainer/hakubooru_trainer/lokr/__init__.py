"""The adapter: which layers it changes, its weights, and their file."""
