"""Pure functions of IEEE Std 1547-2018 for inverters: settings, curves, open-loop response, limits and priority.

Order and priority follow section 3 of EPRI report 3002030962 (OpenDER, a model of the standard's requirements), whose
equation numbers are cited as `OpenDER eq.`; `docs/devices/inverter.md` says where this model differs.
"""

import math
from dataclasses import dataclass

from jax import Array
from jax import numpy as jnp
from jaxtyping import Float

from gridenv.core.pytree import pytree
from gridenv.core.units import SECONDS_PER_HOUR

_LN10 = math.log(10.0)
_Q_FROM_P_SHARE = 0.05
_FULL_Q_FROM_P_SHARE = 0.2
"""Shares of rated active power between which the reactive capability rises. Source: clause 5.2."""
_TINY = 1e-6
"""kW or kvar; keeps divisions defined for units without a rating."""
_ON_CIRCLE = 1e-6
"""Share of the squared rating by which a point counts as still within the circle: rounding of float32."""

Unit = Float[Array, "*batch unit"]


@dataclass(frozen=True)
class Category:
    """Default settings of a category of normal operating performance; powers as shares of the ratings."""

    q_inject_share: float
    q_absorb_share: float
    """Reactive capability that the standard requires, share of rated apparent power. Source: table 7."""
    volt_var_v_pu: tuple[float, float, float, float]
    volt_var_q_share: tuple[float, float, float, float]
    volt_var_response_s: float
    """Source: table 8, V_ref = V_N."""
    watt_var_p_share: tuple[float, float, float]
    watt_var_q_share: tuple[float, float, float]
    """Source: table 9, injecting side, minimum active power at most 0.2."""


CATEGORIES = {
    "A": Category(
        q_inject_share=0.44,
        q_absorb_share=0.25,
        volt_var_v_pu=(0.9, 1.0, 1.0, 1.1),
        volt_var_q_share=(0.25, 0.0, 0.0, -0.25),
        volt_var_response_s=10.0,
        watt_var_p_share=(0.2, 0.5, 1.0),
        watt_var_q_share=(0.0, 0.0, -0.25),
    ),
    "B": Category(
        q_inject_share=0.44,
        q_absorb_share=0.44,
        volt_var_v_pu=(0.92, 0.98, 1.02, 1.08),
        volt_var_q_share=(0.44, 0.0, 0.0, -0.44),
        volt_var_response_s=5.0,
        watt_var_p_share=(0.2, 0.5, 1.0),
        watt_var_q_share=(0.0, 0.0, -0.44),
    ),
}
"""Categories A and B."""


@pytree
class Ratings:
    """What the units can do."""

    s_rated_kva: Float[Array, " unit"]
    p_rated_kw: Float[Array, " unit"]
    q_inject_max_kvar: Float[Array, " unit"]
    q_absorb_max_kvar: Float[Array, " unit"]
    """Capability, both as positive numbers."""
    q_inject_required_kvar: Float[Array, " unit"]
    q_absorb_required_kvar: Float[Array, " unit"]
    """Reactive power that goes before active power even where active power has priority; positive numbers."""
    has_q_priority: Float[Array, " unit"]
    """1 where reactive power goes before active power, 0 where active power does."""
    has_q_at_night: Float[Array, " unit"]
    """1 where the capability holds at any active power, 0 where it fades below 20 % and ends at 5 % of the rating."""


def piecewise_linear(
    x: Unit, x_points: Float[Array, "... unit point"], y_points: Float[Array, "... unit point"]
) -> Float[Array, "... unit"]:
    """Height at `x` of the polygon through the points, flat beyond the first and last; rising `x_points`.

    Two points with the same x make a step, taken at that x.
    """
    y = y_points[..., 0]
    for i in range(x_points.shape[-1] - 1):
        left, width = x_points[..., i], x_points[..., i + 1] - x_points[..., i]
        slanted = jnp.clip((x - left) / jnp.where(width > 0, width, 1.0), 0.0, 1.0)
        part = jnp.where(width > 0, slanted, (x >= left).astype(slanted.dtype))
        y = y + (y_points[..., i + 1] - y_points[..., i]) * part
    return y


def volt_var_q_share(
    v_pu: Unit, v_points: Float[Array, "... unit 4"], q_points: Float[Array, "... unit 4"]
) -> Float[Array, "... unit"]:
    """Settled reactive power that the volt-var function asks for, share of rated apparent power.

    For finding the balance of curve and network; capability and apparent power are not considered.
    Source: clause 5.3.3, OpenDER eq. 3.8.1-6.
    """
    return piecewise_linear(v_pu, v_points, q_points)


def steepest_per_pu(
    v_points: Float[Array, "... unit 4"], q_points: Float[Array, "... unit 4"]
) -> Float[Array, "... unit"]:
    """Largest fall of reactive power with voltage, share of the rating per pu; steps are left out."""
    width = jnp.diff(v_points)
    return jnp.max(jnp.where(width > 0, -jnp.diff(q_points) / jnp.where(width > 0, width, 1.0), 0.0), axis=-1)


def limit_v_ref(v_ref_pu: Unit) -> Unit:
    """Reference voltage moved into its range. Source: table 8."""
    return jnp.clip(v_ref_pu, 0.95, 1.05)


def limit_volt_var_v(v_points: Float[Array, "*batch unit 4"], v_ref_pu: Unit | float = 1.0) -> Float[Array, "..."]:
    """Voltages of a volt-var curve moved into their ranges about a reference; applying it twice changes nothing.

    Source: table 8, the ranges of category B, which include the default of category A.
    """
    v2 = jnp.clip(v_points[..., 1], v_ref_pu - 0.03, v_ref_pu)
    v3 = jnp.clip(v_points[..., 2], v_ref_pu, v_ref_pu + 0.03)
    v1 = jnp.clip(v_points[..., 0], v_ref_pu - 0.18, v2 - 0.02)
    v4 = jnp.clip(v_points[..., 3], v3 + 0.02, v_ref_pu + 0.18)
    return jnp.stack((v1, v2, v3, v4), axis=-1)


def limit_volt_var_q(q_points: Float[Array, "*batch unit 4"]) -> Float[Array, "*batch unit 4"]:
    """Reactive powers of a volt-var curve moved into their ranges; applying it twice changes nothing.

    Source: table 8. Assumed: reactive power does not rise with voltage, which table 8 leaves open for Q2 and Q3; a
    rising part would drive the voltage away.
    """
    q1 = jnp.clip(q_points[..., 0], 0.0, 1.0)
    q4 = jnp.clip(q_points[..., 3], -1.0, 0.0)
    q2 = jnp.clip(q_points[..., 1], q4, q1)
    q3 = jnp.clip(q_points[..., 2], q4, q2)
    return jnp.stack((q1, q2, q3, q4), axis=-1)


def respond(x: Unit, target: Unit, dt_h: float, response_s: Float[Array, " unit"]) -> Float[Array, "... unit"]:
    """First-order response after `dt_h` towards a target that is held meanwhile; exact for any length.

    Args:
        response_s: open-loop response time, in which 90 % of the way is covered; 0 = at once.

    Source: clause 3.1, definition of the open-loop response time; OpenDER eq. 3.12.1.
    """
    slow = response_s > 0
    decay = jnp.exp(-_LN10 * dt_h * SECONDS_PER_HOUR / jnp.where(slow, response_s, 1.0))
    return target + (x - target) * jnp.where(slow, decay, 0.0)


def beside(s_kva: Float[Array, "... unit"], x: Float[Array, "... unit"]) -> Float[Array, "... unit"]:
    """What the apparent-power circle leaves beside `x`, sqrt(s^2 - x^2), without the cancellation of that form."""
    square = (s_kva - x) * (s_kva + x)
    is_inside = square > 0
    return jnp.where(is_inside, jnp.sqrt(jnp.where(is_inside, square, 1.0)), 0.0)


def capability(ratings: Ratings, p_kw: Float[Array, "... unit"]) -> tuple[Array, Array]:
    """Reactive power that can be absorbed and injected at an active power, both positive, kvar.

    Nothing below 5 % of rated active power, proportional to active power up to 20 %, the maximum above; with a night
    function the maximum throughout. Source: clause 5.2 and table 7 (required there of the minimum capability).
    """
    share = p_kw / jnp.maximum(_FULL_Q_FROM_P_SHARE * ratings.p_rated_kw, _TINY)
    fading = jnp.where(p_kw >= _Q_FROM_P_SHARE * ratings.p_rated_kw, jnp.minimum(share, 1.0), 0.0)
    part = jnp.maximum(fading, ratings.has_q_at_night)
    absorb, inject = (_reach(ratings, q) for q in (ratings.q_absorb_max_kvar, ratings.q_inject_max_kvar))
    return jnp.minimum(part * ratings.q_absorb_max_kvar, absorb), jnp.minimum(part * ratings.q_inject_max_kvar, inject)


def _reach(ratings: Ratings, q_max_kvar: Float[Array, " unit"]) -> Float[Array, " unit"]:
    """Largest reactive power that fits the circle together with the active power that the capability needs."""
    p_needed = _FULL_Q_FROM_P_SHARE * ratings.p_rated_kw
    length = jnp.maximum(jnp.sqrt(p_needed**2 + q_max_kvar**2 + _TINY**2), _TINY)
    with_p = jnp.minimum(q_max_kvar, ratings.s_rated_kva * q_max_kvar / length)
    return jnp.where(ratings.has_q_at_night > 0, jnp.minimum(q_max_kvar, ratings.s_rated_kva), with_p)


def q_range(ratings: Ratings, p_kw: Float[Array, "... unit"]) -> tuple[Array, Array]:
    """Lowest (absorbing, negative) and highest reactive power that a set point can reach while `p_kw` is wanted.

    With reactive priority the capability; with active priority what the circle leaves beside `p_kw`, but at least the
    required reactive power. Source: OpenDER eq. 3.9.1-4 to 8.
    """
    absorb, inject = capability(ratings, p_kw)
    room = beside(ratings.s_rated_kva, p_kw)
    q_first = ratings.has_q_priority > 0
    lowest = jnp.where(q_first, absorb, jnp.minimum(absorb, jnp.maximum(room, ratings.q_absorb_required_kvar)))
    highest = jnp.where(q_first, inject, jnp.minimum(inject, jnp.maximum(room, ratings.q_inject_required_kvar)))
    return -lowest, highest


def limit_set_point(
    ratings: Ratings, p_kw: Float[Array, "... unit"], q_kvar: Float[Array, "... unit"]
) -> tuple[Array, Array]:
    """Active and reactive power in the modes constant reactive power and volt-var: reactive power first, within
    `q_range`, then active power in what the circle leaves."""
    q_kvar = jnp.clip(q_kvar, *q_range(ratings, p_kw))
    return jnp.minimum(p_kw, beside(ratings.s_rated_kva, q_kvar)), q_kvar


def limit_power_factor(
    ratings: Ratings, p_kw: Float[Array, "... unit"], q_kvar: Float[Array, "... unit"]
) -> tuple[Array, Array]:
    """Active and reactive power in the mode constant power factor: both fall together beyond the circle.

    Where the capability is too small for the power factor, reactive power stays at the capability and active power
    takes the rest. Source: OpenDER eq. 3.9.1-9 to 11.
    """
    s_kva = ratings.s_rated_kva
    squared = p_kw**2 + q_kvar**2
    is_over = squared > s_kva**2
    scale = jnp.where(is_over, s_kva / jnp.sqrt(jnp.where(is_over, squared, 1.0)), 1.0)
    q_scaled = scale * q_kvar
    absorb, inject = capability(ratings, ratings.p_rated_kw)
    largest = jnp.where(q_scaled > 0, inject, absorb)
    p_beside = jnp.minimum(p_kw, beside(s_kva, largest))
    p_limited = jnp.where(jnp.abs(q_scaled) > largest, p_beside, scale * p_kw)
    absorb, inject = capability(ratings, p_limited)
    return p_limited, jnp.clip(q_scaled, -absorb, inject)


def limit_watt_var(
    ratings: Ratings,
    p_kw: Float[Array, "... unit"],
    q_kvar: Float[Array, "... unit"],
    p_points_kw: Float[Array, "unit 3"],
    q_points_kvar: Float[Array, "unit 3"],
) -> tuple[Array, Array]:
    """Active and reactive power in the watt-var mode: along the curve back to the circle where it is exceeded.

    Source: OpenDER eq. 3.9.1-12 and 13.
    """
    is_inside = p_kw**2 + q_kvar**2 < ratings.s_rated_kva**2
    p_circle, q_circle = _curve_on_circle(ratings.s_rated_kva, p_points_kw, q_points_kvar)
    p_limited = jnp.where(is_inside, p_kw, jnp.minimum(p_circle, p_kw))
    q_less = jnp.sign(q_kvar) * jnp.minimum(jnp.abs(q_circle), jnp.abs(q_kvar))
    absorb, inject = capability(ratings, p_limited)
    return p_limited, jnp.clip(jnp.where(is_inside, q_kvar, q_less), -absorb, inject)


def _curve_on_circle(
    s_kva: Float[Array, " unit"], p_points: Float[Array, "unit 3"], q_points: Float[Array, "unit 3"]
) -> tuple[Array, Array]:
    """Point of the watt-var curve with the largest active power that is within the circle.

    On each piece q = a + b p, the larger root of p^2 + (a + b p)^2 = s^2, held within the piece.
    """
    last = jnp.maximum(s_kva, p_points[:, 2])
    p_all = jnp.stack((jnp.zeros_like(s_kva), *(p_points[:, i] for i in range(3)), last), axis=-1)
    q_all = jnp.stack((q_points[:, 0], *(q_points[:, i] for i in range(3)), q_points[:, 2]), axis=-1)
    best = jnp.zeros_like(s_kva)
    for i in range(4):
        low, high = p_all[:, i], p_all[:, i + 1]
        b = (q_all[:, i + 1] - q_all[:, i]) / jnp.maximum(high - low, _TINY)
        a = q_all[:, i] - b * low
        under_root = s_kva**2 * (1 + b**2) - a**2
        root = jnp.where(under_root > 0, jnp.sqrt(jnp.where(under_root > 0, under_root, 1.0)), 0.0)
        p_kw = jnp.clip((root - a * b) / (1 + b**2), low, high)
        is_inside = p_kw**2 + (a + b * p_kw) ** 2 <= s_kva**2 * (1 + _ON_CIRCLE)
        best = jnp.where(is_inside, jnp.maximum(best, p_kw), best)
    return best, piecewise_linear(best, p_points, q_points)
