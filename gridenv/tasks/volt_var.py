"""Volt-var control: inverters set their reactive power every 15 minutes to hold the voltage band at least cost.

Actions: for each inverter the share of the reactive power that its capability and its apparent-power circle leave
beside the sun's active power. Documentation: docs/tasks/volt_var.md.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from jax import Array
from jax import numpy as jnp

from gridenv.core.channels import Channel, ChannelSet
from gridenv.core.errors import ConfigError, did_you_mean, raise_collected
from gridenv.devices import load, pv
from gridenv.exogenous import episode_starts
from gridenv.exogenous.scenario import PRICE_NAME, Scenario, build_scenario, sample, sample_window
from gridenv.network import Network, NetworkSpec, load_balanced
from gridenv.network.spec import InjectionTable
from gridenv.powerflow import PowerFlow
from gridenv.sim.model import GridModel
from gridenv.sim.state import Command, GridOutput, GridState
from gridenv.sim.step import step as grid_step
from gridenv.tasks import terms
from gridenv.tasks.env import EnvParams, GridEnv, Settlement, Task
from gridenv.tasks.volt_var_config import VoltVarConfig

COST_NAMES = ("v_band", "thermal", "pf_fail")
_V_SENSOR_PU = (0.5, 1.5)
_PRICE_RANGE_EUR_MWH = (-500.0, 1000.0)
_PROFILE_RANGE = (-3.0, 3.0)
_SHOWN = 10
"""Elements that an error message lists."""


def make(config: VoltVarConfig, task_id: str) -> tuple[GridEnv, EnvParams]:
    """The functional environment and its parameters.

    Raises:
        ConfigError: for buses that do not exist, and a network with generators or storage of its own; all problems
            at once.
        DataError: for profiles and price zones that do not exist.
        NetworkError: for a network that does not exist, and for inverters without a path to a source.
    """
    network = _network(config)
    power_flow = PowerFlow(
        network, config.dtype, tolerance_pu=config.tolerance_pu, max_iterations=config.max_iterations
    )
    with power_flow.precision():
        model = _model(config, network, power_flow)
        return GridEnv(_task(config, task_id, power_flow.network, model.scenario)), EnvParams(
            model=model,
            starts=jnp.asarray(episode_starts(config.split, config.steps_per_episode)),
            cost_weight_eur=jnp.array([getattr(config.cost_weights, name) for name in COST_NAMES], config.dtype),
            steps_per_episode=config.steps_per_episode,
            penalised=config.reward == "penalised",
        )


def _model(config: VoltVarConfig, network: NetworkSpec, power_flow: PowerFlow) -> GridModel:
    scenario = build_scenario(_series(config), config.price_zone)
    p_dc_kw = np.array([i.p_dc_kw for i in config.inverters])
    s_rated_kva = p_dc_kw * config.s_over_p_dc
    return GridModel(
        flow=power_flow.arrays,
        loads=_loads(config, network, scenario),
        pv=pv.init(
            scenario.names,
            p_dc_kw,
            s_rated_kva,
            s_rated_kva * config.q_max_over_s,
            [i.profile for i in config.inverters],
            [power_flow.node_names.index(i.bus) for i in config.inverters],
            config.dtype,
        ),
        scenario=scenario,
        dt_h=scenario.dt_h,
        tolerance_pu=power_flow.tolerance_pu,
        max_iterations=power_flow.max_iterations,
    )


def _series(config: VoltVarConfig) -> list[str]:
    """Columns of the scenario; those that are observed come first."""
    loads, suns = _distinct(config.load_profiles), _distinct(i.profile for i in config.inverters)
    return [f"{name}_pload" for name in loads] + suns + [f"{name}_qload" for name in loads]


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _network(config: VoltVarConfig) -> NetworkSpec:
    """The catalogue's network with the task's source voltage, line ratings and inverters."""
    spec = load_balanced(config.network)
    buses = [i.bus for i in config.inverters]
    raise_collected(
        [
            f"task: inverter {n} is at bus '{bus}', which '{spec.name}' has not{did_you_mean(bus, spec.buses.id)}"
            for n, bus in enumerate(buses, 1)
            if bus not in spec.buses.id
        ]
        + [f"task: bus '{bus}' has {buses.count(bus)} inverters; give each its own bus" for bus in _repeated(buses)]
        + _foreign_problems(spec),
        ConfigError,
    )
    rating = np.where(np.isinf(spec.lines.i_max_a), config.line_rating_a, spec.lines.i_max_a)
    zeros = np.zeros(len(buses))
    inverters = InjectionTable(
        id=tuple(f"pv.{bus}" for bus in buses),
        bus=tuple(buses),
        kind=("sgen",) * len(buses),
        p_kw=zeros,
        q_kvar=zeros,
        in_service=np.ones(len(buses), dtype=bool),
    )
    return spec.replace(
        sources=replace(spec.sources, v_pu=np.full(len(spec.sources), config.source_v_pu)),
        lines=replace(spec.lines, i_max_a=rating),
        injections=spec.injections.joined(inverters),
    )


def _foreign_problems(spec: NetworkSpec) -> list[str]:
    own = spec.injections
    foreign = [e for e, kind, on in zip(own.id, own.kind, own.in_service, strict=True) if on and kind != "load"]
    if not foreign:
        return []
    shown = ", ".join(foreign[:_SHOWN]) + (f" and {len(foreign) - _SHOWN} more" if len(foreign) > _SHOWN else "")
    return [
        f"task: network '{spec.name}' has generators or storage of its own: {shown}; allowed: loads only, as the task "
        "has no series for others; use a network without own generators, and give plants as `inverters`"
    ]


def _repeated(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})


def _loads(config: VoltVarConfig, network: NetworkSpec, scenario: Scenario) -> load.LoadParams:
    n_load = len(network.injections) - len(config.inverters)
    profiles = [config.load_profiles[i % len(config.load_profiles)] for i in range(n_load)]
    return load.init(
        scenario.names,
        network.injections.p_kw[:n_load] * config.load_scale,
        network.injections.q_kvar[:n_load] * config.load_scale,
        [f"{name}_pload" for name in profiles],
        [f"{name}_qload" for name in profiles],
        config.dtype,
    )


def _task(config: VoltVarConfig, task_id: str, network: Network, scenario: Scenario) -> Task:
    bus_names = network.node_names
    observed = bus_names if config.observed_buses == "all" else config.observed_buses
    raise_collected(
        [
            f"task: observed_buses names bus '{bus}', which the network has not{did_you_mean(bus, bus_names)}"
            for bus in observed
            if bus not in bus_names
        ],
        ConfigError,
    )
    buses = None if observed == bus_names else np.array([bus_names.index(bus) for bus in observed])
    supplied = None if network.energised.all() else np.flatnonzero(network.energised)
    n_profile = len(_distinct(config.load_profiles)) + len(_distinct(i.profile for i in config.inverters))
    return Task(
        id=task_id,
        observation=_observation_channels(config, observed, scenario, n_profile),
        action=_action_channels(config),
        cost_names=COST_NAMES,
        command=_command,
        applied=_applied,
        begin=_begin,
        observe=partial(_observe, buses, n_profile, config.forecast_steps),
        settle=partial(_settle, supplied),
        bus_names=bus_names,
    )


def _observation_channels(
    config: VoltVarConfig, buses: Sequence[str], scenario: Scenario, n_profile: int
) -> ChannelSet:
    low, high = _V_SENSOR_PU
    channels = [
        Channel(name=f"bus.{b}.v_pu", unit="pu", low=low, high=high, offset=1.0, scale=0.05, source=f"bus.{b}")
        for b in buses
    ]
    for i in config.inverters:
        name, s_kva = f"pv.{i.bus}", i.p_dc_kw * config.s_over_p_dc
        channels += [
            Channel(name=f"{name}.p_kw", unit="kW", low=0.0, high=s_kva, scale=i.p_dc_kw, source=name),
            Channel(name=f"{name}.q_kvar", unit="kvar", low=-s_kva, high=s_kva, scale=s_kva, source=name),
        ]
    for ahead in range(config.forecast_steps + 1):
        channels += _scenario_channels(scenario.names[:n_profile], f".ahead_{ahead}" if ahead else "")
    calendar = scenario.names[scenario.column(PRICE_NAME) + 1 :]
    channels += [Channel(name=n, unit="", low=-1.0, high=1.0, scale=1.0, source="calendar") for n in calendar]
    return ChannelSet(tuple(channels))


def _scenario_channels(profiles: Sequence[str], suffix: str) -> list[Channel]:
    low, high = _PROFILE_RANGE
    price_low, price_high = _PRICE_RANGE_EUR_MWH
    return [
        Channel(name=f"profile.{n}{suffix}", unit="", low=low, high=high, offset=0.5, scale=0.5, source=n)
        for n in profiles
    ] + [
        Channel(
            name=f"{PRICE_NAME}{suffix}",
            unit="EUR/MWh",
            low=price_low,
            high=price_high,
            offset=50.0,
            scale=50.0,
            source="day-ahead market",
        )
    ]


def _action_channels(config: VoltVarConfig) -> ChannelSet:
    return ChannelSet(
        tuple(
            Channel(name=f"pv.{i.bus}.q_share", unit="", low=-1.0, high=1.0, scale=1.0, source=f"pv.{i.bus}")
            for i in config.inverters
        )
    )


def _command(model: GridModel, state: GridState, q_share: Array) -> Command:
    available = pv.q_available_kvar(model.pv, pv.available_kw(model.pv, sample(model.scenario, state.t)))
    return Command(pv_q_kvar=q_share * available)


def _applied(output: GridOutput) -> Array:
    return output.pv_q_kvar / output.pv_q_available_kvar


def _begin(model: GridModel, start: Array) -> tuple[GridState, GridOutput]:
    """The grid in the first step as it stands before anything is commanded: no reactive power."""
    t = jnp.asarray(start)
    cold = jnp.broadcast_to(model.flow.slot_no_load, (*t.shape, *model.flow.slot_no_load.shape))
    idle = Command(pv_q_kvar=jnp.zeros((*t.shape, *model.pv.s_rated_kva.shape), cold.dtype))
    state, output = grid_step(model, GridState(t=t, slot_voltage=cold), idle)
    return GridState(t=t, slot_voltage=state.slot_voltage), output


def _observe(
    buses: np.ndarray | None,
    n_profile: int,
    forecast_steps: int,
    model: GridModel,
    state: GridState,
    output: GridOutput,
) -> Array:
    """Voltages and reactive power of the step before; sun, profiles, price and time of the step to decide on."""
    scenario = model.scenario
    price = scenario.column(PRICE_NAME)
    series = sample(scenario, state.t)
    v_pu = output.v_pu if buses is None else output.v_pu[..., buses]
    pv_p_kw = pv.available_kw(model.pv, series)
    parts = [v_pu, jnp.stack([pv_p_kw, output.pv_q_kvar], axis=-1).reshape(*pv_p_kw.shape[:-1], -1)]
    if forecast_steps:
        ahead = sample_window(scenario, state.t, forecast_steps + 1)
        window = jnp.concatenate([ahead[..., :n_profile], ahead[..., price : price + 1]], axis=-1)
        parts.append(window.reshape(*window.shape[:-2], -1))
    else:
        parts += [series[..., :n_profile], series[..., price : price + 1]]
    return jnp.concatenate([*parts, series[..., price + 1 :]], axis=-1)


def _settle(supplied: np.ndarray | None, model: GridModel, state: GridState, output: GridOutput) -> Settlement:
    """Cost of losses, and the cost vector in the order of `COST_NAMES`.

    Where no solution was found, voltages and flows mean nothing: the step costs `pf_fail` and nothing else. A bus
    without a path to a source has no voltage to judge; `supplied` are the others, None = all.
    """
    v_pu = output.v_pu if supplied is None else output.v_pu[..., supplied]
    price = sample(model.scenario, state.t)[..., model.scenario.column(PRICE_NAME)]
    solved = output.converged
    economic = -terms.loss_cost_eur(output.loss_kw, price, model.dt_h)
    v_band = terms.v_band_pu_h(v_pu, model.dt_h)
    thermal = terms.thermal_pu_h(output.line_loading, model.dt_h)
    thermal += terms.thermal_pu_h(output.transformer_loading, model.dt_h)
    failed = 1.0 - solved.astype(economic.dtype)
    cost = jnp.stack([jnp.where(solved, v_band, 0.0), jnp.where(solved, thermal, 0.0), failed], axis=-1)
    kpi = {
        "loss_kwh": output.loss_kw * model.dt_h,
        "v_min_pu": jnp.min(v_pu, axis=-1),
        "v_max_pu": jnp.max(v_pu, axis=-1),
        "v_band_share": terms.v_band_share(v_pu),
        "line_loading_max": jnp.max(output.line_loading, axis=-1, initial=0.0),
        "transformer_loading_max": jnp.max(output.transformer_loading, axis=-1, initial=0.0),
    }
    kpi = {name: jnp.where(solved, value, 0.0) for name, value in kpi.items()}
    return Settlement(jnp.where(solved, economic, 0.0), cost, kpi)
