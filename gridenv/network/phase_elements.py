"""Checks of single elements of a three-phase network: conductors, impedance matrices, windings, controls.

Part of `validate_phases`, for tables whose references, choices and numbers are right.
"""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from gridenv.network.circuit import Complex
from gridenv.network.phase_nodes import GROUND_CONDUCTOR, N_PHASE
from gridenv.network.phase_tables import MAX_CONDUCTORS, PhaseNetworkSpec
from gridenv.network.spec import Bools, Names

SINGULAR = 1e-12
"""Reciprocal condition number below which an impedance matrix has no usable inverse in double precision."""

_TAP_SLACK = 1e-9


def element_problems(spec: PhaseNetworkSpec) -> Iterator[str]:
    """What is wrong with single elements, one line each, without the network's name."""
    yield from _source_problems(spec)
    yield from _line_problems(spec)
    yield from _transformer_problems(spec)
    yield from _winding_problems(spec)
    yield from _regulator_problems(spec)
    yield from _capacitor_control_problems(spec)
    yield from _leg_problems(spec)
    yield from _range_problems(spec)


def _phases_problem(phases: str, lengths: tuple[int, ...], ground: bool = False) -> str | None:
    """What is wrong with conductors, or None."""
    known = phases.isascii() and phases.isdigit() and (ground or GROUND_CONDUCTOR not in phases)
    if known and len(phases) in lengths and len(set(phases)) == len(phases):
        return None
    digits = "0..9, 0 = ground" if ground else "1..9"
    counts = " or ".join(map(str, lengths))
    return f"'{phases}'; allowed: {counts} different digits {digits}; name the conductors"


def _source_problems(spec: PhaseNetworkSpec) -> Iterator[str]:
    table = spec.sources
    if not table.in_service.any():
        yield "source table: 0 sources in service; allowed: at least 1; add a source"
    for name, phases in zip(table.id, table.phases, strict=True):
        if problem := _phases_problem(phases, (1, 2, 3)):
            yield f"source '{name}': phases = {problem}"
    has_z = (table.z_ohm != 0.0).any(axis=(1, 2))
    yield from _matrix_problems("source", "z_ohm", table.id, table.phases, table.z_ohm)
    yield from _singular_problems("source", table.id, table.phases, table.z_ohm, has_z)
    owner: dict[tuple[str, str], str] = {}
    for i in np.flatnonzero(table.in_service & ~has_z):
        for conductor in table.phases[i]:
            first = owner.setdefault((table.bus[i], conductor), table.id[i])
            if first != table.id[i]:
                yield (
                    f"source '{table.id[i]}': z_ohm = 0 at conductor '{table.bus[i]}.{conductor}', where source "
                    f"'{first}' has z_ohm = 0 too; allowed: one ideal source a conductor; remove one or give it z_ohm"
                )


def _line_problems(spec: PhaseNetworkSpec) -> Iterator[str]:
    table = spec.lines
    vn_kv = dict(zip(spec.buses.id, spec.buses.vn_kv, strict=True))
    for name, a, b, from_bus, to_bus in zip(
        table.id, table.from_phases, table.to_phases, table.from_bus, table.to_bus, strict=True
    ):
        for column, phases in (("from_phases", a), ("to_phases", b)):
            if problem := _phases_problem(phases, (1, 2, 3)):
                yield f"line '{name}': {column} = {problem}"
        if len(a) != len(b):
            yield (
                f"line '{name}': from_phases = '{a}' and to_phases = '{b}'; allowed: as many conductors at both ends; "
                "correct one of them"
            )
        if not np.isclose(vn_kv[from_bus], vn_kv[to_bus], rtol=1e-9, atol=0.0):
            yield (
                f"line '{name}': joins bus '{from_bus}' with vn_kv = {vn_kv[from_bus]:g} and bus '{to_bus}' with "
                f"{vn_kv[to_bus]:g}; allowed: equal nominal voltages; correct one, or put a transformer between"
            )
    yield from _matrix_problems("line", "z_ohm", table.id, table.from_phases, table.z_ohm)
    yield from _matrix_problems("line", "y_s", table.id, table.from_phases, table.y_s)
    yield from _singular_problems("line", table.id, table.from_phases, table.z_ohm, np.ones(len(table), dtype=bool))


def _matrix_problems(kind: str, column: str, names: Names, phases: Names, matrix: Complex) -> Iterator[str]:
    """Matrices with entries for conductors that are absent."""
    absent = np.arange(MAX_CONDUCTORS) >= np.array([len(p) for p in phases], dtype=int)[:, None]
    bad = (matrix != 0.0) & (absent[:, :, None] | absent[:, None, :])
    for i in np.flatnonzero(bad.any(axis=(1, 2))):
        yield (
            f"{kind} '{names[i]}': {column} = {matrix[i][bad[i]][0]:g} beyond its {len(phases[i])} conductors; "
            "allowed: zero there; name more conductors or clear the entry"
        )


def _singular_problems(kind: str, names: Names, phases: Names, z_ohm: Complex, counts: Bools) -> Iterator[str]:
    size = np.array([len(p) for p in phases], dtype=int)
    for k in range(1, MAX_CONDUCTORS + 1):
        rows = np.flatnonzero((size == k) & counts)
        singular_value = np.linalg.svd(z_ohm[rows, :k, :k], compute_uv=False)
        for i in rows[singular_value[:, -1] <= SINGULAR * singular_value[:, 0]]:
            yield (
                f"{kind} '{names[i]}': z_ohm of conductors '{phases[i]}' is singular; allowed: a matrix with an "
                "inverse; give every conductor an impedance of its own, a small one for a switch"
            )


def _transformer_problems(spec: PhaseNetworkSpec) -> Iterator[str]:
    table, n_winding = spec.transformers, Counter(spec.windings.transformer)
    for i, name in enumerate(table.id):
        n, x_12, x_13, x_23 = n_winding[name], table.x_12[i], table.x_13[i], table.x_23[i]
        if n not in (2, 3):
            yield f"transformer '{name}': {n} windings; allowed: 2 or 3; complete the winding table"
        if table.n_phase[i] not in (1, N_PHASE):
            yield f"transformer '{name}': n_phase = {table.n_phase[i]:g}; allowed: 1 or 3; split it into such units"
        if n == 3 and 4.0 * x_12 * x_13 <= (x_12 + x_13 - x_23) ** 2:
            yield (
                f"transformer '{name}': x_12 = {x_12:g}, x_13 = {x_13:g}, x_23 = {x_23:g}; allowed: leakage reactances "
                "that store energy, 4 x_12 x_13 > (x_12 + x_13 - x_23)^2; correct them"
            )


def _winding_problems(spec: PhaseNetworkSpec) -> Iterator[str]:
    table = spec.windings
    n_phase = dict(zip(spec.transformers.id, spec.transformers.n_phase, strict=True))
    for i, name in enumerate(table.id):
        single = bool(n_phase[table.transformer[i]] == 1)
        lengths = (1, 2) if single else (N_PHASE,)
        if problem := _phases_problem(table.phases[i], lengths, ground=single):
            yield f"winding '{name}': phases = {problem}"
        elif table.phases[i] == GROUND_CONDUCTOR:
            yield f"winding '{name}': phases = '0'; allowed: at least one conductor; name the conductors"
        if table.z_neutral_ohm[i] != 0.0 and (single or table.connection[i] != "wye"):
            yield (
                f"winding '{name}': z_neutral_ohm = {table.z_neutral_ohm[i]:g} with connection "
                f"'{table.connection[i]}' and {'one phase' if single else 'three phases'}; allowed: 0 but for a "
                "three-phase wye; clear it"
            )


def _regulator_problems(spec: PhaseNetworkSpec) -> Iterator[str]:
    table, n_winding = spec.regulators, Counter(spec.windings.transformer)
    n_phase = dict(zip(spec.transformers.id, spec.transformers.n_phase, strict=True))
    rows: dict[str, list[int]] = {}
    for row, trafo in enumerate(spec.windings.transformer):
        rows.setdefault(trafo, []).append(row)
    first: dict[tuple[str, float], str] = {}
    for i, name in enumerate(table.id):
        trafo, winding = table.transformer[i], table.winding[i]
        if winding not in range(1, n_winding[trafo] + 1):
            yield (
                f"regulator '{name}': winding = {winding:g} of transformer '{trafo}'; allowed: 1..{n_winding[trafo]}; "
                "choose one of its windings"
            )
            continue
        if first.setdefault((trafo, winding), name) != name:
            yield (
                f"regulator '{name}': steps winding {winding:g} of transformer '{trafo}', as does regulator "
                f"'{first[trafo, winding]}'; allowed: one a winding; remove one"
            )
        yield from _tap_problems(spec, i, rows[trafo][int(winding) - 1])
        if table.monitored_phase[i] not in range(1, int(n_phase[trafo]) + 1):
            yield (
                f"regulator '{name}': monitored_phase = {table.monitored_phase[i]:g}; allowed: "
                f"1..{n_phase[trafo]:g}; choose a phase of the transformer"
            )


def _tap_problems(spec: PhaseNetworkSpec, i: int, winding: int) -> Iterator[str]:
    table, name, tap = spec.regulators, spec.regulators.id[i], spec.windings.tap[winding]
    low, high, n_step = table.tap_min[i], table.tap_max[i], table.n_step[i]
    if low >= high:
        yield f"regulator '{name}': tap_min = {low:g}; allowed: below tap_max = {high:g}; correct one of them"
    elif not low - _TAP_SLACK <= tap <= high + _TAP_SLACK:
        yield (
            f"winding '{spec.windings.id[winding]}': tap = {tap:g}; allowed: {low:g}..{high:g} of regulator '{name}'; "
            "choose a tap in this range, or widen it"
        )
    if n_step != round(n_step):
        yield f"regulator '{name}': n_step = {n_step:g}; allowed: a whole number; correct the value"
    if spec.windings.connection[winding] == "wye_ungrounded" or spec.windings.z_neutral_ohm[winding] != 0.0:
        yield (
            f"regulator '{name}': steps winding '{spec.windings.id[winding]}', whose neutral is not at ground; "
            "allowed: connection 'delta', or 'wye' with z_neutral_ohm = 0; ground the neutral, or step another winding"
        )


def _capacitor_control_problems(spec: PhaseNetworkSpec) -> Iterator[str]:
    """Banks that several controls in service switch."""
    table = spec.capacitor_controls
    first: dict[str, str] = {}
    for i in np.flatnonzero(table.in_service):
        name, bank = table.id[i], table.capacitor[i]
        if first.setdefault(bank, name) != name:
            yield (
                f"capacitor control '{name}': switches capacitor '{bank}', as does capacitor control '{first[bank]}'; "
                "allowed: one in service a bank; remove one, or put it out of service"
            )


def _leg_problems(spec: PhaseNetworkSpec) -> Iterator[str]:
    for kind, table in (("capacitor", spec.capacitors), ("injection", spec.injections)):
        for name, phases, connection in zip(table.id, table.phases, table.connection, strict=True):
            if problem := _phases_problem(phases, (2, 3) if connection == "delta" else (1, 2, 3)):
                yield f"{kind} '{name}': phases of {connection} = {problem}"


def _range_problems(spec: PhaseNetworkSpec) -> Iterator[str]:
    table = spec.injections
    for i in np.flatnonzero((table.v_low_pu > table.v_min_pu) | (table.v_min_pu >= table.v_max_pu)):
        yield (
            f"injection '{table.id[i]}': v_low_pu = {table.v_low_pu[i]:g}, v_min_pu = {table.v_min_pu[i]:g}, "
            f"v_max_pu = {table.v_max_pu[i]:g}; allowed: v_low_pu <= v_min_pu < v_max_pu; put them in order"
        )
