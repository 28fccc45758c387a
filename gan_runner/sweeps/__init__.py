"""Many runs from one command: their directories, what became of each, the table of all."""
