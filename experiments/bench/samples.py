"""One set of load samples for all engines, the same for a seed."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.bench.circuit import Circuit, Floats, Ints
from gridenv.core.units import KW_PER_MW

COMMON_SCALE = (0.3, 1.2)
"""Range of the factor that all injections of a sample share."""
INDIVIDUAL_SCALE = (0.7, 1.3)
"""Range of the factor that each injection of a sample has for itself."""
REVERSED_EVERY = 4
"""Every fourth sample feeds active power back into the grid above."""
REVERSED_SHARE = 0.5
"""Active power of a reversed sample as a share of the load it replaces."""
_BEYOND_LIMIT = 2.0
"""Times `|w|^2 / |z|`, itself at least twice the largest power that a load behind the impedance z can draw."""
_LARGEST_DROP_PU = 0.15


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Injections into the network, loads negative, and states of its switches."""

    p_kw: Floats
    """[sample, injection]"""
    q_kvar: Floats
    switches: NDArray[np.bool_] | None = None
    """[sample, switch] True = closed; None = as built."""

    def __len__(self) -> int:
        return len(self.p_kw)

    def first(self, count: int) -> "Samples":
        """At most the first `count` samples."""
        switches = None if self.switches is None else self.switches[:count]
        return Samples(p_kw=self.p_kw[:count], q_kvar=self.q_kvar[:count], switches=switches)


def random_samples(circuit: Circuit, batch: int, seed: int) -> Samples:
    """The network's own injections, scaled at random; every fourth sample feeds active power back."""
    generator = np.random.default_rng([seed, batch])
    common = generator.uniform(*COMMON_SCALE, (batch, 1))
    scale = common * generator.uniform(*INDIVIDUAL_SCALE, (batch, len(circuit.p_kw)))
    reversed_row = np.arange(batch) % REVERSED_EVERY == REVERSED_EVERY - 1
    direction = np.where(reversed_row, -REVERSED_SHARE, 1.0)[:, None]
    return Samples(p_kw=scale * direction * circuit.p_kw, q_kvar=scale * circuit.q_kvar)


def with_infeasible_sample(circuit: Circuit, samples: Samples) -> Samples:
    """The same samples, but the first asks one constant-power leg for more power than can reach it.

    Source: a load behind |z| and |w| draws at most `|w|^2 / (2 |z| (1 + cos))` <= `|w|^2 / (2 |z|)`.
    """
    legs = circuit.legs
    leg = int(np.flatnonzero((legs.exponent_p == 0.0) & (circuit.p_kw[legs.injection] != 0.0))[0])
    between = circuit.incidence[[leg]].toarray()[0]
    z = between @ circuit.factors.solve(between.astype(complex))
    limit = abs(between @ circuit.no_load) ** 2 / abs(z)
    injection = legs.injection[leg]
    p_kw = samples.p_kw.copy()
    p_kw[0, injection] = -_BEYOND_LIMIT * limit * circuit.s_base_kva / legs.share[leg]
    return replace(samples, p_kw=p_kw)


def with_random_trees(spec: Any, samples: Samples, seed: int) -> Samples:
    """The same samples, each with switches closed along a random spanning tree of the buses.

    Trees whose voltage drop is estimated to exceed 0.15 pu are drawn anew: a tree of one long arm has no solution.

    Args:
        spec: a balanced network of one voltage level whose switches are all lines, such as ieee33.
        samples: the injections.
        seed: of the random weights.

    Source: minimum spanning trees of independent random weights; drop by Baran and Wu, "Optimal capacitor placement on
    radial distribution systems", 1989, without losses: `R p + X q` over the nominal voltage.
    """
    generator = np.random.default_rng([seed, len(samples)])
    closed = np.zeros((len(samples), len(spec.lines)), dtype=bool)
    missing = np.arange(len(samples))
    while len(missing):
        trees = _random_trees(spec, len(missing), generator)
        drop = _estimated_drop(spec, trees, samples.p_kw[missing], samples.q_kvar[missing])
        closed[missing] = trees
        missing = missing[drop > _LARGEST_DROP_PU]
    return replace(samples, switches=closed)


def _line_ends(spec: Any) -> tuple[Ints, Ints]:
    """The lower and the higher bus number of each line."""
    number = {bus: i for i, bus in enumerate(spec.buses.id)}
    ends = np.array([[number[a], number[b]] for a, b in zip(spec.lines.from_bus, spec.lines.to_bus, strict=True)])
    return ends.min(axis=1), ends.max(axis=1)


def _random_trees(spec: Any, count: int, generator: np.random.Generator) -> NDArray[np.bool_]:
    """[tree, line]"""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import minimum_spanning_tree

    low, high = _line_ends(spec)
    n = len(spec.buses)
    row = np.full((n, n), -1)
    row[low, high] = np.arange(len(low))
    closed = np.zeros((count, len(low)), dtype=bool)
    for states in closed:
        tree = minimum_spanning_tree(csr_array((generator.uniform(1.0, 2.0, len(low)), (low, high)), shape=(n, n)))
        states[row[tree.nonzero()]] = True
    return closed


def _estimated_drop(spec: Any, closed: NDArray[np.bool_], p_kw: Floats, q_kvar: Floats) -> Floats:
    """[tree] largest voltage change of any bus, pu, without losses."""
    low, high = _line_ends(spec)
    number = {bus: i for i, bus in enumerate(spec.buses.id)}
    acts = np.array([number[bus] for bus in spec.injections.bus])[:, None] == np.arange(len(spec.buses))
    free = np.setdiff1d(np.arange(len(spec.buses)), [number[bus] for bus in spec.sources.bus])
    change = np.zeros((len(closed), len(free)))
    for ohm, power in ((spec.lines.r_ohm, p_kw), (spec.lines.x_ohm, q_kvar)):
        siemens = closed / ohm
        laplacian = np.zeros((len(closed), len(spec.buses), len(spec.buses)))
        laplacian[:, low, high] = laplacian[:, high, low] = -siemens
        laplacian[:, range(len(spec.buses)), range(len(spec.buses))] = -laplacian.sum(axis=2)
        change += np.linalg.solve(laplacian[:, free][:, :, free], (power @ acts)[:, free, None])[..., 0]
    drop: Floats = np.abs(change).max(axis=1) / (spec.buses.vn_kv[0] ** 2 * KW_PER_MW)
    return drop
