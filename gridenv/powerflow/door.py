"""`PowerFlow`: the one door to the solvers."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp
from numpy.typing import ArrayLike, DTypeLike

from gridenv.core.errors import ActionError, ConfigError, raise_collected
from gridenv.network import compile_network
from gridenv.powerflow import dense, flows
from gridenv.powerflow.arrays import FlowArrays, flow_arrays
from gridenv.powerflow.inputs import as_spec, check_settings, dtype_name, power_problems
from gridenv.powerflow.solution import Solution

SOLVERS: dict[str, Callable[..., dense.FlowSolution]] = {"dense": dense.solve}
"""Methods by name; `auto` picks among them."""

DEFAULT_TOLERANCE_PU = {"float32": 1e-6, "float64": 1e-10}
"""Distance from the solution; near the end of what each type resolves."""
DEFAULT_MAX_ITERATIONS = 500
"""Enough for IEEE-33 at 99.7 % of its loadability limit."""


class PowerFlow:
    """Exact AC power flow of one network, batched and compiled.

    Attributes:
        dtype: "float32" or "float64"; float64 needs no change of JAX's configuration.
        tolerance_pu: estimated distance of the voltages from the solution at which a sample has converged.
    """

    def __init__(
        self,
        network: object,
        dtype: DTypeLike = "float32",
        method: str = "auto",
        *,
        tolerance_pu: float | None = None,
        max_iterations: int = DEFAULT_MAX_ITERATIONS,
    ) -> None:
        """Compile a network.

        Args:
            network: a `NetworkSpec`, or a catalogue name.
            dtype: floating-point type of the solution.
            method: `auto` or `dense`.
            tolerance_pu: a sample has converged when its voltages are estimated to be this close to the solution;
                default 1e-6 for float32, 1e-10 for float64.
            max_iterations: samples that need more are reported as not converged.

        Raises:
            ConfigError: for an unknown dtype or method, or a setting out of range.
            NetworkError: if the network is inconsistent.
        """
        dtype = dtype_name(dtype)
        check_settings(
            dtype, method, tolerance_pu, max_iterations, dtypes=DEFAULT_TOLERANCE_PU, methods=("auto", *SOLVERS)
        )
        self.spec = as_spec(network)
        self.dtype = dtype
        self.method = "dense" if method == "auto" else method
        self.tolerance_pu = DEFAULT_TOLERANCE_PU[dtype] if tolerance_pu is None else tolerance_pu
        self.max_iterations = max_iterations
        self.network = compile_network(self.spec)
        with self.precision():
            self.arrays: FlowArrays = flow_arrays(self.network, dtype)

    def precision(self) -> AbstractContextManager[Any]:
        """A context in which JAX can hold this solver's type."""
        return jax.enable_x64(True) if self.dtype == "float64" else nullcontext()

    @property
    def node_names(self) -> tuple[str, ...]:
        """Bus names in the order of `Solution.v_pu`."""
        return self.network.node_names

    @property
    def injection_names(self) -> tuple[str, ...]:
        """Names of loads, generators and storage, in the order of `p_kw` and `q_kvar`."""
        return self.network.injection_names

    @property
    def default_p_kw(self) -> np.ndarray:
        """The network's own active injections [n_injection], kW; loads negative."""
        return self.network.default_p_kw

    @property
    def default_q_kvar(self) -> np.ndarray:
        """The network's own reactive injections [n_injection], kvar."""
        return self.network.default_q_kvar

    @property
    def tap_names(self) -> tuple[str, ...]:
        """Transformers with a tap changer."""
        return self.network.tap_names

    @property
    def default_taps(self) -> np.ndarray:
        """Their positions; `NetworkSpec.with_taps` gives a network with others."""
        return self.network.default_taps

    @property
    def switch_names(self) -> tuple[str, ...]:
        """Bus-bus switches, then lines (a line is a switch too)."""
        return self.network.switch_names

    @property
    def default_switches(self) -> np.ndarray:
        """Their states, True = closed; `NetworkSpec.with_switches` gives a network with others."""
        return self.network.default_switches

    def solve(self, p_kw: ArrayLike, q_kvar: ArrayLike, *, start: Solution | None = None) -> Solution:
        """Solve a batch of cases; also inside jit, vmap and grad.

        Args:
            p_kw: active power of each injection into the network [*batch, n_injection], any leading axes.
            q_kvar: reactive power likewise; leading axes broadcast against those of `p_kw`.
            start: a solution to start from (same batch), such as the last time step's.

        Returns:
            Voltages, with a residual and a converged flag per sample. Look at `converged`: a case without a
            solution is not an error.

        Raises:
            ActionError: for a wrong length, or NaN or infinity in arrays that live on the host.
        """
        names = self.network.injection_names
        raise_collected(
            [
                *power_problems("p_kw", p_kw, names),
                *power_problems("q_kvar", q_kvar, names),
                *self._start_problems(start),
            ],
            ActionError,
        )
        self._refuse_narrow_tracers(p_kw, q_kvar)
        with self.precision():
            injections = self._cast(p_kw, q_kvar)
            v_pu, current, converged, iterations = _solve(
                self.arrays,
                *injections,
                None if start is None else start.slot_current,
                method=self.method,
                tolerance_pu=self.tolerance_pu,
                max_iterations=self.max_iterations,
            )
            return Solution(self, v_pu, current, converged, iterations, *injections)

    def _start_problems(self, start: Solution | None) -> list[str]:
        if start is None or (
            start.slot_current.dtype == self.dtype and start.slot_current.shape[-1] == self.arrays.n_slot * 2
        ):
            return []
        return [
            f"power flow: start has {start.slot_current.shape[-1] // 2} injection nodes in {start.slot_current.dtype}, "
            f"this network {self.arrays.n_slot} in {self.dtype}; start from a solution of the same power flow"
        ]

    def _refuse_narrow_tracers(self, *values: ArrayLike) -> None:
        if self.dtype != "float64" or jax.config.read("jax_enable_x64"):
            return
        if any(isinstance(value, jax.core.Tracer) for value in values):
            raise ConfigError(
                "power flow: dtype is float64, but JAX traces this call in float32; put jit, vmap or grad inside "
                "`with jax.enable_x64(True):`, or use dtype='float32'"
            )

    def _cast(self, p_kw: ArrayLike, q_kvar: ArrayLike) -> tuple[Any, Any]:
        """Both in the solver's type and of one shape; arrays on the host stay there until they are needed."""
        p, q = (
            value.astype(self.dtype) if isinstance(value, Array) else np.asarray(value, self.dtype)
            for value in (p_kw, q_kvar)
        )
        if p.shape == q.shape:
            return p, q
        p, q = jnp.broadcast_arrays(p, q)
        return p, q


@partial(jax.jit, static_argnames=("method", "tolerance_pu", "max_iterations"))
def _solve(
    arrays: FlowArrays,
    p_kw: Array,
    q_kvar: Array,
    start: Array | None,
    *,
    method: str,
    tolerance_pu: float,
    max_iterations: int,
) -> tuple[Array, Array, Array, Array]:
    """Voltages, currents, convergence and iterations in one compiled call; `start` are currents."""
    voltage = None if start is None else flows.slot_voltage(arrays, start)
    solution = SOLVERS[method](arrays, p_kw, q_kvar, voltage, tolerance_pu=tolerance_pu, max_iterations=max_iterations)
    v_pu = flows.bus_voltage(arrays, solution.slot_current)
    return v_pu, solution.slot_current, solution.converged, solution.iterations
