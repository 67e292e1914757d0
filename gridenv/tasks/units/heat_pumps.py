"""Heat pumps and the homes they heat as units of a task: the electrical power of each."""

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat

from gridenv.core.channels import Channel
from gridenv.devices import heat_pump
from gridenv.devices.family import Inputs
from gridenv.devices.heat_pump import HeatPumpFeasible, HeatPumpParams, HeatPumpRequest, HeatPumpState
from gridenv.devices.homes import Homes, draw_homes
from gridenv.exogenous.weather import OUTDOOR_NAME, SUN_NAME, load_temperature
from gridenv.tasks.units.kind import Column, Control, Outlook, Surroundings, UnitConfig, UnitKind

_SCALED = ("c_air_kwh_k", "c_mass_kwh_k", "h_air_mass_kw_k", "h_air_out_kw_k", "h_mass_out_kw_k", "p_max_kw")
"""Fields of a home that grow with the number of homes."""
_LARGEST_KW = 10.0
"""Largest unit of a home, at which drawn ones end. Assumed: that of single-phase and small three-phase heat pumps."""
_STOCK_EUR_KWH = 0.0525
"""Worth of the electricity that heat in the building took. Source: as for batteries."""


class HeatPumpConfig(UnitConfig):
    """A home with a heat pump, drawn from a population, or several like homes at one bus."""

    seed: NonNegativeInt = 0
    """Of the population that the task's homes with this seed are drawn from, and of the weather's departures."""
    n_homes: PositiveFloat = 1.0
    """Like homes that follow one command."""
    p_max_kw: PositiveFloat | None = None
    """Largest electrical power of a home; default as drawn."""
    comfort_low_c: float = Field(default=20.0, ge=5.0, le=30.0)
    comfort_high_c: float = Field(default=24.0, ge=10.0, le=35.0)
    """Band without a comfort cost. Source: EN 16798-1:2019 table B.5, category II."""
    comfort_eur_per_k_h: NonNegativeFloat = 0.5
    """Price of a degree outside the band for an hour, for each home."""

    @property
    def prefix(self) -> str:
        """First part of the unit's name."""
        return "heat_pump"


def _homes(configs: Sequence[HeatPumpConfig]) -> Homes:
    homes = draw_homes(len(configs), configs[0].seed)
    n_homes = np.array([c.n_homes for c in configs])
    wide = {f.name: np.broadcast_to(np.asarray(getattr(homes, f.name)), len(configs)) for f in fields(homes)}
    given = {name: wide[name] * n_homes for name in (*_SCALED, "window_m2", "gain_kw")}
    own = np.array([c.p_max_kw or np.nan for c in configs])
    given["p_max_kw"] = np.where(np.isnan(own), np.minimum(wide["p_max_kw"], _LARGEST_KW), own) * n_homes
    given |= {name: np.array([getattr(c, name) for c in configs]) for name in ("comfort_low_c", "comfort_high_c")}
    given["setpoint_c"] = given["comfort_low_c"] + 0.5
    given["comfort_eur_per_k_h"] = np.array([c.comfort_eur_per_k_h for c in configs]) * n_homes
    given["stock_eur_per_kwh"] = np.full(len(configs), _STOCK_EUR_KWH)
    return replace(homes, **given)


def _rated_kw(config: HeatPumpConfig) -> float:
    """Largest electrical power that a channel has to carry."""
    return (config.p_max_kw or _LARGEST_KW) * config.n_homes


def _controls(config: HeatPumpConfig, name: str) -> tuple[Control, ...]:
    p = _rated_kw(config)
    channel = Channel(name=f"{name}.p_kw", unit="kW", low=-p, high=0.0, offset=-p / 2, scale=p / 2, source=name)
    return (Control(channel=channel),)


def _parameters(configs: Sequence[HeatPumpConfig], around: Surroundings) -> HeatPumpParams:
    return heat_pump.heat_pump_params(around.names, _homes(configs), around.scenario, dtype=around.dtype)


def _request(params: HeatPumpParams, state: HeatPumpState, action: Array, inputs: Inputs) -> HeatPumpRequest:
    del params, state, inputs
    return HeatPumpRequest(p_kw=action[..., 0])


def _applied(params: HeatPumpParams, feasible: HeatPumpFeasible, inputs: Inputs, asked: Array) -> Array:
    del params, inputs, asked
    return feasible.p_kw[..., None]


def _idle(params: HeatPumpParams, state: HeatPumpState, inputs: Inputs) -> Float[Array, "*batch unit 1"]:
    """Off, until the protection of the home acts."""
    del params, inputs
    return jnp.zeros_like(state.t_air_c)[..., None]


def _channels(config: HeatPumpConfig, name: str) -> tuple[Channel, ...]:
    p = _rated_kw(config)
    return (
        Channel(name=f"{name}.t_air_c", unit="degC", low=0.0, high=40.0, offset=20.0, scale=5.0, source=name),
        Channel(name=f"{name}.t_mass_c", unit="degC", low=0.0, high=40.0, offset=20.0, scale=5.0, source=name),
        Channel(name=f"{name}.p_delivered_kw", unit="kW", low=-p, high=0.0, scale=p, source=name),
    )


def _observe(params: HeatPumpParams, state: HeatPumpState, feasible: HeatPumpFeasible, inputs: Inputs) -> Array:
    """Temperatures, power of the step before."""
    del params, inputs
    return jnp.stack([state.t_air_c, state.t_mass_c, feasible.p_kw], axis=-1)


def _rule(params: HeatPumpParams, state: HeatPumpState, inputs: Inputs, outlook: Outlook) -> Array:
    """The built-in thermostat."""
    del outlook
    return heat_pump.thermostat_kw(params, state, inputs, params.setpoint_c)[..., None]


def _columns(configs: Sequence[HeatPumpConfig]) -> tuple[Column, ...]:
    channel = Channel(name=OUTDOOR_NAME, unit="degC", low=-40.0, high=50.0, offset=10.0, scale=10.0, source="weather")
    return (Column(channel=channel, values=load_temperature(configs[0].seed)),)


KIND = UnitKind(
    family=heat_pump.HEAT_PUMP,
    controls=_controls,
    parameters=_parameters,
    request=_request,
    applied=_applied,
    idle=_idle,
    channels=_channels,
    observe=_observe,
    rule=_rule,
    event_kw=_rated_kw,
    profiles=lambda configs: (SUN_NAME,),
    columns=_columns,
    split=lambda config: config.seed,
)
