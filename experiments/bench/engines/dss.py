"""OpenDSS, given exactly our nodal admittances."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import opendssdirect

from experiments.bench.branches import branches, frame
from experiments.bench.circuit import GROUND, Circuit, Complex
from experiments.bench.engines import Outcome
from experiments.bench.samples import Samples
from gridenv.core.units import A_PER_KA, KVA_PER_MVA, SQRT3

_V_KV = 1.0
"""Base voltage to ground of every node."""
_V_PER_KV = A_PER_KA
_SOURCE_OHM = 1e-9
_MODEL = {0.0: 1, 1.0: 5, 2.0: 2}
"""Exponent of the voltage -> load model: constant power, current, impedance."""
_MAX_ITERATIONS = 100
_FREE = "vminpu=0 vlowpu=0 vmaxpu=1000"
"""Loads keep their model at every voltage."""


class OpenDssEngine:
    """Its own loop of time steps with load shapes, one sample a step; each step starts from the one before.

    One reactor stands between any two coupled nodes and from a node to ground: the iteration uses nothing of a network
    but its admittance matrix. Phase shifts of balanced networks are taken out, see `frame`.
    """

    def __init__(self, circuit: Circuit, tolerance: float, threads: int) -> None:
        del threads
        self.circuit = circuit
        self.dss = opendssdirect.NewContext()
        self.dss.Basic.AllowForms(False)
        parts = branches(circuit)
        self.frame = frame(circuit, parts)
        for command in _commands(circuit, parts, self.frame, tolerance):
            self.dss.Text.Command(command)
        self._order = self._node_order()
        self.work = 0

    def prepare(self, samples: Samples) -> None:
        """Each leg of a load gets a load shape in kW and kvar."""
        self.work = len(samples)
        demand_kva = -self.circuit.legs.power_pu(samples, self.circuit.s_base_kva) * self.circuit.s_base_kva
        for leg, values in enumerate(demand_kva.T):
            p_kw, q_kvar = (" ".join(map(repr, part.tolist())) for part in (values.real, values.imag))
            edit = f"loadshape.s{leg} npts={self.work} pmult=[{p_kw}] qmult=[{q_kvar}] useactual=yes"
            self.dss.Text.Command(f"edit {edit}")

    def call(self) -> Any:
        """Solve all samples in turn."""
        self.dss.Text.Command("set hour=0")
        self._raw, self._failed, self._iterations = [], [], 0
        for _ in range(self.work):
            self.dss.Solution.Solve()
            self._raw.append(self.dss.YMatrix.getV())
            self._failed.append(not self.dss.Solution.Converged())
            self._iterations = max(self._iterations, self.dss.Solution.Iterations())
        return self._raw

    def outcome(self) -> Outcome:
        """Voltages and samples that did not converge."""
        raw_v = np.asarray(self._raw).view(complex).reshape(self.work, -1)[:, self._order]
        v_pu: Complex = raw_v * self.frame[: self.circuit.n_other] / (_V_KV * _V_PER_KV)
        return Outcome(self.circuit.named_voltage(v_pu), np.array(self._failed), self._iterations)

    def _node_order(self) -> np.ndarray:
        """Position of each of our nodes that is no source in the engine's vector, which begins with ground."""
        position = {name.lower(): i for i, name in enumerate(self.dss.Circuit.YNodeOrder(), 1)}
        terminals = _terminals(self.circuit)[: self.circuit.n_other]
        return np.array([position[f"{bus}.{conductor}"] for bus, conductor in terminals])


def _terminals(circuit: Circuit) -> list[tuple[str, int]]:
    """Bus and conductor of each node; the ends of a load in delta must be conductors of one bus."""
    terminals = [("source", k - circuit.n_other + 1) for k in range(circuit.n_node)]
    buses: dict[str, int] = {}
    for name, node in reversed(list(zip(circuit.node_names, circuit.name_to_node.tolist(), strict=True))):
        bus, _, conductor = name.rpartition(".") if circuit.n_phase > 1 else (name, "", "1")
        if 0 <= node < circuit.n_other:
            terminals[node] = (f"n{buses.setdefault(bus, len(buses))}", int(conductor))
    return terminals


def _commands(circuit: Circuit, parts: Any, turn: np.ndarray, tolerance: float) -> Iterator[str]:
    terminals = _terminals(circuit)
    name = [f"{bus}.{conductor}" for bus, conductor in terminals]
    ohm = _V_KV**2 * KVA_PER_MVA / circuit.s_base_kva
    yield "clear"
    for k, v in enumerate(circuit.source_v / turn[circuit.n_other :]):
        kind = "circuit.bench" if k == 0 else f"vsource.s{k}"
        impedance = f"z1=[0, {_SOURCE_OHM}] z0=[0, {_SOURCE_OHM}]"
        values = f"basekv={_V_KV} pu={_text(abs(v))} angle={_text(np.rad2deg(np.angle(v)))} {impedance}"
        yield f"new {kind} phases=1 bus1={name[circuit.n_other + k]} {values}"
    z = ohm / parts.series
    for k, (a, b) in enumerate(zip(parts.start, parts.end, strict=True)):
        yield f"new reactor.b{k} phases=1 bus1={name[a]} bus2={name[b]} r={_text(z[k].real)} x={_text(z[k].imag)}"
    for node in np.flatnonzero(parts.shunt):
        z_ground = ohm / parts.shunt[node]
        yield f"new reactor.g{node} phases=1 bus1={name[node]} r={_text(z_ground.real)} x={_text(z_ground.imag)}"
    legs = circuit.legs
    for k in range(len(legs)):
        model, kv = _MODEL[legs.exponent_p[k]], _V_KV * legs.v_rated[k]
        end = 0 if legs.end[k] == GROUND else terminals[legs.end[k]][1]
        yield f"new loadshape.s{k} npts=1 interval=1 pmult=[1] qmult=[0] useactual=yes"
        bus = f"{name[legs.start[k]]}.{end}"
        yield f"new load.d{k} phases=1 bus1={bus} kv={_text(kv)} kw=1 kvar=0 model={model} {_FREE} yearly=s{k}"
    yield f"set voltagebases=[{_V_KV * SQRT3}]"
    yield "calcvoltagebases"
    yield f"set mode=yearly number=1 stepsize=1h controlmode=off tolerance={tolerance} maxiterations={_MAX_ITERATIONS}"


def _text(value: float) -> str:
    """All digits of a number."""
    return repr(float(value))
