"""One file for each shape a row of data can have; the file's stem is its name in the report."""
