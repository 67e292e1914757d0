"""Chargers of electric vehicles as units of a task: the power of each charger, feeding the network where it can."""

from collections.abc import Sequence
from typing import Literal

from jax import Array
from jax import numpy as jnp
from jaxtyping import Float, Int
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat

from gridenv.core.channels import Channel
from gridenv.core.errors import ConfigError
from gridenv.devices import ev_charger
from gridenv.devices.ev_charger import EvChargerPower, EvChargerRequest, EvChargerState
from gridenv.devices.ev_charger_params import EvChargerParams, build_params
from gridenv.devices.family import Inputs
from gridenv.exogenous.ev_session_files import load_sessions
from gridenv.exogenous.ev_session_generator import generate_sessions
from gridenv.exogenous.ev_sessions import SessionTable
from gridenv.tasks.units.kind import Control, Outlook, Surroundings, UnitConfig, UnitKind

_LONGEST_STAY_H = 48.0
_LARGEST_BATTERY_KWH = 120.0


class EvChargerConfig(UnitConfig):
    """A charger for one vehicle at a time."""

    use: Literal["home", "work", "public"] = "home"
    """Who comes, when and for how long."""
    seed: NonNegativeInt = 0
    """Of the sessions of all chargers of the task with the same use and seed."""
    sessions: str | None = None
    """CSV file of real sessions instead; `charger` counts the chargers with this file from 0."""
    v2g_share: float = Field(default=0.5, ge=0.0, le=1.0)
    """Probability that an owner consents to feeding the network."""
    p_max_kw: PositiveFloat = 11.0
    p_discharge_max_kw: NonNegativeFloat = 11.0
    """0 = no vehicle feeds the network."""
    efficiency: float = Field(default=0.9, gt=0.0, le=1.0)
    """One way. Source: E. Apostolaki-Iosifidou et al., Energy 127 (2017) 730-742: 0.82 to 0.95 for 10 to 40 A."""
    station: str | None = None
    """Chargers of one name share the limit of its connection."""
    station_max_kw: PositiveFloat | None = None
    """Limit of the station's connection, drawn and fed in; the same at all its chargers."""
    shortfall_eur_kwh: NonNegativeFloat = 0.79
    """Price of energy that is missing at departure. Source: tariff of public fast chargers in Germany in 2024."""
    wear_eur_kwh: NonNegativeFloat = 0.02
    """Paid to the owner for energy taken out of the vehicle. Assumed: cells of EUR 110 a kWh and 5,000 cycles."""
    stock_eur_kwh: NonNegativeFloat = 0.0525
    """Worth of the energy asked for that is in a vehicle already. Source: as for batteries."""

    @property
    def prefix(self) -> str:
        """First part of the unit's name."""
        return "ev"


def _controls(config: EvChargerConfig, name: str) -> tuple[Control, ...]:
    low, high = -config.p_max_kw, config.p_discharge_max_kw
    half = (high - low) / 2
    channel = Channel(name=f"{name}.p_kw", unit="kW", low=low, high=high, offset=low + half, scale=half, source=name)
    return (Control(channel=channel),)


def _parameters(configs: Sequence[EvChargerConfig], around: Surroundings) -> EvChargerParams:
    limits: dict[str, float] = {}
    problems = []
    stations = [c.station or name for name, c in zip(around.names, configs, strict=True)]
    for name, c, station in zip(around.names, configs, stations, strict=True):
        limit = float("inf") if c.station_max_kw is None else c.station_max_kw
        if limits.setdefault(station, limit) != limit:
            problems.append(
                f"task: {name}: station_max_kw is {limit:g}; allowed: {limits[station]:g} as at the other chargers of "
                f"'{station}'; give them all the same"
            )
    if problems:
        raise ConfigError("\n".join(problems))

    def column(field: str) -> list[float]:
        return [float(getattr(c, field)) for c in configs]

    return build_params(
        around.names,
        _sessions(configs),
        p_max_kw=column("p_max_kw"),
        p_discharge_max_kw=column("p_discharge_max_kw"),
        eff_charge=column("efficiency"),
        eff_discharge=column("efficiency"),
        shortfall_price_per_kwh=column("shortfall_eur_kwh"),
        wear_price_per_kwh=column("wear_eur_kwh"),
        stock_price_per_kwh=column("stock_eur_kwh"),
        stations=stations,
        import_max_kw=limits,
        export_max_kw=limits,
        dtype=around.dtype,
    )


def _sessions(configs: Sequence[EvChargerConfig]) -> SessionTable:
    """Sessions of the group: all its chargers have the same use, seed and file."""
    first = configs[0]
    if first.sessions is not None:
        return load_sessions(first.sessions, len(configs))
    return generate_sessions(
        first.use,
        len(configs),
        first.seed,
        v2g_share=first.v2g_share,
        p_charger_kw=min(c.p_max_kw for c in configs),
        eff_charge=min(c.efficiency for c in configs),
    )


def _request(params: EvChargerParams, state: EvChargerState, action: Array, inputs: Inputs) -> EvChargerRequest:
    del params, state, inputs
    return EvChargerRequest(p_kw=action[..., 0], q_kvar=jnp.zeros_like(action[..., 0]))


def _applied(params: EvChargerParams, feasible: EvChargerPower, inputs: Inputs, asked: Array) -> Array:
    del params, inputs, asked
    return feasible.p_kw[..., None]


def _idle(params: EvChargerParams, state: EvChargerState, inputs: Inputs) -> Float[Array, "*batch unit 1"]:
    del params, inputs
    return jnp.zeros_like(state.e_kwh)[..., None]


def _channels(config: EvChargerConfig, name: str) -> tuple[Channel, ...]:
    e, stay = _LARGEST_BATTERY_KWH, _LONGEST_STAY_H
    return (
        Channel(name=f"{name}.connected", unit="", low=0.0, high=1.0, offset=0.5, scale=0.5, source=name),
        Channel(name=f"{name}.soc", unit="", low=0.0, high=1.0, offset=0.5, scale=0.5, source=name),
        Channel(name=f"{name}.e_asked_kwh", unit="kWh", low=0.0, high=e, scale=e / 2, source=name),
        Channel(name=f"{name}.departure_h", unit="h", low=0.0, high=stay, scale=stay / 2, source=name),
        Channel(
            name=f"{name}.p_charge_max_kw",
            unit="kW",
            low=0.0,
            high=config.p_max_kw,
            scale=config.p_max_kw,
            source=name,
        ),
        Channel(name=f"{name}.v2g_consent", unit="", low=0.0, high=1.0, offset=0.5, scale=0.5, source=name),
    )


def _observe(params: EvChargerParams, state: EvChargerState, feasible: EvChargerPower, inputs: Inputs) -> Array:
    """The vehicle connected in the step to decide on."""
    del feasible
    seen = ev_charger.observe(params, state, inputs.t)
    parts = (seen.connected, seen.soc, seen.e_asked_kwh, seen.departure_h, seen.p_charge_max_kw, seen.v2g_consent)
    return jnp.stack(parts, axis=-1)


def _rule(params: EvChargerParams, state: EvChargerState, inputs: Inputs, outlook: Outlook) -> Array:
    """Charge at full power from arrival until the energy asked for is there."""
    del outlook
    seen = ev_charger.observe(params, state, inputs.t)
    enough_kw = seen.e_asked_kwh / (params.eff_charge * inputs.dt_h)
    return -jnp.minimum(seen.p_charge_max_kw, enough_kw)[..., None]


def _level(params: EvChargerParams, state: EvChargerState, t: Int[Array, "*batch"]) -> Float[Array, "*batch unit"]:
    """Charge of the vehicles; NaN where none is connected."""
    seen = ev_charger.observe(params, state, t)
    return jnp.where(seen.connected > 0, seen.soc, jnp.nan)


KIND = UnitKind(
    family=ev_charger.EV_CHARGER,
    controls=_controls,
    parameters=_parameters,
    request=_request,
    applied=_applied,
    idle=_idle,
    channels=_channels,
    observe=_observe,
    rule=_rule,
    level=_level,
    split=lambda config: (config.use, config.seed, config.sessions, config.v2g_share),
)
