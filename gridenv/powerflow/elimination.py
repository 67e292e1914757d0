"""Networks whose switches differ from sample to sample: every sample is assembled and factorised by itself.

All samples share one order of elimination (`symbolic`); what is done in a step is done for all of them at once, with
the batch as the last axis. A node is eliminated by star-mesh transformation: couplings and the admittance to ground are
kept apart, so that no diagonal is the difference of large numbers and float32 carries switches of next to no impedance.
Which nodes a source reaches is found by the same elimination over truth values; the others are held at zero voltage.

Unknown are the deviations of the voltages from those of the unloaded network with all switches closed.

Source: star-mesh transformation as Gaussian elimination, W. K. Grassmann, M. I. Taksar and D. P. Heyman, "Regenerative
analysis and steady state distributions for Markov chains", Operations Research 33(5), 1985.
"""

from typing import NamedTuple

from jax import Array, lax
from jax import numpy as jnp
from jaxtyping import Bool, Float, Int, Shaped

from gridenv.core.pytree import pytree, static

_UNROLLED = 12
"""Rows up to which additions are written out one by one."""


class Pair(NamedTuple):
    """Real and imaginary parts."""

    re: Array
    im: Array

    def __mul__(self, other: "Pair") -> "Pair":  # type: ignore[override]
        return Pair(self.re * other.re - self.im * other.im, self.re * other.im + self.im * other.re)

    def __add__(self, other: "Pair") -> "Pair":  # type: ignore[override]
        return Pair(self.re + other.re, self.im + other.im)

    def at_rows(self, rows: Array) -> "Pair":
        """Rows of both."""
        return Pair(self.re[rows], self.im[rows])

    def add_at(self, rows: Array, values: "Pair") -> "Pair":
        """Both with values added to rows, which may repeat."""
        if rows.shape[0] > _UNROLLED:
            return Pair(self.re.at[rows].add(values.re), self.im.at[rows].add(values.im))
        re, im = self
        for k in range(rows.shape[0]):  # far faster on a CPU than a scatter of a few rows
            re, im = re.at[rows[k]].add(values.re[k]), im.at[rows[k]].add(values.im[k])
        return Pair(re, im)

    def set_at(self, rows: Array, values: "Pair") -> "Pair":
        """Both with one row replaced."""
        return Pair(self.re.at[rows].set(values.re), self.im.at[rows].set(values.im))

    def total(self) -> "Pair":
        """Sum over the first axis."""
        return Pair(jnp.sum(self.re, axis=0), jnp.sum(self.im, axis=0))


@pytree
class Steps:
    """Addresses of the elimination, see `symbolic.Order`."""

    node: Int[Array, " step"]
    upper: Int[Array, "step u"]
    out_entry: Int[Array, "step u"]
    in_entry: Int[Array, "step u"]
    update: Int[Array, "step pair"]
    pairs: tuple[tuple[int, int], ...] = static()
    is_symmetric: bool = static()

    @property
    def first(self) -> list[int]:
        """Positions of the pairs' first members."""
        return [a for a, _ in self.pairs]

    @property
    def second(self) -> list[int]:
        """Positions of their second members."""
        return [b for _, b in self.pairs]


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
class Factors:
    """The factorised equations of every sample."""

    out: Pair
    """[step, u, sample] coupling to what is still there, over the sum of all couplings."""
    into: Pair
    """The same towards it; empty where both are equal."""
    pivot: Pair
    """[step, sample] inverse of that sum."""


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


def reached(steps: Steps, joined: Bool[Array, "entry sample"], fixed: Int[Array, " fixed"], n_node: int) -> Array:
    """[node, sample] which nodes have a path to a fixed one; ground, the last, counts as reached."""
    n_sample = joined.shape[-1]

    def forward(step: Array, joined: Array) -> Array:
        near = joined[steps.out_entry[step]]
        for k, (a, b) in enumerate(steps.pairs):
            joined = joined.at[steps.update[step, k]].max(near[a] & near[b])
        return joined

    n_step = steps.node.shape[0]
    joined = lax.fori_loop(0, n_step, forward, joined)

    def back(step: Array, live: Array) -> Array:
        at = n_step - 1 - step
        found = jnp.any(joined[steps.out_entry[at]] & live[steps.upper[at]], axis=0)
        return live.at[steps.node[at]].set(found)

    # Ground is no way to be supplied: fillings of `upper` point there, and their entries are false.
    live = jnp.zeros((n_node + 1, n_sample), bool).at[fixed].set(True)
    return lax.fori_loop(0, n_step, back, live).at[n_node].set(True)


def factorise(steps: Steps, coupling: Pair, ground: Pair, live: Bool[Array, "node sample"]) -> Factors:
    """Eliminate all nodes but the fixed ones.

    Args:
        steps: the order.
        coupling: [entry + 1, sample] negative off-diagonal admittances, fill-in zero.
        ground: [node + 1, sample] sums of the rows: what leads to ground.
        live: [node, sample]; the others are tied to ground, so that nothing is singular.
    """
    n_step, width = steps.upper.shape
    n_sample = live.shape[-1]
    tied = jnp.where(live, ground.re, 1.0)
    ground = Pair(tied, jnp.where(live, ground.im, 0.0))
    wide = jnp.zeros((n_step, width, n_sample), tied.dtype)
    first, second = steps.first, steps.second
    slim = jnp.zeros((n_step, n_sample), tied.dtype)

    def step(k: Array, carry: tuple[Pair, Pair, Pair, Pair, Pair]) -> tuple[Pair, Pair, Pair, Pair, Pair]:
        coupling, ground, out, into, pivot = carry
        leaving = coupling.at_rows(steps.out_entry[k])
        own = ground.at_rows(steps.node[k])
        whole = leaving.total() + own
        size = whole.re * whole.re + whole.im * whole.im
        scale = 1.0 / jnp.where(size > 0.0, size, 1.0)
        inverse = Pair(whole.re * scale, -whole.im * scale)
        wide_inverse = Pair(inverse.re[None], inverse.im[None])
        share_out = leaving * wide_inverse
        share_in = share_out if steps.is_symmetric else coupling.at_rows(steps.in_entry[k]) * wide_inverse
        mesh = Pair(*(part[jnp.array(first, "int32")] for part in share_in)) * Pair(
            *(part[jnp.array(second, "int32")] for part in leaving)
        )
        coupling = coupling.add_at(steps.update[k], mesh)
        ground = ground.add_at(steps.upper[k], share_in * Pair(own.re[None], own.im[None]))
        into = into if steps.is_symmetric else into.set_at(k, share_in)
        return coupling, ground, out.set_at(k, share_out), into, pivot.set_at(k, inverse)

    nothing = jnp.zeros((0, 0, n_sample), tied.dtype) if steps.is_symmetric else wide
    begin = (coupling, ground, Pair(wide, wide), Pair(nothing, nothing), Pair(slim, slim))
    _, _, out, into, pivot = lax.fori_loop(0, n_step, step, begin)
    return Factors(out=out, into=into, pivot=pivot)


def substitute(steps: Steps, factors: Factors, current: Pair) -> Pair:
    """Deviations [node + 1, sample] from currents into the nodes; fixed nodes and ground stay at zero."""
    n_step, n_node = steps.node.shape[0], current.re.shape[0] - 1
    into = factors.out if steps.is_symmetric else factors.into

    def forward(k: Array, current: Pair) -> Pair:
        own = current.at_rows(steps.node[k])
        passed = into.at_rows(k) * Pair(own.re[None], own.im[None])
        return current.add_at(steps.upper[k], passed)

    current = lax.fori_loop(0, n_step, forward, current)
    zero = jnp.zeros_like(current.re)

    def back(step: Array, v: Pair) -> Pair:
        k = n_step - 1 - step
        own = current.at_rows(steps.node[k]) * factors.pivot.at_rows(k)
        from_above = (factors.out.at_rows(k) * v.at_rows(steps.upper[k])).total()
        return v.set_at(steps.node[k], own + from_above)

    v = lax.fori_loop(0, n_step, back, Pair(zero, zero))
    return Pair(v.re.at[n_node].set(0.0), v.im.at[n_node].set(0.0))
