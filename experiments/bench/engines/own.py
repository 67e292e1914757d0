"""This project's own solver."""

from typing import Any

import numpy as np

from experiments.bench.circuit import Circuit, Samples
from gridenv.powerflow import PowerFlow


class GridEnvEngine:
    """`PowerFlow.solve`, arrays of its own precision in, complex voltages out."""

    def __init__(self, circuit: Circuit, tolerance: float, threads: int, dtype: str) -> None:
        # The number of threads follows from the processors that the process may use.
        del threads
        self.power_flow = PowerFlow(circuit.name, dtype=dtype, tolerance_pu=tolerance)
        self.dtype = dtype
        self.work = 0

    def prepare(self, samples: Samples) -> None:
        """Inputs in the engine's precision."""
        self.work = len(samples)
        self._p_kw, self._q_kvar = samples.p_kw.astype(self.dtype), samples.q_kvar.astype(self.dtype)

    def call(self) -> Any:
        """Solve; `np.asarray` waits for the result and views it without a copy."""
        self._solution = self.power_flow.solve(self._p_kw, self._q_kvar)
        self._v_pu = np.asarray(self._solution.v_pu)
        return self._v_pu

    def outcome(self) -> tuple[np.ndarray, np.ndarray]:
        """Voltages and samples that did not converge."""
        return self._v_pu, ~np.asarray(self._solution.converged)
