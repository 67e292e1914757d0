"""Environments in the form that reinforcement-learning libraries expect."""
