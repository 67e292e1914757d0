"""This project's own solver."""

from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from experiments.bench.circuit import Circuit
from experiments.bench.engines import Outcome
from experiments.bench.samples import Samples
from gridenv.powerflow import PowerFlow


class GridEnvEngine:
    """`PowerFlow.solve`, arrays of its own precision in, complex voltages out."""

    def __init__(self, circuit: Circuit, spec: Any, tolerance: float, threads: int, dtype: str) -> None:
        # The number of threads follows from the processors that the process may use.
        del circuit, threads
        self.power_flow = PowerFlow(spec, dtype=dtype, tolerance_pu=tolerance)
        self.dtype = dtype
        self.work = 0

    def prepare(self, samples: Samples) -> None:
        """Inputs in the engine's precision."""
        self.work = len(samples)
        self._inputs = samples.p_kw.astype(self.dtype), samples.q_kvar.astype(self.dtype)
        self._options: dict[str, Any] = {} if samples.switches is None else {"switches": samples.switches}

    def call(self) -> Any:
        """Solve; `np.asarray` waits for the result and views it without a copy."""
        self._solution = self.power_flow.solve(*self._inputs, **self._options)
        self._v_pu = np.asarray(self._solution.v_pu)
        return self._v_pu

    def outcome(self) -> Outcome:
        """Voltages and samples that did not converge."""
        iterations = int(np.max(np.asarray(self._solution.iterations)))
        return Outcome(self._v_pu, ~np.asarray(self._solution.converged), iterations)


class LossEngine(GridEnvEngine):
    """Sum of all losses of a batch, with its gradient in all injections or without."""

    def __init__(
        self, circuit: Circuit, spec: Any, tolerance: float, threads: int, dtype: str, gradient: bool = False
    ) -> None:
        super().__init__(circuit, spec, tolerance, threads, dtype)

        def loss_kw(p_kw: jax.Array, q_kvar: jax.Array) -> tuple[jax.Array, Any]:
            solution = self.power_flow.solve(p_kw, q_kvar)
            return jnp.sum(solution.loss_kw), (solution.v_pu, solution.converged, solution.iterations)

        gradients = jax.value_and_grad(loss_kw, argnums=(0, 1), has_aux=True)
        self._step = jax.jit(gradients if gradient else loss_kw)

    def call(self) -> Any:
        """Loss, and gradient where asked for; waits for both."""
        self._results = jax.block_until_ready(self._step(*self._inputs))
        return self._results

    def outcome(self) -> Outcome:
        """Voltages; samples that did not converge or whose gradient is not finite."""
        with_gradient = isinstance(self._results[0], tuple)
        (_, found), gradients = self._results if with_gradient else (self._results, ())
        v_pu, converged, iterations = (np.asarray(value) for value in found)
        failed = ~converged | ~np.all([np.isfinite(g).all(axis=-1) for g in gradients] or [True], axis=0)
        return Outcome(v_pu, failed, int(iterations.max()))
