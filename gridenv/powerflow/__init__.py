"""Batched exact AC power flow behind one door."""

from gridenv.powerflow.door import PowerFlow
from gridenv.powerflow.solution import Solution

__all__ = ["PowerFlow", "Solution"]
