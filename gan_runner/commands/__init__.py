"""Console scripts, one file each."""
