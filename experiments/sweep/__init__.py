"""Many trainings of one experiment with different settings, on Ray."""
