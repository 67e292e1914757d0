"""The network as a linear operator from what acts in the slots to what they see: `y = y0 + R x`, for all samples.

Complex numbers are stored as `[Re, Im]` along one axis, the slot axis, so that the batch stays in real matrix products
of one dtype. An operator decides in which layout that is done; the laws of the slots are elementwise and do not care.

`Dense` holds R as one matrix. `Blocks` cuts the network at a few nodes into blocks of some dozen slots: inside a block
R is dense, and what blocks do to one another goes through the voltages of the nodes in the cuts. The work then grows
with the number of nodes and not with its square, all of it in matrix products, and nothing in the compiled program
depends on the shape of the network. Blocks that touch in loops are no special case.

Source: substructuring (Schur complement, Kron reduction); B. Smith, P. Bjorstad and W. Gropp, "Domain decomposition",
Cambridge University Press, 1996, chapter 4.
"""

from jax import Array
from jax import numpy as jnp
from jaxtyping import Float, Int, Shaped

from gridenv.core.pytree import pytree, static


@pytree
class DenseMap:
    """A quantity that is affine in x: `base + x @ matrix`."""

    base: Float[Array, " two_n"]
    matrix: Float[Array, "two_slot two_n"]


@pytree
class BlockMap:
    """The same, cut into blocks."""

    base: Float[Array, "block two_n one"]
    own: Float[Array, "block two_n two_slot"]
    """What acts in the block itself, its cut nodes held."""
    via: Float[Array, "block two_n two_cut"]
    """What the voltages of its cut nodes add."""
    place: Int[Array, " n"]
    """Where the real part of each of the quantity's entries is, counted through all blocks."""
    place_im: Int[Array, " n"]


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

    def rows(self, flags: Shaped[Array, " sample"]) -> Shaped[Array, "sample one"]:
        """A value a sample, to multiply with the layout."""
        return flags[:, None]


@pytree
class Blocks:
    """R in blocks coupled through cut nodes; layout [block, two_slot, sample], so that gathers move whole rows."""

    slots: BlockMap
    nodes: BlockMap
    lines: BlockMap
    transformers: BlockMap
    sources: BlockMap
    into_cuts: Float[Array, "block two_cut two_slot"]
    """Current that a block sends into its cut nodes when they are held."""
    sums: tuple[Int[Array, "_ few"], ...]
    """How the currents of all blocks are summed up to one a cut node: rows to add, of those of the step before."""
    to_cuts: Float[Array, "two_node row"]
    """Voltages of the cut nodes from these currents."""
    cut_place: Int[Array, "block two_cut"]
    """Where the voltages of a block's cut nodes are among all, [Re, Im]; fillings point anywhere."""
    slot_place: Int[Array, "block slot"]
    """Which slot is where; filled up with the number of slots."""
    sample_axis: int = static(default=2)
    slot_axis: int = static(default=1)

    @property
    def n_slot(self) -> int:
        """Number of slots of all blocks, filling included."""
        return int(self.slot_place.size)

    def respond(self, x: Float[Array, "block two_slot sample"]) -> Float[Array, "block two_slot sample"]:
        """What the slots see."""
        return self._combine(self.slots, x)

    def evaluate(self, quantity: BlockMap, x: Float[Array, "block two_slot sample"]) -> Float[Array, "sample two_n"]:
        """A quantity of all samples as [Re, Im]."""
        return _gathered(self._combine(quantity, x), quantity)

    def laid_out(self, values: Float[Array, "sample slot"]) -> Float[Array, "block place sample"]:
        """Values of the slots in the layout; fillings are zero."""
        return jnp.pad(values.T, ((0, 1), (0, 0)))[self.slot_place]

    def collected(self, values: Float[Array, "block two_place sample"]) -> Float[Array, "sample two_slot"]:
        """Inverse of `laid_out`, for [Re, Im]."""
        return _gathered(values, self.slots)

    def rows(self, flags: Shaped[Array, " sample"]) -> Shaped[Array, "one one sample"]:
        """A value a sample, to multiply with the layout."""
        return flags[None, None, :]

    def taken(self, rows: Int[Array, " group"]) -> "Blocks":
        """The operator for some samples: it is the same for all."""
        del rows
        return self

    def _combine(self, quantity: BlockMap, x: Array) -> Array:
        n_sample = x.shape[-1]
        n_block, two_cut = self.into_cuts.shape[:2]
        sent = jnp.einsum("kij,kjs->kis", self.into_cuts, x).reshape(n_block * two_cut, n_sample)
        for rows in self.sums:
            sent = jnp.sum(jnp.take(sent, rows, axis=0, mode="fill", fill_value=0.0), axis=1)
        cuts = (self.to_cuts @ sent)[self.cut_place]
        own = jnp.einsum("kij,kjs->kis", quantity.own, x)
        return quantity.base + own + jnp.einsum("kij,kjs->kis", quantity.via, cuts)


def _gathered(blocks: Float[Array, "block two_n sample"], quantity: BlockMap) -> Float[Array, "sample two_m"]:
    flat = blocks.reshape(blocks.shape[0] * blocks.shape[1], blocks.shape[2])
    return jnp.concatenate([flat[quantity.place], flat[quantity.place_im]]).T
