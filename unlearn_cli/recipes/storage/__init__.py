"""What lies on disk: the run folder, what a run was asked to do, and files that commands write."""
