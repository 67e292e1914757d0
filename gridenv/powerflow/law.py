"""What acts in a slot, given what is seen there: `x = law(y)`, elementwise, for loads, tap changers, lines and inverters.

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

    Source: OpenDSS technical note "Load models", rule for models 1, 4 and 5 outside of Vminpu..Vmaxpu.
    """
    assert law.v_min is not None
    assert law.v_max is not None
    assert law.v_low is not None
    assert law.v_rated is not None
    v = jnp.sqrt(squared) / law.v_rated
    return tuple(  # type: ignore[return-value]
        _one_out_of_range(s, exponent, v, law.v_min, law.v_max, law.v_low)
        for s, exponent in ((p, law.exponent_p), (q, law.exponent_q))
    )


def _one_out_of_range(s: Array, exponent: Array | None, v: Array, v_min: Array, v_max: Array, v_low: Array) -> Array:
    e = 0.0 if exponent is None else exponent
    rated = s / v**e
    above = rated * v**2 / v_max ** jnp.where(jnp.isfinite(v_max), 2.0 - e, 0.0)
    at_min = v_min ** (e - 1.0)
    slope = (at_min - v_low) / jnp.maximum(v_min - v_low, 1e-6)
    between = rated * v * (v_low + slope * (v - v_low))
    s = jnp.where(v > v_max, above, jnp.where(v < v_min, between, s))
    return jnp.where((v < v_low) & (v_min > 0.0), rated * v**2, s)
