"""Pages about many runs: comparisons and sweeps. Each is one file that needs nothing but itself."""
