"""One file for each forget objective; the file's stem is its name on the command line."""
