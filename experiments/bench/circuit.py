"""One circuit for all engines, as arrays; SciPy only where it is used, so that no engine carries another's memory."""

from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from experiments.bench.samples import Samples

Complex = NDArray[np.complex128]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

OWN_CIRCUIT = "own"
TWIN = "twin"
"""See `experiments.bench.twin`."""
BALANCED, THREE_PHASE = "balanced", "three-phase"
GROUND = -1
_DRIFT_TOLERANCES = 10.0
"""A solution that one more iteration moves by more than this many tolerances is none."""
_SETTLED_PU = 1e-12
_MOST_ITERATIONS = 300


@dataclass(frozen=True, kw_only=True)
class Legs:
    """Where the injections act: each leg draws or feeds power between two nodes."""

    injection: Ints
    share: Floats
    """[leg] of the injection's power, at the rated voltage."""
    start: Ints
    """[leg] node that a generating leg's current flows into."""
    end: Ints
    """[leg] node it comes from; -1 = ground."""
    v_rated: Floats
    exponent_p: Floats
    exponent_q: Floats

    def __len__(self) -> int:
        return len(self.share)

    def power_pu(self, samples: "Samples", s_base_kva: float) -> Complex:
        """Power into the network at the rated voltage [sample, leg]."""
        power_kva = (samples.p_kw + 1j * samples.q_kvar)[:, self.injection] * self.share
        return np.asarray(power_kva / s_base_kva, dtype=complex)


@dataclass(frozen=True, kw_only=True)
class Circuit:
    """A compiled network as nodal admittances, per unit of `s_base_kva`; nodes of sources come last."""

    case: str
    """Catalogue name of the network."""
    variant: str
    """`own`, or `twin` for its simplified three-phase twin."""
    n_phase: int
    s_base_kva: float
    n_other: int
    """Nodes that are not sources."""
    y_row: Ints
    """Entries of the admittance matrix that are not zero."""
    y_column: Ints
    y_value: Complex
    source_v: Complex
    """[source] voltages of the last nodes."""
    node_names: tuple[str, ...]
    name_to_node: Ints
    """[named node] -1 where de-energised."""
    injection_names: tuple[str, ...]
    p_kw: Floats
    """[injection] the network's own values."""
    q_kvar: Floats
    legs: Legs

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone: what follows from them is made where it is needed."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @property
    def kind(self) -> str:
        """What engines say they can solve."""
        return TWIN if self.variant == TWIN else BALANCED if self.n_phase == 1 else THREE_PHASE

    @property
    def title(self) -> str:
        """Name for people."""
        return self.case if self.variant == OWN_CIRCUIT else f"{self.case} ({self.variant})"

    @property
    def n_node(self) -> int:
        """Number of nodes, source nodes included."""
        return self.n_other + len(self.source_v)

    @cached_property
    def y(self) -> Any:
        """[node, node] as a SciPy array."""
        from scipy.sparse import csc_array

        return csc_array((self.y_value, (self.y_row, self.y_column)), shape=(self.n_node, self.n_node))

    @cached_property
    def factors(self) -> Any:
        """LU factors of the equations of the nodes that are not sources; `factors.solve(currents)` gives voltages."""
        from scipy.sparse.linalg import splu

        return splu(self.y[: self.n_other, : self.n_other].tocsc(), permc_spec="MMD_AT_PLUS_A")

    @cached_property
    def no_load(self) -> Complex:
        """[other] voltages without injections."""
        no_load: Complex = self.factors.solve(-(self.y[: self.n_other, self.n_other :] @ self.source_v))
        return no_load

    @cached_property
    def incidence(self) -> Any:
        """[leg, other] +1 where a leg's current flows in, -1 where it comes from."""
        from scipy.sparse import csr_array

        ends = np.concatenate([self.legs.start, self.legs.end])
        leg = np.tile(np.arange(len(self.legs)), 2)
        sign = np.repeat([1.0, -1.0], len(self.legs))
        acts = (ends >= 0) & (ends < self.n_other)
        return csr_array((sign[acts], (leg[acts], ends[acts])), shape=(len(self.legs), self.n_other))

    def node_power_pu(self, samples: "Samples") -> Complex:
        """Power into each node that is no source [sample, other]; for constant power to ground only."""
        power_pu: Complex = np.asarray(self.legs.power_pu(samples, self.s_base_kva) @ self.incidence)
        return power_pu

    def named_voltage(self, other: Complex) -> Complex:
        """[sample, named node] from [sample, other]; 0 where de-energised."""
        node = np.concatenate([other, np.broadcast_to(self.source_v, (len(other), len(self.source_v)))], axis=1)
        named: Complex = node[:, self.name_to_node]
        named[:, self.name_to_node < 0] = 0.0
        return named

    def other_voltage(self, named: Complex) -> Complex:
        """[sample, other] from [sample, named node]: every node that is no source has a name."""
        name = np.full(self.n_node, -1)
        has_node = self.name_to_node >= 0
        name[self.name_to_node[has_node]] = np.flatnonzero(has_node)
        return named[:, name[: self.n_other]]

    def iterate(self, samples: "Samples", other: Complex) -> Complex:
        """One fixed-point iteration in double precision.

        Source: V = w + Z I(V), which every solution satisfies, whatever engine found it.
        """
        legs, n = self.legs, len(other)
        sources = np.broadcast_to(self.source_v, (n, len(self.source_v)))
        node = np.concatenate([other, sources, np.zeros((n, 1))], axis=1)  # the last one is ground, number -1
        with np.errstate(all="ignore"):
            u = node[:, legs.start] - node[:, legs.end]
            relative = np.abs(u) / legs.v_rated
            s = legs.power_pu(samples, self.s_base_kva)
            s = s.real * relative**legs.exponent_p + 1j * s.imag * relative**legs.exponent_q
            current = np.where(s == 0.0, 0.0, np.conj(s / np.where(s == 0.0, 1.0, u))) @ self.incidence
            again: Complex = self.no_load + self.factors.solve(np.ascontiguousarray(current.T)).T
        return again

    def drift_beyond(self, samples: "Samples", named_v: Complex, tolerance: float) -> NDArray[np.bool_]:
        """Which samples have voltages that are no solution [sample]: one more iteration moves them."""
        other = self.other_voltage(named_v)
        with np.errstate(all="ignore"):
            drift = np.max(np.abs(self.iterate(samples, other) - other), axis=1, initial=0.0)
        unsolved: NDArray[np.bool_] = ~(drift <= _DRIFT_TOLERANCES * tolerance)
        return unsolved

    def settled(self, samples: "Samples") -> Complex:
        """Voltages [sample, named node] that further iterations no longer move."""
        v = np.broadcast_to(self.no_load, (len(samples), self.n_other))
        for _ in range(_MOST_ITERATIONS):
            before, v = v, self.iterate(samples, v)
            if np.max(np.abs(v - before), initial=0.0) < _SETTLED_PU:
                break
        return self.named_voltage(v)


def circuit_of(spec: Any, case: str, variant: str = OWN_CIRCUIT) -> Circuit:
    """The circuit of a network's tables.

    Raises:
        NetworkError: if the tables are inconsistent.
    """
    from gridenv.network import compile_network

    network = compile_network(spec)
    full, n_other = network.circuit, network.y_node.shape[0]
    fixed_node, first = np.unique(full.alias[full.fixed_node], return_index=True)
    number = network.row.copy()
    for k, node in enumerate(fixed_node):
        number[full.alias == node] = n_other + k
    solved = np.flatnonzero((network.row >= 0) & (full.alias == np.arange(full.n_node)))
    kept = np.concatenate([solved[np.argsort(network.row[solved])], fixed_node])
    y = network.y_full[kept][:, kept].tocoo()
    return Circuit(
        case=case,
        variant=variant,
        n_phase=full.n_phase,
        s_base_kva=full.s_base_kva,
        n_other=n_other,
        y_row=y.coords[0].astype(np.int64),
        y_column=y.coords[1].astype(np.int64),
        y_value=y.data,
        source_v=full.fixed_v[first],
        node_names=full.node_names,
        name_to_node=number[: len(full.node_names)],
        injection_names=full.loads.names,
        p_kw=full.loads.default_p_kw,
        q_kvar=full.loads.default_q_kvar,
        legs=_legs(full.loads, number, network.served, n_other),
    )


def _legs(loads: Any, number: Ints, served: NDArray[np.bool_], n_other: int) -> Legs:
    """Legs that act on the voltage of a node that is no source."""
    start = number[loads.node_from]
    end = np.where(loads.node_to >= 0, number[loads.node_to], GROUND)
    at_other = ((start >= 0) & (start < n_other)) | ((end >= 0) & (end < n_other))
    acts = served[loads.injection] & at_other
    return Legs(
        injection=loads.injection[acts],
        share=loads.share[acts],
        start=start[acts],
        end=end[acts],
        v_rated=loads.v_rated[acts],
        exponent_p=loads.exponent_p[acts],
        exponent_q=loads.exponent_q[acts],
    )
