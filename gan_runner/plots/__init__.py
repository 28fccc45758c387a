"""Plots of a run, as (H, W, 3) uint8 arrays."""
