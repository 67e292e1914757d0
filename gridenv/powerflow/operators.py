"""The network as a linear operator from what acts in the slots to what they see: `y = y0 + R x`, for all samples.

Complex numbers are stored as `[Re, Im]` along one axis, the slot axis, so that the batch stays in real matrix products of
one dtype. An operator decides in which layout that is done; the laws of the slots are elementwise and do not care.

`Dense` holds R as one matrix. `Blocks` cuts the network at a few nodes into blocks of some dozen slots: inside a block R is
dense, and what blocks do to one another goes through the voltages of the nodes in the cuts. The work then grows with the
number of nodes and not with its square, all of it in matrix products, and nothing in the compiled program depends on the
shape of the network. Blocks that touch in loops are no special case.

Source: substructuring (Schur complement, Kron reduction); B. Smith, P. Bjorstad and W. Gropp, "Domain decomposition",
Cambridge University Press, 1996, chapter 4.
"""

from typing import Any

from jax import Array
from jax import numpy as jnp
from jaxtyping import Float, Int

from gridenv.core.pytree import pytree, static


@pytree
class DenseMap:
    """A quantity that is affine in x: `base + x @ matrix`."""

    base: Float[Array, " two_n"]
    matrix: Float[Array, "two_slot two_n"]


@pytree
class BlockMap:
    """The same, cut into blocks."""

    base: Float[Array, "block one two_n"]
    own: Float[Array, "block two_slot two_n"]
    """What acts in the block itself, its cut nodes held."""
    via: Float[Array, "block two_cut two_n"]
    """What the voltages of its cut nodes add."""
    place: Int[Array, " n"]
    """Where each of the quantity's entries is, counted through all blocks."""


@pytree
class Dense:
    """R as one matrix; layout [sample, two_slot]."""

    slots: DenseMap
    nodes: DenseMap
    """Voltages of the named nodes."""
    lines: DenseMap
    """Currents into the lines at all terminals."""
    transformers: DenseMap
    sources: DenseMap
    """Currents of the fixed nodes into the network."""
    sample_axis: int = static(default=0)
    slot_axis: int = static(default=-1)

    @property
    def n_slot(self) -> int:
        """Number of slots in the layout."""
        return int(self.slots.base.shape[0]) // 2

    def respond(self, x: Float[Array, "sample two_slot"]) -> Float[Array, "sample two_slot"]:
        """What the slots see."""
        return self.slots.base + x @ self.slots.matrix

    def evaluate(self, quantity: DenseMap, x: Float[Array, "sample two_slot"]) -> Float[Array, "sample two_n"]:
        """A quantity of all samples as [Re, Im]."""
        return quantity.base + x @ quantity.matrix

    def taken(self, rows: Int[Array, " group"]) -> "Dense":
        """The operator for some samples: it is the same for all."""
        del rows
        return self

    def laid_out(self, values: Float[Array, "sample slot"]) -> Float[Array, "sample slot"]:
        """Values of the slots in the layout."""
        return values

    def collected(self, values: Float[Array, "sample two_slot"]) -> Float[Array, "sample two_slot"]:
        """Inverse of `laid_out`, for [Re, Im]."""
        return values

    def rows(self, flags: Float[Array, " sample"]) -> Float[Array, "sample one"]:
        """A value a sample, to multiply with the layout."""
        return flags[:, None]


@pytree
class Blocks:
    """R in blocks that are coupled through cut nodes; layout [block, sample, two_slot]."""

    slots: BlockMap
    nodes: BlockMap
    lines: BlockMap
    transformers: BlockMap
    sources: BlockMap
    into_cuts: Float[Array, "block two_slot two_cut"]
    """Current that a block sends into its cut nodes when they are held."""
    between_cuts: Float[Array, "all_cuts all_cuts"]
    """Voltages of all blocks' cut nodes from these currents."""
    slot_place: Int[Array, "block slot"]
    """Which slot is where; filled up with the number of slots."""
    sample_axis: int = static(default=1)
    slot_axis: int = static(default=-1)

    @property
    def n_slot(self) -> int:
        """Number of slots of all blocks, filling included."""
        return int(self.slot_place.size)

    def respond(self, x: Float[Array, "block sample two_slot"]) -> Float[Array, "block sample two_slot"]:
        """What the slots see."""
        return self._combine(self.slots, x, self._cuts(x))

    def evaluate(self, quantity: BlockMap, x: Float[Array, "block sample two_slot"]) -> Float[Array, "sample two_n"]:
        """A quantity of all samples as [Re, Im]."""
        blocks = self._combine(quantity, x, self._cuts(x))
        n_sample = blocks.shape[1]
        re, im = (jnp.swapaxes(part, 0, 1).reshape(n_sample, -1) for part in jnp.split(blocks, 2, axis=-1))
        return jnp.concatenate([re[:, quantity.place], im[:, quantity.place]], axis=-1)

    def laid_out(self, values: Float[Array, "sample slot"]) -> Float[Array, "block sample slot"]:
        """Values of the slots in the layout; fillings are zero."""
        filled = jnp.pad(values, ((0, 0), (0, 1)))
        return jnp.moveaxis(filled[:, self.slot_place], 0, 1)

    def collected(self, values: Float[Array, "block sample two_slot"]) -> Float[Array, "sample two_slot"]:
        """Inverse of `laid_out`, for [Re, Im]."""
        n_sample, place = values.shape[1], self.slots.place
        halves = (jnp.swapaxes(part, 0, 1).reshape(n_sample, -1) for part in jnp.split(values, 2, axis=-1))
        return jnp.concatenate([half[:, place] for half in halves], axis=-1)

    def rows(self, flags: Float[Array, " sample"]) -> Float[Array, "one sample one"]:
        """A value a sample, to multiply with the layout."""
        return flags[None, :, None]

    def taken(self, rows: Int[Array, " group"]) -> "Blocks":
        """The operator for some samples: it is the same for all."""
        del rows
        return self

    def _cuts(self, x: Array) -> Float[Array, "block sample two_cut"]:
        """How far the voltages of every block's cut nodes are from those without load."""
        sent = jnp.einsum("ksi,kij->skj", x, self.into_cuts)
        n_sample, n_block, two_cut = sent.shape
        cuts = sent.reshape(n_sample, n_block * two_cut) @ self.between_cuts
        return jnp.swapaxes(cuts.reshape(n_sample, n_block, two_cut), 0, 1)

    def _combine(self, quantity: BlockMap, x: Array, cuts: Array) -> Array:
        own = jnp.einsum("ksi,kij->ksj", x, quantity.own)
        return quantity.base + own + jnp.einsum("ksi,kij->ksj", cuts, quantity.via)


Operator = Dense | Blocks
AnyMap = Any
"""A `DenseMap` or `BlockMap`, as the operator has it."""
