"""Batched exact AC power flow behind one door."""

from gridenv.powerflow.door import PowerFlow
from gridenv.powerflow.droop import VoltageCurves
from gridenv.powerflow.solution import Loadability, Solution
from gridenv.powerflow.studies import Sensitivity

__all__ = ["Loadability", "PowerFlow", "Sensitivity", "Solution", "VoltageCurves"]
