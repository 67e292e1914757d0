"""Device families: pure functions and their parameters."""
