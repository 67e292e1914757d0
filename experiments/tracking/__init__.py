"""Where the metrics of a run go while it trains: one tracker, several sinks behind one interface."""

from experiments.tracking.tracker import Tracker, publish, tracked
from experiments.tracking.wandb_run import prepare

__all__ = ["Tracker", "prepare", "publish", "tracked"]
