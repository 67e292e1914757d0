"""power-grid-model, given exactly our nodal admittances."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from power_grid_model import PowerGridModel, initialize_array

from experiments.bench.circuit import Circuit, Samples

_S_BASE_VA = 1e6
"""Power base of the library, fixed. Source: power-grid-model documentation."""
_U_RATED_V = 1e3
"""Every base impedance is then one ohm, so that our per-unit values can be handed over."""
_SHORT_CIRCUIT_VA = 1e20
"""Behind a source; its impedance of 1e-14 pu leaves the source voltage what ours is."""
_SEQUENTIAL = -1
_MAX_ITERATIONS = 100
_ROUNDING = 1e-14
"""Share of a diagonal admittance that is left over by rounding when its branches are taken off."""


class PowerGridModelEngine:
    """Batch calculation of voltages only; a batch goes in as its native update array."""

    def __init__(self, circuit: Circuit, tolerance: float, threads: int, method: str) -> None:
        self.circuit = circuit
        self.acts = np.flatnonzero(circuit.injection_node >= 0)
        tables = model_tables(circuit)
        self.model = PowerGridModel(tables)
        self.load_id = tables["sym_load"]["id"]
        self.options: dict[str, Any] = {
            "calculation_method": method,
            "error_tolerance": tolerance,
            "max_iterations": _MAX_ITERATIONS,
            "threading": threads if threads > 1 else _SEQUENTIAL,
            "output_component_types": {"node": ["u_pu", "u_angle"]},
            "continue_on_batch_error": True,
        }
        self.work = 0

    def prepare(self, samples: Samples) -> None:
        """The update array: row based, which is faster here than columns."""
        self.work = len(samples)
        update = initialize_array("update", "sym_load", (len(samples), len(self.acts)))
        update["id"] = self.load_id
        va_per_kw = _S_BASE_VA / self.circuit.s_base_kva
        update["p_specified"] = -samples.p_kw[:, self.acts] * va_per_kw
        update["q_specified"] = -samples.q_kvar[:, self.acts] * va_per_kw
        self._update = {"sym_load": update}

    def call(self) -> Any:
        """Solve and form complex voltages, as the other engines return."""
        node = self.model.calculate_power_flow(update_data=self._update, **self.options)["node"]
        with np.errstate(invalid="ignore"):  # a sample without solution is full of NaN
            self._v_pu = node["u_pu"] * np.exp(1j * node["u_angle"])
        return self._v_pu

    def outcome(self) -> tuple[np.ndarray, np.ndarray]:
        """Voltages and samples that it reported as failed."""
        failed = np.zeros(self.work, dtype=bool)
        if self.model.batch_error is not None:
            failed[self.model.batch_error.failed_scenarios] = True
        return self.circuit.bus_voltage(self._v_pu[:, self.circuit.other_node]), failed


def model_tables(circuit: Circuit) -> dict[str, np.ndarray]:
    """Input tables: one generic branch between any two coupled nodes, the rest of the diagonal as shunts.

    A branch with series admittance y and complex turns t has `y_ft = -y / conj(t)` and `y_tf = -y / t`; with |t| = 1
    both follow from our two entries. Parallel branches become one.
    """
    va_per_kw = _S_BASE_VA / circuit.s_base_kva
    start, end = np.nonzero(np.triu(circuit.y, 1))
    y_ft, y_tf = circuit.y[start, end], circuit.y[end, start]
    theta = np.angle(y_ft / y_tf) / 2.0
    series = -y_ft * np.exp(-1j * theta)
    # Half the angle of a ratio leaves the sign open; a passive branch has a positive conductance.
    turned = series.real < 0
    theta, series = np.where(turned, theta + np.pi, theta), np.where(turned, -series, series)
    shunt = np.diag(circuit.y).copy()
    np.subtract.at(shunt, start, series)
    np.subtract.at(shunt, end, series)
    has_shunt = np.flatnonzero(np.abs(shunt) > _ROUNDING * np.abs(np.diag(circuit.y)))
    acts = np.flatnonzero(circuit.injection_node >= 0)
    impedance = 1.0 / series
    return _numbered(
        node=_table("node", circuit.n_node, u_rated=_U_RATED_V),
        generic_branch=_table(
            "generic_branch",
            len(start),
            from_node=start,
            to_node=end,
            from_status=1,
            to_status=1,
            r1=impedance.real,
            x1=impedance.imag,
            g1=0.0,
            b1=0.0,
            k=1.0,
            theta=theta,
            sn=_SHORT_CIRCUIT_VA,
        ),
        shunt=_table(
            "shunt", len(has_shunt), node=has_shunt, status=1, g1=shunt[has_shunt].real, b1=shunt[has_shunt].imag
        ),
        source=_table(
            "source",
            len(circuit.source_node),
            node=circuit.source_node,
            status=1,
            u_ref=np.abs(circuit.source_v),
            u_ref_angle=np.angle(circuit.source_v),
            sk=_SHORT_CIRCUIT_VA,
        ),
        sym_load=_table(
            "sym_load",
            len(acts),
            node=circuit.injection_node[acts],
            status=1,
            type=0,
            p_specified=-circuit.p_kw[acts] * va_per_kw,
            q_specified=-circuit.q_kvar[acts] * va_per_kw,
        ),
    )


def _table(component: str, size: int, **columns: NDArray[Any] | float) -> np.ndarray:
    table = initialize_array("input", component, size)
    for name, values in columns.items():
        table[name] = values
    return table


def _numbered(**tables: np.ndarray) -> dict[str, np.ndarray]:
    """Ids that no two components share; nodes come first, so their ids are their numbers."""
    first = 0
    for table in tables.values():
        table["id"] = np.arange(first, first + len(table))
        first += len(table)
    return {name: table for name, table in tables.items() if len(table)}
