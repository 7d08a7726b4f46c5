"""One update: the passes of a batch, its loss and memory, the optimiser and the running average."""
