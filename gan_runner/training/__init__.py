"""The engine: the update, the loop around it, its log and its state."""
