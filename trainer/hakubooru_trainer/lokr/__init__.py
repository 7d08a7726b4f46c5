"""The adapter: the layers it changes, its weights, and its file."""
