"""Batched exact AC power flow behind one door."""

from gridenv.powerflow.door import PowerFlow, Solution

__all__ = ["PowerFlow", "Solution"]
