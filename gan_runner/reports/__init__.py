"""Reports: one HTML file that shows what run directories hold. They read files, never objects."""
