"""Files on disk: the run folder, its lock, the spec of a run, and the output files of commands."""
