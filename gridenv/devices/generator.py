"""Backup generators that are dispatched: minimum load, ramps, minimum times on and off, fuel and starts.

Equations are numbered as in `docs/devices/generator.md`.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jax import numpy as jnp
from jaxtyping import Array, Float, Int

from gridenv.core.errors import ConfigError, raise_collected
from gridenv.core.pytree import pytree
from gridenv.devices.battery import circle_room
from gridenv.devices.family import Family, Inputs, Ledger, without_power
from gridenv.devices.unit_columns import Allowed, PerUnit, unit_columns

_FUEL_L_PER_KWH = 0.246
_FUEL_IDLE_L_PER_KWH = 0.08415
"""Litres of diesel for a kWh delivered, and in an hour for each kW of rating just to run.

Source: Skarstein and Uhlen 1989, Wind Engineering 13(2), 72-87.
"""
_DIESEL_KWH_PER_L = 9.96
"""Lower heating value, 43.1 MJ/kg at 0.832 kg/l. Source: JEC Well-to-Tank report v5 (2020), fossil diesel."""
_ALMOST = 0.01
"""Share of a step by which a minimum time may be missed: steps do not add up exactly in float32."""
_ALMOST_STOPPED = 1e-5
"""Share of the rating within which a unit counts as down at its minimum load; rounding of float32."""

Unit = Float[Array, "*batch unit"]


@pytree
class GeneratorParams:
    """Generators with a quadratic fuel curve."""

    p_min_kw: Float[Array, " unit"]
    """Least power while running."""
    p_max_kw: Float[Array, " unit"]
    s_rated_kva: Float[Array, " unit"]
    ramp_kw_per_h: Float[Array, " unit"]
    """Largest change of power in an hour, up or down, while running."""
    min_up_h: Float[Array, " unit"]
    min_down_h: Float[Array, " unit"]
    """Hours from start to stop and from stop to start at least."""
    fuel_idle_l_per_h: Float[Array, " unit"]
    fuel_l_per_kwh: Float[Array, " unit"]
    fuel_l_per_kwh_kw: Float[Array, " unit"]
    """Fuel in an hour is `idle + linear * p + quadratic * p^2`."""
    fuel_eur_per_l: Float[Array, " unit"]
    start_eur: Float[Array, " unit"]
    """Price of a start: fuel to warm up and wear."""


@pytree
class GeneratorState:
    """What the next step needs."""

    is_on: Float[Array, "*batch unit"]
    """1 = running, 0 = stopped."""
    held_h: Float[Array, "*batch unit"]
    """Hours since the last start or stop, counted up to the longer of the minimum times."""
    p_kw: Float[Array, "*batch unit"]
    """Power of the last step."""


@pytree
class GeneratorRequest:
    """Power into the network: what is asked for, and from `project` what can be held."""

    p_kw: Float[Array, "*batch unit"]
    q_kvar: Float[Array, "*batch unit"]
    on: Float[Array, "*batch unit"]
    """Above 0.5 = running."""


_CURVE = Allowed(advice="give a fuel curve that does not fall")
_TIME = Allowed(advice="0 allows a change in every step")
_ALLOWED = {
    "p_min_kw": Allowed(),
    "p_max_kw": Allowed(is_low_excluded=True),
    "s_rated_kva": Allowed(is_low_excluded=True),
    "ramp_kw_per_h": Allowed(is_low_excluded=True, is_infinity_allowed=True, advice="inf sets no limit"),
    "min_up_h": _TIME,
    "min_down_h": _TIME,
    "fuel_l_per_kwh": _CURVE,
    "fuel_idle_l_per_kwh": _CURVE,
    "fuel_l_per_kwh_kw": _CURVE,
    "fuel_kwh_per_l": Allowed(is_low_excluded=True, advice="give the lower heating value"),
    "fuel_eur_per_l": Allowed(),
    "start_eur": Allowed(),
}


def generator_params(
    names: Sequence[str],
    p_min_kw: PerUnit,
    p_max_kw: PerUnit,
    s_rated_kva: PerUnit,
    *,
    fuel_eur_per_l: PerUnit,
    start_eur: PerUnit,
    ramp_kw_per_h: PerUnit = np.inf,
    min_up_h: PerUnit = 0.0,
    min_down_h: PerUnit = 0.0,
    fuel_l_per_kwh: PerUnit = _FUEL_L_PER_KWH,
    fuel_idle_l_per_kwh: PerUnit = _FUEL_IDLE_L_PER_KWH,
    fuel_l_per_kwh_kw: PerUnit = 0.0,
    fuel_kwh_per_l: PerUnit = _DIESEL_KWH_PER_L,
    dtype: str = "float32",
) -> GeneratorParams:
    """Parameters of generators; `docs/devices/generator.md` has the sources of the defaults.

    Args:
        names: of the units, such as `generator.g1`.
        fuel_idle_l_per_kwh: fuel in an hour without load, for each kW of `p_max_kw`.
        fuel_kwh_per_l: heating value, to refuse fuel curves that give more than the fuel holds.

    Raises:
        ConfigError: for values out of range or of wrong number, limits that exclude each other, names used twice, and
            fuel curves that no engine can have; all at once.
    """
    values = {field: value for field, value in locals().items() if field in _ALLOWED}
    given, problems = unit_columns(list(names), values, _ALLOWED)
    raise_collected(problems or _conflicts(list(names), given), ConfigError)
    del given["fuel_kwh_per_l"]
    given["fuel_idle_l_per_h"] = given.pop("fuel_idle_l_per_kwh") * given["p_max_kw"]
    return GeneratorParams(**{field: jnp.asarray(column, dtype) for field, column in given.items()})


def _conflicts(names: Sequence[str], given: dict[str, np.ndarray]) -> list[str]:
    """What is wrong between parameters that are right alone."""
    p_min_kw, p_max_kw, quadratic = given["p_min_kw"], given["p_max_kw"], given["fuel_l_per_kwh_kw"]
    idle_l_per_h = given["fuel_idle_l_per_kwh"] * p_max_kw
    # Fuel per kWh is least where idle / p = quadratic * p.
    with np.errstate(divide="ignore", invalid="ignore"):
        best_kw = np.clip(np.where(quadratic > 0, np.sqrt(idle_l_per_h / quadratic), np.inf), p_min_kw, p_max_kw)
    best_l_per_kwh = idle_l_per_h / best_kw + given["fuel_l_per_kwh"] + quadratic * best_kw
    above_min = Allowed(low=p_min_kw, advice="raise it to p_min_kw")
    has_room = Allowed(low=p_max_kw, advice="raise it to p_max_kw")
    burns = Allowed(low=1.0 / given["fuel_kwh_per_l"], advice="a kWh holds at least one kWh of fuel; check the units")
    return [
        *above_min.problems(names, "p_max_kw", p_max_kw),
        *has_room.problems(names, "s_rated_kva", given["s_rated_kva"]),
        *burns.problems(names, "fuel curve at its best point, l/kWh,", best_l_per_kwh),
    ]


def init(params: GeneratorParams, t: Int[Array, "*batch"]) -> GeneratorState:
    """Stopped, and for long enough to start."""
    shape = (*t.shape, *params.p_max_kw.shape)
    zero = jnp.zeros(shape, params.p_max_kw.dtype)
    return GeneratorState(is_on=zero, held_h=jnp.broadcast_to(_longest_h(params), shape), p_kw=zero)


def project(
    params: GeneratorParams, state: GeneratorState, request: GeneratorRequest, inputs: Inputs
) -> GeneratorRequest:
    """Nearest operation that minimum times, ramps, load limits and apparent power allow; twice changes nothing.

    A unit that is asked to stop and may not yet runs down to the least power it can reach; one that is asked to start
    and may not yet stays off. Active power has priority over reactive power.

    Source: docs/devices/generator.md eqs. 1 to 3.
    """
    reach_kw = params.ramp_kw_per_h * inputs.dt_h
    was_on, is_wanted = state.is_on > 0.5, request.on > 0.5
    # A start brings a unit to its minimum load at once; from there it ramps.
    from_kw = jnp.where(was_on, state.p_kw, params.p_min_kw)
    low = jnp.maximum(from_kw - reach_kw, params.p_min_kw)
    high = jnp.minimum(from_kw + reach_kw, params.p_max_kw)
    slack_h = _ALMOST * inputs.dt_h
    is_down = from_kw - reach_kw <= params.p_min_kw + _ALMOST_STOPPED * params.p_max_kw
    may_stop = (state.held_h >= params.min_up_h - slack_h) & is_down
    may_start = state.held_h >= params.min_down_h - slack_h
    is_on = jnp.where(was_on, is_wanted | ~may_stop, is_wanted & may_start)
    p_kw = jnp.where(is_on, jnp.clip(jnp.where(is_wanted, request.p_kw, low), low, high), 0.0)
    q_limit = jnp.where(is_on, circle_room(params.s_rated_kva, p_kw), 0.0)
    q_kvar = jnp.clip(request.q_kvar, -q_limit, q_limit)
    return GeneratorRequest(p_kw=p_kw, q_kvar=q_kvar, on=is_on.astype(p_kw.dtype))


def cut_off(params: GeneratorParams, feasible: GeneratorRequest) -> GeneratorRequest:
    """Tripped, whatever its minimum times say: it does not hold an island."""
    return replace(without_power(params, feasible), on=jnp.zeros_like(feasible.on))


def step(params: GeneratorParams, state: GeneratorState, feasible: GeneratorRequest, inputs: Inputs) -> GeneratorState:
    """The clock begins anew with a start or stop, which takes place at the start of the step."""
    held_h = jnp.where(feasible.on == state.is_on, state.held_h, 0.0) + inputs.dt_h
    return GeneratorState(is_on=feasible.on, held_h=jnp.minimum(held_h, _longest_h(params)), p_kw=feasible.p_kw)


def settle(
    params: GeneratorParams,
    before: GeneratorState,
    feasible: GeneratorRequest,
    after: GeneratorState,
    inputs: Inputs,
) -> Ledger:
    """Fuel, starts and the energy delivered."""
    fuel_eur = fuel_l_per_h(params, feasible) * params.fuel_eur_per_l * inputs.dt_h
    start_eur = jnp.maximum(after.is_on - before.is_on, 0.0) * params.start_eur
    energy_kwh = (feasible.p_kw * inputs.dt_h)[..., None, :]
    return Ledger(eur=jnp.stack([-fuel_eur, -start_eur], axis=-2), cost=energy_kwh[..., :0, :], energy_kwh=energy_kwh)


def fuel_l_per_h(params: GeneratorParams, feasible: GeneratorRequest) -> Unit:
    """Fuel burnt in an hour; none while stopped. Source: docs/devices/generator.md eq. 4."""
    p_kw = feasible.p_kw
    running = params.fuel_idle_l_per_h + (params.fuel_l_per_kwh + params.fuel_l_per_kwh_kw * p_kw) * p_kw
    return feasible.on * running


def _longest_h(params: GeneratorParams) -> Float[Array, " unit"]:
    """Time beyond which a unit is free whatever it does; counting stops there."""
    return jnp.maximum(params.min_up_h, params.min_down_h)


GENERATOR = Family(
    name="generator",
    init=init,
    project=project,
    step=step,
    settle=settle,
    cut_off=cut_off,
    eur_lines=("generator_fuel_cost", "generator_start"),
    energy_lines=("generator_fuel",),
)
