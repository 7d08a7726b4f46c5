"""The processes that train as one, the GPU's arithmetic and energy, the lock of a run, and signals."""
