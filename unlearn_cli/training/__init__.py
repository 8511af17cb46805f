"""The training loop and what it needs; nothing here knows a config, a console or a report."""
