"""tensorpowerflow, given exactly our nodal admittances."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
from tensorpowerflow import GridTensor

from experiments.bench.circuit import Circuit
from experiments.bench.engines import Outcome
from experiments.bench.samples import Samples

DENSE, SPARSE = "tensor", "hp-tensor"


class TensorPowerFlowEngine:
    """Its algorithm "tensor", dense and the fastest of the package on small networks, or "hp-tensor", sparse.

    The package builds networks from tables of lines only, without transformers, charging sums or a source voltage. It
    is therefore made for a stand-in feeder, and the matrices that its iterations use are replaced by ours:
    `K = -inv(Ydd)` and `L = K Yds Vs` of `V = K conj(S / V) + L`, or `Ydd` and `Yds Vs`.
    It starts from 1 + 0j; so that a transformer's phase shift does not cost it iterations, the voltages are expressed
    in a frame that turns with the no-load angle of each node, which changes no magnitude and no power.
    """

    def __init__(self, circuit: Circuit, tolerance: float, threads: int, algorithm: str = DENSE) -> None:
        # Threads are those of NumPy's matrix product, limited for the whole process.
        del threads
        self.circuit = circuit
        self.options = {"tolerance": tolerance, "algorithm": algorithm}
        self.frame = np.exp(1j * np.angle(circuit.no_load))
        self.grid = _stand_in(circuit.s_base_kva)
        self.grid.nb = circuit.n_other + 1
        if algorithm == DENSE:
            self.grid._K_, self.grid._L_ = _dense_matrices(circuit, self.frame)
        else:
            self.grid.Ydd_sparse, self.grid.Yds_sparse = _sparse_matrices(circuit, self.frame)
        self.work = 0

    def prepare(self, samples: Samples) -> None:
        """Demand summed for each node, positive when drawn."""
        self.work = len(samples)
        demand_kva = -self.circuit.node_power_pu(samples) * self.circuit.s_base_kva
        self._p_kw, self._q_kvar = np.ascontiguousarray(demand_kva.real), np.ascontiguousarray(demand_kva.imag)

    def call(self) -> Any:
        """Solve; the package returns complex voltages."""
        self._solution = self.grid.run_pf(self._p_kw, self._q_kvar, **self.options)
        return self._solution["v"]

    def outcome(self) -> Outcome:
        """Voltages; it has one flag for the whole batch."""
        failed = np.full(self.work, not self._solution["convergence"])
        v_pu = self._solution["v"].reshape(self.work, -1) * self.frame
        return Outcome(self.circuit.named_voltage(v_pu), failed, int(np.max(self._solution["iterations_log"])))


def _dense_matrices(circuit: Circuit, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    k = circuit.factors.solve(np.diag(-frame))
    k /= frame[:, None]
    return np.ascontiguousarray(k), (circuit.no_load / frame)[:, None]


def _sparse_matrices(circuit: Circuit, frame: np.ndarray) -> tuple[Any, Any]:
    from scipy.sparse import csr_matrix, diags_array

    n = circuit.n_other
    ydd = diags_array(1.0 / frame) @ circuit.y[:n, :n] @ diags_array(frame)
    yds = (circuit.y[:n, n:] @ circuit.source_v) / frame
    # The package multiplies and stacks in the manner of SciPy's older matrices.
    return csr_matrix(ydd), csr_matrix(yds[:, None])


def _stand_in(s_base_kva: float) -> GridTensor:
    """A feeder of three nodes whose matrices are replaced."""
    nodes = pd.DataFrame({"NODES": [1, 2, 3], "Tb": [1, 0, 0]})
    for column, value in {"PD": 0.0, "QD": 0.0, "Pct": 1.0, "Ict": 0.0, "Zct": 0.0}.items():
        nodes[column] = value
    lines = pd.DataFrame({"FROM": [1, 2], "TO": [2, 3], "R": 1.0, "X": 1.0, "B": 0.0, "STATUS": 1, "TAP": 1})
    with warnings.catch_warnings():
        # It warns that numba is off, and SciPy of its way to invert; neither matters here.
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
