"""The point of a polyhedron that is nearest to a given one: a small convex quadratic program, solved exactly."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

Floats = NDArray[np.float64]
_EMPTY = 1e-9
"""Squared residual below which the polyhedron is empty; of a point at a distance d it is 1 / (1 + d^2)."""
_TOLERANCE = 1e-7
"""Violation of a row that is allowed, in the scaled units of the rows."""


def nearest(wanted: Floats, low: Floats, high: Floats, rows: Floats, at_most: Floats, scale: Floats) -> Floats | None:
    """The x nearest to `wanted` with `low <= x <= high` and `rows @ x <= at_most`.

    Nearest is the smallest sum of squares of `(x - wanted) / scale`.

    Args:
        wanted: [n]
        low: [n]
        high: [n] nowhere below `low`.
        rows: [m, n]
        at_most: [m]
        scale: [n] > 0, size of each coordinate.

    Returns:
        The point [n], inside the box to the last bit and with rows kept to 1e-7 of their norm; None if there is none.

    Source: C. L. Lawson, R. J. Hanson, "Solving Least Squares Problems", SIAM 1995, chapter 23: least distance
    programming by non-negative least squares.
    """
    z_low, z_high = (low - wanted) / scale, (high - wanted) / scale
    g, h = rows * scale, at_most - rows @ wanted
    norm = np.linalg.norm(g, axis=1)
    is_fixed = norm <= 0.0
    if (h[is_fixed] < 0.0).any():
        return None
    # Rows that no point of the box breaks cost time and change nothing.
    matters = ~is_fixed & (np.maximum(g * z_low, g * z_high).sum(axis=1) > h)
    g, h = g[matters] / norm[matters, None], h[matters] / norm[matters]
    z = np.clip(0.0, z_low, z_high)
    if len(h) and (g @ z > h).any():
        eye = np.eye(len(wanted))
        found = _least_distance(np.vstack([-g, eye, -eye]), np.concatenate([-h, z_low, -z_high]))
        if found is None:
            return None
        z = np.clip(found, z_low, z_high)
        if (g @ z > h + _TOLERANCE).any():
            return None
    return np.clip(wanted + z * scale, low, high)


def _least_distance(g: Floats, h: Floats) -> Floats | None:
    """The shortest z with `g @ z >= h`."""
    stacked = np.vstack([g.T, h])
    target = np.zeros(len(stacked))
    target[-1] = 1.0
    try:
        weights, _ = nnls(stacked, target)
    except RuntimeError:  # no convergence within its iterations; to be on the safe side as good as no point
        return None
    residual = stacked @ weights - target
    if residual @ residual < _EMPTY:
        return None
    distance: Floats = -residual[:-1] / residual[-1]
    return distance
