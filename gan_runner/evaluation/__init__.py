"""Metrics of finished runs, exported generators and files of samples, under named protocols."""
