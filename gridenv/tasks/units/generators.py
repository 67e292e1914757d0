"""Backup generators as units of a task: active power, or active and reactive power; 0 is off."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat, PositiveFloat

from gridenv.core.channels import Channel
from gridenv.core.units import KWH_PER_MWH
from gridenv.devices import generator
from gridenv.devices.family import Inputs
from gridenv.devices.generator import GeneratorParams, GeneratorRequest, GeneratorState
from gridenv.tasks.units.kind import Control, Outlook, Surroundings, UnitConfig, UnitKind


class GeneratorConfig(UnitConfig):
    """A diesel or gas engine that feeds the network; it holds no island."""

    p_max_kw: PositiveFloat
    p_min_share: float = Field(default=0.3, gt=0.0, le=1.0)
    """Least power while running, share of `p_max_kw`. Assumed: what makers of diesel sets ask for."""
    s_over_p: float = Field(default=1.25, ge=1.0)
    """Apparent-power rating as a multiple of `p_max_kw`. Source: rated power factor of 0.8, ISO 8528-1."""
    control: Literal["p", "p_q"] = "p"
    fuel_eur_per_l: NonNegativeFloat = 1.3
    """Assumed: diesel at the pump in the Netherlands in the year of the profiles and prices."""
    start_eur: NonNegativeFloat = 5.0
    """Assumed: some litres of fuel and wear."""
    ramp_kw_per_h: PositiveFloat | None = None
    """Largest change of power in an hour; default no limit."""
    min_up_h: NonNegativeFloat = 0.5
    min_down_h: NonNegativeFloat = 0.5
    """Hours from start to stop and from stop to start. Assumed: warming up and cooling down."""

    @property
    def prefix(self) -> str:
        """First part of the unit's name."""
        return "generator"


def _controls(config: GeneratorConfig, name: str) -> tuple[Control, ...]:
    p, s = config.p_max_kw, config.p_max_kw * config.s_over_p
    entries = [Channel(name=f"{name}.p_kw", unit="kW", low=0.0, high=p, offset=p / 2, scale=p / 2, source=name)]
    if config.control == "p_q":
        entries.append(Channel(name=f"{name}.q_kvar", unit="kvar", low=-s, high=s, scale=s, source=name))
    return tuple(Control(channel=channel) for channel in entries)


def _parameters(configs: Sequence[GeneratorConfig], around: Surroundings) -> GeneratorParams:
    def column(name: str) -> np.ndarray:
        return np.array([getattr(c, name) for c in configs], float)

    p_max_kw = column("p_max_kw")
    given: dict[str, Any] = {name: column(name) for name in ("fuel_eur_per_l", "start_eur", "min_up_h", "min_down_h")}
    return generator.generator_params(
        around.names,
        p_max_kw * column("p_min_share"),
        p_max_kw,
        p_max_kw * column("s_over_p"),
        ramp_kw_per_h=np.array([np.inf if c.ramp_kw_per_h is None else c.ramp_kw_per_h for c in configs]),
        dtype=around.dtype,
        **given,
    )


def _request(params: GeneratorParams, state: GeneratorState, action: Array, inputs: Inputs) -> GeneratorRequest:
    """Less than half the least power is off."""
    del state, inputs
    p_kw = action[..., 0]
    q_kvar = action[..., 1] if action.shape[-1] > 1 else jnp.zeros_like(p_kw)
    return GeneratorRequest(p_kw=p_kw, q_kvar=q_kvar, on=(p_kw >= 0.5 * params.p_min_kw).astype(p_kw.dtype))


def _applied(params: GeneratorParams, feasible: GeneratorRequest, inputs: Inputs, asked: Array) -> Array:
    del params, inputs
    return jnp.stack([feasible.p_kw, feasible.q_kvar], axis=-1)[..., : asked.shape[-1]]


def _idle(params: GeneratorParams, state: GeneratorState, inputs: Inputs) -> Float[Array, "*batch unit 2"]:
    """Off."""
    del params, inputs
    return jnp.zeros((*state.p_kw.shape, 2), state.p_kw.dtype)


def _channels(config: GeneratorConfig, name: str) -> tuple[Channel, ...]:
    p, longest_h = config.p_max_kw, max(config.min_up_h, config.min_down_h, 1.0)
    return (
        Channel(name=f"{name}.on", unit="", low=0.0, high=1.0, offset=0.5, scale=0.5, source=name),
        Channel(name=f"{name}.held_h", unit="h", low=0.0, high=longest_h, scale=longest_h, source=name),
        Channel(name=f"{name}.p_delivered_kw", unit="kW", low=0.0, high=p, scale=p, source=name),
    )


def _observe(params: GeneratorParams, state: GeneratorState, feasible: GeneratorRequest, inputs: Inputs) -> Array:
    """Whether it runs and since when, as far as minimum times ask; power of the step before."""
    del params, inputs
    return jnp.stack([state.is_on, state.held_h, feasible.p_kw], axis=-1)


def _rule(params: GeneratorParams, state: GeneratorState, inputs: Inputs, outlook: Outlook) -> Array:
    """Full power while the price is above what a kWh costs in fuel at full power, else off; starts are not weighed."""
    del inputs
    now = jnp.take_along_axis(outlook.price_eur_mwh, outlook.step_of_day[..., None], axis=-1)
    full = GeneratorRequest(
        p_kw=params.p_max_kw, q_kvar=jnp.zeros_like(params.p_max_kw), on=jnp.ones_like(params.p_max_kw)
    )
    fuel_eur_mwh = generator.fuel_l_per_h(params, full) * params.fuel_eur_per_l / params.p_max_kw * KWH_PER_MWH
    p_kw = jnp.where(now > fuel_eur_mwh, params.p_max_kw, jnp.zeros_like(state.p_kw))
    return jnp.stack([p_kw, jnp.zeros_like(p_kw)], axis=-1)


KIND = UnitKind(
    family=generator.GENERATOR,
    controls=_controls,
    parameters=_parameters,
    request=_request,
    applied=_applied,
    idle=_idle,
    channels=_channels,
    observe=_observe,
    rule=_rule,
    split=lambda config: config.control,
)
