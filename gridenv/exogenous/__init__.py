"""What comes from outside over time: profiles, prices, calendar, scenarios and their splits.

Only `gridenv.exogenous.scenario` imports JAX; it is loaded when one of its names is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from gridenv.exogenous.prices import load_price, price_source_days, price_zones
from gridenv.exogenous.profiles import ProfileTable, load_profiles
from gridenv.exogenous.splits import SPLIT_NAMES, Splits, episode_starts, load_splits
from gridenv.exogenous.timebase import CALENDAR_NAMES, STEPS_PER_DAY, YEAR_START, calendar_features

if TYPE_CHECKING:
    from gridenv.exogenous.scenario import PRICE_NAME, Scenario, build_scenario, sample, sample_window, weekday

__all__ = [
    "CALENDAR_NAMES",
    "PRICE_NAME",
    "SPLIT_NAMES",
    "STEPS_PER_DAY",
    "YEAR_START",
    "ProfileTable",
    "Scenario",
    "Splits",
    "build_scenario",
    "calendar_features",
    "episode_starts",
    "load_price",
    "load_profiles",
    "load_splits",
    "price_source_days",
    "price_zones",
    "sample",
    "sample_window",
    "weekday",
]

_SCENARIO_NAMES = ("PRICE_NAME", "Scenario", "build_scenario", "sample", "sample_window", "weekday")


def __getattr__(name: str) -> Any:
    if name in _SCENARIO_NAMES:
        return getattr(importlib.import_module("gridenv.exogenous.scenario"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
