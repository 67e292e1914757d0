"""Low-voltage feeders with electric vehicles, heat pumps and homes. Documentation: docs/tasks/v2g.md,
docs/tasks/demand_response.md, docs/tasks/smart_home.md.
"""

from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat

from gridenv.tasks.demand_response import DemandResponseConfig
from gridenv.tasks.grid_config import CostWeights, GridTaskConfig, Names
from gridenv.tasks.units.appliances import ApplianceConfig
from gridenv.tasks.units.batteries import BatteryConfig
from gridenv.tasks.units.curtailable_loads import CurtailableLoadConfig
from gridenv.tasks.units.ev_chargers import EvChargerConfig
from gridenv.tasks.units.heat_pumps import HeatPumpConfig
from gridenv.tasks.units.inverters import InverterConfig

FEEDER = "simbench_lv_rural3"
_PLANTS = (
    ("4", 7.6), ("14", 6.6), ("20", 7.8), ("28", 8.3), ("34", 27.0), ("43", 17.0), ("52", 6.9), ("61", 9.2),
    ("70", 18.0), ("81", 9.1), ("93", 14.0), ("110", 32.6),
)  # fmt: skip
"""Bus and kW. Sizes are those of plants of the SimBench feeder. Assumed: other places, away from the chargers."""
_HOMES = ("6", "17", "25", "31", "38", "47", "56", "63", "74", "86", "97", "105", "113", "120", "125")
"""Buses of homes with a charger or a heat pump. Assumed: spread over the feeder."""
_STATION = "2"
_GRID_FEE_EUR_KWH = 0.17
"""Fees and taxes of households. Source: Eurostat nrg_pc_204, Netherlands 2018: EUR 0.171 a kWh with all taxes, less
energy; rounded."""
_HOUSEHOLDS = ("H0-A", "H0-B", "H0-C", "H0-G", "H0-L", "G0-A")


class _FeederConfig(GridTaskConfig):
    """What the tasks on the SimBench feeder have in common."""

    network: str = FEEDER
    own_generators: Literal["refuse", "off"] = "off"
    load_profiles: Names = _HOUSEHOLDS
    observed_buses: Names | Literal["all"] = ("2", *_HOMES)
    """Buses with meters: the station and the homes."""
    inverters: tuple[InverterConfig, ...] = tuple(
        InverterConfig(bus=bus, p_dc_kw=p_dc_kw, profile=f"PV{1 + i % 8}", control="none")
        for i, (bus, p_dc_kw) in enumerate(_PLANTS)
    )
    grid_fee_eur_kwh: NonNegativeFloat = _GRID_FEE_EUR_KWH


class V2GSimBenchConfig(_FeederConfig):
    """Settings of V2G-SimBenchLV-v0: a charging station of eight and fifteen homes, most of them feeding back."""

    ev_chargers: tuple[EvChargerConfig, ...] = tuple(
        EvChargerConfig(
            id=f"station{i}", bus=_STATION, use="work", station="station", station_max_kw=60.0, zone="station"
        )
        for i in range(8)
    ) + tuple(EvChargerConfig(bus=bus, use="home") for bus in _HOMES)


class V2GEuropeanConfig(GridTaskConfig):
    """Settings of V2G-EuropeanLV-v0: twelve single-phase chargers of homes on the unbalanced European feeder."""

    network: str = "european_lv"
    source_v_pu: PositiveFloat | None = 1.02
    """Voltage of the substation, pu. Assumed: below that of the published case, 1.05, which leaves the band at light
    load."""
    load_scale: PositiveFloat = 1.5
    """Assumed: the published case is an evening peak already."""
    cost_weights: CostWeights = CostWeights(v_band=20.0)
    """Less than elsewhere: 2,724 nodes leave the band together."""
    load_profiles: Names = _HOUSEHOLDS
    observed_buses: Names | Literal["all"] = ("34", "225", "388", "563", "676", "817", "898")
    grid_fee_eur_kwh: NonNegativeFloat = _GRID_FEE_EUR_KWH
    ev_chargers: tuple[EvChargerConfig, ...] = tuple(
        EvChargerConfig(bus=bus, phases=phase, use="home", p_max_kw=7.4, p_discharge_max_kw=7.4)
        for bus, phase in (
            ("34", "1"), ("73", "2"), ("225", "3"), ("289", "1"), ("349", "2"), ("388", "1"),
            ("502", "3"), ("563", "1"), ("676", "2"), ("755", "3"), ("817", "1"), ("898", "2"),
        )
    )  # fmt: skip


class DemandResponseConfigLV(_FeederConfig):
    """Settings of DemandResponse-SimBenchLV-v0: fifteen homes with heat pumps and a business, with events."""

    heat_pumps: tuple[HeatPumpConfig, ...] = tuple(HeatPumpConfig(bus=bus) for bus in _HOMES)
    curtailable_loads: tuple[CurtailableLoadConfig, ...] = (CurtailableLoadConfig(bus=_STATION, p_rated_kw=60.0),)
    demand_response: DemandResponseConfig | None = DemandResponseConfig()


class SmartHomeConfig(_FeederConfig):
    """Settings of SmartHome-LV-v0: one home with a roof, a battery, a vehicle, a heat pump and two appliances."""

    observed_buses: Names | Literal["all"] = ("63",)
    settled_buses: Names | Literal["all"] = ("63",)
    """The home has its own bill."""
    inverters: tuple[InverterConfig, ...] = (
        InverterConfig(id="roof", bus="63", p_dc_kw=8.0, profile="PV3", control="p_q"),
        *(
            InverterConfig(bus=bus, p_dc_kw=p_dc_kw, profile=f"PV{1 + i % 8}", control="none")
            for i, (bus, p_dc_kw) in enumerate(_PLANTS)
        ),
    )
    batteries: tuple[BatteryConfig, ...] = (
        BatteryConfig(id="home", bus="63", e_max_kwh=10.0, p_max_kw=5.0, replacement_eur_per_kwh=150.0),
    )
    ev_chargers: tuple[EvChargerConfig, ...] = (EvChargerConfig(id="home", bus="63", v2g_share=1.0),)
    heat_pumps: tuple[HeatPumpConfig, ...] = (HeatPumpConfig(id="home", bus="63"),)
    appliances: tuple[ApplianceConfig, ...] = (
        ApplianceConfig(id="dishwasher", bus="63", kind="dishwasher"),
        ApplianceConfig(id="washing", bus="63", kind="washing_machine"),
    )
