"""Studies: many runs that answer one question, and the table of their answer."""
