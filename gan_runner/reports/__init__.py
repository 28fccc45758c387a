"""Reports: one HTML file about the runs in a folder, from files alone."""
