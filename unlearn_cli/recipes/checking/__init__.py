"""Checks of every command before it starts, and before anything heavy is imported."""
