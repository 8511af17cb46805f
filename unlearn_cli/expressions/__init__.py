"""The language of `--fail-if`, `--stop-when`, `--calibrate` and `--score`: parsed once, never run as code."""
