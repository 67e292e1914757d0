"""Batteries as units of a task: active power, or active and reactive power."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat, PositiveFloat

from gridenv.core.channels import Channel
from gridenv.core.units import HOURS_PER_DAY, KWH_PER_MWH
from gridenv.devices import battery
from gridenv.devices.battery import BatteryParams, BatteryRequest, BatteryState
from gridenv.devices.family import Inputs
from gridenv.tasks.units.kind import Control, Outlook, Surroundings, UnitConfig, UnitKind

_EARLY, _LATE = 0.25, 0.75
"""Quantiles of the day's prices at which the rule charges and discharges."""


class BatteryConfig(UnitConfig):
    """A battery with its inverter."""

    e_max_kwh: PositiveFloat
    p_max_kw: PositiveFloat
    """Charging and discharging, at the terminals."""
    s_over_p: float = Field(default=1.1, ge=1.0)
    """Apparent-power rating of the inverter as a multiple of `p_max_kw`."""
    control: Literal["p", "p_q"] = "p"
    soc_start: float = Field(default=0.5, ge=0.0, le=1.0)
    soc_min: float = Field(default=0.1, ge=0.0, le=1.0)
    soc_max: float = Field(default=0.95, ge=0.0, le=1.0)
    efficiency: float = Field(default=0.96, gt=0.0, le=1.0)
    """One way, inverter included. Source: 0.92 round trip, NREL Annual Technology Baseline 2024 has 0.85 to 0.92."""
    replacement_eur_per_kwh: NonNegativeFloat = 110.0
    """Price of new cells. Source: BloombergNEF, Lithium-ion battery price survey 2024, USD 115 a kWh."""
    cycle_life: PositiveFloat = 8000.0
    """Cycles of 80 % depth. Assumed: what makers of lithium iron phosphate cells state."""
    stock_eur_kwh: NonNegativeFloat = 0.0525
    """Worth of energy left in the battery. Source: mean day-ahead price of the Netherlands in 2018, 52.5 EUR/MWh."""

    @property
    def prefix(self) -> str:
        """First part of the unit's name."""
        return "battery"


def _controls(config: BatteryConfig, name: str) -> tuple[Control, ...]:
    p, s = config.p_max_kw, config.p_max_kw * config.s_over_p
    entries = [Channel(name=f"{name}.p_kw", unit="kW", low=-p, high=p, scale=p, source=name)]
    if config.control == "p_q":
        entries.append(Channel(name=f"{name}.q_kvar", unit="kvar", low=-s, high=s, scale=s, source=name))
    return tuple(Control(channel=channel) for channel in entries)


def _parameters(configs: Sequence[BatteryConfig], around: Surroundings) -> BatteryParams:
    def column(name: str) -> np.ndarray:
        return np.array([getattr(c, name) for c in configs], float)

    p_max_kw = column("p_max_kw")
    return battery.battery_params(
        around.names,
        column("e_max_kwh"),
        p_max_kw,
        p_max_kw,
        p_max_kw * column("s_over_p"),
        stock_eur_per_kwh=column("stock_eur_kwh"),
        soc_min=column("soc_min"),
        soc_max=column("soc_max"),
        soc_start=column("soc_start"),
        eff_charge=column("efficiency"),
        eff_discharge=column("efficiency"),
        replacement_eur_per_kwh=column("replacement_eur_per_kwh"),
        cycle_life=column("cycle_life"),
        dtype=around.dtype,
    )


def _request(params: BatteryParams, state: BatteryState, action: Array, inputs: Inputs) -> BatteryRequest:
    del params, state, inputs
    p_kw = action[..., 0]
    return BatteryRequest(p_kw=p_kw, q_kvar=action[..., 1] if action.shape[-1] > 1 else jnp.zeros_like(p_kw))


def _applied(params: BatteryParams, feasible: BatteryRequest, inputs: Inputs, asked: Array) -> Array:
    del params, inputs
    return jnp.stack([feasible.p_kw, feasible.q_kvar], axis=-1)[..., : asked.shape[-1]]


def _idle(params: BatteryParams, state: BatteryState, inputs: Inputs) -> Float[Array, "*batch unit 2"]:
    del params, inputs
    return jnp.zeros((*state.e_kwh.shape, 2), state.e_kwh.dtype)


def _channels(config: BatteryConfig, name: str) -> tuple[Channel, ...]:
    p = config.p_max_kw
    return (
        Channel(name=f"{name}.soc", unit="", low=0.0, high=1.0, offset=0.5, scale=0.5, source=name),
        Channel(name=f"{name}.p_delivered_kw", unit="kW", low=-p, high=p, scale=p, source=name),
    )


def _observe(params: BatteryParams, state: BatteryState, feasible: BatteryRequest, inputs: Inputs) -> Array:
    """State of charge, active power of the step before."""
    del inputs
    return jnp.stack([state.e_kwh / params.e_max_kwh, feasible.p_kw], axis=-1)


def _rule(params: BatteryParams, state: BatteryState, inputs: Inputs, outlook: Outlook) -> Array:
    """Charge in the cheapest quarter of the day's steps and discharge in the dearest, where the spread pays.

    The spread pays where it covers the losses of the round trip and the wear of a cycle of the usable range. Power is
    such that the quarter of the day just suffices, which is easiest on the grid.
    """
    del inputs
    price = outlook.price_eur_mwh
    now = jnp.take_along_axis(price, outlook.step_of_day[..., None], axis=-1)
    cheap, dear = (jnp.quantile(price, q, axis=-1, keepdims=True) for q in (_EARLY, _LATE))
    depth = params.soc_max - params.soc_min
    wear_eur_kwh = params.cycle_eur * depth**params.depth_exponent / (depth * params.e_max_kwh)
    margin = wear_eur_kwh * KWH_PER_MWH
    pays = dear * params.eff_discharge > cheap / params.eff_charge + margin
    gentle_kw = depth * params.e_max_kwh / (_EARLY * HOURS_PER_DAY)
    charge_kw = jnp.minimum(gentle_kw / params.eff_charge, params.p_charge_max_kw)
    discharge_kw = jnp.minimum(gentle_kw * params.eff_discharge, params.p_discharge_max_kw)
    p_kw = jnp.where(now <= cheap, -charge_kw, jnp.where(now >= dear, discharge_kw, 0.0))
    p_kw = jnp.where(pays, p_kw, 0.0)
    return jnp.stack([p_kw, jnp.zeros_like(p_kw)], axis=-1)


KIND = UnitKind(
    family=battery.BATTERY,
    controls=_controls,
    parameters=_parameters,
    request=_request,
    applied=_applied,
    idle=_idle,
    channels=_channels,
    observe=_observe,
    rule=_rule,
    level=lambda params, state, t: state.e_kwh / params.e_max_kwh,
    split=lambda config: config.control,
)
