"""Console scripts, and what several of them share."""
