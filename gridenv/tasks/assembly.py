"""From settings to a grid model: the network with the task's units, the scenario, loads and device parameters."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jax import numpy as jnp

from gridenv.core.channels import Channel
from gridenv.core.errors import ConfigError, did_you_mean, raise_collected
from gridenv.core.units import SQRT3
from gridenv.devices import load
from gridenv.exogenous.scenario import Scenario, build_scenario
from gridenv.network import NetworkSpec, PhaseNetworkSpec, load_network
from gridenv.network.phase_tables import PhaseInjectionTable
from gridenv.network.spec import InjectionTable
from gridenv.powerflow import PowerFlow
from gridenv.powerflow.solver import Equipment
from gridenv.sim.model import DeviceGroup, GridModel, LoadLegs, LocalControl
from gridenv.tasks.demand_response import (
    DemandResponse,
    empty_columns,
    event_channels,
    participants,
    with_events,
)
from gridenv.tasks.grid_config import GridTaskConfig, kinds_of
from gridenv.tasks.units.kind import Column, Surroundings, UnitGroup

Spec = NetworkSpec | PhaseNetworkSpec
_SHOWN = 10
"""Elements that an error message lists."""
_EQUIPMENT = {
    "taps": ("tap_names", "default_taps"),
    "capacitors": ("capacitor_names", "default_capacitors"),
    "switches": ("switch_names", "default_switches"),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Assembly:
    """A grid model and what its parts are called."""

    model: GridModel
    power_flow: PowerFlow
    groups: tuple[UnitGroup, ...]
    """In the order of `model.groups`."""
    observed: tuple[str, ...]
    """Columns of the scenario that are observed, with a forecast where there is one; the price is not among them."""
    columns: tuple[Column, ...]
    """Those that units brought along."""
    programme: DemandResponse | None
    """Demand response, where there is any."""
    event_channels: tuple[Channel, ...]
    """How its columns are observed."""


def unit_groups(config: GridTaskConfig) -> tuple[UnitGroup, ...]:
    """The units of a task, those of one kind and equal controls together."""
    return tuple(
        UnitGroup(kind=kind, configs=tuple(c for c in configs if kind.split(c) == value))
        for kind, configs in kinds_of(config)
        for value in dict.fromkeys(kind.split(c) for c in configs)
    )


def assemble(config: GridTaskConfig) -> Assembly:
    """The grid of a task.

    Raises:
        ConfigError: for buses and equipment that do not exist, names that occur twice, and a network with generators
            or storage of its own; all problems at once.
        DataError: for profiles and price zones that do not exist.
        NetworkError: for a network that does not exist, and for units without a path to a source.
    """
    groups = unit_groups(config)
    own = load_network(config.network)
    own = _without_generators(own) if config.own_generators == "off" else own
    raise_collected(_problems(own, groups) + _programme_problems(config, groups), ConfigError)
    spec = _with_units(config, own, groups)
    power_flow = PowerFlow(spec, config.dtype, tolerance_pu=config.tolerance_pu, max_iterations=config.max_iterations)
    raise_collected(_equipment_problems(power_flow, groups) + _supply_problems(power_flow, groups), ConfigError)
    with power_flow.precision():
        return _assembled(config, own, power_flow, groups)


def _assembled(config: GridTaskConfig, own: Spec, power_flow: PowerFlow, groups: tuple[UnitGroup, ...]) -> Assembly:
    loads, suns = _distinct(config.load_profiles), _distinct(p for g in groups for p in g.kind.profiles(g.configs))
    columns = _columns(groups)
    scenario = build_scenario(
        _distinct([f"{name}_pload" for name in loads] + suns + [f"{name}_qload" for name in loads]),
        config.price_zone,
        further={c.channel.name: c.values for c in columns} | (empty_columns() if config.demand_response else {}),
    )
    moved = _distinct(g.kind.family.moves for g in groups if g.kind.family.moves is not None)
    defaults = {m: jnp.asarray(getattr(power_flow, _EQUIPMENT[m][1]), config.dtype) for m in moved}
    model = GridModel(
        flow=power_flow.arrays_for(*moved),
        loads=_loads(config, own, scenario),
        groups=tuple(_device_group(config, group, power_flow, scenario) for group in groups),
        scenario=scenario,
        equipment=Equipment(**defaults),
        three_phase_node=jnp.asarray(_three_phase_nodes(power_flow)),
        load_legs=_load_legs(config, power_flow, len(own.injections)) if "switches" in moved else None,
        dt_h=scenario.dt_h,
        tolerance_pu=power_flow.tolerance_pu,
        max_iterations=power_flow.max_iterations,
    )
    observed = _distinct([f"{name}_pload" for name in loads] + suns + [c.channel.name for c in columns])
    programme: DemandResponse | None = None
    channels: tuple[Channel, ...] = ()
    if config.demand_response is not None:
        rows = participants(groups)
        model = replace(model, scenario=with_events(config.demand_response, model, groups, rows))
        programme = DemandResponse(rows=rows)
        channels = event_channels(groups)
    return Assembly(
        model=model,
        power_flow=power_flow,
        groups=groups,
        observed=tuple(observed),
        columns=tuple(columns),
        programme=programme,
        event_channels=channels,
    )


def _distinct(names: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(names))


def _columns(groups: Sequence[UnitGroup]) -> list[Column]:
    """Series that units bring along, one a name."""
    return list({c.channel.name: c for g in groups for c in g.kind.columns(g.configs)}.values())


def _device_group(config: GridTaskConfig, group: UnitGroup, power_flow: PowerFlow, scenario: Scenario) -> DeviceGroup:
    moves = group.kind.family.moves
    default: tuple[float, ...] = ()
    position = None
    if moves is not None:
        every = list(getattr(power_flow, _EQUIPMENT[moves][0]))
        rows = [every.index(c.label) for c in group.configs]
        default = tuple(float(getattr(power_flow, _EQUIPMENT[moves][1])[r]) for r in rows)
        position = jnp.asarray(rows, "int32")
    around = Surroundings(names=group.names, scenario=scenario, dtype=config.dtype, element_default=default)
    node = _unit_nodes(power_flow, group)
    return DeviceGroup(
        params=group.kind.parameters(group.configs, around),
        node=jnp.asarray(node, "int32"),
        position=position,
        local=_local_control(config, group, power_flow, node),
        family=group.kind.family,
        names=group.names,
    )


def _local_control(
    config: GridTaskConfig, group: UnitGroup, power_flow: PowerFlow, node: np.ndarray
) -> LocalControl | None:
    if not group.kind.follows_voltage(group.configs[0]):
        return None
    nothing = np.zeros(len(power_flow.injection_names))
    moves = power_flow.sensitivity(power_flow.solve(nothing, nothing), group.names).dv_dq
    return LocalControl(
        v_pu_per_kvar=jnp.asarray(np.asarray(moves)[node].mean(axis=1), config.dtype),
        s_rated_kva=jnp.asarray([c.s_rated_kva for c in group.configs], config.dtype),
    )


def _unit_nodes(power_flow: PowerFlow, group: UnitGroup) -> np.ndarray:
    """[unit, leg] nodes at the terminals; equipment looks at the first node."""
    if not group.injects:
        return np.zeros((len(group.configs), 1), np.int32)
    row = {name: i for i, name in enumerate(power_flow.node_names)}
    if isinstance(power_flow.spec, NetworkSpec):
        return np.array([[row[c.bus]] for c in group.configs], np.int32)
    nodes = [[row[f"{c.bus}.{phase}"] for phase in c.phases] for c in group.configs]
    width = max(len(n) for n in nodes)
    if any(len(n) not in (1, width) for n in nodes):
        width = int(np.lcm.reduce([len(n) for n in nodes]))
    return np.array([n * (width // len(n)) for n in nodes], np.int32)


def _three_phase_nodes(power_flow: PowerFlow) -> np.ndarray:
    return np.zeros((0, 3), np.int32) if isinstance(power_flow.spec, NetworkSpec) else power_flow.three_phase_nodes


def _loads(config: GridTaskConfig, own: Spec, scenario: Scenario) -> load.LoadParams:
    table = own.injections
    profiles = [config.load_profiles[i % len(config.load_profiles)] for i in range(len(table))]
    return load.init(
        scenario.names,
        table.p_kw * table.in_service * config.load_scale,
        table.q_kvar * table.in_service * config.load_scale,
        [f"{name}_pload" for name in profiles],
        [f"{name}_qload" for name in profiles],
        config.dtype,
    )


def _load_legs(config: GridTaskConfig, power_flow: PowerFlow, n_load: int) -> LoadLegs:
    """Legs of the network's own loads, which come first among the injections; as many rows a load as the widest has."""
    legs = power_flow.legs
    mine = [np.flatnonzero(legs.injection == i) for i in range(n_load)]
    ends = np.full((n_load, max((len(m) for m in mine), default=1), 2), len(power_flow.node_names), np.int32)
    share = np.zeros(ends.shape[:2])
    for i, rows in enumerate(mine):
        ends[i, : len(rows)], share[i, : len(rows)] = legs.ends[rows], legs.share[rows]
    return LoadLegs(ends=jnp.asarray(ends), share=jnp.asarray(share, config.dtype))


def _with_units(config: GridTaskConfig, own: Spec, groups: Sequence[UnitGroup]) -> Spec:
    """The network with the task's source voltage, line ratings and units."""
    units = [(name, c) for g in groups if g.injects for name, c in zip(g.names, g.configs, strict=True)]
    ids, buses = tuple(name for name, _ in units), tuple(c.bus for _, c in units)
    zeros = np.zeros(len(units))
    rating = np.where(np.isinf(own.lines.i_max_a), config.line_rating_a, own.lines.i_max_a)
    lines = replace(own.lines, i_max_a=rating)
    sources = own.sources
    if config.source_v_pu is not None:
        sources = replace(sources, v_pu=np.full(len(sources), config.source_v_pu))
    if isinstance(own, NetworkSpec):
        added = InjectionTable(id=ids, bus=buses, kind=("sgen",) * len(units), p_kw=zeros, q_kvar=zeros)
        return own.replace(sources=sources, lines=lines, injections=own.injections.joined(added))
    vn_kv = dict(zip(own.buses.id, own.buses.vn_kv, strict=True))
    wide = PhaseInjectionTable(
        id=ids,
        bus=buses,
        phases=tuple(c.phases for _, c in units),
        connection=("wye",) * len(units),
        kind=("sgen",) * len(units),
        p_kw=zeros,
        q_kvar=zeros,
        v_kv=np.array([vn_kv[bus] for bus in buses]) / SQRT3,
    )
    return own.replace(sources=sources, lines=lines, injections=own.injections.joined(wide))


def _problems(spec: Spec, groups: Sequence[UnitGroup]) -> list[str]:
    """What is wrong with the places of the units, all of it."""
    known = set(spec.buses.id)
    found = []
    names = [name for g in groups for name in g.names]
    for group in groups:
        for name, c in zip(group.names, group.configs, strict=True):
            if group.injects and c.bus not in known:
                found.append(
                    f"task: {name} is at bus '{c.bus}', which '{spec.name}' has not{did_you_mean(c.bus, known)}"
                )
    found += [
        f"task: {names.count(name)} units are called '{name}'; names must differ; give them an `id` each"
        for name in sorted({n for n in names if names.count(n) > 1})
    ]
    return found + _foreign_problems(spec)


def _programme_problems(config: GridTaskConfig, groups: Sequence[UnitGroup]) -> list[str]:
    if config.demand_response is None or participants(groups):
        return []
    return ["task: demand_response has nobody who takes part; allowed: with heat_pumps or curtailable_loads; add some"]


def _without_generators(spec: Spec) -> Spec:
    """The network with its own generators and storage out of service."""
    table = spec.injections
    is_load = np.array([kind == "load" for kind in table.kind], bool)
    return spec.replace(injections=replace(table, in_service=table.in_service & is_load))


def _foreign_problems(spec: Spec) -> list[str]:
    own = spec.injections
    foreign = [e for e, kind, on in zip(own.id, own.kind, own.in_service, strict=True) if on and kind != "load"]
    if not foreign:
        return []
    shown = ", ".join(foreign[:_SHOWN]) + (f" and {len(foreign) - _SHOWN} more" if len(foreign) > _SHOWN else "")
    return [
        f"task: network '{spec.name}' has generators or storage of its own: {shown}; allowed: loads only, as the task "
        "has no series for others; set own_generators to 'off', and give plants as `inverters`"
    ]


def _supply_problems(power_flow: PowerFlow, groups: Sequence[UnitGroup]) -> list[str]:
    """Units at nodes that no source reaches, such as a conductor that the bus does not have."""
    live = [name for name, on in zip(power_flow.node_names, power_flow.network.energised, strict=True) if on]
    found = []
    for group in groups:
        if not group.injects:
            continue
        for name, c, nodes in zip(group.names, group.configs, _unit_nodes(power_flow, group), strict=True):
            if not power_flow.network.energised[nodes].all():
                phases = "".join(n.rpartition(".")[2] for n in live if n.rpartition(".")[0] == c.bus)
                allowed = f"conductors of '{phases}', set `phases`" if phases else "a bus with a path to a source"
                found.append(f"task: {name} at bus '{c.bus}' is not supplied; allowed: {allowed}; move it")
    return found


def _equipment_problems(power_flow: PowerFlow, groups: Sequence[UnitGroup]) -> list[str]:
    found = []
    for group in groups:
        if group.kind.family.moves is None:
            continue
        known = getattr(power_flow, _EQUIPMENT[group.kind.family.moves][0])
        found += [
            f"task: {name} moves '{c.label}', which '{power_flow.spec.name}' has not{did_you_mean(c.label, known)}"
            for name, c in zip(group.names, group.configs, strict=True)
            if c.label not in known
        ]
    return found
