"""What acts in a slot, given what is seen there: `x = law(y)`, elementwise, for loads, tap changers and inverters.

A load feeds in the current `conj(S(|y|) / y)`; a slot of a tap changer, capacitor or line `gain * y`.
"""

from jax import Array
from jax import numpy as jnp
from jaxtyping import Float

from gridenv.core.pytree import pytree
from gridenv.powerflow.droop import DroopCurves, droop_power

MIN_V_SQUARED = 0.01
"""Voltages below 0.1 pu count as 0.1 pu in the division; a solution this low is reported as not converged."""


@pytree
class LoadLaw:
    """How the power of the load slots depends on the voltage, beyond constant power, current and impedance."""

    exponent_p: Float[Array, "*layout"] | None
    """Further exponents of the voltage; None where no load has one."""
    exponent_q: Float[Array, "*layout"] | None
    v_rated: Float[Array, "*layout"] | None
    """Out-of-range rule; None where no load has one."""
    v_min: Float[Array, "*layout"] | None
    v_max: Float[Array, "*layout"] | None
    v_low: Float[Array, "*layout"] | None
    droop: DroopCurves | None
    """Inverters that follow curves of the voltage; None where there are none."""


@pytree
class Power:
    """Power of the slots at 1 pu, by order: constant power, constant current, constant impedance; pu, in the layout."""

    p: tuple[Float[Array, "*layout"], ...]
    q: tuple[Float[Array, "*layout"], ...]


@pytree
class Gain:
    """Complex factor of the slots that are linear, in the layout."""

    re: Float[Array, "*layout"]
    im: Float[Array, "*layout"] | None
    """None where all are real."""


def currents(
    law: LoadLaw, power: Power, gain: Gain | None, y: Float[Array, "*layout"], axis: int = -1
) -> Float[Array, "*layout"]:
    """What acts in the slots at what they see, both as [Re, Im] along `axis`."""
    yr, yi = jnp.split(y, 2, axis=axis)
    squared = jnp.maximum(yr * yr + yi * yi, MIN_V_SQUARED)
    p, q = _power_at(law, power, squared)
    scale = 1.0 / squared
    xr, xi = (p * yr + q * yi) * scale, (p * yi - q * yr) * scale
    if gain is not None:
        xr, xi = xr + gain.re * yr, xi + gain.re * yi
        if gain.im is not None:
            xr, xi = xr - gain.im * yi, xi + gain.im * yr
    return jnp.concatenate([xr, xi], axis=axis)


def _power_at(law: LoadLaw, power: Power, squared: Array) -> tuple[Array, Array]:
    """Power at squared voltages.

    Source: ZIP polynomial and exponential model, IEEE Task Force, "Standard load models for power flow and dynamic
    performance simulation", IEEE Trans. Power Systems 10(3), 1995.
    """
    p, q = power.p[0], power.q[0]
    if len(power.p) > 1:
        v = jnp.sqrt(squared)
        p, q = p + power.p[1] * v, q + power.q[1] * v
    if len(power.p) > 2:
        p, q = p + power.p[2] * squared, q + power.q[2] * squared
    if law.exponent_p is not None and law.exponent_q is not None:
        log_v = 0.5 * jnp.log(squared)
        p, q = p * jnp.exp(law.exponent_p * log_v), q * jnp.exp(law.exponent_q * log_v)
    if law.v_min is not None:
        p, q = _out_of_range(law, p, q, squared)
    if law.droop is not None:
        p, q = droop_power(law.droop, p, q, squared)
    return p, q


def _out_of_range(law: LoadLaw, p: Array, q: Array, squared: Array) -> tuple[Array, Array]:
    """Constant impedance above `v_max` and below `v_low`, a current linear in the voltage between `v_low` and `v_min`.

    At the limits a constant-current load holds its current, any other its power.

    Source: OpenDSS technical note "Load models", rule for models 1, 4 and 5 outside of Vminpu..Vmaxpu.
    """
    assert law.exponent_p is not None
    assert law.exponent_q is not None
    assert law.v_min is not None
    assert law.v_max is not None
    assert law.v_low is not None
    assert law.v_rated is not None
    v = jnp.sqrt(squared) / law.v_rated
    held = jnp.where((law.exponent_p == 1.0) & (law.exponent_q == 1.0), -1.0, -2.0)
    above = v**2 * law.v_max**held
    at_min = jnp.where(law.v_min > 0.0, law.v_min, 1.0) ** (held + 1.0)
    slope = (at_min - law.v_low) / jnp.where(law.v_min > law.v_low, law.v_min - law.v_low, 1.0)
    between = v * (law.v_low + slope * (v - law.v_low))
    share = jnp.where(v > law.v_max, above, jnp.where(v < law.v_low, v**2, between))
    inside = (v >= law.v_min) & (v <= law.v_max)

    def bounded(s: Array, exponent: Array) -> Array:
        return jnp.where(inside, s, s / v**exponent * share)

    return bounded(p, law.exponent_p), bounded(q, law.exponent_q)
