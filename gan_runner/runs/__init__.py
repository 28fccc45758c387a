"""The run directory: layout, checkpoint, log, history, lock, provenance, read."""
