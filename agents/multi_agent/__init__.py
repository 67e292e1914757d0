"""Learners of several agents that share networks."""
