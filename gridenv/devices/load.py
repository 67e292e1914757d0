"""Loads that follow profiles: rated power times a relative series, constant power in each step."""

from collections.abc import Sequence

import numpy as np
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float

from gridenv.core.pytree import pytree


@pytree
class LoadParams:
    """Ratings spread over the series that drive them: `power = series @ weight`.

    A product with a small, mostly empty matrix is several times faster on a CPU than picking a column for each load.
    """

    p_weight_kw: Float[Array, "series load"]
    """Rated active power into the network (negative), in the row of its series."""
    q_weight_kvar: Float[Array, "series load"]


def init(
    series_names: Sequence[str],
    p_rated_kw: np.ndarray,
    q_rated_kvar: np.ndarray,
    p_series: Sequence[str],
    q_series: Sequence[str],
    dtype: str = "float32",
) -> LoadParams:
    """Parameters of loads from their ratings (power into the network, so negative) and the series they follow."""
    return LoadParams(
        p_weight_kw=spread_ratings(series_names, p_rated_kw, p_series, dtype),
        q_weight_kvar=spread_ratings(series_names, q_rated_kvar, q_series, dtype),
    )


def power(
    params: LoadParams, series: Float[Array, "*batch series"]
) -> tuple[Float[Array, "*batch load"], Float[Array, "*batch load"]]:
    """Active and reactive power of every load into the network, kW and kvar (consumption negative)."""
    return series @ params.p_weight_kw, series @ params.q_weight_kvar


def spread_ratings(series_names: Sequence[str], rated: np.ndarray, names: Sequence[str], dtype: str) -> Array:
    """[series, unit] matrix with each unit's rating in the row of the series that drives it."""
    weight = np.zeros((len(series_names), len(names)))
    rows = [list(series_names).index(name) for name in names]
    weight[rows, np.arange(len(names))] = rated
    return jnp.asarray(weight, dtype)
