"""`PowerFlow`: the one door to the solvers."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp
from numpy.typing import ArrayLike, DTypeLike

from gridenv.core.errors import ActionError, ConfigError, raise_collected
from gridenv.network import compile_network
from gridenv.network.phase_tables import PhaseNetworkSpec
from gridenv.powerflow import flows, solver
from gridenv.powerflow.arrays import CAPACITORS, LINES, SWITCHES, TAPS, FlowArrays, flow_arrays
from gridenv.powerflow.controls import Controls, control_arrays, solve_controlled
from gridenv.powerflow.inputs import as_spec, check_settings, dtype_name, equipment_problems, power_problems
from gridenv.powerflow.solution import Solution
from gridenv.powerflow.solver import Equipment

METHODS = ("auto", "dense", "sparse", "newton")
"""`dense` and `sparse` say how the network is held (see `operators`), `newton` that the fixed point is left out."""
DENSE_SLOTS = 320
"""Measured: beyond about this many injection nodes blocks are faster than one matrix, whatever the network."""

DEFAULT_TOLERANCE_PU = {"float32": 1e-6, "float64": 1e-10}
"""Distance from the solution; near the end of what each type resolves."""
DEFAULT_MAX_ITERATIONS = 60
"""Fixed-point iterations before Newton's method takes over."""


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
            method: `auto`, `dense`, `sparse` or `newton`.
            tolerance_pu: a sample has converged when its voltages are estimated to be this close to the solution;
                default 1e-6 for float32, 1e-10 for float64.
            max_iterations: fixed-point iterations; samples that need more are handed to Newton's method, and what
                that does not solve either is reported as not converged.

        Raises:
            ConfigError: for an unknown dtype or method, or a setting out of range.
            NetworkError: if the network is inconsistent.
        """
        dtype = dtype_name(dtype)
        check_settings(dtype, method, tolerance_pu, max_iterations, dtypes=DEFAULT_TOLERANCE_PU, methods=METHODS)
        self.spec = as_spec(network)
        self.dtype = dtype
        self.tolerance_pu = DEFAULT_TOLERANCE_PU[dtype] if tolerance_pu is None else tolerance_pu
        self.max_iterations = max_iterations
        self.network = compile_network(self.spec)
        few = len(self.network.load_slots) <= DENSE_SLOTS
        self.method = ("dense" if few else "sparse") if method == "auto" else method
        self._is_dense = self.method == "dense" or (self.method == "newton" and few)
        self._control_arrays: Controls | None = None
        self._arrays: dict[frozenset[str], FlowArrays] = {}
        self.arrays = self.arrays_for()

    def arrays_for(self, *features: str) -> FlowArrays:
        """Device arrays that let the features `taps`, `capacitors` or `lines` change; made at the first call."""
        key = frozenset(features)
        if key not in self._arrays:
            with self.precision(), jax.ensure_compile_time_eval():
                self._arrays[key] = flow_arrays(self.network, self.dtype, dense=self._is_dense, features=key)
        return self._arrays[key]

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
        return self.network.circuit.loads.default_p_kw

    @property
    def default_q_kvar(self) -> np.ndarray:
        """The network's own reactive injections [n_injection], kvar."""
        return self.network.circuit.loads.default_q_kvar

    @property
    def tap_names(self) -> tuple[str, ...]:
        """Transformers with a tap changer."""
        return self.network.circuit.tap_names

    @property
    def default_taps(self) -> np.ndarray:
        """Their positions; `NetworkSpec.with_taps` gives a network with others."""
        return self.network.circuit.default_taps

    @property
    def switch_names(self) -> tuple[str, ...]:
        """Bus-bus switches, then lines (a line is a switch too)."""
        return self.network.circuit.switch_names

    @property
    def default_switches(self) -> np.ndarray:
        """Their states, True = closed; `NetworkSpec.with_switches` gives a network with others."""
        return self.network.circuit.default_switches

    @property
    def capacitor_names(self) -> tuple[str, ...]:
        """Capacitor banks that can be switched, in the order of `capacitors`."""
        return self.network.circuit.capacitor_names

    @property
    def default_capacitors(self) -> np.ndarray:
        """Their states, True = closed."""
        return self.network.circuit.capacitor_legs.default_closed

    @property
    def line_names(self) -> tuple[str, ...]:
        """Lines in the order of `line_loading` and of the scales of `solve`."""
        return self.network.circuit.lines.names

    def solve(
        self,
        p_kw: ArrayLike,
        q_kvar: ArrayLike,
        *,
        taps: ArrayLike | None = None,
        switches: ArrayLike | None = None,
        capacitors: ArrayLike | None = None,
        line_r_scale: ArrayLike | None = None,
        line_x_scale: ArrayLike | None = None,
        z_share: ArrayLike | None = None,
        i_share: ArrayLike | None = None,
        controls: bool = False,
        start: Solution | None = None,
    ) -> Solution:
        """Solve a batch of cases; also inside jit, vmap and grad.

        Leading axes of all arguments broadcast. The solution is differentiable in all of them.

        Args:
            p_kw: active power of each injection into the network [*batch, n_injection], any leading axes.
            q_kvar: reactive power likewise.
            taps: positions of the tap changers [*batch, n_tap]; need not be whole; default as built.
            switches: switch states [*batch, n_switch], 1 = closed; default as built. Every sample may have its own,
                radial or meshed; what no source reaches is de-energised and its load unserved.
            capacitors: states of the capacitor banks [*batch, n_capacitor], 1 = closed; default as built.
            line_r_scale: factors of the lines' series resistance [*batch, n_line].
            line_x_scale: factors of the lines' series reactance [*batch, n_line].
            z_share: share of each injection's power that is constant impedance [*batch, n_injection].
            i_share: share that is constant current; both for injections given as constant power.
            controls: let the network's regulators and capacitor controls act, from the positions given or built, until
                none wants to; the solution's `taps`, `capacitors` and `settled` say what came of it.
            start: a solution to start from (same batch), such as the last time step's.

        Returns:
            Voltages, with a residual and a converged flag per sample. Look at `converged`: a case without a
            solution is not an error.

        Raises:
            ActionError: for a wrong length, or NaN or infinity in arrays that live on the host.
        """
        given = {
            "taps": taps,
            "switches": switches,
            "capacitors": capacitors,
            "line_r_scale": line_r_scale,
            "line_x_scale": line_x_scale,
            "z_share": z_share,
            "i_share": i_share,
        }
        given = {name: value for name, value in given.items() if value is not None}
        self._check(p_kw, q_kvar, given, start, self._control_problems() if controls else [])
        if controls:
            given = {"taps": self.default_taps, "capacitors": self.default_capacitors} | given
        wanted = {
            TAPS: "taps" in given,
            SWITCHES: "switches" in given,
            CAPACITORS: "capacitors" in given,
            LINES: any("line" in name for name in given),
        }
        arrays = self.arrays_for(*(name for name, is_wanted in wanted.items() if is_wanted))
        with self.precision():
            injections = tuple(self._cast(value) for value in (p_kw, q_kvar))
            equipment = Equipment(**{name: self._cast(value) for name, value in given.items()})
            first = None if start is None else _seen_at_start(arrays, start.slot_current, equipment)
            settings = {
                "tolerance_pu": self.tolerance_pu,
                "max_iterations": self.max_iterations,
                "newton_only": self.method == "newton",
            }
            if not controls:
                solution = solver.solve(arrays, *injections, first, equipment, **settings)
                return Solution(self, arrays.features, solution, *injections, equipment)
            found = solve_controlled(arrays, self._controls(arrays), *injections, first, equipment, **settings)
            return Solution(self, arrays.features, found.solution, *injections, found.equipment, found.settled)

    def _controls(self, arrays: FlowArrays) -> Controls:
        if self._control_arrays is None:
            with jax.ensure_compile_time_eval():
                self._control_arrays = control_arrays(self.spec, self.network, arrays)
        return self._control_arrays

    def _control_problems(self) -> list[str]:
        if isinstance(self.spec, PhaseNetworkSpec):
            return []
        return [
            f"power flow: controls = True for the balanced network '{self.network.name}', which has no regulator or "
            "capacitor controls; allowed: three-phase networks; give the positions as taps="
        ]

    def _check(
        self, p_kw: ArrayLike, q_kvar: ArrayLike, given: dict[str, Any], start: Solution | None, others: list[str]
    ) -> None:
        names = self.network.injection_names
        members = {
            "taps": self.tap_names,
            "switches": self.switch_names,
            "capacitors": self.capacitor_names,
            "line_r_scale": self.line_names,
            "line_x_scale": self.line_names,
            "z_share": names,
            "i_share": names,
        }
        problems = [*power_problems("p_kw", p_kw, names), *power_problems("q_kvar", q_kvar, names)]
        for name, value in given.items():
            problems += equipment_problems(name, value, members[name])
        if "switches" in given and any("line" in name for name in given):
            problems.append(
                "power flow: line_r_scale and line_x_scale together with switches are not supported; allowed: one or the "
                "other; change the lines of the network instead"
            )
        raise_collected([*problems, *others, *self._start_problems(start)], ActionError)
        self._refuse_narrow_tracers(p_kw, q_kvar, *given.values())

    def _start_problems(self, start: Solution | None) -> list[str]:
        if start is None:
            return []
        n_start, n_own = (len(power_flow.network.load_slots) for power_flow in (start.power_flow, self))
        if start.slot_current.dtype == self.dtype and n_start == n_own:
            return []
        return [
            f"power flow: start has {n_start} injection nodes in {start.slot_current.dtype}, "
            f"this network {n_own} in {self.dtype}; start from a solution of the same power flow"
        ]

    def _refuse_narrow_tracers(self, *values: ArrayLike) -> None:
        if self.dtype != "float64" or jax.config.read("jax_enable_x64"):
            return
        if any(isinstance(value, jax.core.Tracer) for value in values):
            raise ConfigError(
                "power flow: dtype is float64, but JAX traces this call in float32; put jit, vmap or grad inside "
                "`with jax.enable_x64(True):`, or use dtype='float32'"
            )

    def _cast(self, value: ArrayLike) -> Any:
        """In the solver's type; arrays on the host stay there until they are needed."""
        return value.astype(self.dtype) if isinstance(value, Array) else np.asarray(value, self.dtype)


@jax.jit
def _seen_at_start(arrays: FlowArrays, start: Array, equipment: Equipment) -> Array:
    """What the slots see when what acted in those of the loads acts again; in the others, which may differ, nothing."""
    n_load, n_slot, n_start = arrays.member.shape[0], arrays.n_slot, start.shape[-1] // 2
    if not n_slot == n_start == n_load:
        base = jnp.zeros((*start.shape[:-1], 2 * n_slot), start.dtype)
        base = base.at[..., :n_load].set(start[..., :n_load])
        start = base.at[..., n_slot : n_slot + n_load].set(start[..., n_start : n_start + n_load])
    return flows.of_equipment(flows.slot_voltage, arrays, start, equipment)
