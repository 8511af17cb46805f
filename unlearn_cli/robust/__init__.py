"""One file for each robust rule, which computes the gradient of a step; the file's stem is its name on the command line."""
