"""Elimination of the nodes of a network by star-mesh transformation, every sample by itself, the batch last.

Couplings and the admittance to ground are kept apart, so that no diagonal is the difference of large numbers and
float32 carries switches of next to no impedance. Which nodes a source reaches is found by the same steps over truth
values.

Source: star-mesh transformation as Gaussian elimination, W. K. Grassmann, M. I. Taksar and D. P. Heyman, "Regenerative
analysis and steady state distributions for Markov chains", Operations Research 33(5), 1985.
"""

from typing import NamedTuple

from jax import Array, lax
from jax import numpy as jnp
from jaxtyping import Bool, Int

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
class Factors:
    """The factorised equations of every sample."""

    out: Pair
    """[step, u, sample] coupling to what is still there, over the sum of all couplings."""
    into: Pair
    """The same towards it; empty where both are equal."""
    pivot: Pair
    """[step, sample] inverse of that sum."""


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
