"""One circuit and one set of load samples for all engines; NumPy only, so that no engine carries another's memory."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Complex = NDArray[np.complex128]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

COMMON_SCALE = (0.3, 1.2)
"""Range of the factor that all injections of a sample share."""
INDIVIDUAL_SCALE = (0.7, 1.3)
"""Range of the factor that each injection of a sample has for itself."""
REVERSED_EVERY = 4
"""Every fourth sample feeds active power back into the grid above."""
REVERSED_SHARE = 0.5
"""Active power of a reversed sample as a share of the load it replaces."""
_BEYOND_LIMIT = 2.0
"""Times `|w|^2 / |z|`, itself at least twice the largest power that a bus behind the impedance z can draw."""
_DRIFT_TOLERANCES = 10.0
"""A solution that one more iteration moves by more than this many tolerances is none."""


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Injections into the network, loads negative."""

    p_kw: Floats
    """[sample, injection]"""
    q_kvar: Floats

    def __len__(self) -> int:
        return len(self.p_kw)

    def first(self, count: int) -> "Samples":
        """At most the first `count` samples."""
        return Samples(p_kw=self.p_kw[:count], q_kvar=self.q_kvar[:count])


@dataclass(frozen=True, kw_only=True)
class Circuit:
    """A compiled network as nodal admittances, per unit of `s_base_kva`."""

    name: str
    """Catalogue name of the network."""
    s_base_kva: float
    y: Complex
    """[node, node]"""
    source_node: Ints
    source_v: Complex
    node_names: tuple[str, ...]
    """[bus]"""
    bus_to_node: Ints
    """-1 for de-energised buses."""
    injection_names: tuple[str, ...]
    injection_node: Ints
    """-1 where an injection acts on no voltage: out of service, without supply, or at a source."""
    p_kw: Floats
    """[injection] the network's own values."""
    q_kvar: Floats

    @property
    def n_node(self) -> int:
        """Number of nodes, source nodes included."""
        return len(self.y)

    @cached_property
    def other_node(self) -> Ints:
        """Nodes that are not sources."""
        return np.setdiff1d(np.arange(self.n_node), self.source_node)

    @cached_property
    def impedance(self) -> Complex:
        """[other, other] voltage response to injected currents: the inverse of Ydd."""
        inverse: Complex = np.linalg.inv(self.y[np.ix_(self.other_node, self.other_node)]).astype(np.complex128)
        return inverse

    @cached_property
    def no_load(self) -> Complex:
        """[other] voltages without injections."""
        no_load: Complex = -self.impedance @ (self.y[np.ix_(self.other_node, self.source_node)] @ self.source_v)
        return no_load

    def power_pu(self, samples: Samples) -> Complex:
        """Power into each node that is no source [sample, other]."""
        acts_at = self.injection_node[:, None] == self.other_node[None, :]
        power_pu: Complex = ((samples.p_kw + 1j * samples.q_kvar) @ acts_at) / self.s_base_kva
        return power_pu

    def bus_voltage(self, other: Complex) -> Complex:
        """[sample, bus] from [sample, other]."""
        node = np.empty((len(other), self.n_node), dtype=np.complex128)
        node[:, self.other_node] = other
        node[:, self.source_node] = self.source_v
        bus: Complex = node[:, self.bus_to_node]
        bus[:, self.bus_to_node < 0] = 0.0
        return bus

    def drift(self, samples: Samples, bus_v: Complex) -> Floats:
        """How far one more fixed-point iteration in double precision moves each sample, pu; infinite if not finite.

        Source: V = w + Z conj(S / V), which every solution satisfies, whatever engine found it.
        """
        bus = np.empty(self.n_node, dtype=np.int64)
        bus[self.bus_to_node[self.bus_to_node >= 0]] = np.flatnonzero(self.bus_to_node >= 0)
        v = bus_v[:, bus[self.other_node]]
        with np.errstate(all="ignore"):
            again = self.no_load + np.conj(self.power_pu(samples) / v) @ self.impedance.T
            drift = np.max(np.abs(again - v), axis=1)
        return np.where(np.isfinite(drift), drift, np.inf)

    def drift_beyond(self, samples: Samples, bus_v: Complex, tolerance: float) -> NDArray[np.bool_]:
        """Which samples have voltages that are no solution [sample]."""
        unsolved: NDArray[np.bool_] = self.drift(samples, bus_v) > _DRIFT_TOLERANCES * tolerance
        return unsolved


def load_circuit(name: str) -> Circuit:
    """The circuit of a network of the catalogue.

    Raises:
        NetworkError: if there is no such network.
        MissingExtraError: if it needs a package that is not installed.
    """
    from gridenv.network import compile_network, load_network

    network = compile_network(load_network(name))
    acts = network.injection_to_slot >= 0
    return Circuit(
        name=name,
        s_base_kva=network.s_base_kva,
        y=network.y_node.toarray(),
        source_node=network.bus_to_node[network.source_bus],
        source_v=network.source_v,
        node_names=network.node_names,
        bus_to_node=network.bus_to_node,
        injection_names=network.injection_names,
        injection_node=np.where(acts, network.bus_to_node[network.injection_bus], -1),
        p_kw=network.default_p_kw,
        q_kvar=network.default_q_kvar,
    )


def random_samples(circuit: Circuit, batch: int, seed: int) -> Samples:
    """The network's own injections, scaled at random; every fourth sample feeds active power back."""
    generator = np.random.default_rng([seed, batch])
    common = generator.uniform(*COMMON_SCALE, (batch, 1))
    scale = common * generator.uniform(*INDIVIDUAL_SCALE, (batch, len(circuit.p_kw)))
    reversed_row = np.arange(batch) % REVERSED_EVERY == REVERSED_EVERY - 1
    direction = np.where(reversed_row, -REVERSED_SHARE, 1.0)[:, None]
    return Samples(p_kw=scale * direction * circuit.p_kw, q_kvar=scale * circuit.q_kvar)


def with_infeasible_sample(circuit: Circuit, samples: Samples) -> Samples:
    """The same samples, but the first asks one node for more power than can reach it.

    Source: a load behind |z| and |w| draws at most `|w|^2 / (2 |z| (1 + cos))` <= `|w|^2 / (2 |z|)`.
    """
    injection = int(np.flatnonzero(circuit.injection_node >= 0)[0])
    position = int(np.flatnonzero(circuit.other_node == circuit.injection_node[injection])[0])
    limit = abs(circuit.no_load[position]) ** 2 / abs(circuit.impedance[position, position])
    p_kw = samples.p_kw.copy()
    p_kw[0, injection] = -_BEYOND_LIMIT * limit * circuit.s_base_kva
    return Samples(p_kw=p_kw, q_kvar=samples.q_kvar)
