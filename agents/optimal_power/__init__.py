"""Convex programs of a whole day on the linearised grid, and model predictive control with them. See
docs/optimisation.md."""
