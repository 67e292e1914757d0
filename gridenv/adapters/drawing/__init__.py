"""Pictures of a feeder with voltages, flows and devices, and films of them, from NumPy values and without a screen."""

from gridenv.adapters.drawing.frame import DEFAULT_SIZE, Canvas, draw
from gridenv.adapters.drawing.layout import Branches, FeederLayout
from gridenv.adapters.drawing.movie import save_movie
from gridenv.adapters.drawing.scene import DeviceMark, Scene, branch_loading, branch_power, bus_voltages
from gridenv.adapters.drawing.window import HumanWindow

__all__ = [
    "DEFAULT_SIZE",
    "Branches",
    "Canvas",
    "DeviceMark",
    "FeederLayout",
    "HumanWindow",
    "Scene",
    "branch_loading",
    "branch_power",
    "bus_voltages",
    "draw",
    "save_movie",
]
