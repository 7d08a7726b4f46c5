"""Data of a run, from folders on disk to batches: which images there are, in which order, and what becomes of each."""
