"""Actions are checked on the host, before anything is computed with them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from gridenv.core.errors import ActionError


def checked_action(
    action: Any, shape: tuple[int, ...], names: Sequence[str], task_id: str
) -> Float[np.ndarray, "*env act"]:
    """The action as float32, of the right shape and finite.

    Finite values beyond the bounds are let through: the environment limits them and says so in `info`.

    Args:
        action: anything that NumPy can turn into numbers.
        shape: shape that it must have; the last axis are the channels.
        names: names of the channels.
        task_id: for messages.

    Raises:
        ActionError: if it is not numeric, has another shape, or holds NaN or infinity.
    """
    array = _as_float32(action, task_id)
    if array.shape != shape:
        each = f"one row for each of {shape[0]} environments, " if len(shape) > 1 else ""
        raise ActionError(
            f"{task_id}: action has shape {array.shape}; it must be {shape}: {each}one number for each of "
            f"{', '.join(names)}; reshape it"
        )
    if not np.isfinite(array).all():
        raise ActionError(_not_finite(np.asarray(action, np.float64), array, names, task_id))
    return array


def _as_float32(action: Any, task_id: str) -> np.ndarray:
    try:
        array = np.asarray(action)
    except (TypeError, ValueError) as error:
        raise ActionError(_not_numeric(action, task_id, str(error))) from error
    if array.dtype.kind not in "fiub":
        raise ActionError(_not_numeric(action, task_id, f"their type is {array.dtype}"))
    with np.errstate(over="ignore"):
        return array.astype(np.float32)


def _not_numeric(action: Any, task_id: str, reason: str) -> str:
    return f"{task_id}: action {action!r} cannot be read as real numbers ({reason}); give an array of floats"


def _not_finite(given: np.ndarray, array: np.ndarray, names: Sequence[str], task_id: str) -> str:
    bad = np.argwhere(~np.isfinite(array))
    where = tuple(int(i) for i in bad[0])
    environment = f" of environment {where[0]}" if len(where) > 1 else ""
    more = f" ({len(bad)} such values)" if len(bad) > 1 else ""
    return (
        f"{task_id}: action{environment}, entry {where[-1]} '{names[where[-1]]}' is {given[where]}{more}; it must be "
        "finite in float32, and inside -1..1 to be carried out as asked; check what the controller computes"
    )
