"""Loads that can be curtailed for a while and catch up later, as units of a task."""

from collections.abc import Sequence

from jax import Array
from jax import numpy as jnp
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat, PositiveFloat

from gridenv.core.channels import Channel
from gridenv.devices import curtailable_load
from gridenv.devices.curtailable_load import (
    CurtailableFeasible,
    CurtailableParams,
    CurtailableRequest,
    CurtailableState,
)
from gridenv.devices.family import Inputs
from gridenv.tasks.units.kind import Control, Surroundings, UnitConfig, UnitKind


class CurtailableLoadConfig(UnitConfig):
    """A business that gives up part of its demand when asked, such as cooling, pumping or ventilation."""

    p_rated_kw: PositiveFloat
    """Demand at a profile of 1."""
    tan_phi: NonNegativeFloat = 0.3
    """Reactive for each kW of active demand."""
    profile: str = "G0-A"
    """SimBench load profile."""
    max_share: float = Field(default=0.3, ge=0.0, le=1.0)
    """Share of the demand that can be given up. Assumed: that of cooling and ventilation in commercial buildings."""
    max_h_per_day: PositiveFloat = 4.0
    rebound_share: float = Field(default=0.8, ge=0.0)
    """Of the energy given up, what is drawn later. Assumed: most of it, as rooms and stores are cooled again."""
    rebound_tau_h: PositiveFloat = 2.0
    cost_eur_kwh: NonNegativeFloat = 0.15
    """Paid to the owner for energy given up."""
    stock_eur_kwh: NonNegativeFloat = 0.0525
    """Price of energy still owed at the end. Source: as for batteries."""

    @property
    def prefix(self) -> str:
        """First part of the unit's name."""
        return "curtailable"


def _controls(config: CurtailableLoadConfig, name: str) -> tuple[Control, ...]:
    half = config.max_share / 2
    channel = Channel(
        name=f"{name}.curtail_share", unit="", low=0.0, high=config.max_share, offset=half, scale=half, source=name
    )
    return (Control(channel=channel),)


def _parameters(configs: Sequence[CurtailableLoadConfig], around: Surroundings) -> CurtailableParams:
    n = len(configs)
    return curtailable_load.curtailable_params(
        around.names,
        around.scenario.names,
        [-c.p_rated_kw for c in configs],
        [-c.p_rated_kw * c.tan_phi for c in configs],
        [f"{c.profile}_pload" for c in configs],
        [f"{c.profile}_pload" for c in configs],
        max_share=[c.max_share for c in configs],
        min_kw=[0.0] * n,
        max_h_per_day=[c.max_h_per_day for c in configs],
        max_kwh_per_day=[c.p_rated_kw * c.max_share * c.max_h_per_day for c in configs],
        rebound_share=[c.rebound_share for c in configs],
        rebound_tau_h=[c.rebound_tau_h for c in configs],
        rebound_max_kw=[c.p_rated_kw for c in configs],
        cost_eur_per_kwh=[c.cost_eur_kwh for c in configs],
        stock_eur_per_kwh=[c.stock_eur_kwh for c in configs],
        dtype=around.dtype,
    )


def _request(params: CurtailableParams, state: CurtailableState, action: Array, inputs: Inputs) -> CurtailableRequest:
    del params, state, inputs
    return CurtailableRequest(curtail_share=action[..., 0])


def _applied(params: CurtailableParams, feasible: CurtailableFeasible, inputs: Inputs, asked: Array) -> Array:
    del params, inputs, asked
    return feasible.curtail_share[..., None]


def _idle(params: CurtailableParams, state: CurtailableState, inputs: Inputs) -> Float[Array, "*batch unit 1"]:
    del params, inputs
    return jnp.zeros_like(state.owed_kwh)[..., None]


def _channels(config: CurtailableLoadConfig, name: str) -> tuple[Channel, ...]:
    p = config.p_rated_kw
    return (
        Channel(name=f"{name}.owed_kwh", unit="kWh", low=0.0, high=8 * p, scale=p, source=name),
        Channel(name=f"{name}.share_limit", unit="", low=0.0, high=1.0, offset=0.5, scale=0.5, source=name),
        Channel(name=f"{name}.p_delivered_kw", unit="kW", low=-3 * p, high=0.0, scale=p, source=name),
    )


def _observe(
    params: CurtailableParams, state: CurtailableState, feasible: CurtailableFeasible, inputs: Inputs
) -> Array:
    """Energy owed and what can be given up in the step to decide on; power of the step before."""
    limit = curtailable_load.share_limit(params, state, inputs)
    return jnp.stack([state.owed_kwh, jnp.broadcast_to(limit, state.owed_kwh.shape), feasible.p_kw], axis=-1)


KIND = UnitKind(
    family=curtailable_load.CURTAILABLE_LOAD,
    controls=_controls,
    parameters=_parameters,
    request=_request,
    applied=_applied,
    idle=_idle,
    channels=_channels,
    observe=_observe,
    event_kw=lambda config: config.p_rated_kw,
    profiles=lambda configs: [f"{c.profile}_pload" for c in configs],
)
