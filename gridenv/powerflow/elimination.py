"""Networks whose switches differ from sample to sample: every sample is assembled and factorised by itself.

All samples share one order of elimination (`symbolic`); what is done in a step is done for all of them at once, with
the batch as the last axis, see `star_mesh`. Nodes that no source reaches are held at zero voltage. Unknown are the
deviations of the voltages from those of the unloaded network with all switches closed.
"""

from jax import Array
from jax import numpy as jnp
from jaxtyping import Bool, Float, Int, Shaped

from gridenv.core.pytree import pytree, static
from gridenv.powerflow.star_mesh import Factors, Pair, Steps, substitute


@pytree
class Ports:
    """Where slots and quantities touch the nodes; one past the last node is ground."""

    slot_from: Int[Array, " slot"]
    slot_to: Int[Array, " slot"]
    node_slots: Int[Array, "node k"]
    """Slots whose current enters or leaves a node; filled up with the number of slots."""
    node_signs: Float[Array, "node k"]
    named: Int[Array, " named"]
    """Nodes that are asked for."""
    reference: Float[Array, "two place"]
    """Voltages that the deviations are counted from, ground last."""


@pytree
class Elimination:
    """R of every sample by substitution; layout [two_slot, sample]. Has what `Dense` and `Blocks` have."""

    steps: Steps
    ports: Ports
    factors: Factors
    live: Bool[Array, "node sample"]
    """Whether a node is supplied; ground is."""
    drift: Pair
    """[node, sample] deviations without load."""
    line_y: Pair
    """[line, terminal, terminal, sample] admittances as switched."""
    line_i0: Pair
    """[line, terminal, sample] currents at the reference voltages."""
    line_nodes: Int[Array, "line terminal"]
    trafo_y: Pair
    trafo_i0: Pair
    trafo_nodes: Int[Array, "transformer terminal"]
    fixed_y: Pair
    """[fixed, k, sample] couplings of the fixed nodes."""
    fixed_near: Int[Array, "fixed near"]
    fixed_i0: Pair
    """[fixed, sample] currents at the reference voltages."""
    fixed_node: Int[Array, " fixed"]
    source_terminal: Int[Array, " fixed"]
    slots: str = static(default="slots")
    nodes: str = static(default="nodes")
    lines: str = static(default="lines")
    transformers: str = static(default="transformers")
    sources: str = static(default="sources")
    sample_axis: int = static(default=1)
    slot_axis: int = static(default=0)

    @property
    def n_slot(self) -> int:
        """Number of slots."""
        return int(self.ports.slot_from.shape[0])

    def respond(self, x: Float[Array, "two_slot sample"]) -> Float[Array, "two_slot sample"]:
        """What the slots see; those without supply see 1 pu, where nothing acts."""
        v = self._voltages(x)
        a, b = self.ports.slot_from, self.ports.slot_to
        supplied = self.slot_live()
        re = jnp.where(supplied, v.re[a] - v.re[b], 1.0)
        im = jnp.where(supplied, v.im[a] - v.im[b], 0.0)
        return jnp.concatenate([re, im])

    def slot_live(self) -> Bool[Array, "slot sample"]:
        """Whether both nodes of a slot are supplied."""
        return self.live[self.ports.slot_from] & self.live[self.ports.slot_to]

    def evaluate(self, quantity: str, x: Float[Array, "two_slot sample"]) -> Float[Array, "sample two_n"]:
        """A quantity of all samples as [Re, Im]."""
        if quantity == self.nodes:
            v = self._voltages(x)
            live = self.live[self.ports.named]
            rows = Pair(*(jnp.where(live, part[self.ports.named], 0.0) for part in v))
        elif quantity == self.sources:
            rows = self._source_quantities(x)
        else:
            y, i0, nodes = (
                (self.line_y, self.line_i0, self.line_nodes)
                if quantity == self.lines
                else (self.trafo_y, self.trafo_i0, self.trafo_nodes)
            )
            live = self.live[nodes].reshape(-1, x.shape[-1])
            current = _element_currents(y, i0, self._deviations(x).at_rows(nodes))
            rows = Pair(*(jnp.where(live, part, 0.0) for part in current))
        return jnp.concatenate(rows).T

    def laid_out(self, values: Float[Array, "sample slot"]) -> Float[Array, "slot sample"]:
        """Values of the slots in the layout."""
        return values.T

    def collected(self, values: Float[Array, "two_slot sample"]) -> Float[Array, "sample two_slot"]:
        """Inverse of `laid_out`, for [Re, Im]."""
        return values.T

    def rows(self, flags: Shaped[Array, " sample"]) -> Shaped[Array, "one sample"]:
        """A value a sample, to multiply with the layout."""
        return flags[None, :]

    def taken(self, rows: Int[Array, " group"]) -> "Elimination":
        """The operator of some samples; rows out of range have no supply."""

        def pick(pair: Pair) -> Pair:
            return Pair(*(jnp.take(part, rows, axis=-1, mode="fill", fill_value=0) for part in pair))

        changed = {
            name: pick(getattr(self, name))
            for name in ("drift", "line_y", "line_i0", "trafo_y", "trafo_i0", "fixed_y", "fixed_i0")
        }
        factors = Factors(**{name: pick(getattr(self.factors, name)) for name in ("out", "into", "pivot")})
        live = jnp.take(self.live, rows, axis=-1, mode="fill", fill_value=False)
        kept = {name: value for name, value in vars(self).items() if name not in changed}
        return Elimination(**{**kept, **changed, "factors": factors, "live": live})

    def _deviations(self, x: Array) -> Pair:
        """[node, sample] from the reference voltages; ground has none."""
        n_slot, n_sample = self.n_slot, x.shape[-1]
        zero = jnp.zeros((1, n_sample), x.dtype)
        halves = Pair(*(jnp.concatenate([part, zero]) for part in (x[:n_slot], x[n_slot:])))
        signs = self.ports.node_signs[..., None]
        acting = Pair(*(jnp.sum(part[self.ports.node_slots] * signs, axis=1) for part in halves))
        return substitute(self.steps, self.factors, Pair(*(jnp.concatenate([p, zero]) for p in acting))) + self.drift

    def _voltages(self, x: Array) -> Pair:
        u, reference = self._deviations(x), self.ports.reference[..., None]
        return Pair(u.re + reference[0], u.im + reference[1])

    def _source_quantities(self, x: Array) -> Pair:
        """Currents of the fixed nodes into the network and the slots there, then voltages of their terminals."""
        v, u = self._voltages(x), self._deviations(x)
        through = self.fixed_y * u.at_rows(self.fixed_near)
        n_slot = self.n_slot
        padded = Pair(*(jnp.pad(part, ((0, 1), (0, 0))) for part in (x[:n_slot], x[n_slot:])))
        slots, signs = self.ports.node_slots[self.fixed_node], self.ports.node_signs[self.fixed_node][..., None]
        fed = Pair(*(jnp.sum(part[slots] * signs, axis=1) for part in padded))
        current = [i0 + jnp.sum(t, axis=1) - f for i0, t, f in zip(self.fixed_i0, through, fed, strict=True)]
        return Pair(*(jnp.concatenate([i, part[self.source_terminal]]) for i, part in zip(current, v, strict=True)))


def _element_currents(y: Pair, i0: Pair, u: Pair) -> Pair:
    """[element * terminal, sample] of `y u + i0`."""
    product = y * Pair(u.re[:, None], u.im[:, None])
    current = Pair(jnp.sum(product.re, axis=2) + i0.re, jnp.sum(product.im, axis=2) + i0.im)
    return Pair(*(part.reshape(-1, part.shape[-1]) for part in current))
