"""pandapower, one sample after the other, on its own version of the network."""

import importlib.util
from typing import Any

import numpy as np
from pandapower import runpp

from experiments.bench.circuit import Circuit
from experiments.bench.engines import Outcome
from experiments.bench.samples import Samples
from gridenv.core.errors import NetworkError
from gridenv.core.units import KVA_PER_MVA, KW_PER_MW
from gridenv.network.catalog import PANDAPOWER_NETWORKS, SIMBENCH_PREFIX
from gridenv.network.import_pandapower import build_pandapower, build_simbench

_TWINS = {"ieee33": "case33bw"}
"""Bundled case -> function of `pandapower.networks` with the same data; its buses are counted from 0."""
_SIGN = {"load": -1.0, "sgen": 1.0, "storage": -1.0}
"""Power into the network of a positive table value."""


class PandapowerEngine:
    """Newton's method of `runpp` with numba where installed, loads set in the tables before each solve."""

    def __init__(self, circuit: Circuit, tolerance: float, threads: int) -> None:
        del threads
        self.circuit = circuit
        self.net, self.bus, injections = _network(circuit)
        self.options: dict[str, Any] = {
            "algorithm": "nr",
            "calculate_voltage_angles": True,
            # Its tolerance is a power mismatch; one pu of our power base is 1 MVA.
            "tolerance_mva": tolerance * circuit.s_base_kva / KVA_PER_MVA,
            "numba": importlib.util.find_spec("numba") is not None,
        }
        self._columns = _by_table(injections)
        for table in self._columns:
            self.net[table]["scaling"] = 1.0
        self.work = 0

    def prepare(self, samples: Samples) -> None:
        """Values for each table, MW and Mvar."""
        self.work = len(samples)
        self._values = {
            table: [
                (_SIGN[table] * p / KW_PER_MW, _SIGN[table] * q / KW_PER_MW)
                for p, q in zip(samples.p_kw[:, columns], samples.q_kvar[:, columns], strict=True)
            ]
            for table, (columns, _) in self._columns.items()
        }

    def call(self) -> Any:
        """Solve all samples in turn."""
        self._v_pu = np.stack([self._solve(sample) for sample in range(self.work)])
        return self._v_pu

    def outcome(self) -> Outcome:
        """Voltages; a sample that does not converge raises."""
        return Outcome(self._v_pu, np.zeros(self.work, dtype=bool), int(self.net._ppc["iterations"]))

    def _solve(self, sample: int) -> np.ndarray:
        for table, (_, rows) in self._columns.items():
            p_mw, q_mvar = self._values[table][sample]
            self.net[table].loc[rows, "p_mw"] = p_mw
            self.net[table].loc[rows, "q_mvar"] = q_mvar
        runpp(self.net, **self.options)
        result = self.net.res_bus.loc[self.bus]
        v_pu: np.ndarray = result["vm_pu"].to_numpy() * np.exp(1j * np.deg2rad(result["va_degree"].to_numpy()))
        return v_pu


def _network(circuit: Circuit) -> tuple[Any, list[int], list[tuple[str, int]]]:
    """The network, its index of each of our buses, and table and index of each of our injections."""
    name = circuit.case
    if name in _TWINS:
        net = build_pandapower(_TWINS[name], {})
        load_at = {int(bus) + 1: int(row) for row, bus in net.load["bus"].items()}
        bus = [int(node) - 1 for node in circuit.node_names]
        return net, bus, [("load", load_at[int(i.partition(".")[2])]) for i in circuit.injection_names]
    if name in PANDAPOWER_NETWORKS:
        net = build_pandapower(PANDAPOWER_NETWORKS[name].function, PANDAPOWER_NETWORKS[name].arguments)
    elif name.startswith(SIMBENCH_PREFIX):
        net = build_simbench(name.removeprefix(SIMBENCH_PREFIX))
    else:
        raise NetworkError(f"case '{name}': pandapower has no such network")
    parts = [i.partition(".") for i in circuit.injection_names]
    return net, [int(node) for node in circuit.node_names], [(table, int(row)) for table, _, row in parts]


def _by_table(injections: list[tuple[str, int]]) -> dict[str, tuple[list[int], list[int]]]:
    """Table -> columns of the samples and rows of the table."""
    return {
        table: (
            [column for column, (t, _) in enumerate(injections) if t == table],
            [row for t, row in injections if t == table],
        )
        for table in dict.fromkeys(t for t, _ in injections)
    }
