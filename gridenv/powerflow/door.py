"""`PowerFlow`: the one door to the solvers."""

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp
from numpy.typing import ArrayLike, DTypeLike

from gridenv.core.errors import ConfigError, did_you_mean, raise_collected
from gridenv.network import compile_network
from gridenv.network.phase_tables import PhaseNetworkSpec
from gridenv.powerflow import flows, solver
from gridenv.powerflow.arrays import CAPACITORS, LINES, SWITCHES, TAPS, FlowArrays, chosen_slots, flow_arrays
from gridenv.powerflow.controls import Controls, control_arrays, solve_controlled
from gridenv.powerflow.droop import VoltageCurves, curve_problems, host_droop
from gridenv.powerflow.inputs import as_spec, check_asked, check_settings, control_problems, dtype_name, start_problems
from gridenv.powerflow.names import NetworkNames
from gridenv.powerflow.solution import Loadability, Solution
from gridenv.powerflow.solver import Equipment
from gridenv.powerflow.studies import Sensitivity, loadability, sensitivity
from gridenv.powerflow.threads import shared_out

METHODS = ("auto", "dense", "sparse", "newton")
"""`dense` and `sparse` say how the network is held (see `operators`), `newton` that the fixed point is left out."""
DENSE_SLOTS = 100
"""Measured: beyond about this many injection nodes blocks are faster than one matrix, whatever the network."""

DEFAULT_TOLERANCE_PU = {"float32": 3e-7, "float64": 1e-10}
"""Distance from the solution; near the end of what each type resolves."""
DEFAULT_MAX_ITERATIONS = 60
"""Fixed-point iterations before Newton's method takes over."""


class PowerFlow(NetworkNames):
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
        curves: Sequence[VoltageCurves] = (),
    ) -> None:
        """Compile a network.

        Args:
            network: a `NetworkSpec`, or a catalogue name.
            dtype: floating-point type of the solution.
            method: `auto`, `dense`, `sparse` or `newton`.
            tolerance_pu: a sample has converged when its voltages are estimated to be this close to the solution;
                default 3e-7 for float32, 1e-10 for float64.
            max_iterations: fixed-point iterations; samples that need more are handed to Newton's method, and what
                that does not solve either is reported as not converged.
            curves: inverters whose power follows the voltage (volt-var, volt-watt), solved together with the flow.

        Raises:
            ConfigError: for an unknown dtype or method, a setting out of range, or curves that make no sense.
            NetworkError: if the network is inconsistent.
        """
        dtype = dtype_name(dtype)
        check_settings(dtype, method, tolerance_pu, max_iterations, dtypes=DEFAULT_TOLERANCE_PU, methods=METHODS)
        self.spec = as_spec(network)
        self.dtype = dtype
        self.tolerance_pu = DEFAULT_TOLERANCE_PU[dtype] if tolerance_pu is None else tolerance_pu
        self.max_iterations = max_iterations
        self.network = compile_network(self.spec, apart=[c.injection for c in curves])
        raise_collected(curve_problems(curves, self.network.injection_names), ConfigError)
        self._droop = host_droop(self.network, curves)
        self._given_method = method
        self.method = ("dense" if self._is_dense(()) else "sparse") if method == "auto" else method
        self._control_arrays: dict[bool, Controls] = {}
        self._arrays: dict[frozenset[str], FlowArrays] = {}
        self.arrays = self.arrays_for()

    def _is_dense(self, features: Collection[str]) -> bool:
        """How the network is held: as asked, else by the number of slots, those of the features included."""
        if self._given_method in ("dense", "sparse"):
            return self._given_method == "dense"
        return len(chosen_slots(self.network, features)) <= DENSE_SLOTS

    def arrays_for(self, *features: str) -> FlowArrays:
        """Device arrays that let `taps`, `switches`, `capacitors` or `lines` change; made at the first call."""
        key = frozenset(features)
        if key not in self._arrays:
            with self.precision(), jax.ensure_compile_time_eval():
                self._arrays[key] = flow_arrays(
                    self.network, self.dtype, dense=self._is_dense(key), features=key, droop=self._droop
                )
        return self._arrays[key]

    def precision(self) -> AbstractContextManager[Any]:
        """A context in which JAX can hold this solver's type."""
        return jax.enable_x64(True) if self.dtype == "float64" else nullcontext()

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
            ActionError: for a wrong length, batches that do not fit together, or NaN or infinity in arrays that live on
                the host.
        """
        given: dict[str, Any] = {
            "taps": taps,
            "switches": switches,
            "capacitors": capacitors,
            "line_r_scale": line_r_scale,
            "line_x_scale": line_x_scale,
            "z_share": z_share,
            "i_share": i_share,
        }
        given = {name: value for name, value in given.items() if value is not None}
        self._check({"p_kw": p_kw, "q_kvar": q_kvar} | given, start, controls=controls)
        if controls:
            given = {"taps": self.default_taps, "capacitors": self.default_capacitors} | given
        arrays = self.arrays_for(*features_of(given))
        with self.precision():
            p, q = self._cast(p_kw), self._cast(q_kvar)
            equipment = Equipment(**{name: self._cast(value) for name, value in given.items()})
            first = None if start is None else _seen_at_start(arrays, start.slot_current, equipment)
            settings = self._settings
            if controls:
                found = solve_controlled(arrays, self.controls_for(arrays), p, q, first, equipment, **settings)
                v_pu, current, converged, iterations = _outcome(found.solution)
                equipment, settled = found.equipment, found.settled
            else:

                def run(*asked: Any) -> tuple[Array, Array, Array, Array]:
                    with self.precision():  # holds for the thread that enters it
                        return _solve(arrays, *asked, **settings)

                asked = (p, q, first, equipment)
                outcome = shared_out(run, asked, arrays)
                v_pu, current, converged, iterations = outcome
                settled = None
        return Solution(self, arrays.features, v_pu, current, converged, iterations, p, q, equipment, settled)

    def sensitivity(self, solution: Solution, injections: Sequence[str] | None = None) -> Sensitivity:
        """How voltage magnitudes move with the power of injections, at a solution.

        Args:
            solution: of this power flow.
            injections: names of the injections to look at; default all.

        Returns:
            `dv_dp` and `dv_dq` [*batch, node, injection], pu per kW and per kvar fed in.

        Raises:
            ConfigError: for names that are no injections.
        """
        names = self.network.injection_names
        row = {name: i for i, name in enumerate(names)}
        wanted = names if injections is None else tuple(injections)
        unknown = [name for name in wanted if name not in row]
        raise_collected(
            [
                f"power flow: sensitivity to '{name}', which is no injection{did_you_mean(name, names)}"
                for name in unknown
            ],
            ConfigError,
        )
        arrays = self.arrays_for(*solution.features)
        with self.precision():
            start = _seen_at_start(arrays, solution.slot_current, solution.equipment)
            chosen = jnp.asarray([row[name] for name in wanted], "int32")
            return sensitivity(
                arrays, solution.p_kw, solution.q_kvar, start, solution.equipment, chosen, **self._settings
            )

    def loadability(
        self,
        p_kw: ArrayLike | None = None,
        q_kvar: ArrayLike | None = None,
        *,
        resolution: float = 1e-4,
        largest: float = 1000.0,
        taps: ArrayLike | None = None,
        switches: ArrayLike | None = None,
        capacitors: ArrayLike | None = None,
    ) -> Loadability:
        """Largest factor of all injections for which a solution exists, found by continuation from no load.

        Args:
            p_kw: injections that are scaled [*batch, n_injection]; default the network's own.
            q_kvar: likewise.
            resolution: how close to the limit the search goes.
            largest: factor at which it stops where no limit is found.
            taps: as for `solve`.
            switches: as for `solve`.
            capacitors: as for `solve`.

        Returns:
            The factor and the solution there, of every sample.

        Raises:
            ActionError: as `solve`.
        """
        p_kw = self.default_p_kw if p_kw is None else p_kw
        q_kvar = self.default_q_kvar if q_kvar is None else q_kvar
        states = {"taps": taps, "switches": switches, "capacitors": capacitors}
        given: dict[str, Any] = {name: value for name, value in states.items() if value is not None}
        self._check({"p_kw": p_kw, "q_kvar": q_kvar} | given)
        arrays = self.arrays_for(*features_of(given))
        with self.precision():
            p, q = self._cast(p_kw), self._cast(q_kvar)
            equipment = Equipment(**{name: self._cast(value) for name, value in given.items()})
            limits = {"resolution": resolution, "largest": largest}
            scale, found = loadability(arrays, p, q, equipment, **limits, **self._settings)
            at_limit = scale[..., None]
            solution = Solution(self, arrays.features, *_outcome(found), p * at_limit, q * at_limit, equipment, None)
        return Loadability(scale, solution)

    @property
    def _settings(self) -> dict[str, Any]:
        return {
            "tolerance_pu": self.tolerance_pu,
            "max_iterations": self.max_iterations,
            "newton_only": self.method == "newton",
        }

    def controls_for(self, arrays: FlowArrays) -> Controls:
        """Regulators and capacitor controls of a three-phase network, for arrays of `arrays_for`."""
        assert isinstance(self.spec, PhaseNetworkSpec)
        if arrays.one_end not in self._control_arrays:
            with jax.ensure_compile_time_eval():
                self._control_arrays[arrays.one_end] = control_arrays(self.spec, self.network, arrays)
        return self._control_arrays[arrays.one_end]

    def _check(self, asked: dict[str, Any], start: Solution | None = None, *, controls: bool = False) -> None:
        others = control_problems(self.spec) if controls else []
        if start is not None:
            n_start, n_own = (len(power_flow.network.load_slots) for power_flow in (start.power_flow, self))
            others += start_problems(start.slot_current, n_start, n_own, self.dtype)
            asked = asked | {"start": start.slot_current}
        check_asked(self, self.dtype, asked, others)

    def _cast(self, value: ArrayLike) -> Any:
        """In the solver's type; arrays on the host stay there until they are needed."""
        return value.astype(self.dtype) if isinstance(value, Array) else np.asarray(value, self.dtype)


def features_of(given: dict[str, Any]) -> list[str]:
    """Features that the given equipment needs."""
    wanted = {
        TAPS: "taps" in given,
        SWITCHES: "switches" in given,
        CAPACITORS: "capacitors" in given,
        LINES: any("line" in name for name in given),
    }
    return [name for name, is_wanted in wanted.items() if is_wanted]


@partial(jax.jit, static_argnames=("tolerance_pu", "max_iterations", "newton_only"))
def _solve(*asked: Any, **settings: Any) -> tuple[Array, Array, Array, Array]:
    """One compiled call that hands out no more than a `Solution` keeps."""
    return _outcome(solver.solve(*asked, **settings))


def _outcome(solution: solver.FlowSolution) -> tuple[Array, Array, Array, Array]:
    """Voltages, what acts in the slots, convergence and iterations."""
    return solution.v_pu, solution.slot_current, solution.converged, solution.iterations


@jax.jit
def _seen_at_start(arrays: FlowArrays, start: Array, equipment: Equipment) -> Array:
    """What the slots see when what acted in those of the loads acts again; in the others, which may differ, nothing."""
    n_load, n_slot, n_start = arrays.n_load, arrays.n_slot, start.shape[-1] // 2
    if not n_slot == n_start == n_load:
        base = jnp.zeros((*start.shape[:-1], 2 * n_slot), start.dtype)
        base = base.at[..., :n_load].set(start[..., :n_load])
        start = base.at[..., n_slot : n_slot + n_load].set(start[..., n_start : n_start + n_load])
    return flows.of_equipment(flows.slot_voltage, arrays, start, equipment)
