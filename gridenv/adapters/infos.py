"""Infos of a batch as Gymnasium wants them: a mask `_key` beside each `key` says which environments have it."""

from typing import Any

import numpy as np
from jaxtyping import Bool

Values = dict[str, Any]
"""Arrays with the environments in front; dictionaries of such arrays may be among them."""


def labelled(values: Values, mask: Bool[np.ndarray, " env"]) -> Values:
    """The values with the mask beside each of them, at every depth."""
    info: Values = {}
    for name, value in values.items():
        info[name] = labelled(value, mask) if isinstance(value, dict) else value
        info[f"_{name}"] = mask.copy()
    return info


def masked(values: Values, mask: Bool[np.ndarray, " env"]) -> Values:
    """Copies of the values where `mask` is set; zero, or None for objects, elsewhere."""
    return {
        name: masked(value, mask) if isinstance(value, dict) else _masked_array(value, mask)
        for name, value in values.items()
    }


def repeated(value: Any, num_envs: int) -> np.ndarray:
    """An array of `num_envs` references to one object."""
    array = np.full(num_envs, None, object)
    for i in range(num_envs):
        array[i] = value
    return array


def rows_where(mask: Bool[np.ndarray, " env"], array: np.ndarray) -> np.ndarray:
    """An object array with a row of `array` where `mask` is set, and None elsewhere."""
    rows = np.full(len(mask), None, object)
    for i in np.flatnonzero(mask):
        rows[i] = array[i].copy()
    return rows


def _masked_array(array: np.ndarray, mask: Bool[np.ndarray, " env"]) -> np.ndarray:
    part = np.full_like(array, None if array.dtype == object else 0)
    part[mask] = array[mask]
    return part
