"""Device arrays as arrays of the host."""

from dataclasses import fields, is_dataclass
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np


def on_host(value: Any) -> Any:
    """A tree of containers with its arrays on the host, real numbers as float64; containers become plain namespaces."""
    if isinstance(value, jax.Array | np.ndarray):
        return np.asarray(value, float if value.dtype.kind == "f" else None)
    if hasattr(value, "_fields"):
        return SimpleNamespace(**{name: on_host(getattr(value, name)) for name in value._fields})
    if is_dataclass(value):
        return SimpleNamespace(**{field.name: on_host(getattr(value, field.name)) for field in fields(value)})
    return tuple(on_host(part) for part in value) if isinstance(value, tuple) else value
