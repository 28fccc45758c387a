"""Sweeps: many runs from one command, their directories, the status of each job, the table."""
