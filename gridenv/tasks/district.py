"""Energy management of a district: plants, batteries, vehicles, heat pumps and businesses together.

Documentation: docs/tasks/district_ems.md.
"""

from pydantic import PositiveFloat

from gridenv.tasks.active_der import PLANTS_CIGRE_MV
from gridenv.tasks.demand_response import DemandResponseConfig
from gridenv.tasks.grid_config import GridTaskConfig
from gridenv.tasks.units.batteries import BatteryConfig
from gridenv.tasks.units.curtailable_loads import CurtailableLoadConfig
from gridenv.tasks.units.ev_chargers import EvChargerConfig
from gridenv.tasks.units.heat_pumps import HeatPumpConfig
from gridenv.tasks.units.inverters import InverterConfig


class DistrictConfig(GridTaskConfig):
    """Settings of DistrictEMS-CigreMV-v0."""

    network: str = "cigre_mv"
    load_scale: PositiveFloat = 2.0
    """As for ActiveDER-CigreMV-v0."""
    inverters: tuple[InverterConfig, ...] = tuple(
        InverterConfig(bus=bus, technology=technology, p_dc_kw=p_dc_kw, profile=profile, control="p_q")
        for bus, technology, p_dc_kw, profile in PLANTS_CIGRE_MV
    )
    batteries: tuple[BatteryConfig, ...] = (
        BatteryConfig(bus="5", e_max_kwh=4000.0, p_max_kw=2000.0, control="p_q"),
        BatteryConfig(bus="10", e_max_kwh=4000.0, p_max_kw=2000.0, control="p_q"),
    )
    ev_chargers: tuple[EvChargerConfig, ...] = tuple(
        EvChargerConfig(
            id=f"depot{i}",
            bus="8",
            use="work",
            p_max_kw=50.0,
            p_discharge_max_kw=50.0,
            station="depot",
            station_max_kw=300.0,
            zone="depot",
        )
        for i in range(10)
    )
    heat_pumps: tuple[HeatPumpConfig, ...] = tuple(HeatPumpConfig(bus=bus, n_homes=100.0) for bus in ("4", "6", "11"))
    """A hundred like homes at each of three buses."""
    curtailable_loads: tuple[CurtailableLoadConfig, ...] = (
        CurtailableLoadConfig(bus="3", p_rated_kw=800.0),
        CurtailableLoadConfig(bus="9", p_rated_kw=800.0),
    )
    demand_response: DemandResponseConfig | None = DemandResponseConfig()
