"""tensorpowerflow, given exactly our nodal admittances."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
from tensorpowerflow import GridTensor

from experiments.bench.circuit import Circuit, Samples


class TensorPowerFlowEngine:
    """Its dense algorithm "tensor", the fastest of the package on small networks.

    The package builds networks from tables of lines only, without transformers, charging sums or a source voltage. It
    is therefore made for a stand-in feeder of the right size, and the two matrices that its iteration
    `V = K conj(S / V) + L` uses are replaced by ours: `K = -inv(Ydd)` and `L = K Yds Vs`.
    It starts from 1 + 0j; so that a transformer's phase shift does not cost it iterations, the voltages are expressed
    in a frame that turns with the no-load angle of each node, which changes no magnitude and no power.
    """

    def __init__(self, circuit: Circuit, tolerance: float, threads: int) -> None:
        # Threads are those of NumPy's matrix product, limited for the whole process.
        del threads
        self.circuit = circuit
        self.tolerance = tolerance
        self.frame = np.exp(1j * np.angle(circuit.no_load))
        self.grid = _stand_in(len(circuit.other_node), circuit.s_base_kva)
        self.grid._K_ = np.ascontiguousarray(-circuit.impedance * self.frame / self.frame[:, None])
        self.grid._L_ = (circuit.no_load / self.frame)[:, None]
        self.work = 0

    def prepare(self, samples: Samples) -> None:
        """Demand summed for each node, positive when drawn."""
        self.work = len(samples)
        demand_kva = -self.circuit.power_pu(samples) * self.circuit.s_base_kva
        self._p_kw, self._q_kvar = np.ascontiguousarray(demand_kva.real), np.ascontiguousarray(demand_kva.imag)

    def call(self) -> Any:
        """Solve; the package returns complex voltages."""
        self._solution = self.grid.run_pf(self._p_kw, self._q_kvar, tolerance=self.tolerance, algorithm="tensor")
        return self._solution["v"]

    def outcome(self) -> tuple[np.ndarray, np.ndarray]:
        """Voltages; it has one flag for the whole batch."""
        failed = np.full(self.work, not self._solution["convergence"])
        return self.circuit.bus_voltage(self._solution["v"] * self.frame), failed


def _stand_in(n_load: int, s_base_kva: float) -> GridTensor:
    """A feeder whose size is all that counts."""
    nodes = pd.DataFrame({"NODES": np.arange(n_load + 1) + 1})
    nodes["Tb"] = (nodes.NODES == 1).astype(int)
    for column, value in {"PD": 0.0, "QD": 0.0, "Pct": 1.0, "Ict": 0.0, "Zct": 0.0}.items():
        nodes[column] = value
    end = np.arange(n_load) + 2
    lines = pd.DataFrame({"FROM": end - 1, "TO": end, "R": 1.0, "X": 1.0, "B": 0.0, "STATUS": 1, "TAP": 1})
    with warnings.catch_warnings():
        # It warns that numba is off; the algorithm "tensor" does not use numba.
        warnings.simplefilter("ignore")
        return GridTensor(
            node_file_path="",
            lines_file_path="",
            from_file=False,
            nodes_frame=nodes,
            lines_frame=lines,
            s_base=s_base_kva,
            numba=False,
        )
