"""Batteries buy low and sell high within the limits of the grid. Documentation: docs/tasks/storage.md."""

from pydantic import PositiveFloat

from gridenv.tasks.grid_config import GridTaskConfig
from gridenv.tasks.units.batteries import BatteryConfig
from gridenv.tasks.units.inverters import InverterConfig

_PLANTS = (("10", 1000.0, "PV1"), ("18", 1500.0, "PV3"), ("24", 1000.0, "PV6"), ("27", 1500.0, "PV7"))
_BATTERIES = (("8", 1000.0, 400.0), ("17", 600.0, 250.0), ("25", 1000.0, 400.0), ("32", 600.0, 250.0))


class StorageConfig(GridTaskConfig):
    """Settings of Storage-IEEE33-v0."""

    network: str = "ieee33"
    source_v_pu: PositiveFloat | None = 1.01
    """As for VoltVar-IEEE33-v0."""
    load_scale: PositiveFloat = 3.0
    """Somewhat less than in VoltVar-IEEE33-v0: there is no reactive power to lean on."""
    inverters: tuple[InverterConfig, ...] = tuple(
        InverterConfig(bus=bus, p_dc_kw=p_dc_kw, profile=profile, control="none") for bus, p_dc_kw, profile in _PLANTS
    )
    batteries: tuple[BatteryConfig, ...] = tuple(
        BatteryConfig(bus=bus, e_max_kwh=e_max_kwh, p_max_kw=p_max_kw) for bus, e_max_kwh, p_max_kw in _BATTERIES
    )
