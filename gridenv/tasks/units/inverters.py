"""Photovoltaic and wind plants as units of a task: reactive power, or active and reactive power, as shares of what is
available in the step, or the parameters of a volt-var curve."""

from collections.abc import Sequence
from typing import Literal

from jax import Array
from jax import numpy as jnp
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat, PositiveFloat

from gridenv.core.channels import Channel
from gridenv.devices import ieee1547, inverter
from gridenv.devices.family import Inputs
from gridenv.devices.inverter import InverterFeasible, InverterParams, InverterRequest, InverterState
from gridenv.devices.inverter_spec import InverterSpec
from gridenv.tasks.units import volt_var_curves
from gridenv.tasks.units.kind import Control, Surroundings, UnitConfig, UnitKind

Q_ENTRY = 0
"""Place of the reactive power among a controlled unit's actions."""
_MIN_KW = 1e-3
"""kW or kvar below which a share of the available power means nothing."""


class InverterConfig(UnitConfig):
    """A photovoltaic or wind plant."""

    technology: Literal["pv", "wind"] = "pv"
    p_dc_kw: PositiveFloat
    """Rated power of the modules or of the turbine."""
    profile: str
    """Series of sunshine or wind, relative to `p_dc_kw`."""
    control: Literal["none", "q", "p_q", "volt_var"] = "q"
    """`q`: reactive power is commanded, active power is what is available. `p_q`: both. `none`: neither.
    `volt_var`: the parameters of a volt-var curve, which the inverter follows by itself at its own voltage."""
    s_over_p_dc: PositiveFloat = 1.1
    """Apparent-power rating of the inverter as a multiple of `p_dc_kw`."""
    q_max_over_s: float = Field(default=0.44, gt=0.0, le=1.0)
    """Reactive capability as a share of the apparent-power rating, either sign. Source: IEEE Std 1547-2018 table 7,
    category B, from 5 % of rated active power up. Assumed: also below that and at night, as inverters with a night
    function do."""
    curtailment_eur_kwh: NonNegativeFloat = 0.0
    """Paid to the owner for energy not taken."""

    @property
    def prefix(self) -> str:
        """First part of the unit's name."""
        return self.technology

    @property
    def s_rated_kva(self) -> float:
        """Apparent-power rating."""
        return self.p_dc_kw * self.s_over_p_dc


def q_limit_kvar(params: InverterParams, p_kw: Float[Array, "*batch unit"]) -> Float[Array, "*batch unit"]:
    """Largest reactive power, either sign, that is available beside the active power; never quite zero."""
    absorb, inject = ieee1547.capability(params.ratings, p_kw)
    room = ieee1547.beside(params.ratings.s_rated_kva, p_kw)
    return jnp.maximum(jnp.minimum(jnp.minimum(absorb, inject), room), _MIN_KW)


def follows_curve(params: InverterParams) -> bool:
    """Whether the group's actions are the parameters of curves."""
    return "volt_var" in params.q_modes


def _controls(config: InverterConfig, name: str) -> tuple[Control, ...]:
    q = Channel(name=f"{name}.q_share", unit="", low=-1.0, high=1.0, scale=1.0, source=name)
    p = Channel(name=f"{name}.p_share", unit="", low=0.0, high=1.0, offset=0.5, scale=0.5, source=name)
    curve = volt_var_curves.channels(name)
    entries = {"none": (), "q": (q,), "p_q": (q, p), "volt_var": curve}[config.control]
    return tuple(Control(channel=channel) for channel in entries)


def _parameters(configs: Sequence[InverterConfig], around: Surroundings) -> InverterParams:
    specs = [
        InverterSpec(
            id=name,
            series=c.profile,
            p_dc_kw=c.p_dc_kw,
            s_rated_kva=c.s_rated_kva,
            q_inject_max_kvar=c.q_max_over_s * c.s_rated_kva,
            q_absorb_max_kvar=c.q_max_over_s * c.s_rated_kva,
            has_q_priority=False,
            has_q_at_night=True,
            q_mode="volt_var" if c.control == "volt_var" else "constant_q",
            curtailment_price_per_kwh=c.curtailment_eur_kwh,
        )
        for name, c in zip(around.names, configs, strict=True)
    ]
    return inverter.inverter_params(specs, around.scenario.names, around.dtype)


def _request(params: InverterParams, state: InverterState, action: Array, inputs: Inputs) -> InverterRequest:
    del state
    if not action.shape[-1]:
        return InverterRequest()
    if follows_curve(params):
        return volt_var_curves.request(params, action)
    p_kw = _available_kw(params, inputs)
    if action.shape[-1] == 2:
        p_kw = p_kw * action[..., 1]
        return InverterRequest(p_limit_kw=p_kw, q_kvar=action[..., Q_ENTRY] * q_limit_kvar(params, p_kw))
    return InverterRequest(q_kvar=action[..., Q_ENTRY] * q_limit_kvar(params, p_kw))


def _applied(params: InverterParams, feasible: InverterFeasible, inputs: Inputs, asked: Array) -> Array:
    """Shares carried out, at night any share of the active power is; or the curve that was followed."""
    del inputs
    if follows_curve(params):
        return volt_var_curves.in_force(params, feasible)
    q_share = feasible.q_kvar / q_limit_kvar(params, feasible.p_kw)
    if asked.shape[-1] < 2:
        return q_share[..., None][..., : asked.shape[-1]]
    available = feasible.p_available_kw
    p_share = jnp.where(available > _MIN_KW, feasible.p_kw / jnp.maximum(available, _MIN_KW), asked[..., 1])
    return jnp.stack([q_share, p_share], axis=-1)


def _idle(params: InverterParams, state: InverterState, inputs: Inputs) -> Float[Array, "*batch unit entry"]:
    """No reactive power, all active power; of a curve the default."""
    del inputs
    if follows_curve(params):
        return volt_var_curves.default(params, state.q_kvar)
    one = jnp.ones_like(state.q_kvar)
    return jnp.stack([jnp.zeros_like(one), one], axis=-1)


def _channels(config: InverterConfig, name: str) -> tuple[Channel, ...]:
    s_kva = config.s_rated_kva
    return (
        Channel(name=f"{name}.p_kw", unit="kW", low=0.0, high=s_kva, scale=config.p_dc_kw, source=name),
        Channel(name=f"{name}.q_kvar", unit="kvar", low=-s_kva, high=s_kva, scale=s_kva, source=name),
    )


def _observe(params: InverterParams, state: InverterState, feasible: InverterFeasible, inputs: Inputs) -> Array:
    """Active power available in the step to decide on, reactive power of the step before."""
    del state
    return jnp.stack([_available_kw(params, inputs), feasible.q_kvar], axis=-1)


def _available_kw(params: InverterParams, inputs: Inputs) -> Float[Array, "*batch unit"]:
    return jnp.clip(inputs.series @ params.p_weight_kw, 0.0, params.ratings.p_rated_kw)


KIND = UnitKind(
    family=inverter.FAMILY,
    controls=_controls,
    parameters=_parameters,
    request=_request,
    applied=_applied,
    idle=_idle,
    channels=_channels,
    observe=_observe,
    profiles=lambda configs: [c.profile for c in configs],
    follows_voltage=lambda config: config.control == "volt_var",
    split=lambda config: config.control,
)
