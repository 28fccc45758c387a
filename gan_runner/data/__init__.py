"""Data sets, and the stream that feeds them to the training loop."""
