"""power-grid-model, given exactly our nodal admittances."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from power_grid_model import PowerGridModel, initialize_array

from experiments.bench.branches import branches
from experiments.bench.circuit import TWIN, Circuit, Complex
from experiments.bench.engines import Outcome
from experiments.bench.samples import Samples

_S_BASE_VA = 1e6
"""Power base of the library, of all phases, fixed. Source: power-grid-model documentation."""
_U_RATED_V = 1e3
"""Every base impedance is then one ohm, so that our per-unit values can be handed over."""
_SHORT_CIRCUIT_VA = 1e18
"""Behind a source; its impedance of 1e-12 pu leaves the source voltage what ours is."""
_SEQUENTIAL = -1
_MAX_ITERATIONS = 100
_N_PHASE = 3
_LOAD_TYPE = {0.0: 0, 1.0: 2, 2.0: 1}
"""Exponent of the voltage -> type of load: constant power, current, impedance."""
_CONDUCTOR_PAIRS = {"aa": (0, 0), "ba": (1, 0), "bb": (1, 1), "ca": (2, 0), "cb": (2, 1), "cc": (2, 2)}
_ROUNDING = 1e-14
"""Share of a diagonal admittance that is left over by rounding when its branches are taken off."""


class PowerGridModelEngine:
    """Batch calculation of voltages only; a batch goes in as its native update array."""

    def __init__(self, circuit: Circuit, tolerance: float, threads: int, method: str) -> None:
        self.circuit = circuit
        self.is_symmetric = circuit.variant != TWIN
        self.load = "sym_load" if self.is_symmetric else "asym_load"
        tables = model_tables(circuit) if self.is_symmetric else asymmetric_tables(circuit)
        self.model = PowerGridModel(tables)
        self.load_id = tables[self.load]["id"]
        self.options: dict[str, Any] = {
            "calculation_method": method,
            "symmetric": self.is_symmetric,
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
        update = initialize_array("update", self.load, (len(samples), len(self.load_id)))
        update["id"] = self.load_id
        demand_va = -_leg_power_va(self.circuit, samples)
        if not self.is_symmetric:
            demand_va = _by_phase(self.circuit, demand_va)
        update["p_specified"], update["q_specified"] = demand_va.real, demand_va.imag
        self._update = {self.load: update}

    def call(self) -> Any:
        """Solve and form complex voltages, as the other engines return."""
        node = self.model.calculate_power_flow(update_data=self._update, **self.options)["node"]
        with np.errstate(invalid="ignore"):  # a sample without solution is full of NaN
            self._v_pu = node["u_pu"] * np.exp(1j * node["u_angle"])
        return self._v_pu

    def outcome(self) -> Outcome:
        """Voltages and samples that it reported as failed; it does not tell its iterations."""
        failed = np.zeros(self.work, dtype=bool)
        if self.model.batch_error is not None:
            failed[self.model.batch_error.failed_scenarios] = True
        v_pu = self._v_pu.reshape(self.work, -1)[:, : self.circuit.n_other]
        return Outcome(self.circuit.named_voltage(v_pu), failed)


def model_tables(circuit: Circuit) -> dict[str, np.ndarray]:
    """Input tables of a balanced network: generic branches and shunts."""
    parts, legs = branches(circuit), circuit.legs
    has_shunt = np.flatnonzero(parts.shunt)
    impedance = 1.0 / parts.series
    return _numbered(
        node=_table("node", circuit.n_node, u_rated=_U_RATED_V),
        generic_branch=_table(
            "generic_branch",
            len(parts.start),
            from_node=parts.start,
            to_node=parts.end,
            from_status=1,
            to_status=1,
            r1=impedance.real,
            x1=impedance.imag,
            g1=0.0,
            b1=0.0,
            k=1.0,
            theta=parts.theta,
            sn=_SHORT_CIRCUIT_VA,
        ),
        shunt=_table(
            "shunt",
            len(has_shunt),
            node=has_shunt,
            status=1,
            g1=parts.shunt[has_shunt].real,
            b1=parts.shunt[has_shunt].imag,
        ),
        source=_sources(np.arange(circuit.n_other, circuit.n_node), circuit.source_v),
        sym_load=_table("sym_load", len(legs), node=legs.start, status=1, type=0, p_specified=0.0, q_specified=0.0),
    )


def asymmetric_tables(circuit: Circuit) -> dict[str, np.ndarray]:
    """Input tables of a twin: coupled lines, and shunts with equal entries for each phase and each pair of phases.

    Nodes of the circuit come in threes, the phases of a bus.
    """
    n_bus, legs = circuit.n_node // _N_PHASE, circuit.legs
    start, end, series, shunt = _blocks(circuit)
    impedance = np.linalg.inv(series)
    has_shunt = np.flatnonzero(shunt.any(axis=(1, 2)))
    own, mutual = shunt[has_shunt, 0, 0], shunt[has_shunt, 0, 1]
    first = circuit.n_other // _N_PHASE
    return _numbered(
        node=_table("node", n_bus, u_rated=_U_RATED_V),
        asym_line=_table(
            "asym_line",
            len(start),
            from_node=start,
            to_node=end,
            from_status=1,
            to_status=1,
            c0=0.0,
            c1=0.0,
            **{f"r_{pair}": impedance[:, i, j].real for pair, (i, j) in _CONDUCTOR_PAIRS.items()},
            **{f"x_{pair}": impedance[:, i, j].imag for pair, (i, j) in _CONDUCTOR_PAIRS.items()},
        ),
        shunt=_table(
            "shunt",
            len(has_shunt),
            node=has_shunt,
            status=1,
            g1=(own - mutual).real,
            b1=(own - mutual).imag,
            g0=(own + 2.0 * mutual).real,
            b0=(own + 2.0 * mutual).imag,
        ),
        source=_sources(np.arange(first, n_bus), circuit.source_v[::_N_PHASE]),
        asym_load=_table(
            "asym_load",
            len(legs),
            node=legs.start // _N_PHASE,
            status=1,
            type=np.array([_LOAD_TYPE[e] for e in legs.exponent_p.tolist()]),
            p_specified=0.0,
            q_specified=0.0,
        ),
    )


def _blocks(circuit: Circuit) -> tuple[np.ndarray, np.ndarray, Complex, Complex]:
    """Start, end and series admittance [line, 3, 3] between buses, and what is left at each bus [bus, 3, 3]."""
    n_bus = circuit.n_node // _N_PHASE
    row, i = np.divmod(circuit.y_row, _N_PHASE)
    column, j = np.divmod(circuit.y_column, _N_PHASE)
    own = np.zeros((n_bus, _N_PHASE, _N_PHASE), dtype=complex)
    at_bus, upper = row == column, row < column
    own[row[at_bus], i[at_bus], j[at_bus]] = circuit.y_value[at_bus]
    pair, line = np.unique(row[upper] * n_bus + column[upper], return_inverse=True)
    series = np.zeros((len(pair), _N_PHASE, _N_PHASE), dtype=complex)
    series[line, i[upper], j[upper]] = -circuit.y_value[upper]
    start, end = np.divmod(pair, n_bus)
    shunt = own.copy()
    np.subtract.at(shunt, start, series)
    np.subtract.at(shunt, end, series)
    largest = np.abs(own).max(axis=(1, 2), keepdims=True)
    shunt[np.abs(shunt) <= _ROUNDING * largest] = 0.0
    return start, end, series, shunt


def _leg_power_va(circuit: Circuit, samples: Samples) -> Complex:
    """Power of each leg at one pu [sample, leg], in the library's base."""
    legs = circuit.legs
    base_va = _S_BASE_VA if circuit.n_phase == 1 else _S_BASE_VA / _N_PHASE
    return legs.power_pu(samples, circuit.s_base_kva) * base_va / legs.v_rated**legs.exponent_p


def _by_phase(circuit: Circuit, power_va: Complex) -> Complex:
    """[sample, leg, phase]: each leg is a load of its own."""
    phase = circuit.legs.start % _N_PHASE
    return power_va[:, :, None] * (phase[:, None] == np.arange(_N_PHASE))


def _sources(nodes: np.ndarray, v_pu: Complex) -> np.ndarray:
    return _table(
        "source", len(nodes), node=nodes, status=1, u_ref=np.abs(v_pu), u_ref_angle=np.angle(v_pu), sk=_SHORT_CIRCUIT_VA
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
