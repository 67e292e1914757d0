"""Analytic policy gradient through the differentiable simulator."""
