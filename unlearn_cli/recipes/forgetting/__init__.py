"""One run of `unlearn forget`: resolve the settings, prepare, train, evaluate on the way, save, resume, dry run."""
