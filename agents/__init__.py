"""Learners and reference controllers."""
