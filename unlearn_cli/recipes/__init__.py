"""What each command does, top to bottom; the only code that knows config and report."""
