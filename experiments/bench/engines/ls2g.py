"""lightsim2grid, given exactly our nodal admittances."""

from typing import Any

import numpy as np
from lightsim2grid.lightsim2grid_cpp import InjectionSweepCPP, LSGrid, TimeSeriesCPP

from experiments.bench.branches import branches, frame
from experiments.bench.circuit import Circuit
from experiments.bench.engines import Outcome
from experiments.bench.samples import Samples
from gridenv.core.units import KVA_PER_MVA, KW_PER_MW

_V_KV = 1.0
_MAX_ITERATIONS = 100
_UNLIMITED_MVAR = 1e9


class LightSimEngine:
    """Newton's method with KLU over a time series whose steps are the samples; with several threads as a sweep.

    A time series starts each step from the one before, a sweep all from the same voltages.

    Its transformers are replaced by branches in a frame that turns with their phase shifts, see `frame`. Its tolerance
    is a power mismatch; one pu of our base is one of its.
    """

    def __init__(self, circuit: Circuit, tolerance: float, threads: int) -> None:
        self.circuit = circuit
        self.tolerance = tolerance
        self.grid, self.frame = _grid(circuit)
        self.threads = threads
        self.start = np.array(circuit.n_node * [1.0 + 0.0j])
        self.start[: circuit.n_other] = circuit.no_load / self.frame[: circuit.n_other]
        self.start[circuit.n_other :] = circuit.source_v / self.frame[circuit.n_other :]
        self.work = 0

    def prepare(self, samples: Samples) -> None:
        """Consumption of each load, MW and Mvar."""
        self.work = len(samples)
        self.series = TimeSeriesCPP(self.grid) if self.threads == 1 else InjectionSweepCPP(self.grid)
        self.series.nb_thread = self.threads
        demand = -self.circuit.legs.power_pu(samples, self.circuit.s_base_kva) * self.circuit.s_base_kva / KW_PER_MW
        self._load_p, self._load_q = np.ascontiguousarray(demand.real), np.ascontiguousarray(demand.imag)
        n_source = len(self.circuit.source_v)
        self._gen_p, self._sgen_p = np.zeros((self.work, n_source)), np.zeros((self.work, 0))

    def call(self) -> Any:
        """Solve all; the first start is the no-load voltage."""
        given = self._gen_p, self._sgen_p, self._load_p, self._load_q
        self.series.compute_Vs(*given, self.start, _MAX_ITERATIONS, self.tolerance)
        self._v_pu = self.series.get_voltages()
        return self._v_pu

    def outcome(self) -> Outcome:
        """Voltages, and the samples that did not converge."""
        n = self.circuit.n_other
        failed = ~np.asarray(self.series.converged_mask(), dtype=bool)
        v_pu = self._v_pu[:, :n] * self.frame[:n]
        return Outcome(self.circuit.named_voltage(v_pu), failed, int(np.max(self.series.get_row_nb_iter())))


def _grid(circuit: Circuit) -> tuple[LSGrid, np.ndarray]:
    parts = branches(circuit)
    turn = frame(circuit, parts)
    impedance = 1.0 / parts.series
    has_shunt = np.flatnonzero(parts.shunt)
    s_base_mva = circuit.s_base_kva / KVA_PER_MVA
    source = np.arange(circuit.n_other, circuit.n_node, dtype=np.int32)
    legs, zeros = circuit.legs, np.zeros(len(circuit.legs))
    grid = LSGrid()
    grid.set_sn_mva(s_base_mva)
    grid.init_bus(circuit.n_node, 1, np.full(circuit.n_node, _V_KV), len(parts.start), 0)
    grid.init_powerlines(
        impedance.real,
        impedance.imag,
        np.zeros(len(parts.start), dtype=complex),
        parts.start.astype(np.int32),
        parts.end.astype(np.int32),
    )
    # A shunt consumes; at one pu `Y*` is the power it draws.
    drawn_mva = np.conj(parts.shunt[has_shunt]) * s_base_mva
    grid.init_shunt(drawn_mva.real.copy(), drawn_mva.imag.copy(), has_shunt.astype(np.int32))
    grid.init_loads(zeros, zeros, legs.start.astype(np.int32))
    limit = np.full(len(source), _UNLIMITED_MVAR)
    grid.init_generators(np.zeros(len(source)), np.abs(circuit.source_v), -limit, limit, source)
    for generator in range(len(source)):
        grid.add_gen_slackbus(generator, 1.0)
    return grid, turn
