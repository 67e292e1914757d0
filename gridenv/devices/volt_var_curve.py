"""The volt-var function of IEEE 1547-2018: reactive power as a piecewise linear function of voltage."""

from jax import Array
from jax import numpy as jnp
from jaxtyping import Float

from gridenv.core.pytree import pytree, static


@pytree
class VoltVarCurve:
    """Four corners of the curve; defaults of category B.

    Source: IEEE Std 1547-2018, clause 5.3.3, table 8 (default settings, category B), V_ref = 1.0 pu.
    """

    v_pu: tuple[float, float, float, float] = static(default=(0.92, 0.98, 1.02, 1.08))
    """Voltages V1..V4, rising."""
    q_share: tuple[float, float, float, float] = static(default=(0.44, 0.0, 0.0, -0.44))
    """Reactive power Q1..Q4 into the network at these voltages, share of the apparent-power rating."""

    @property
    def steepest_per_pu(self) -> float:
        """Largest fall of reactive power with voltage, share of the rating per pu."""
        v, q = self.v_pu, self.q_share
        return max((q[i] - q[i + 1]) / (v[i + 1] - v[i]) for i in range(3))


CATEGORY_B = VoltVarCurve()
"""Default settings of category B."""


def q_request_share(curve: VoltVarCurve, v_pu: Float[Array, "*batch unit"]) -> Float[Array, "*batch unit"]:
    """Reactive power that the curve asks for, share of the apparent-power rating; constant beyond V1 and V4."""
    return jnp.interp(v_pu, jnp.asarray(curve.v_pu, v_pu.dtype), jnp.asarray(curve.q_share, v_pu.dtype))
