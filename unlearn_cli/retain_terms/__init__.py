"""One file for each retain term; the file's stem is its name on the command line."""
