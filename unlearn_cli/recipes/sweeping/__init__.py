"""Many runs: the grid of settings, the manifest of run folders, the schedule, the workers."""
