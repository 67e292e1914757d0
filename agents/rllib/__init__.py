"""Learners of RLlib, for one agent and for several."""
