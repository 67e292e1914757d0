"""Many small arrays as two long ones, so that a step needs two transfers from the device and not twenty."""

from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float, Int


class Packed(NamedTuple):
    """All leaves of a tree, one after another."""

    floats: Float[Array, " number"]
    wholes: Int[Array, " number"]
    """Integers and truth values."""


class _Slot(NamedTuple):
    is_float: bool
    first: int
    last: int
    shape: tuple[int, ...]
    dtype: np.dtype


def pack(tree: Any) -> Packed:
    """Pack a tree of arrays; for use inside jit. `Layout.unpack` is the inverse."""
    leaves = jax.tree.leaves(tree)
    floats = [x.ravel() for x in leaves if _is_float(x.dtype)]
    wholes = [x.ravel().astype(jnp.int32) for x in leaves if not _is_float(x.dtype)]
    return Packed(jnp.concatenate(floats), jnp.concatenate(wholes))


@dataclass(frozen=True)
class Layout:
    """Where each leaf of a tree lies in its packed form."""

    slots: tuple[_Slot, ...]
    structure: Any

    @classmethod
    def of(cls, tree: Any) -> "Layout":
        """The layout of a tree of arrays, or of their shapes."""
        leaves, structure = jax.tree.flatten(tree)
        used = {True: 0, False: 0}
        slots = []
        for leaf in leaves:
            is_float, first = _is_float(leaf.dtype), used[_is_float(leaf.dtype)]
            used[is_float] = first + prod(leaf.shape)
            slots.append(_Slot(is_float, first, used[is_float], leaf.shape, np.dtype(leaf.dtype)))
        return cls(tuple(slots), structure)

    def unpack(self, packed: Packed) -> Any:
        """The tree with NumPy arrays that can be written to; single numbers become Python's own."""
        floats, wholes = np.array(packed.floats), np.array(packed.wholes)
        return self.structure.unflatten([_leaf(slot, floats if slot.is_float else wholes) for slot in self.slots])


def _leaf(slot: _Slot, buffer: np.ndarray) -> Any:
    if not slot.shape:
        value = buffer[slot.first].item()
        return bool(value) if slot.dtype == np.bool_ else value
    return buffer[slot.first : slot.last].reshape(slot.shape).astype(slot.dtype, copy=False)


def _is_float(dtype: Any) -> bool:
    return bool(np.issubdtype(dtype, np.floating))
