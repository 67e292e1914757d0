"""Quantiles of a forecast and how they are scored; imports no JAX."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

LEVELS = (0.1, 0.5, 0.9)
"""Shares of cases that should be below each quantile, unless a configuration says otherwise."""
MEDIAN = 0.5


def pinball(
    quantiles: Float[np.ndarray, "*batch level"], actual: Float[np.ndarray, "*batch"], levels: Sequence[float]
) -> Float[np.ndarray, "*batch level"]:
    """Pinball loss of each quantile; its expectation is least at the true quantile, and at 0.5 it is half the error.

    Args:
        quantiles: forecasts, unit of the series.
        actual: what came, same unit.
        levels: of the last axis, each in 0..1.

    Returns:
        Loss in the unit of the series.

    Source: Koenker and Bassett 1978, doi:10.2307/1913643.
    """
    below = actual[..., None] - quantiles
    share = np.asarray(levels)
    return np.maximum(share * below, (share - 1.0) * below)
