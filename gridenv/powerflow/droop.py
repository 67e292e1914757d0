"""Inverters whose power follows the voltage at their terminals, as part of the power-flow solution.

Source: volt-var and volt-watt functions, IEEE 1547-2018, clauses 5.3.3 and 5.4.2, in their steady state.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float
from numpy.typing import NDArray

from gridenv.core.errors import did_you_mean
from gridenv.core.pytree import pytree
from gridenv.network.arrays import LoadSlots, Network

Points = tuple[tuple[float, float], ...]
_NO_LIMIT_PU = 1e6
"""Power that counts as unlimited; infinity would turn differences of a curve's points into NaN."""


@dataclass(frozen=True, kw_only=True)
class VoltageCurves:
    """An inverter that follows the voltage at its terminals, within the power-flow solution."""

    injection: str
    """Name of the injecting element; what `solve` gets for it is its power before the curves."""
    s_rated_kva: float
    """Apparent power rating; reactive power is limited to what active power leaves."""
    volt_var: Points = ()
    """(voltage pu, reactive power into the network as a share of the rating), ascending voltages; added to `q_kvar`."""
    volt_watt: Points = ()
    """(voltage pu, largest active power as a share of the rating), ascending voltages."""


@dataclass(frozen=True)
class HostDroop:
    """Curves of the load slots, [point, slot] and [slot]; see `DroopCurves`."""

    v_var: NDArray[np.float64]
    q: NDArray[np.float64]
    v_watt: NDArray[np.float64]
    p_limit: NDArray[np.float64]
    v_rated: NDArray[np.float64]
    s_max: NDArray[np.float64]
    active: NDArray[np.float64]


def curve_problems(curves: Sequence[VoltageCurves], injections: tuple[str, ...]) -> list[str]:
    """What is wrong with curves."""
    problems = []
    count, known = Counter(c.injection for c in curves), set(injections)
    for c in curves:
        if c.injection not in known:
            hint = did_you_mean(c.injection, injections)
            problems.append(f"power flow: curves for '{c.injection}', which is no injection of the network{hint}")
        if count[c.injection] > 1:
            problems.append(
                f"power flow: injection '{c.injection}' has curves {count[c.injection]} times; allowed: once"
            )
        if not 0.0 < c.s_rated_kva < np.inf:
            problems.append(
                f"power flow: curves for '{c.injection}': s_rated_kva must be > 0 and finite, got {c.s_rated_kva}"
            )
        for name in ("volt_var", "volt_watt"):
            voltages = [v for v, _ in getattr(c, name)]
            if voltages != sorted(set(voltages)) or not np.isfinite(getattr(c, name)).all():
                problems.append(
                    f"power flow: curves for '{c.injection}': {name} has voltages {voltages}; allowed: finite points "
                    "in ascending order of voltage; sort them"
                )
    return list(dict.fromkeys(problems))


def host_droop(network: Network, curves: Sequence[VoltageCurves]) -> HostDroop | None:
    """Curves of all load slots of a network that was compiled with their injections apart."""
    if not curves:
        return None
    loads, legs = network.loads, network.circuit.loads
    n_slot = len(loads.member)
    points = max(1, *(len(getattr(c, name)) for c in curves for name in ("volt_var", "volt_watt")))
    v_var, v_watt = (np.zeros((points, n_slot)) for _ in range(2))
    q, p_limit = np.zeros((points, n_slot)), np.full((points, n_slot), _NO_LIMIT_PU)
    v_rated, s_max, active = np.ones(n_slot), np.full(n_slot, _NO_LIMIT_PU), np.zeros(n_slot)
    numbers = {name: number for number, name in enumerate(legs.names)}
    # Of the legs of an injection the first one stays.
    first_leg = {number: leg for leg, number in reversed(list(enumerate(legs.injection.tolist())))}
    slots = _own_slots(loads)
    for c in curves:
        number = numbers[c.injection]
        own, leg = slots.get(number, []), first_leg[number]
        rating = c.s_rated_kva * legs.share[leg] / network.s_base_kva
        active[own], s_max[own], v_rated[own] = 1.0, rating, legs.v_rated[leg]
        for voltages, values, given in ((v_var, q, c.volt_var), (v_watt, p_limit, c.volt_watt)):
            if given:
                padded = np.array([*given, *[given[-1]] * (points - len(given))])
                voltages[:, own], values[:, own] = padded[:, :1], padded[:, 1:] * rating
    return HostDroop(v_var=v_var, q=q, v_watt=v_watt, p_limit=p_limit, v_rated=v_rated, s_max=s_max, active=active)


def _own_slots(loads: LoadSlots) -> dict[int, list[int]]:
    """Injection -> slots in which it acts."""
    slots: dict[int, list[int]] = {}
    for slot, members in enumerate(loads.member.tolist()):
        for number in members:
            slots.setdefault(number, []).append(slot)
    return slots


@pytree
class DroopCurves:
    """Curves of the slots, in the layout; the last axis of a curve's points is stacked first."""

    v_var: Float[Array, "point *layout"]
    """Voltages of the volt-var curve, pu, ascending."""
    q: Float[Array, "point *layout"]
    """Reactive power into the network at these voltages, pu; all zero where there is no such curve."""
    v_watt: Float[Array, "point *layout"]
    """Voltages of the volt-watt curve, pu, ascending."""
    p_limit: Float[Array, "point *layout"]
    """Largest active power at these voltages, pu; very large where there is no such curve."""
    v_rated: Float[Array, "*layout"]
    """Voltage that counts as 1 pu on the curves."""
    s_max: Float[Array, "*layout"]
    """Apparent power limit, pu; active power goes first."""
    active: Float[Array, "*layout"]
    """1 for the slots of these inverters."""


def droop_power(curves: DroopCurves, p: Array, q: Array, squared: Array) -> tuple[Array, Array]:
    """Power with the curves applied: P limited by volt-watt, Q added by volt-var within the rating."""
    v = jnp.sqrt(squared) / curves.v_rated
    limit = interpolate(v, curves.v_watt, curves.p_limit)
    p_new = jnp.minimum(p, limit)
    head = jnp.maximum(curves.s_max**2 - p_new**2, 0.0)
    room = jnp.where(head > 0.0, jnp.sqrt(jnp.where(head > 0.0, head, 1.0)), 0.0)
    q_new = jnp.clip(q + interpolate(v, curves.v_var, curves.q), -room, room)
    is_active = curves.active > 0.0
    return jnp.where(is_active, p_new, p), jnp.where(is_active, q_new, q)


def interpolate(v: Array, x: Float[Array, "point *layout"], f: Float[Array, "point *layout"]) -> Array:
    """Piecewise linear curve through the points, level beyond both ends."""
    value = f[0] + jnp.zeros_like(v)
    for k in range(x.shape[0] - 1):
        width = jnp.maximum(x[k + 1] - x[k], 1e-9)
        share = jnp.clip((v - x[k]) / width, 0.0, 1.0)
        value = value + (f[k + 1] - f[k]) * share
    return value
