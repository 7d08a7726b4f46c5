"""From the folders on disk to batches: what there is, in which order, and what is made of each."""
