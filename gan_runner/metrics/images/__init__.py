"""Metrics of images in the features of one network."""
