"""Appliances that can wait as units of a task: when each begins."""

from collections.abc import Sequence
from typing import Literal

from jax import Array
from jax import numpy as jnp
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat, NonNegativeInt

from gridenv.core.channels import Channel
from gridenv.devices import appliance
from gridenv.devices.appliance import ApplianceFeasible, ApplianceParams, ApplianceRequest, ApplianceState
from gridenv.devices.family import Inputs
from gridenv.exogenous.appliance_runs import draw_runs
from gridenv.tasks.units.kind import Control, Outlook, Surroundings, UnitConfig, UnitKind

_LONGEST_H = 24.0
_MOST_KWH = 5.0


class ApplianceConfig(UnitConfig):
    """A washing machine, dishwasher or dryer."""

    kind: Literal["washing_machine", "dishwasher", "tumble_dryer"] = "dishwasher"
    seed: NonNegativeInt = 0
    """Of the year of runs of the task's appliances with this seed."""
    power_factor: float = Field(default=0.98, gt=0.0, le=1.0)
    is_interruptible: bool = False
    delay_eur_per_h: NonNegativeFloat = 0.0

    @property
    def prefix(self) -> str:
        """First part of the unit's name."""
        return "appliance"


def _controls(config: ApplianceConfig, name: str) -> tuple[Control, ...]:
    del config
    channel = Channel(name=f"{name}.start", unit="", low=0.0, high=1.0, offset=0.5, scale=0.5, source=name)
    return (Control(channel=channel, levels=2),)


def _parameters(configs: Sequence[ApplianceConfig], around: Surroundings) -> ApplianceParams:
    return appliance.appliance_params(
        around.names,
        draw_runs(around.names, [c.kind for c in configs], configs[0].seed),
        power_factor=[c.power_factor for c in configs],
        is_interruptible=[c.is_interruptible for c in configs],
        delay_eur_per_h=[c.delay_eur_per_h for c in configs],
        dtype=around.dtype,
    )


def _request(params: ApplianceParams, state: ApplianceState, action: Array, inputs: Inputs) -> ApplianceRequest:
    del params, state, inputs
    return ApplianceRequest(start=action[..., 0])


def _applied(params: ApplianceParams, feasible: ApplianceFeasible, inputs: Inputs, asked: Array) -> Array:
    """1 where it runs."""
    del params, inputs, asked
    return feasible.start[..., None]


def _idle(params: ApplianceParams, state: ApplianceState, inputs: Inputs) -> Float[Array, "*batch unit 1"]:
    """Wait as long as possible."""
    del inputs
    return jnp.zeros((*state.steps_done.shape, 1), params.q_per_p.dtype)


def _channels(config: ApplianceConfig, name: str) -> tuple[Channel, ...]:
    del config
    return (
        Channel(name=f"{name}.pending", unit="", low=0.0, high=1.0, offset=0.5, scale=0.5, source=name),
        Channel(name=f"{name}.running", unit="", low=0.0, high=1.0, offset=0.5, scale=0.5, source=name),
        Channel(
            name=f"{name}.latest_start_h",
            unit="h",
            low=0.0,
            high=_LONGEST_H,
            offset=_LONGEST_H / 2,
            scale=_LONGEST_H / 2,
            source=name,
        ),
        Channel(name=f"{name}.left_kwh", unit="kWh", low=0.0, high=_MOST_KWH, scale=1.0, source=name),
    )


def _observe(params: ApplianceParams, state: ApplianceState, feasible: ApplianceFeasible, inputs: Inputs) -> Array:
    """Today's run at the beginning of the step to decide on."""
    del feasible
    seen = appliance.observe(params, state, inputs.t)
    return jnp.stack([seen.pending, seen.running, seen.hours_to_latest_start, seen.left_kwh], axis=-1)


def _rule(params: ApplianceParams, state: ApplianceState, inputs: Inputs, outlook: Outlook) -> Array:
    """Begin as soon as possible, as people do."""
    del outlook
    return jnp.ones_like(_idle(params, state, inputs))


KIND = UnitKind(
    family=appliance.APPLIANCE,
    controls=_controls,
    parameters=_parameters,
    request=_request,
    applied=_applied,
    idle=_idle,
    channels=_channels,
    observe=_observe,
    rule=_rule,
    split=lambda config: config.seed,
)
