"""What `unlearn list` and `unlearn show` say about methods, metrics, attacks and benchmarks."""
