"""Photovoltaic and wind inverters with the grid-support functions of IEEE Std 1547-2018.

What sun or wind allow follows a series; agent, volt-watt function and apparent power may only take from it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float, Int

from gridenv.core.pytree import pytree, static
from gridenv.devices import ieee1547
from gridenv.devices.family import Family, Inputs, Ledger, without_power
from gridenv.devices.ieee1547 import Ratings
from gridenv.devices.inverter_spec import Q_MODES, InverterSpec, check_specs
from gridenv.devices.load import spread_ratings

T = TypeVar("T")


@pytree
class InverterParams:
    """A group of inverters."""

    p_weight_kw: Float[Array, "series unit"]
    """Power at a series of 1, in the row of the series that drives the unit."""
    ratings: Ratings
    q_kvar_per_kw: Float[Array, " unit"]
    """Constant power factor: tangent of the angle, positive = injecting."""
    q_set_kvar: Float[Array, " unit"]
    """Constant reactive power where none is requested."""
    volt_var_v_pu: Float[Array, "unit 4"]
    volt_var_q_share: Float[Array, "unit 4"]
    """Share of rated apparent power."""
    watt_var_p_share: Float[Array, "unit 3"]
    """Share of rated active power."""
    watt_var_q_share: Float[Array, "unit 3"]
    """Share of rated apparent power."""
    volt_watt_v_pu: Float[Array, "unit 2"]
    volt_watt_p_share: Float[Array, "unit 2"]
    """Share of rated active power."""
    q_response_s: Float[Array, " unit"]
    """Open-loop response time of the unit's reactive-power mode."""
    volt_watt_response_s: Float[Array, " unit"]
    curtailment_price_per_kwh: Float[Array, " unit"]
    """EUR that the operator pays the owner for energy not taken."""
    q_modes: tuple[str, ...] = static()
    """Reactive-power mode of each unit."""
    has_volt_watt: tuple[bool, ...] = static()
    """Whether each unit's volt-watt function is on."""


@pytree
class InverterState:
    """References on their way to their targets; both settle well within a quarter of an hour."""

    q_kvar: Float[Array, "*batch unit"]
    """Reactive power asked for by the unit's mode, before limits."""
    volt_watt_share: Float[Array, "*batch unit"]
    """Limit of the volt-watt function, share of rated active power."""


@pytree
class InverterRequest:
    """What the agent asks for; a field left at None is as in the parameters, and without effect in other modes."""

    p_limit_kw: Float[Array, "*batch unit"] | None = None
    """Upper limit of active power; None = all that is available."""
    q_kvar: Float[Array, "*batch unit"] | None = None
    """Reactive power in the mode `constant_q`, positive = injecting."""
    volt_var_v_pu: Float[Array, "*batch unit 4"] | None = None
    """Voltages of the curve in the mode `volt_var`."""
    volt_var_q_share: Float[Array, "*batch unit 4"] | None = None
    """Reactive power at these, share of rated apparent power."""
    v_ref_pu: Float[Array, "*batch unit"] | None = None
    """Reference voltage, about which the voltages of the curve have their ranges; None = 1."""


@pytree
class InverterFeasible:
    """What the units do in the step."""

    p_kw: Float[Array, "*batch unit"]
    q_kvar: Float[Array, "*batch unit"]
    p_available_kw: Float[Array, "*batch unit"]
    """What sun or wind allow, at most the rating."""
    p_curtailed_kw: Float[Array, "*batch unit"]
    """What is not taken of it, for whatever reason; never negative."""
    q_min_kvar: Float[Array, "*batch unit"]
    q_max_kvar: Float[Array, "*batch unit"]
    """Range of a set point of reactive power beside the active power wanted; negative = absorbing."""
    request: InverterRequest
    """The request within its limits; requested again, it gives the same."""
    response: InverterState
    """The references at the end of the step."""


def inverter_params(
    specs: Sequence[InverterSpec], series_names: Sequence[str], dtype: str = "float32"
) -> InverterParams:
    """Parameters of a group of inverters.

    Args:
        series_names: names of the scenario's series, in its order.

    Raises:
        ConfigError: for all wrong or unknown values of all units at once.
    """
    check_specs(specs, series_names)

    def column(value: Callable[[InverterSpec], object]) -> Array:
        return jnp.asarray(np.asarray([value(spec) for spec in specs], float), dtype)

    ratings = Ratings(
        s_rated_kva=column(lambda s: s.s_rated_kva),
        p_rated_kw=column(lambda s: s.p_max_kw),
        q_inject_max_kvar=column(lambda s: s.q_max_kvar(injecting=True)),
        q_absorb_max_kvar=column(lambda s: s.q_max_kvar(injecting=False)),
        q_inject_required_kvar=column(lambda s: s.defaults.q_inject_share * s.s_rated_kva),
        q_absorb_required_kvar=column(lambda s: s.defaults.q_absorb_share * s.s_rated_kva),
        has_q_priority=column(lambda s: s.has_q_priority),
        has_q_at_night=column(lambda s: s.has_q_at_night),
    )
    p_dc_kw = np.asarray([spec.p_dc_kw for spec in specs])
    return InverterParams(
        p_weight_kw=spread_ratings(series_names, p_dc_kw, [spec.series for spec in specs], dtype),
        ratings=ratings,
        q_kvar_per_kw=column(lambda s: s.q_kvar_per_kw),
        q_set_kvar=column(lambda s: s.q_set_kvar),
        volt_var_v_pu=column(lambda s: s.volt_var_v_pu or s.defaults.volt_var_v_pu),
        volt_var_q_share=column(lambda s: s.volt_var_q_share or s.defaults.volt_var_q_share),
        watt_var_p_share=column(lambda s: s.watt_var_p_share or s.defaults.watt_var_p_share),
        watt_var_q_share=column(lambda s: s.watt_var_q_share or s.defaults.watt_var_q_share),
        volt_watt_v_pu=column(lambda s: s.volt_watt_v_pu),
        volt_watt_p_share=column(lambda s: s.volt_watt_p_share),
        q_response_s=column(lambda s: s.response_s),
        volt_watt_response_s=column(lambda s: s.volt_watt_response_s),
        curtailment_price_per_kwh=column(lambda s: s.curtailment_price_per_kwh),
        q_modes=tuple(spec.q_mode for spec in specs),
        has_volt_watt=tuple(bool(spec.has_volt_watt) for spec in specs),
    )


def init(params: InverterParams, t: Int[Array, "*batch"]) -> InverterState:
    """No reactive power asked for, no limit by the voltage."""
    shape = (*t.shape, *params.q_set_kvar.shape)
    dtype = params.q_set_kvar.dtype
    return InverterState(q_kvar=jnp.zeros(shape, dtype), volt_watt_share=jnp.ones(shape, dtype))


def project(params: InverterParams, state: InverterState, request: InverterRequest, inputs: Inputs) -> InverterFeasible:
    """What the units do: limits of active power, reaction of the modes, response times, apparent power, in this order.

    Powers are those at the end of the step. In the modes `constant_q` and `constant_pf`, with volt-watt off, they do
    not depend on the voltage. Source: OpenDER eq. 3.7.1-18, 3.8.1-15 and 3.9.1.
    """
    ratings, dt_h = params.ratings, inputs.dt_h
    p_available = jnp.clip(inputs.series @ params.p_weight_kw, 0.0, ratings.p_rated_kw)
    p_asked = p_available if request.p_limit_kw is None else jnp.clip(request.p_limit_kw, 0.0, p_available)
    share = ieee1547.respond(
        state.volt_watt_share, _volt_watt_share(params, inputs.v_pu), dt_h, params.volt_watt_response_s
    )
    p_wanted = jnp.minimum(p_asked, share * ratings.p_rated_kw)
    q_min, q_max = ieee1547.q_range(ratings, p_wanted)
    request = _limit_request(request, p_asked, q_min, q_max)
    q_asked = ieee1547.respond(
        state.q_kvar, q_reference_kvar(params, request, p_wanted, inputs.v_pu), dt_h, params.q_response_s
    )
    p_kw, q_kvar = _limit_power(params, p_wanted, q_asked)
    return InverterFeasible(
        p_kw=p_kw,
        q_kvar=q_kvar,
        p_available_kw=p_available,
        p_curtailed_kw=p_available - p_kw,
        q_min_kvar=q_min,
        q_max_kvar=q_max,
        request=request,
        response=InverterState(q_kvar=q_asked, volt_watt_share=share),
    )


def q_reference_kvar(
    params: InverterParams,
    request: InverterRequest,
    p_kw: Float[Array, "*batch unit"],
    v_pu: Float[Array, "*batch unit"],
) -> Float[Array, "*batch unit"]:
    """Settled reactive power that each unit's mode asks for at an active power and a voltage, before limits."""
    s_kva = params.ratings.s_rated_kva

    def reference(mode: str) -> Array:
        if mode == "constant_pf":
            return params.q_kvar_per_kw * p_kw
        if mode == "constant_q":
            q_kvar = params.q_set_kvar if request.q_kvar is None else request.q_kvar
            return jnp.broadcast_to(q_kvar, p_kw.shape)
        if mode == "volt_var":
            v_points = params.volt_var_v_pu if request.volt_var_v_pu is None else request.volt_var_v_pu
            q_points = params.volt_var_q_share if request.volt_var_q_share is None else request.volt_var_q_share
            return jnp.broadcast_to(s_kva * ieee1547.volt_var_q_share(v_pu, v_points, q_points), p_kw.shape)
        p_points_kw = params.watt_var_p_share * params.ratings.p_rated_kw[:, None]
        return s_kva * ieee1547.piecewise_linear(p_kw, p_points_kw, params.watt_var_q_share)

    return _for_each_mode(params, reference)


def _limit_power(
    params: InverterParams, p_kw: Float[Array, "*batch unit"], q_kvar: Float[Array, "*batch unit"]
) -> tuple[Array, Array]:
    ratings = params.ratings

    def limited(mode: str) -> tuple[Array, Array]:
        if mode == "constant_pf":
            return ieee1547.limit_power_factor(ratings, p_kw, q_kvar)
        if mode == "watt_var":
            p_points_kw = params.watt_var_p_share * ratings.p_rated_kw[:, None]
            q_points_kvar = params.watt_var_q_share * ratings.s_rated_kva[:, None]
            return ieee1547.limit_watt_var(ratings, p_kw, q_kvar, p_points_kw, q_points_kvar)
        return ieee1547.limit_set_point(ratings, p_kw, q_kvar)

    return _for_each_mode(params, limited)


def _for_each_mode(params: InverterParams, value: Callable[[str], T]) -> T:
    """`value` of each unit's mode; computed for the modes in use only."""
    used = [mode for mode in Q_MODES if mode in params.q_modes]
    result = value(used[0] if used else "constant_q")
    for mode in used[1:]:
        mask = np.asarray([m == mode for m in params.q_modes])
        result = jax.tree.map(lambda new, old, mask=mask: jnp.where(mask, new, old), value(mode), result)
    return result


def _volt_watt_share(params: InverterParams, v_pu: Float[Array, "*batch unit"]) -> Float[Array, "*batch unit"]:
    """Limit of active power by voltage, share of the rating; 1 where the function is off. Source: clause 5.4.2."""
    if not any(params.has_volt_watt):
        return jnp.ones_like(v_pu)
    share = ieee1547.piecewise_linear(v_pu, params.volt_watt_v_pu, params.volt_watt_p_share)
    return jnp.where(np.asarray(params.has_volt_watt), share, 1.0)


def _limit_request(
    request: InverterRequest,
    p_asked_kw: Float[Array, "*batch unit"],
    q_min_kvar: Float[Array, "*batch unit"],
    q_max_kvar: Float[Array, "*batch unit"],
) -> InverterRequest:
    """The request within its limits; fields that are None stay None. Each half of a curve is limited by itself."""
    v_pu, q_share = request.volt_var_v_pu, request.volt_var_q_share
    v_ref_pu = None if request.v_ref_pu is None else ieee1547.limit_v_ref(request.v_ref_pu)
    about = 1.0 if v_ref_pu is None else v_ref_pu
    return InverterRequest(
        p_limit_kw=None if request.p_limit_kw is None else p_asked_kw,
        q_kvar=None if request.q_kvar is None else jnp.clip(request.q_kvar, q_min_kvar, q_max_kvar),
        volt_var_v_pu=None if v_pu is None else ieee1547.limit_volt_var_v(v_pu, about),
        volt_var_q_share=None if q_share is None else ieee1547.limit_volt_var_q(q_share),
        v_ref_pu=v_ref_pu,
    )


def cut_off(params: InverterParams, feasible: InverterFeasible) -> InverterFeasible:
    """Nothing fed in; all that is available is not taken."""
    return replace(without_power(params, feasible), p_curtailed_kw=feasible.p_available_kw)


def step(params: InverterParams, state: InverterState, feasible: InverterFeasible, inputs: Inputs) -> InverterState:
    """The references as they were at the end of the step."""
    del params, state, inputs
    return feasible.response


def settle(
    params: InverterParams,
    before: InverterState,
    feasible: InverterFeasible,
    after: InverterState,
    inputs: Inputs,
) -> Ledger:
    """Compensation of energy not taken, and where the energy came from."""
    del before, after
    curtailed_kwh = feasible.p_curtailed_kw * inputs.dt_h
    available_kwh = feasible.p_available_kw * inputs.dt_h
    return Ledger(
        eur=(-params.curtailment_price_per_kwh * curtailed_kwh)[..., None, :],
        cost=jnp.zeros((*curtailed_kwh.shape[:-1], 0, curtailed_kwh.shape[-1]), curtailed_kwh.dtype),
        energy_kwh=jnp.stack((available_kwh, -curtailed_kwh), axis=-2),
    )


FAMILY = Family(
    name="inverter",
    init=init,
    project=project,
    step=step,
    settle=settle,
    cut_off=cut_off,
    eur_lines=("inverter_curtailment",),
    energy_lines=("inverter_available", "inverter_curtailed"),
)
"""Inverters of photovoltaic and wind plants."""
