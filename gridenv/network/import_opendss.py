"""Networks from OpenDSS scripts: the engine compiles them, every element becomes a row of a three-phase table."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from gridenv.core.errors import UnsupportedElementError, raise_collected
from gridenv.network.opendss_branches import line_rows, reactor_rows, regulator_rows, source_rows, transformer_rows
from gridenv.network.opendss_engine import DssCircuit, DssElement, read_circuit
from gridenv.network.opendss_injections import (
    FIXED_Q,
    capacitor_control_rows,
    capacitor_rows,
    generator_rows,
    load_rows,
    photovoltaic_rows,
    storage_rows,
)
from gridenv.network.opendss_rows import Rows, refuse
from gridenv.network.phase_tables import PhaseNetworkSpec, table_of
from gridenv.network.spec import BusTable

_CONVERSIONS: dict[str, Callable[[DssElement, DssCircuit], Rows]] = {
    "vsource": source_rows,
    "line": line_rows,
    "reactor": reactor_rows,
    "transformer": transformer_rows,
    "regcontrol": regulator_rows,
    "capacitor": capacitor_rows,
    "capcontrol": capacitor_control_rows,
    "load": load_rows,
    "generator": generator_rows,
    "pvsystem": photovoltaic_rows,
    "storage": storage_rows,
}
_WITHOUT_EFFECT = ("monitor", "energymeter", "sensor", "fuse", "relay", "recloser", "swtcontrol", "fmonitor")
"""Classes that change nothing in a power flow of the circuit as it stands."""
_CONTROLLED = {"regcontrol": "transformer", "capcontrol": "capacitor"}
"""Class of controls -> class of what they control."""
_SIMPLIFIED: dict[str, tuple[Callable[[DssElement], bool], str]] = {
    "load": (
        lambda e: int(e.number("model")) in FIXED_Q,
        "out of vminpu..vmaxpu its reactive power follows model 1, not its impedance at rated voltage",
    ),
    "generator": (lambda _: True, "constant power at any voltage; vminpu and vmaxpu are not used"),
    "pvsystem": (lambda _: True, "constant power as of the irradiance in the script; vminpu and vmaxpu are not used"),
    "storage": (lambda _: True, "constant power as of its state in the script; losses of conversion are not used"),
    "capcontrol": (lambda e: bool(e.properties["voltoverride"]), "switches without its voltage override"),
}
"""Class -> which elements are simplified, and how."""


@dataclass(frozen=True, kw_only=True, eq=False)
class OpenDssImport:
    """A converted circuit and what became of the rest."""

    spec: PhaseNetworkSpec
    unsupported: tuple[str, ...]
    """One message for each element that is missing in `spec` and changes the power flow."""
    notes: tuple[str, ...]
    """One message for each element that was simplified, or left out without changing the power flow: also for controls
    of elements that are themselves left out."""


def from_opendss(path: str | PathLike[str], *, allow_unsupported: bool = False) -> PhaseNetworkSpec:
    """The circuit that an OpenDSS script leaves behind, with the taps and capacitor states it has then.

    Buses keep their names, elements are `line.650632`, `transformer.reg1`, `load.671`. OpenDSS computes the
    impedances, from line codes and geometries alike.

    Args:
        path: master file.
        allow_unsupported: leave out what cannot be converted; `read_opendss` tells what that is.

    Raises:
        MissingExtraError: if OpenDSSDirect.py is not installed.
        UnsupportedElementError: one line for each element that cannot be converted.
        NetworkError: if the file does not exist or OpenDSS reports an error.

    Source: OpenDSS through OpenDSSDirect.py; property names as in the OpenDSS manual.
    """
    converted = read_opendss(path)
    if not allow_unsupported:
        raise_collected(converted.unsupported, UnsupportedElementError)
    return converted.spec


def read_opendss(path: str | PathLike[str]) -> OpenDssImport:
    """As `from_opendss`, but tells what was not converted instead of raising.

    Raises:
        MissingExtraError: if OpenDSSDirect.py is not installed.
        NetworkError: if the file does not exist or OpenDSS reports an error.
    """
    circuit = read_circuit(Path(path))
    rows: Rows = {}
    unsupported: list[str] = []
    notes: list[str] = []
    converted: set[str] = set()
    # Controls come last: what they control and monitor is known by then.
    for element in sorted(circuit.elements, key=lambda e: e.kind in _CONTROLLED):
        if element.kind in _WITHOUT_EFFECT or not element.enabled:
            why = "is disabled" if not element.enabled else "does not change the power flow"
            notes.append(f"OpenDSS element '{element.id}' {why}; left out")
            continue
        target = _target(element)
        if target in circuit.by_id and target not in converted:
            notes.append(f"OpenDSS element '{element.id}' controls '{target}', which is left out; left out with it")
            continue
        try:
            new = _convert(element, circuit)
            _check_monitored(element, new, converted)
        except UnsupportedElementError as error:
            unsupported.append(str(error))
            continue
        converted.add(element.id)
        for table, more in new.items():
            rows.setdefault(table, []).extend(more)
        if element.kind in _SIMPLIFIED and _SIMPLIFIED[element.kind][0](element):
            notes.append(f"OpenDSS element '{element.id}': {_SIMPLIFIED[element.kind][1]}")
    return OpenDssImport(spec=_spec(circuit, rows), unsupported=tuple(unsupported), notes=tuple(notes))


def _convert(element: DssElement, circuit: DssCircuit) -> Rows:
    if element.kind not in _CONVERSIONS:
        raise UnsupportedElementError(
            f"OpenDSS element '{element.id}': class {element.kind} is not supported; allowed: "
            f"{', '.join(_CONVERSIONS)}; remove it, or disable it in the script"
        )
    return _CONVERSIONS[element.kind](element, circuit)


def _target(element: DssElement) -> str | None:
    """What a control controls."""
    kind = _CONTROLLED.get(element.kind)
    return f"{kind}.{element.text(kind)}" if kind else None


def _check_monitored(element: DssElement, rows: Rows, converted: set[str]) -> None:
    """Refuse a control of a bank that monitors a line that is left out."""
    for row in rows.get("capacitor_controls", []):
        if row["line"] not in converted:
            refuse(element, f"element = {row['line']}, which is left out,", "let it monitor a line that is converted")


def _spec(circuit: DssCircuit, rows: Rows) -> PhaseNetworkSpec:
    tables: dict[str, Any] = {
        f.name: table_of(f.type, rows.get(f.name, []))  # type: ignore[arg-type]
        for f in fields(PhaseNetworkSpec)
        if f.name not in ("name", "buses")
    }
    buses = BusTable(id=tuple(circuit.vn_kv), vn_kv=np.array(list(circuit.vn_kv.values())))
    return PhaseNetworkSpec(name=circuit.name, buses=buses, **tables)
