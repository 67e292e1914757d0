"""Photovoltaic inverters: active power from the sun, reactive power on command within the apparent-power circle."""

from collections.abc import Sequence

import numpy as np
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float, Int

from gridenv.core.pytree import pytree
from gridenv.devices.load import spread_ratings

_MIN_Q_KVAR = 1e-3
"""Reactive power left to an inverter of which the sun takes the whole rating; keeps shares and gradients defined."""


@pytree
class PvParams:
    """Inverters; active power has priority over reactive power.

    Assumed: that priority. IEEE Std 1547-2018 clause 5.2 lets the operator of the area require reactive priority.
    """

    p_weight_kw: Float[Array, "series unit"]
    """Direct-current rating in the row of the series that drives the unit."""
    s_rated_kva: Float[Array, " unit"]
    """Apparent-power rating."""
    q_max_kvar: Float[Array, " unit"]
    """Reactive-power capability, either sign, however little the sun shines.

    Assumed: also below 5 % of rated active power and at night, as inverters with a night function do. IEEE Std
    1547-2018 table 7 requires it from 5 % of rated active power up.
    """
    bus: Int[Array, " unit"]
    """Position of each unit's bus in the output voltages."""


def init(
    series_names: Sequence[str],
    p_dc_kw: np.ndarray,
    s_rated_kva: np.ndarray,
    q_max_kvar: np.ndarray,
    series: Sequence[str],
    bus: Sequence[int],
    dtype: str = "float32",
) -> PvParams:
    """Parameters of inverters from their ratings and the series of sunshine they follow."""
    return PvParams(
        p_weight_kw=spread_ratings(series_names, p_dc_kw, series, dtype),
        s_rated_kva=jnp.asarray(s_rated_kva, dtype),
        q_max_kvar=jnp.asarray(q_max_kvar, dtype),
        bus=jnp.asarray(bus, "int32"),
    )


def available_kw(params: PvParams, series: Float[Array, "*batch series"]) -> Float[Array, "*batch unit"]:
    """Active power that the sun allows, at most the apparent-power rating."""
    return jnp.minimum(series @ params.p_weight_kw, params.s_rated_kva)


def q_available_kvar(params: PvParams, p_kw: Float[Array, "*batch unit"]) -> Float[Array, "*batch unit"]:
    """Largest reactive power, either sign, beside the active power `p_kw`.

    Source: apparent-power circle, q^2 <= s^2 - p^2. Assumed: active power has priority, see `PvParams`.
    """
    circle = jnp.sqrt(jnp.maximum(params.s_rated_kva**2 - p_kw**2, _MIN_Q_KVAR**2))
    return jnp.minimum(circle, params.q_max_kvar)


def project(
    params: PvParams, p_kw: Float[Array, "*batch unit"], q_request_kvar: Float[Array, "*batch unit"]
) -> Float[Array, "*batch unit"]:
    """Nearest reactive power each inverter can hold beside its active power; applying it twice changes nothing."""
    limit = q_available_kvar(params, p_kw)
    return jnp.clip(q_request_kvar, -limit, limit)
