"""Operators as device arrays: complex matrices of the host become real ones."""

from typing import Any

import numpy as np
from jax import numpy as jnp

from gridenv.network.circuit import Ints
from gridenv.powerflow.host import Quantities, Reduced
from gridenv.powerflow.operators import BlockMap, Blocks, Dense, DenseMap
from gridenv.powerflow.partition import Cuts


def dense_arrays(reduced: Reduced, dtype: str) -> Dense:
    """One matrix for each quantity."""

    def as_map(part: tuple[Any, Any]) -> DenseMap:
        base, matrix = part
        return DenseMap(base=jnp.asarray(real_vector(base), dtype), matrix=jnp.asarray(real_rows(matrix), dtype))

    maps: dict[str, Any] = {name: as_map(getattr(reduced, name)) for name in Quantities.NAMES}
    return Dense(**maps)


def block_arrays(cuts: Cuts, dtype: str) -> Blocks:
    """The matrices of all blocks, stacked."""

    def as_map(name: str) -> BlockMap:
        part = cuts.maps[name]
        n = part.base.shape[1]
        place = part.place // max(n, 1) * 2 * n + part.place % max(n, 1)
        return BlockMap(
            base=jnp.asarray(np.concatenate([part.base.real, part.base.imag], -1)[:, :, None], dtype),
            own=jnp.asarray(real_matrix(part.own), dtype),
            via=jnp.asarray(real_matrix(part.via), dtype),
            place=jnp.asarray(place, "int32"),
            place_im=jnp.asarray(place + n, "int32"),
        )

    n_node, (n_block, n_cut) = len(cuts.to_cuts), cuts.cut_place.shape
    to_cuts = cuts.to_cuts if cuts.sums else cuts.to_cuts.reshape(n_node, n_block, n_cut).transpose(1, 0, 2)
    to_cuts = real_matrix(to_cuts)
    if not cuts.sums:
        to_cuts = to_cuts.transpose(1, 0, 2).reshape(2 * n_node, 2 * n_block * n_cut)
    maps: dict[str, Any] = {name: as_map(name) for name in Quantities.NAMES}
    return Blocks(
        **maps,
        into_cuts=jnp.asarray(real_matrix(cuts.into_cuts), dtype),
        sums=tuple(jnp.asarray(rows, "int32") for rows in _real_sums(cuts)),
        to_cuts=jnp.asarray(to_cuts, dtype),
        cut_place=jnp.asarray(np.concatenate([cuts.cut_place, cuts.cut_place + n_node], -1), "int32"),
        slot_place=jnp.asarray(cuts.slot_place, "int32"),
    )


def _real_sums(cuts: Cuts) -> list[Ints]:
    """Steps of `Cuts.sums` for rows as a block sends them, all its real parts before its imaginary ones; nothing is one
    past the last."""
    n_cut, n_row, steps = cuts.cut_place.shape[1], cuts.cut_place.size, []
    for step, rows in enumerate(cuts.sums):
        # Only the blocks have their own parts together; the rows of a step have all real parts first.
        re, apart = (rows // n_cut * 2 * n_cut + rows % n_cut, n_cut) if step == 0 else (rows, n_row)
        steps.append(np.where(np.tile(rows, (2, 1)) < 0, 2 * n_row, np.concatenate([re, re + apart])))
        n_row = len(rows)
    return steps


def real_matrix(z: Any) -> np.ndarray:
    """The real matrices that take `[Re a, Im a]` to `[Re z a, Im z a]`: [..., n, m] complex -> [..., 2n, 2m] real."""
    upper = np.concatenate([z.real, -z.imag], -1)
    return np.concatenate([upper, np.concatenate([z.imag, z.real], -1)], -2)


def real_rows(z: Any) -> np.ndarray:
    """The real matrices for row vectors `[Re a, Im a]`: [..., n, m] complex -> [..., 2m, 2n] real."""
    return np.swapaxes(real_matrix(z), -1, -2)


def real_vector(a: Any) -> np.ndarray:
    """`[Re a, Im a]`."""
    return np.concatenate([a.real, a.imag])
