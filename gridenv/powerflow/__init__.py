"""Batched exact AC power flow behind one door."""

from gridenv.powerflow.door import PowerFlow
from gridenv.powerflow.droop import VoltageCurves
from gridenv.powerflow.solution import Solution
from gridenv.powerflow.studies import Loadability, Sensitivity

__all__ = ["Loadability", "PowerFlow", "Sensitivity", "Solution", "VoltageCurves"]
