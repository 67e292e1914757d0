"""What OpenDSS makes of a script, as plain records; the only file that imports OpenDSSDirect, inside a function."""

import json
import re
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridenv.core.errors import MissingExtraError, NetworkError
from gridenv.core.units import SQRT3

_ALL_PROPERTIES = 1
"""The engine's flag for properties that the script left at their defaults."""
_STATED_PROPERTIES = 0
_NO_NUMBER = re.compile(r"(?<=[\[,:])\s*[+-]?(?:inf|nan)\w*(?=[\],}])", re.IGNORECASE)
_SIGNIFICANT_DIGITS = 12
_NO_VOLTAGE_BASE = 0.0
_BUILD_EVERYTHING = 1
_SAME_BASE = 0.01
"""Rated voltages that differ by less are one base: 7.2 kV across a winding is 12.47 kV between lines."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DssElement:
    """One element of a circuit as OpenDSS compiled it."""

    kind: str
    """Class in small letters, such as `line`."""
    name: str
    properties: dict[str, Any]
    """Every property by its name in small letters."""
    stated: frozenset[str]
    """Properties that the script states."""
    enabled: bool
    buses: tuple[str, ...]
    """Bus of each terminal."""
    nodes: tuple[tuple[int, ...], ...]
    """Conductors of each terminal as nodes of its bus; 0 = ground, above 3 = further conductors."""
    open_conductors: tuple[tuple[bool, ...], ...]
    """Whether each conductor of each terminal is open in the script; they were closed before `y_s` was read."""
    y_s: NDArray[np.complex128]
    """Primitive admittance over all conductors of all terminals, siemens; empty where OpenDSS has none."""
    p_kw: float
    """Power that a photovoltaic unit feeds in at present; 0 for other elements."""
    q_kvar: float

    @property
    def id(self) -> str:
        """Class and name, as OpenDSS writes it."""
        return f"{self.kind}.{self.name}"

    def number(self, name: str) -> float:
        """A property as a number."""
        return float(self.properties[name])

    def text(self, name: str) -> str:
        """A property as text in small letters; empty where it is not set."""
        return str(self.properties[name] or "").lower()

    def block(self, row: int, column: int) -> NDArray[np.complex128]:
        """The part of `y_s` between two terminals of equally many conductors."""
        n = len(self.nodes[0])
        return self.y_s[row * n : (row + 1) * n, column * n : (column + 1) * n]


@dataclass(frozen=True, kw_only=True, eq=False)
class DssCircuit:
    """A compiled circuit."""

    name: str
    elements: tuple[DssElement, ...]
    """In the order of the script."""
    vn_kv: dict[str, float]
    """Bus -> sqrt(3) times its base voltage to ground, in the engine's order of the buses."""
    load_multiplier: float
    generator_multiplier: float
    rated_lines: frozenset[str]
    """Ids of lines whose rated current comes from the script and not from the engine's default."""

    @cached_property
    def by_id(self) -> dict[str, DssElement]:
        """Elements by their ids, disabled ones included."""
        return {e.id: e for e in self.elements}

    @cached_property
    def at_node(self) -> dict[tuple[str, int], list[DssElement]]:
        """Elements with an admittance, by the nodes (bus, conductor) that they use."""
        found: dict[tuple[str, int], list[DssElement]] = {}
        for element in (e for e in self.elements if len(e.y_s)):
            ends = zip(element.buses, element.nodes, strict=False)
            for node in {(bus, conductor) for bus, conductors in ends for conductor in conductors}:
                found.setdefault(node, []).append(element)
        return found


def read_circuit(path: Path) -> DssCircuit:
    """Let OpenDSS run a script and read the circuit it leaves behind.

    An engine of its own is used, so neither circuits that the caller has open nor the working directory change.

    Raises:
        MissingExtraError: if OpenDSSDirect.py is not installed.
        NetworkError: if the file does not exist, OpenDSS reports an error, or the script makes no circuit.
    """
    if not path.is_file():
        raise NetworkError(f"OpenDSS script '{path}' does not exist; give the path of a master file")
    script = path.resolve()
    with _engine() as dss:
        try:
            dss.Text.Command(f'compile "{script}"')
            return _read(dss)
        except dss_error() as error:
            raise NetworkError(
                f"OpenDSS script '{path}': {' '.join(str(error).split())}; correct the script"
            ) from error


def dss_error() -> type[Exception]:
    """The exception that the engine raises."""
    from dss import DSSException

    return DSSException


@contextmanager
def _engine() -> Iterator[Any]:
    try:
        import opendssdirect
    except ImportError:
        raise MissingExtraError(
            "from_opendss: package 'OpenDSSDirect.py' is not installed; "
            'install it with pip install "gridenv[opendss]"'
        ) from None
    # The engine goes to the directory that it was imported in.
    with chdir(Path.cwd()):
        dss = opendssdirect.NewContext()
    dss.Basic.AllowChangeDir(False)
    dss.Basic.AllowForms(False)
    dss.Basic.AllowEditor(False)
    try:
        yield dss
    finally:
        dss.Basic.ClearAll()


def _read(dss: Any) -> DssCircuit:
    names = dss.Circuit.AllElementNames() if dss.Basic.NumCircuits() else []
    if not names:
        raise NetworkError("OpenDSS made no circuit from the script; it needs a 'New Circuit' line")
    properties, stated = _properties(dss, {name.split(".", 1)[0] for name in names})
    dss.YMatrix.BuildYMatrixD(_BUILD_EVERYTHING, _BUILD_EVERYTHING)
    _give_voltage_bases(dss)
    opened = {name: _closed_again(dss, name) for name in names}
    dss.YMatrix.BuildYMatrixD(_BUILD_EVERYTHING, _BUILD_EVERYTHING)
    elements = tuple(_element(dss, name, properties, stated, opened[name]) for name in names)
    return DssCircuit(
        name=dss.Circuit.Name(),
        elements=elements,
        vn_kv={bus: _vn_kv(dss, bus) for bus in dss.Circuit.AllBusNames()},
        load_multiplier=dss.Solution.LoadMult(),
        generator_multiplier=_option(dss, "genmult"),
        rated_lines=frozenset(e.id for e in elements if e.kind == "line" and _has_rating(e, stated)),
    )


def _properties(dss: Any, classes: set[str]) -> tuple[dict[str, dict[str, Any]], dict[str, frozenset[str]]]:
    """Properties of every element by id, and the names of those that the script states."""
    properties, stated = {}, {}
    for name in sorted(classes | {"LineCode"}):
        dss.Circuit.SetActiveClass(name)
        for row in _rows(dss, _ALL_PROPERTIES):
            properties[f"{name}.{row['Name']}".lower()] = {key.lower(): value for key, value in row.items()}
        for row in _rows(dss, _STATED_PROPERTIES):
            stated[f"{name}.{row['Name']}".lower()] = frozenset(key.lower() for key in row)
    return properties, stated


def _rows(dss: Any, options: int) -> list[dict[str, Any]]:
    """Properties of the elements of the active class; what was never set can be anything, also no number."""
    rows: list[dict[str, Any]] = json.loads(_NO_NUMBER.sub("null", dss.ActiveClass.ToJSON(options)))
    return rows


def _closed_again(dss: Any, name: str) -> tuple[tuple[bool, ...], ...]:
    """Which conductors are open; closes them, so that the element's admittance can be read."""
    dss.Circuit.SetActiveElement(name)
    element = dss.CktElement
    if not element.Enabled():
        return ()
    terminals = range(1, element.NumTerminals() + 1)
    conductors = range(1, element.NumConductors() + 1)
    opened = tuple(tuple(bool(element.IsOpen(t, c)) for c in conductors) for t in terminals)
    for t, flags in zip(terminals, opened, strict=True):
        if any(flags):
            element.Close(t, 0)
    return opened


def _element(
    dss: Any,
    full_name: str,
    properties: dict[str, dict[str, Any]],
    stated: dict[str, frozenset[str]],
    opened: tuple[tuple[bool, ...], ...],
) -> DssElement:
    kind, name = full_name.lower().split(".", 1)
    dss.Circuit.SetActiveElement(full_name)
    element, enabled = dss.CktElement, bool(dss.CktElement.Enabled())
    nodes = np.reshape(element.NodeOrder(), (element.NumTerminals(), -1)) if enabled else np.zeros((0, 0), dtype=int)
    y = np.asarray(element.YPrim() if enabled else [], dtype=float)
    size = nodes.size if y.size == 2 * nodes.size**2 else 0
    p_kw, q_kvar = 0.0, 0.0
    if enabled and kind == "pvsystem":
        dss.PVsystems.Name(name)
        p_kw, q_kvar = dss.PVsystems.kW(), dss.PVsystems.kvar()
    return DssElement(
        kind=kind,
        name=name,
        properties=properties[f"{kind}.{name}"],
        stated=stated[f"{kind}.{name}"],
        enabled=enabled,
        buses=tuple(bus.split(".", 1)[0].lower() for bus in element.BusNames()),
        nodes=tuple(tuple(int(n) for n in row) for row in nodes),
        open_conductors=opened,
        y_s=y[: 2 * size**2].view(complex).reshape(size, size),
        p_kw=p_kw,
        q_kvar=q_kvar,
    )


def _has_rating(line: DssElement, stated: dict[str, frozenset[str]]) -> bool:
    """The engine rates every line at 400 A unless the line or its line code says otherwise."""
    line_code = line.text("linecode")
    return "normamps" in line.stated and (not line_code or "normamps" in stated.get(f"linecode.{line_code}", ()))


def _give_voltage_bases(dss: Any) -> None:
    """Base voltages for scripts that do not set them: the rated voltages of sources and windings."""
    if all(_vn_kv(dss, bus) != _NO_VOLTAGE_BASE for bus in dss.Circuit.AllBusNames()):
        return
    bases: list[float] = []
    for v_kv in _rated_kv(dss):
        if all(abs(v_kv / base - 1.0) > _SAME_BASE for base in bases):
            bases.append(v_kv)
    text = " ".join(f"{v_kv:.9g}" for v_kv in sorted(bases))
    dss.Text.Command(f"set voltagebases=[{text}]")
    dss.Text.Command("calcvoltagebases")


def _rated_kv(dss: Any) -> list[float]:
    """Line-to-line voltages of sources, then those of windings; those across single-phase windings last."""
    rated_kv, across_kv = [], []
    dss.Circuit.SetActiveClass("vsource")
    rated_kv += [row["BasekV"] for row in _rows(dss, _ALL_PROPERTIES)]
    dss.Circuit.SetActiveClass("transformer")
    for row in _rows(dss, _ALL_PROPERTIES):
        for v_kv, connection in zip(row["kVs"], row["Conns"], strict=True):
            if row["Phases"] == 1 and str(connection).lower() == "wye":
                across_kv.append(v_kv * SQRT3)
            else:
                rated_kv.append(v_kv)
    return rated_kv + across_kv


def _vn_kv(dss: Any, bus: str) -> float:
    dss.Circuit.SetActiveBus(bus)
    return float(f"{dss.Bus.kVBase() * SQRT3:.{_SIGNIFICANT_DIGITS}g}")


def _option(dss: Any, name: str) -> float:
    dss.Text.Command(f"get {name}")
    return float(dss.Text.Result())
