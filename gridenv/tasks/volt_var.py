"""Volt-var control: inverters, regulators and capacitors hold the voltage band at least cost.

Documentation: docs/tasks/volt_var.md.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, PositiveFloat

from gridenv.tasks.grid_config import GridTaskConfig, at_least_one
from gridenv.tasks.units.equipment import CapacitorConfig, TapChangerConfig
from gridenv.tasks.units.inverters import InverterConfig

_PLANTS_IEEE33 = (
    ("10", 2000.0, "PV1"),
    ("18", 3000.0, "PV3"),
    ("21", 1000.0, "PV5"),
    ("24", 2000.0, "PV6"),
    ("27", 3000.0, "PV7"),
    ("31", 1000.0, "PV8"),
)


class VoltVarConfig(GridTaskConfig):
    """Settings of VoltVar-IEEE33-v0."""

    network: str = "ieee33"
    source_v_pu: PositiveFloat | None = 1.01
    """Voltage of the substation, pu. Assumed: set a little high, as for a feeder with long branches."""
    load_scale: PositiveFloat = 3.5
    """Factor on the network's own loads. SimBench profiles are relative to connected power and average 0.06 to 0.35,
    so a factor of 3.5 gives the published peak on a winter evening."""
    line_rating_a: PositiveFloat = 400.0
    """Rating of lines that have none of their own. Assumed: Baran and Wu publish none."""
    inverters: Annotated[tuple[InverterConfig, ...], AfterValidator(at_least_one)] = tuple(
        InverterConfig(bus=bus, p_dc_kw=p_dc_kw, profile=profile) for bus, p_dc_kw, profile in _PLANTS_IEEE33
    )
    market: Literal["losses", "wholesale"] = "losses"


_TAPS_IEEE13 = ("regcontrol.reg1", "regcontrol.reg2", "regcontrol.reg3")
_PLANTS_IEEE13 = (
    ("675", "123", 600.0, "PV1"),
    ("671", "123", 900.0, "PV3"),
    ("634", "123", 300.0, "PV5"),
    ("611", "3", 150.0, "PV6"),
    ("652", "1", 150.0, "PV7"),
    ("645", "2", 150.0, "PV8"),
)


class VoltVarIEEE13Config(GridTaskConfig):
    """Settings of VoltVar-IEEE13-v0: inverters, three step regulators and two capacitor banks, three phases."""

    network: str = "ieee13"
    load_scale: PositiveFloat = 2.0
    """Less than for VoltVar-IEEE33-v0: few loads, each with a profile of its own, peak together more often."""
    line_rating_a: PositiveFloat = 600.0
    """Rating of lines that have none of their own. Assumed: about that of the feeder's overhead conductors."""
    inverters: Annotated[tuple[InverterConfig, ...], AfterValidator(at_least_one)] = tuple(
        InverterConfig(bus=bus, phases=phases, p_dc_kw=p_dc_kw, profile=profile)
        for bus, phases, p_dc_kw, profile in _PLANTS_IEEE13
    )
    tap_changers: tuple[TapChangerConfig, ...] = tuple(TapChangerConfig(id=name) for name in _TAPS_IEEE13)
    capacitors: tuple[CapacitorConfig, ...] = tuple(
        CapacitorConfig(id=name) for name in ("capacitor.cap1", "capacitor.cap2")
    )
    market: Literal["losses", "wholesale"] = "losses"


_TAPS_IEEE123 = ("creg1a", "creg2a", "creg3a", "creg3c", "creg4a", "creg4b", "creg4c")
_CAPACITORS_IEEE123 = ("c83", "c88a", "c90b", "c92c")
_PLANTS_IEEE123 = (
    ("47", "123", 250.0, "PV1"),
    ("65", "123", 250.0, "PV3"),
    ("76", "123", 250.0, "PV5"),
    ("101", "123", 200.0, "PV6"),
    ("108", "123", 150.0, "PV7"),
    ("28", "1", 60.0, "PV8"),
    ("63", "1", 60.0, "PV1"),
    ("87", "2", 60.0, "PV3"),
    ("95", "2", 60.0, "PV5"),
    ("30", "3", 60.0, "PV6"),
)


class VoltVarIEEE123Config(VoltVarIEEE13Config):
    """Settings of VoltVar-IEEE123-v0: ten inverters, seven step regulators and four capacitor banks, three phases."""

    network: str = "ieee123"
    line_rating_a: PositiveFloat = 600.0
    """Rating of lines that have none of their own. Assumed: as for VoltVar-IEEE13-v0."""
    inverters: Annotated[tuple[InverterConfig, ...], AfterValidator(at_least_one)] = tuple(
        InverterConfig(bus=bus, phases=phases, p_dc_kw=p_dc_kw, profile=profile)
        for bus, phases, p_dc_kw, profile in _PLANTS_IEEE123
    )
    tap_changers: tuple[TapChangerConfig, ...] = tuple(
        TapChangerConfig(id=f"regcontrol.{name}") for name in _TAPS_IEEE123
    )
    capacitors: tuple[CapacitorConfig, ...] = tuple(
        CapacitorConfig(id=f"capacitor.{name}") for name in _CAPACITORS_IEEE123
    )
