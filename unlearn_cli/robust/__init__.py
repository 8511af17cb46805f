"""One file for each rule that makes the gradient of a step; the file's stem is its name on the command line."""
