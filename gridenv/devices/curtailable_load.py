"""Loads that follow profiles and can be curtailed; part of what they went without comes back later as a rebound."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float, Int

from gridenv.core.errors import ConfigError, did_you_mean, raise_collected
from gridenv.core.pytree import pytree
from gridenv.core.units import HOURS_PER_DAY
from gridenv.devices.family import Family, Inputs, Ledger, without_power
from gridenv.devices.load import spread_ratings

_TINY = 1e-6
"""Powers in kW below this are no power to take a share of."""
_ALMOST_H = 1e-3
"""Hours by which the hours of a day may be exceeded: steps of 0.1 h do not add up to whole hours in float32."""
_MAX_REBOUND = 2.0


@pytree
class CurtailableParams:
    """Ratings on the series that drive them, and limits of curtailment."""

    p_weight_kw: Float[Array, "series unit"]
    """Rated active power into the network (negative), in the row of its series."""
    q_weight_kvar: Float[Array, "series unit"]
    q_per_p: Float[Array, " unit"]
    """Rated reactive over rated active power, for the rebound."""
    max_share: Float[Array, " unit"]
    """Largest share of the present demand that can be curtailed."""
    min_kw: Float[Array, " unit"]
    """Demand that always remains, as far as there is demand: minimum comfort."""
    max_h_per_day: Float[Array, " unit"]
    """Hours a day with any curtailment."""
    max_kwh_per_day: Float[Array, " unit"]
    """Energy that can be curtailed in a day."""
    rebound_share: Float[Array, " unit"]
    """Share of the curtailed energy that comes back."""
    rebound_tau_h: Float[Array, " unit"]
    """Time constant of its coming back."""
    rebound_max_kw: Float[Array, " unit"]
    """Largest extra power."""
    cost_eur_per_kwh: Float[Array, " unit"]
    """Compensation or discomfort for each kWh curtailed."""
    stock_eur_per_kwh: Float[Array, " unit"]
    """Price of a kWh owed."""


@pytree
class CurtailableState:
    """What is owed, and what the day has seen."""

    owed_kwh: Float[Array, "*batch unit"]
    """Energy that is still to come back."""
    curtailed_kwh: Float[Array, "*batch unit"]
    """Energy curtailed since midnight."""
    curtailed_h: Float[Array, "*batch unit"]
    """Hours with curtailment since midnight."""


@pytree
class CurtailableRequest:
    """How much to curtail."""

    curtail_share: Float[Array, "*batch unit"]
    """Share of the demand of the profile, 0..1."""


@pytree
class CurtailableFeasible:
    """What the loads do in the step."""

    p_kw: Float[Array, "*batch unit"]
    q_kvar: Float[Array, "*batch unit"]
    curtail_share: Float[Array, "*batch unit"]
    """Share of the demand that is curtailed: the request that asks for just this."""
    demand_kw: Float[Array, "*batch unit"]
    """Power of the profile into the network, negative."""
    curtailed_kw: Float[Array, "*batch unit"]
    """Power left out, positive."""
    rebound_kw: Float[Array, "*batch unit"]
    """Mean extra power drawn, positive."""


def curtailable_params(
    names: Sequence[str],
    series_names: Sequence[str],
    p_rated_kw: Sequence[float],
    q_rated_kvar: Sequence[float],
    p_series: Sequence[str],
    q_series: Sequence[str],
    *,
    max_share: Sequence[float],
    min_kw: Sequence[float],
    max_h_per_day: Sequence[float],
    max_kwh_per_day: Sequence[float],
    rebound_share: Sequence[float],
    rebound_tau_h: Sequence[float],
    rebound_max_kw: Sequence[float],
    cost_eur_per_kwh: Sequence[float],
    stock_eur_per_kwh: Sequence[float],
    dtype: str = "float32",
) -> CurtailableParams:
    """Parameters of a group of curtailable loads; ratings are power into the network, so negative.

    Raises:
        ConfigError: for unknown series and values out of range; all at once.
    """
    limits = {
        "max_share": (max_share, 0.0, 1.0),
        "min_kw": (min_kw, 0.0, np.inf),
        "max_h_per_day": (max_h_per_day, 0.0, HOURS_PER_DAY),
        "max_kwh_per_day": (max_kwh_per_day, 0.0, np.inf),
        "rebound_share": (rebound_share, 0.0, _MAX_REBOUND),
        "rebound_tau_h": (rebound_tau_h, _ALMOST_H, np.inf),
        "rebound_max_kw": (rebound_max_kw, 0.0, np.inf),
        "cost_eur_per_kwh": (cost_eur_per_kwh, 0.0, np.inf),
        "stock_eur_per_kwh": (stock_eur_per_kwh, 0.0, np.inf),
        "p_rated_kw": (p_rated_kw, -np.inf, 0.0),
        "q_rated_kvar": (q_rated_kvar, -np.inf, np.inf),
    }
    problems = [
        f"{name}: {field} is {values[i]:g}; allowed: a finite number in {low:g}..{high:g}; correct it"
        for i, name in enumerate(names)
        for field, (values, low, high) in limits.items()
        if not (np.isfinite(values[i]) and low <= values[i] <= high)
    ]
    problems += [
        f"{name}: series is '{series}'{did_you_mean(series, series_names)}"
        for i, name in enumerate(names)
        for series in (p_series[i], q_series[i])
        if series not in series_names
    ]
    raise_collected(problems, ConfigError)
    arrays = {k: jnp.asarray(np.asarray(v, float), dtype) for k, (v, _, _) in limits.items() if "_rated_" not in k}
    p, q = np.asarray(p_rated_kw, float), np.asarray(q_rated_kvar, float)
    return CurtailableParams(
        p_weight_kw=spread_ratings(series_names, p, p_series, dtype),
        q_weight_kvar=spread_ratings(series_names, q, q_series, dtype),
        q_per_p=jnp.asarray(np.divide(q, p, out=np.zeros_like(p), where=p != 0), dtype),
        **arrays,
    )


def init(params: CurtailableParams, t: Int[Array, "*batch"]) -> CurtailableState:
    """Nothing owed, nothing curtailed."""
    zeros = jnp.zeros((*t.shape, *params.max_share.shape), params.max_share.dtype)
    return CurtailableState(owed_kwh=zeros, curtailed_kwh=zeros, curtailed_h=zeros)


def share_limit(params: CurtailableParams, state: CurtailableState, inputs: Inputs) -> Float[Array, "*batch unit"]:
    """Largest share of the demand that can be curtailed in this step."""
    demand_kw = -(inputs.series @ params.p_weight_kw)
    divisor_kw = jnp.maximum(demand_kw, _TINY)
    left_kwh = jnp.maximum(params.max_kwh_per_day - state.curtailed_kwh, 0.0)
    limits = (params.max_share, 1.0 - params.min_kw / divisor_kw, left_kwh / (divisor_kw * inputs.dt_h))
    is_free = (demand_kw > _TINY) & (state.curtailed_h + inputs.dt_h <= params.max_h_per_day + _ALMOST_H)
    smallest = jnp.minimum(jnp.minimum(limits[0], limits[1]), limits[2])
    return jnp.where(is_free, jnp.maximum(smallest, 0.0), 0.0)


def rebound_kwh(params: CurtailableParams, owed_kwh: Float[Array, "*batch unit"], dt_h: float) -> Array:
    """Energy that comes back in a step, exact for a step of any length.

    Source: solution of d(owed)/dt = -min(owed / tau, cap): a straight fall while the cap binds, then exponential;
    docs/devices/curtailable_load.md eq. 2.
    """
    cap_kw, tau_h = params.rebound_max_kw, params.rebound_tau_h
    capped_h = jnp.clip(owed_kwh / jnp.maximum(cap_kw, _TINY) - tau_h, 0.0, dt_h)
    in_cap_kwh = cap_kw * capped_h
    fading_kwh = (owed_kwh - in_cap_kwh) * -jnp.expm1((capped_h - dt_h) / tau_h)
    return jnp.minimum(in_cap_kwh + fading_kwh, owed_kwh)


def project(
    params: CurtailableParams, state: CurtailableState, request: CurtailableRequest, inputs: Inputs
) -> CurtailableFeasible:
    """Nearest share within the limits. The rebound of what was owed before comes first and is not curtailed."""
    share = jnp.clip(request.curtail_share, 0.0, share_limit(params, state, inputs))
    p_profile_kw, q_profile_kvar = inputs.series @ params.p_weight_kw, inputs.series @ params.q_weight_kvar
    curtailed_kw = share * jnp.maximum(-p_profile_kw, 0.0)
    extra_kw = rebound_kwh(params, state.owed_kwh, inputs.dt_h) / inputs.dt_h
    return CurtailableFeasible(
        p_kw=p_profile_kw + curtailed_kw - extra_kw,
        q_kvar=q_profile_kvar * (1.0 - share) - extra_kw * params.q_per_p,
        curtail_share=share,
        demand_kw=p_profile_kw,
        curtailed_kw=curtailed_kw,
        rebound_kw=extra_kw,
    )


def cut_off(params: CurtailableParams, feasible: CurtailableFeasible) -> CurtailableFeasible:
    """What is given up stays so, paid and owed: else a load could be given up for nothing. The rest of the demand goes
    unserved, and nothing is made up for."""
    return replace(
        without_power(params, feasible),
        demand_kw=-feasible.curtailed_kw,
        rebound_kw=jnp.zeros_like(feasible.rebound_kw),
    )


def step(
    params: CurtailableParams, state: CurtailableState, feasible: CurtailableFeasible, inputs: Inputs
) -> CurtailableState:
    """What is owed after the step; the counters of the day begin anew at midnight."""
    curtailed_kwh = state.curtailed_kwh + feasible.curtailed_kw * inputs.dt_h
    curtailed_h = state.curtailed_h + jnp.where(feasible.curtailed_kw > 0, inputs.dt_h, 0.0)
    is_last = ((inputs.t + 1) % round(HOURS_PER_DAY / inputs.dt_h) == 0)[..., None]
    return CurtailableState(
        owed_kwh=jnp.maximum(state.owed_kwh + _owed_change_kwh(params, feasible, inputs.dt_h), 0.0),
        curtailed_kwh=jnp.where(is_last, 0.0, curtailed_kwh),
        curtailed_h=jnp.where(is_last, 0.0, curtailed_h),
    )


def settle(
    params: CurtailableParams,
    before: CurtailableState,
    feasible: CurtailableFeasible,
    after: CurtailableState,
    inputs: Inputs,
) -> Ledger:
    """Compensation of what is curtailed; price of what is owed, given back as it returns."""
    del before, after
    curtailed_kwh = feasible.curtailed_kw * inputs.dt_h
    payment_eur = -params.cost_eur_per_kwh * curtailed_kwh
    stock_eur = -params.stock_eur_per_kwh * _owed_change_kwh(params, feasible, inputs.dt_h)
    energy_kwh = (feasible.demand_kw * inputs.dt_h, curtailed_kwh, -feasible.rebound_kw * inputs.dt_h)
    return Ledger(
        eur=jnp.stack([payment_eur, stock_eur], axis=-2),
        cost=jnp.zeros((*stock_eur.shape[:-1], 0, stock_eur.shape[-1]), stock_eur.dtype),
        energy_kwh=jnp.stack(energy_kwh, axis=-2),
    )


def _owed_change_kwh(params: CurtailableParams, feasible: CurtailableFeasible, dt_h: float) -> Array:
    return (params.rebound_share * feasible.curtailed_kw - feasible.rebound_kw) * dt_h


CURTAILABLE_LOAD = Family(
    name="curtailable",
    init=init,
    project=project,
    step=step,
    settle=settle,
    cut_off=cut_off,
    eur_lines=("curtailment_payment", "rebound_stock"),
    energy_lines=("curtailable_demand", "curtailable_curtailed", "curtailable_rebound"),
)
