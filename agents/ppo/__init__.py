"""Proximal policy optimisation in JAX."""
