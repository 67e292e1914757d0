"""Learners of Stable-Baselines3 on the batched environments."""
