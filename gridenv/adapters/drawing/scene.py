"""What a picture of a feeder shows: plain NumPy values on the host, by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gridenv.adapters.drawing.layout import Branches, FeederLayout, Names
from gridenv.core.errors import DataError, did_you_mean, raise_collected
from gridenv.core.units import HOURS_PER_DAY
from gridenv.network.spec import Number

Floats = NDArray[np.float64]
N_PHASE = 3
_BAND_COLUMNS = 2


@dataclass(frozen=True, kw_only=True)
class DeviceMark:
    """A device beside its bus."""

    name: str
    kind: str
    """Such as `pv`, `battery`, `ev`, `heat_pump`; kinds without a symbol of their own are drawn as a plain box."""
    bus: str
    level: Number | None = None
    """How full the box is, 0..1: charge, tap position, 1 for a closed capacitor. NaN = nothing there, such as a charger
    without a car; None = always without."""
    p_kw: Number | None = None
    """Power into the network, written beside the device where there is room."""
    text: str = ""
    """Written in place of the power."""

    @property
    def label(self) -> str:
        """What is written beside it."""
        is_away = self.level is not None and np.isnan(self.level)
        if self.text or self.p_kw is None or not np.isfinite(self.p_kw) or is_away:
            return self.text
        return power_text(self.p_kw)


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """One moment of a network."""

    bus_names: Names
    v_pu: ArrayLike
    """[bus], or [bus, 3] by phase with NaN for phases that are not there. NaN = no supply."""
    branches: Branches
    """Which branches are drawn, and which of them are open now."""
    loading: ArrayLike
    """[branch] current as a share of the rating, 1.0 = rated; NaN = no rating known."""
    branch_p_kw: ArrayLike | None = None
    """[branch] active power from `from_bus` to `to_bus`; gives the arrows."""
    devices: Sequence[DeviceMark] = ()
    title: str = ""
    hour: Number | None = None
    """Time of day at the end of the series, hours."""
    step: int = 0
    """Steps done in the episode."""
    n_step: int | None = None
    """Steps of the whole episode; gives the width of the series."""
    dt_h: Number = 0.25
    """Length of a step in hours; places the time of day under the series."""
    series: Mapping[str, ArrayLike] = field(default_factory=dict)
    """Title with unit, such as `source power, kW` -> [time] drawn as a line, or [time, 2] drawn as a band."""
    limits: Mapping[str, Sequence[Number]] = field(default_factory=dict)
    """Title of a series -> values at which it gets a dashed line."""

    @property
    def structure(self) -> tuple[object, ...]:
        """What has to stay the same for pictures to share their prepared parts."""
        branches = self.branches
        devices = tuple((d.name, d.kind, d.bus, d.p_kw is not None or bool(d.text)) for d in self.devices)
        ends = (branches.names, branches.from_bus, branches.to_bus, branches.kind)
        clock = None if self.start_hour is None else round(self.start_hour, 3)
        axis = (tuple(self.series), clock, self.n_step, self.dt_h)
        return self.bus_names, ends, devices, axis, np.ndim(self.v_pu), self.title, self.branch_p_kw is not None

    @property
    def start_hour(self) -> float | None:
        """Time of day at the start of the episode."""
        return None if self.hour is None else float(self.hour - self.step * self.dt_h) % HOURS_PER_DAY

    @property
    def phase_v_pu(self) -> Floats:
        """[bus, 3] voltages; a balanced network has one column of numbers."""
        v_pu = np.asarray(self.v_pu, float)
        if v_pu.ndim > 1:
            return v_pu
        return np.column_stack([v_pu, np.full((len(v_pu), N_PHASE - 1), np.nan)])

    @property
    def worst_v_pu(self) -> Floats:
        """[bus] voltage of the phase that is farthest from 1; NaN without supply."""
        v_pu = self.phase_v_pu
        away = np.where(np.isnan(v_pu), -1.0, np.abs(v_pu - 1.0))
        return v_pu[np.arange(len(v_pu)), np.argmax(away, axis=1)]


def check(scene: Scene, layout: FeederLayout) -> None:
    """Look for names that are not in the layout and arrays of another length.

    Raises:
        DataError: all problems at once.
    """
    n_bus, n_branch = len(scene.bus_names), len(scene.branches.names)
    problems = []
    if scene.bus_names != layout.bus_names:
        missing = [bus for bus in scene.bus_names if bus not in layout.row_of]
        found = f"has bus '{missing[0]}'" if missing else f"has {n_bus} buses in another order or number"
        problems.append(
            f"scene: bus_names {found}; allowed: the {len(layout.bus_names)} buses of the layout in its order; "
            "use layout.bus_names"
        )
    shape = np.shape(scene.v_pu)
    if shape not in ((n_bus,), (n_bus, N_PHASE)):
        problems.append(f"scene: v_pu has shape {shape}; allowed: ({n_bus},) or ({n_bus}, {N_PHASE}); one row a bus")
    for name, value in (("loading", scene.loading), ("branch_p_kw", scene.branch_p_kw)):
        if value is not None and np.shape(value) != (n_branch,):
            problems.append(
                f"scene: {name} has shape {np.shape(value)}; allowed: ({n_branch},); one value a branch of `branches`"
            )
    ends = [*scene.branches.from_bus, *scene.branches.to_bus]
    for owner, bus in [("a branch", bus) for bus in ends] + [(f"device '{d.name}'", d.bus) for d in scene.devices]:
        if bus not in layout.row_of:
            hint = did_you_mean(bus, layout.bus_names)
            problems.append(f"scene: {owner} is at bus '{bus}', which is not in the layout{hint}")
    for name, values in scene.series.items():
        if np.ndim(values) != 1 and np.shape(values)[1:] != (_BAND_COLUMNS,):
            problems.append(
                f"scene: series '{name}' has shape {np.shape(values)}; allowed: (time,) for a line or (time, 2) for a "
                "band; reshape it"
            )
    raise_collected(problems, DataError)


def bus_voltages(layout: FeederLayout, node_names: Sequence[str], v_pu: ArrayLike) -> Floats:
    """Voltages of a power flow by bus.

    Args:
        layout: of the network.
        node_names: bus names, or `bus.phase` with the phases 1, 2, 3.
        v_pu: [node] complex voltages or magnitudes; 0 = no supply.

    Returns:
        [bus], or [bus, 3] where the nodes have phases; NaN = no supply or no such phase.
    """
    magnitude = np.abs(np.asarray(v_pu)).astype(float)
    magnitude[magnitude == 0.0] = np.nan
    if set(node_names) <= layout.row_of.keys():
        single = np.full(len(layout.bus_names), np.nan)
        single[[layout.row_of[name] for name in node_names]] = magnitude
        return single
    by_phase = np.full((len(layout.bus_names), N_PHASE), np.nan)
    for name, value in zip(node_names, magnitude, strict=True):
        bus, _, phase = name.rpartition(".")
        by_phase[layout.row_of[bus], int(phase) - 1] = value
    return by_phase


def branch_loading(branches: Branches, line_loading: ArrayLike, transformer_loading: ArrayLike) -> Floats:
    """Loading of every branch.

    Args:
        branches: of the network.
        line_loading: [line] or [line, phase], of which the largest is taken.
        transformer_loading: [transformer]

    Returns:
        [branch]; NaN for switches and where no rating is known, which a power flow gives as 0.
    """
    lines = np.asarray(line_loading, float)
    lines = lines.max(axis=1) if lines.ndim > 1 else lines
    kinds = np.array(branches.kind)
    loading = np.full(len(kinds), np.nan)
    loading[kinds == "line"] = lines
    names = [name for name, kind in zip(branches.names, kinds, strict=True) if kind == "transformer"]
    by_name = dict(zip(dict.fromkeys(names), np.asarray(transformer_loading, float), strict=True))
    loading[kinds == "transformer"] = [by_name[name] for name in names]
    loading[loading == 0.0] = np.nan
    return loading


def branch_power(
    branches: Branches, line_p_kw: ArrayLike, transformer_p_kw: ArrayLike, transformer_bus: Sequence[Names]
) -> Floats:
    """Active power along every branch.

    Args:
        branches: of the network.
        line_p_kw: [line] into the line at its from end.
        transformer_p_kw: [transformer, terminal] into the transformer.
        transformer_bus: [transformer, terminal] where each terminal is; empty where there is none.

    Returns:
        [branch] from `from_bus` to `to_bus`, at a transformer what comes out there; NaN for switches.
    """
    kinds = np.array(branches.kind)
    power = np.full(len(kinds), np.nan)
    power[kinds == "line"] = line_p_kw
    number: dict[str, int] = {}
    entering = np.asarray(transformer_p_kw, float)
    for i in np.flatnonzero(kinds == "transformer"):
        row = number.setdefault(branches.names[i], len(number))
        is_there = [bus == branches.to_bus[i] for bus in transformer_bus[row]]
        power[i] = -entering[row, is_there].sum()
    return power


def power_text(p_kw: Number) -> str:
    """A power with its sign in as few characters as three digits need."""
    p_kw = float(p_kw)
    size = abs(p_kw)
    if size < 0.05:  # would be written as zero
        return "0 kW"
    number = f"{size:.1f}" if size < 9.95 else f"{size:.0f}"
    return f"{'+' if p_kw > 0 else '−'}{number} kW"
