"""Network description: plain immutable tables in SI units with string ids, as a person would write them.

Power into the network is positive everywhere, so a load has `p_kw < 0`.
"""

# ruff: noqa: RUF009 - the column helpers return dataclasses.field
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gridenv.core.errors import NetworkError, did_you_mean, raise_collected

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Names = tuple[str, ...]
Number = float | int | np.floating[Any] | np.integer[Any]
T = TypeVar("T", bound="Table")
N = TypeVar("N", bound="NetworkTables")


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Columns of equal length, one row an element; `id` names the rows.

    A column left out takes its default in every row, where it has one; `validate` reports the others.
    """

    id: Names = ()

    def __post_init__(self) -> None:
        for f in fields(self):
            dtype = f.metadata.get("dtype")
            column = tuple(getattr(self, f.name)) if dtype is None else self._frozen(f.metadata, getattr(self, f.name))
            object.__setattr__(self, f.name, column)

    def _frozen(self, metadata: Mapping[str, Any], value: Any) -> NDArray[Any]:
        column = np.array(value, dtype=metadata["dtype"])
        shape = (len(self), *metadata["shape"])
        if column.size == 0 and len(self) > 0 and metadata["default"] is not None:
            column = np.full(shape, metadata["default"], dtype=metadata["dtype"])
        elif column.size == 0 and len(self) == 0:
            column = column.reshape(shape)
        column.setflags(write=False)
        return column

    def __len__(self) -> int:
        return len(self.id)

    def joined(self: T, other: T) -> T:
        """A table with the rows of this one, then those of `other`."""
        columns: dict[str, Any] = {f.name: (getattr(self, f.name), getattr(other, f.name)) for f in fields(self)}
        joined: dict[str, Any] = {
            n: a + b if isinstance(a, tuple) else np.concatenate([a, b]) for n, (a, b) in columns.items()
        }
        return type(self)(**joined)


def _column(dtype: type, default: float | bool | None, shape: tuple[int, ...] = ()) -> Any:
    metadata = {"dtype": dtype, "default": default, "shape": shape}
    return field(default_factory=lambda: np.zeros(0, dtype=dtype), metadata=metadata)


def float_column(default: float | None = None) -> Any:
    """A column of numbers; without a default it must be given."""
    return _column(float, default)


def bool_column(default: bool | None = True) -> Any:
    """A column of truth values."""
    return _column(bool, default)


def complex_column(default: float | None = None, shape: tuple[int, ...] = ()) -> Any:
    """A column of complex numbers, or of arrays of them of one shape."""
    return _column(complex, default, shape)


@dataclass(frozen=True, kw_only=True, eq=False)
class BusTable(Table):
    """Places where elements connect."""

    vn_kv: Floats = float_column()
    """Nominal line-to-line voltage, kV."""
    in_service: Bools = bool_column()


@dataclass(frozen=True, kw_only=True, eq=False)
class SourceTable(Table):
    """Stiff voltage sources (the upstream grid)."""

    bus: Names = ()
    v_pu: Floats = float_column()
    """Voltage magnitude, pu of the bus's nominal voltage."""
    angle_rad: Floats = float_column(0.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class LineTable(Table):
    """Lines and cables as pi sections; values are totals over the whole length, all parallel systems together."""

    from_bus: Names = ()
    to_bus: Names = ()
    r_ohm: Floats = float_column()
    x_ohm: Floats = float_column()
    g_s: Floats = float_column(0.0)
    """Total shunt conductance, siemens."""
    b_s: Floats = float_column(0.0)
    """Total shunt susceptance, siemens."""
    i_max_a: Floats = float_column(np.inf)
    """Rated current of all parallel systems together, A; infinite = no rating published."""
    in_service: Bools = bool_column()
    from_closed: Bools = bool_column()
    """Whether the switch at the from end is closed; a line open at one end still charges."""
    to_closed: Bools = bool_column()


@dataclass(frozen=True, kw_only=True, eq=False)
class TransformerTable(Table):
    """Two-winding transformers; values of one unit, `parallel` units side by side."""

    hv_bus: Names = ()
    lv_bus: Names = ()
    s_kva: Floats = float_column()
    vn_hv_kv: Floats = float_column()
    vn_lv_kv: Floats = float_column()
    vk: Floats = float_column()
    """Short-circuit voltage as a share of rated voltage."""
    vkr: Floats = float_column()
    """Its real part, as a share of rated voltage."""
    r_share_hv: Floats = float_column(0.5)
    """Share of the series resistance on the high-voltage side of the magnetising branch."""
    x_share_hv: Floats = float_column(0.5)
    """Share of the series reactance on the high-voltage side of the magnetising branch."""
    p_iron_kw: Floats = float_column(0.0)
    i_no_load: Floats = float_column(0.0)
    """No-load current as a share of rated current."""
    shift_rad: Floats = float_column(0.0)
    """Phase shift of the vector group, high- to low-voltage side."""
    parallel: Floats = float_column(1.0)
    tap_on_hv: Bools = bool_column()
    """Side of the tap changer: high-voltage if true, else low-voltage."""
    tap_pos: Floats = float_column(0.0)
    """Present position; equal to `tap_neutral` where there is no tap changer."""
    tap_neutral: Floats = float_column(0.0)
    tap_min: Floats = float_column(0.0)
    """Lowest position; -inf = no limit published."""
    tap_max: Floats = float_column(0.0)
    """Highest position; inf = no limit published."""
    tap_step: Floats = float_column(0.0)
    """Length of the voltage phasor added by a step, as a share of rated voltage."""
    tap_step_rad: Floats = float_column(0.0)
    """Angle of a step: of the voltage phasor added by a ratio changer, of the shift of a phase shifter."""
    tap_is_phase_shifter: Bools = bool_column(False)
    """Ideal phase shifter: turns by `tap_step_rad` a step (or by the chord `tap_step`) and leaves the magnitude."""
    loading_base_kva: Floats = float_column()
    """Rated power of one unit times its allowed load factor, kVA; a loading of 1.0."""
    in_service: Bools = bool_column()
    hv_closed: Bools = bool_column()
    """Whether the switch at the high-voltage side is closed; open at one side it still draws its no-load current."""
    lv_closed: Bools = bool_column()

    @property
    def has_tap_changer(self) -> Bools:
        """Rows whose voltage ratio or shift depends on `tap_pos`."""
        return (self.tap_step != 0.0) | (self.tap_step_rad != 0.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class InjectionTable(Table):
    """Everything that feeds in or draws power: loads, generators, storage. Ids such as `load.12`, `sgen.3`."""

    bus: Names = ()
    kind: Names = ()
    """`load`, `sgen` or `storage`."""
    p_kw: Floats = float_column()
    """Active power into the network, kW; loads negative."""
    q_kvar: Floats = float_column()
    """Reactive power into the network, kvar; an inductive load is negative."""
    in_service: Bools = bool_column()


@dataclass(frozen=True, kw_only=True, eq=False)
class ShuntTable(Table):
    """Constant-impedance elements to ground."""

    bus: Names = ()
    p_kw: Floats = float_column()
    """Active power into the network at `v_rated_kv`, kW; a shunt that consumes is negative."""
    q_kvar: Floats = float_column()
    """Reactive power into the network at `v_rated_kv`, kvar; a capacitor is positive."""
    v_rated_kv: Floats = float_column()
    """Line-to-line voltage at which the powers hold, kV."""
    in_service: Bools = bool_column()


@dataclass(frozen=True, kw_only=True, eq=False)
class SwitchTable(Table):
    """Bus-bus switches of zero impedance."""

    bus_a: Names = ()
    bus_b: Names = ()
    closed: Bools = bool_column()


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkTables:
    """What balanced and three-phase networks have in common."""

    def replace(self: N, **tables: Any) -> N:
        """A copy with some tables replaced."""
        return replace(self, **tables)


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkSpec(NetworkTables):
    """A balanced network as tables. Immutable: the `with_...` methods return a changed copy."""

    name: str
    buses: BusTable
    sources: SourceTable
    lines: LineTable = field(default_factory=LineTable)
    transformers: TransformerTable = field(default_factory=TransformerTable)
    injections: InjectionTable = field(default_factory=InjectionTable)
    shunts: ShuntTable = field(default_factory=ShuntTable)
    switches: SwitchTable = field(default_factory=SwitchTable)

    @property
    def tap_names(self) -> Names:
        """Ids of the transformers that have a tap changer, in table order."""
        return tuple(i for i, has in zip(self.transformers.id, self.transformers.has_tap_changer, strict=True) if has)

    @property
    def switch_names(self) -> Names:
        """Ids of the bus-bus switches, then of the lines: a line is a switch too."""
        return self.switches.id + self.lines.id

    @property
    def default_switches(self) -> Bools:
        """State of every switch in `switch_names` order; a line is closed when in service and closed at both ends."""
        line_closed = self.lines.in_service & self.lines.from_closed & self.lines.to_closed
        return np.concatenate([self.switches.closed, line_closed])

    def with_taps(self, positions: Mapping[str, Number]) -> "NetworkSpec":
        """A copy with other tap positions.

        Args:
            positions: transformer id -> position; need not be whole.

        Raises:
            NetworkError: for names without a tap changer and for positions out of range.
        """
        table = self.transformers
        tap_pos = table.tap_pos.copy()
        problems = []
        for name, position in positions.items():
            if name not in self.tap_names:
                problems.append(f"network '{self.name}': no tap changer '{name}'{did_you_mean(name, self.tap_names)}")
                continue
            row = table.id.index(name)
            low, high = table.tap_min[row], table.tap_max[row]
            if not low <= position <= high:
                problems.append(
                    f"network '{self.name}': transformer '{name}' tap_pos = {position}; allowed {low:g}..{high:g}; "
                    "choose a position in this range"
                )
            tap_pos[row] = position
        raise_collected(problems, NetworkError)
        return self.replace(transformers=replace(table, tap_pos=tap_pos))

    def with_switches(self, closed: Mapping[str, bool | np.bool_]) -> "NetworkSpec":
        """A copy with other switch states.

        Args:
            closed: name from `switch_names` -> whether closed. Closing a line puts it in service with both ends
                closed; opening a closed line opens both ends; opening an open line changes nothing.

        Raises:
            NetworkError: for unknown names.
        """
        names = self.switch_names
        unknown = [name for name in closed if name not in names]
        raise_collected(
            [f"network '{self.name}': unknown switch '{name}'{did_you_mean(name, names)}" for name in unknown],
            NetworkError,
        )
        state = self.default_switches
        wanted = state.copy()
        wanted[[names.index(name) for name in closed]] = list(closed.values())
        n = len(self.switches)
        closes, opens = wanted[n:] & ~state[n:], ~wanted[n:] & state[n:]
        lines = replace(
            self.lines,
            in_service=self.lines.in_service | closes,
            from_closed=(self.lines.from_closed | closes) & ~opens,
            to_closed=(self.lines.to_closed | closes) & ~opens,
        )
        return self.replace(switches=replace(self.switches, closed=wanted[:n]), lines=lines)
