"""One set of load samples for all engines, the same for a seed."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.bench.circuit import Circuit, Floats

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

    Args:
        spec: a balanced network whose switches are all lines, such as ieee33.
        samples: the injections.
        seed: of the random weights.

    Source: a minimum spanning tree of independent random weights.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import minimum_spanning_tree

    lines = spec.lines
    number = {bus: i for i, bus in enumerate(spec.buses.id)}
    start, end = (np.array([number[bus] for bus in buses]) for buses in (lines.from_bus, lines.to_bus))
    low, high = np.minimum(start, end), np.maximum(start, end)
    row = {pair: i for i, pair in enumerate(zip(low.tolist(), high.tolist(), strict=True))}
    generator = np.random.default_rng([seed, len(samples)])
    closed = np.zeros((len(samples), len(lines)), dtype=bool)
    for states in closed:
        weights = generator.uniform(1.0, 2.0, len(lines))
        tree = minimum_spanning_tree(coo_array((weights, (low, high)), shape=(len(number),) * 2).tocsr()).tocoo()
        states[[row[pair] for pair in zip(tree.coords[0].tolist(), tree.coords[1].tolist(), strict=True)]] = True
    return replace(samples, switches=closed)
