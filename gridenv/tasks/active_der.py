"""Active distribution grid: plants are curtailed and set their reactive power.

Documentation: docs/tasks/active_der.md.
"""

from typing import Literal

from pydantic import PositiveFloat

from gridenv.tasks.grid_config import GridTaskConfig
from gridenv.tasks.units.inverters import InverterConfig

PLANTS_CIGRE_MV: tuple[tuple[str, Literal["pv", "wind"], float, str], ...] = (
    ("3", "pv", 1200.0, "PV1"),
    ("4", "pv", 1200.0, "PV3"),
    ("5", "pv", 1800.0, "PV5"),
    ("6", "pv", 1800.0, "PV6"),
    ("7", "wind", 4000.0, "WP1"),
    ("8", "pv", 1800.0, "PV7"),
    ("9", "pv", 1800.0, "PV8"),
    ("10", "pv", 2400.0, "PV1"),
    ("11", "pv", 1800.0, "PV3"),
)
"""Bus, technology, rated kW and profile. The buses are those of the benchmark with generators (CIGRE TF C6.04.02); the
ratings of PV are some sixty times its own, so that lines are overloaded on sunny days. Assumed: a grid at its limit."""


class ActiveDerConfig(GridTaskConfig):
    """Settings of ActiveDER-CigreMV-v0."""

    network: str = "cigre_mv"
    load_scale: PositiveFloat = 2.0
    """Assumed: profiles average 0.06 to 0.35 of connected power; twice that leaves the transformers half loaded."""
    inverters: tuple[InverterConfig, ...] = tuple(
        InverterConfig(bus=bus, technology=technology, p_dc_kw=p_dc_kw, profile=profile, control="p_q")
        for bus, technology, p_dc_kw, profile in PLANTS_CIGRE_MV
    )
