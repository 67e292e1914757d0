"""Heat of a building with two nodes, air and mass: an exact step for heat flows that are constant within the step.

    C_air  dT_air/dt  = H_am (T_mass - T_air) + H_ao (T_out - T_air)  + q_air
    C_mass dT_mass/dt = H_am (T_air - T_mass) + H_mo (T_out - T_mass) + q_mass

With dT/dt = A T + b, the temperatures after a time t are T(0) + Psi(t) (A T(0) + b), and their mean over that time is
T(0) + (1/t) integral of Psi (A T(0) + b), where Psi(t) = integral of exp(A s) from 0 to t. A T(0) + b are the net heat
flows at the start divided by the capacities, so only differences of temperatures enter: that keeps float32 accurate.
Both matrices have a closed form and are computed once, in float64, when parameters are made.

Source: Bacher and Madsen 2011, doi:10.1016/j.enbuild.2011.02.005, models TiTm and TiTe, for networks of this kind;
Van Loan 1978, doi:10.1109/TAC.1978.1101743, for integrals of the matrix exponential.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float

from gridenv.core.pytree import pytree, static

_SMALL = 1e-2
"""Exponents below it take a series; the closed form would lose digits."""


@pytree
class TwoNode:
    """Buildings, and their exact step of one length."""

    c_air_kwh_k: Float[Array, " unit"]
    c_mass_kwh_k: Float[Array, " unit"]
    h_air_mass_kw_k: Float[Array, " unit"]
    h_air_out_kw_k: Float[Array, " unit"]
    h_mass_out_kw_k: Float[Array, " unit"]
    rise_k_per_kw: Float[Array, "node node unit"]
    """Rise of a node (first axis; air, mass) by the end of the step for a net heat flow into a node (second axis)."""
    mean_rise_k_per_kw: Float[Array, "node node unit"]
    """The same for the mean over the step."""
    dt_h: float = static()
    """Length of the step."""


class Temperatures(NamedTuple):
    """Of the two nodes in degC, at the end of a step and on average over it."""

    air_c: Float[Array, "*batch unit"]
    mass_c: Float[Array, "*batch unit"]
    mean_air_c: Float[Array, "*batch unit"]
    mean_mass_c: Float[Array, "*batch unit"]


def two_node(
    c_air_kwh_k: np.ndarray,
    c_mass_kwh_k: np.ndarray,
    h_air_mass_kw_k: np.ndarray,
    h_air_out_kw_k: np.ndarray,
    h_mass_out_kw_k: np.ndarray,
    *,
    dt_h: float,
    dtype: str = "float32",
) -> TwoNode:
    """Buildings [unit] with the matrices of their step.

    Capacities, `h_air_mass_kw_k` and the sum of the other two conductances are positive; the caller has checked that.
    """
    fields = (c_air_kwh_k, c_mass_kwh_k, h_air_mass_kw_k, h_air_out_kw_k, h_mass_out_kw_k)
    c_air, c_mass, h_am, h_ao, h_mo = (np.asarray(f, float) for f in fields)
    rate = np.array([[-(h_am + h_ao) / c_air, h_am / c_air], [h_am / c_mass, -(h_am + h_mo) / c_mass]])
    per_capacity = 1.0 / np.stack([c_air, c_mass])
    rise = _of_matrix(lambda rate_per_h: _first(rate_per_h * dt_h) * dt_h, rate) * per_capacity
    mean_rise = _of_matrix(lambda rate_per_h: _second(rate_per_h * dt_h) * dt_h, rate) * per_capacity
    arrays = tuple(jnp.asarray(a, dtype) for a in (c_air, c_mass, h_am, h_ao, h_mo, rise, mean_rise))
    return TwoNode(
        c_air_kwh_k=arrays[0],
        c_mass_kwh_k=arrays[1],
        h_air_mass_kw_k=arrays[2],
        h_air_out_kw_k=arrays[3],
        h_mass_out_kw_k=arrays[4],
        rise_k_per_kw=arrays[5],
        mean_rise_k_per_kw=arrays[6],
        dt_h=dt_h,
    )


def advance(
    building: TwoNode,
    air_c: Float[Array, "*batch unit"],
    mass_c: Float[Array, "*batch unit"],
    out_c: Float[Array, "*batch #unit"],
    q_air_kw: Float[Array, "*batch unit"],
    q_mass_kw: Float[Array, "*batch unit"],
) -> Temperatures:
    """Temperatures after one step and their means over it, with outdoor temperature and heat flows constant in it.

    Args:
        out_c: outdoor temperature.
        q_air_kw: heat into the air: gains and heat pump.
        q_mass_kw: heat into the mass: gains.

    Source: equations at the top of the file; exact.
    """
    across_kw = building.h_air_mass_kw_k * (mass_c - air_c)
    net_air_kw = across_kw + building.h_air_out_kw_k * (out_c - air_c) + q_air_kw
    net_mass_kw = building.h_mass_out_kw_k * (out_c - mass_c) + q_mass_kw - across_kw
    rise, mean_rise = building.rise_k_per_kw, building.mean_rise_k_per_kw
    return Temperatures(
        air_c=air_c + (rise[0, 0] * net_air_kw + rise[0, 1] * net_mass_kw),
        mass_c=mass_c + (rise[1, 0] * net_air_kw + rise[1, 1] * net_mass_kw),
        mean_air_c=air_c + (mean_rise[0, 0] * net_air_kw + mean_rise[0, 1] * net_mass_kw),
        mean_mass_c=mass_c + (mean_rise[1, 0] * net_air_kw + mean_rise[1, 1] * net_mass_kw),
    )


def settled_mass_c(
    building: TwoNode,
    air_c: Float[Array, "*batch unit"],
    out_c: Float[Array, "*batch #unit"],
    q_mass_kw: Float[Array, "*batch unit"],
) -> Float[Array, "*batch unit"]:
    """Temperature of the mass at which its heat flows balance, with the air held at `air_c`."""
    inward_kw = building.h_mass_out_kw_k * (out_c - air_c) + q_mass_kw
    return air_c + inward_kw / (building.h_air_mass_kw_k + building.h_mass_out_kw_k)


def stored_kwh(
    building: TwoNode,
    air_rise_k: Float[Array, "*batch unit"],
    mass_rise_k: Float[Array, "*batch unit"],
) -> Float[Array, "*batch unit"]:
    """Heat stored by a rise of the two temperatures."""
    return building.c_air_kwh_k * air_rise_k + building.c_mass_kwh_k * mass_rise_k


def _of_matrix(function: Callable[[np.ndarray], np.ndarray], matrix: np.ndarray) -> np.ndarray:
    """A function of 2x2 matrices [2, 2, unit] with two different real eigenvalues.

    Source: Sylvester's formula, Higham 2008, Functions of Matrices, section 1.2. The eigenvalues differ because the
    product of the elements off the diagonal is positive.
    """
    (a, b), (c, d) = matrix
    half_gap = np.sqrt(((a - d) / 2) ** 2 + b * c)
    fast = (a + d) / 2 - half_gap
    # The slow one from the determinant: a difference of two large numbers would lose its digits.
    slow = (a * d - b * c) / fast
    unit = np.eye(2)[..., None]
    slope = (function(slow) - function(fast)) / (slow - fast)
    return function(slow) * unit + slope * (matrix - slow * unit)


def _first(x: np.ndarray) -> np.ndarray:
    """(exp(x) - 1) / x for x < 0."""
    return np.expm1(x) / x


def _second(x: np.ndarray) -> np.ndarray:
    """(exp(x) - 1 - x) / x^2 for x < 0."""
    series = 1 / 2 + x * (1 / 6 + x * (1 / 24 + x * (1 / 120 + x / 720)))
    return np.where(np.abs(x) < _SMALL, series, (np.expm1(x) - x) / x**2)
