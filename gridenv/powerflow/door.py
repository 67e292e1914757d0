"""`PowerFlow`: the one door to the solvers."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property, partial
from typing import Any

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp
from jaxtyping import Bool, Complex, Float, Int
from numpy.typing import ArrayLike

from gridenv.core.errors import ActionError, ConfigError, did_you_mean, raise_collected
from gridenv.network import NetworkSpec, compile_network, load_network
from gridenv.powerflow import dense, flows
from gridenv.powerflow.arrays import FlowArrays, flow_arrays

SOLVERS: dict[str, Callable[..., dense.FlowSolution]] = {"dense": dense.solve}
"""Methods by name; `auto` picks among them."""

DEFAULT_TOLERANCE_PU = {"float32": 1e-6, "float64": 1e-10}
"""Largest voltage change of the last iteration; near the end of what each type resolves."""
DEFAULT_MAX_ITERATIONS = 500
"""Enough for IEEE-33 at 99.7 % of its loadability limit."""


class PowerFlow:
    """Exact AC power flow of one network, batched and compiled.

    Attributes:
        dtype: "float32" or "float64"; float64 needs no change of JAX's configuration.
        tolerance_pu: a sample has converged when no voltage changes by more than this in an iteration.
    """

    def __init__(
        self,
        network: NetworkSpec | str,
        dtype: str = "float32",
        method: str = "auto",
        *,
        tolerance_pu: float | None = None,
        max_iterations: int = DEFAULT_MAX_ITERATIONS,
    ) -> None:
        """Compile a network.

        Args:
            network: tables, or a catalogue name.
            dtype: floating-point type of the solution.
            method: `auto` or `dense`.
            tolerance_pu: default 1e-6 for float32, 1e-10 for float64.
            max_iterations: samples that need more are reported as not converged.

        Raises:
            ConfigError: for an unknown dtype or method, or a setting out of range.
            NetworkError: if the network is inconsistent.
        """
        _check_settings(dtype, method, tolerance_pu, max_iterations)
        self.spec = load_network(network) if isinstance(network, str) else network
        self.dtype = dtype
        self.method = "dense" if method == "auto" else method
        self.tolerance_pu = DEFAULT_TOLERANCE_PU[dtype] if tolerance_pu is None else tolerance_pu
        self.max_iterations = max_iterations
        self.network = compile_network(self.spec)
        with self.precision():
            self.arrays: FlowArrays = flow_arrays(self.network, dtype)
        self._solve = partial(SOLVERS[self.method], tolerance_pu=self.tolerance_pu, max_iterations=max_iterations)

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

    def solve(self, p_kw: ArrayLike, q_kvar: ArrayLike, *, start: "Solution | None" = None) -> "Solution":
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
        raise_collected([*_problems("p_kw", p_kw, names), *_problems("q_kvar", q_kvar, names)], ActionError)
        slot_voltage = None if start is None else start.flow.slot_voltage
        with self.precision():
            injections = self._cast(p_kw, q_kvar)
            return Solution(self, self._solve(self.arrays, *injections, slot_voltage), *injections)

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


@jax.tree_util.register_pytree_node_class
class Solution:
    """A solved batch. Quantities beyond the voltages are computed when asked for; leading axes are the batch."""

    def __init__(self, power_flow: PowerFlow, flow: dense.FlowSolution, p_kw: Any, q_kvar: Any) -> None:
        self.power_flow = power_flow
        self.flow = flow
        self.p_kw = p_kw
        self.q_kvar = q_kvar

    def tree_flatten(self) -> tuple[tuple[Any, ...], PowerFlow]:
        """Leaves and the power flow that they belong to."""
        return (self.flow, self.p_kw, self.q_kvar), self.power_flow

    @classmethod
    def tree_unflatten(cls, power_flow: PowerFlow, leaves: tuple[Any, ...]) -> "Solution":
        """Inverse of `tree_flatten`."""
        return cls(power_flow, *leaves)

    @cached_property
    def v_pu(self) -> Complex[Array, "*batch node"]:
        """Complex voltages in the order of `node_names`, pu of each bus's nominal voltage; 0 where de-energised."""
        return self._derive(flows.complex_voltage)

    @property
    def residual_pu(self) -> Float[Array, "*batch"]:
        """Largest apparent-power mismatch of any node, pu of 1 MVA."""
        return self.flow.residual_pu

    @property
    def converged(self) -> Bool[Array, "*batch"]:
        """Whether a solution was found to the tolerance."""
        return self.flow.converged

    @property
    def iterations(self) -> Int[Array, "*batch"]:
        """Iterations that the sample needed."""
        return self.flow.iterations

    @property
    def energised(self) -> Bool[Array, "*batch node"]:
        """Whether each node is connected to a source."""
        return jnp.broadcast_to(self.power_flow.network.energised, (*self.flow.converged.shape, self._n_node))

    @cached_property
    def loss_kw(self) -> Float[Array, "*batch"]:
        """Active power lost in the whole network, shunts included."""
        return self._derive(flows.loss_kw, self.p_kw)

    @cached_property
    def source_p_kw(self) -> Float[Array, "*batch"]:
        """Active power from the upstream grid, all sources together."""
        return self._source_power.p_kw

    @cached_property
    def source_q_kvar(self) -> Float[Array, "*batch"]:
        """Reactive power from the upstream grid."""
        return self._source_power.q_kvar

    @cached_property
    def line_loading(self) -> Float[Array, "*batch line"]:
        """Current of every line as a share of its rating (1.0 = rated); 0 where no rating is known."""
        return self._derive(flows.line_loading)

    @cached_property
    def line_current_a(self) -> Float[Array, "*batch line"]:
        """Current of every line, the larger of its ends, A."""
        return self._derive(flows.line_current_a)

    @cached_property
    def transformer_loading(self) -> Float[Array, "*batch transformer"]:
        """Current of every transformer as a share of its rating, the larger of its sides."""
        return self._derive(flows.transformer_loading)

    @property
    def _n_node(self) -> int:
        return self.power_flow.network.n_bus

    @cached_property
    def _source_power(self) -> flows.SourcePower:
        return self._derive(flows.source_power, self.p_kw, self.q_kvar)

    def _derive(self, quantity: Callable[..., Any], *injections: Array | np.ndarray) -> Any:
        power_flow = self.power_flow
        with power_flow.precision():
            return quantity(power_flow.arrays, self.flow, *injections)


def _check_settings(dtype: str, method: str, tolerance_pu: float | None, max_iterations: int) -> None:
    problems = []
    if dtype not in DEFAULT_TOLERANCE_PU:
        problems.append(f"power flow: unknown dtype '{dtype}'{did_you_mean(dtype, DEFAULT_TOLERANCE_PU)}")
    if method != "auto" and method not in SOLVERS:
        problems.append(f"power flow: unknown method '{method}'{did_you_mean(method, ['auto', *SOLVERS])}")
    if tolerance_pu is not None and not tolerance_pu > 0:
        problems.append(f"power flow: tolerance_pu must be > 0, got {tolerance_pu}")
    if max_iterations < 1:
        problems.append(f"power flow: max_iterations must be >= 1, got {max_iterations}")
    raise_collected(problems, ConfigError)


def _problems(name: str, value: ArrayLike, injections: tuple[str, ...]) -> list[str]:
    shape = np.shape(value)
    if not shape or shape[-1] != len(injections):
        return [
            f"power flow: {name} has shape {shape}; its last axis must have {len(injections)} entries, "
            "one for each of pf.injection_names"
        ]
    # Values on an accelerator or inside jit cannot be looked at here; there a NaN shows as converged = False.
    if isinstance(value, Array):
        return []
    host = np.asarray(value)
    if np.isfinite(host.sum()):
        return []
    bad = np.argwhere(~np.isfinite(host))
    if not len(bad):
        return []
    where = tuple(int(i) for i in bad[0])
    sample = f" of sample {where[:-1]}" if len(where) > 1 else ""
    return [
        f"power flow: {name} of '{injections[where[-1]]}'{sample} is {host[where]}; it must be finite"
        f" ({len(bad)} such values)"
    ]
