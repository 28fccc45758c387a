"""Measures and pictures of a run."""
