"""From configuration to runs: train, evaluate, report, and the command line."""
