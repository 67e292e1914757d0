"""A control task from its settings: the assembled grid with its channels, rewards and costs."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jax import Array
from jax import numpy as jnp

from gridenv.core.errors import ConfigError, did_you_mean, raise_collected
from gridenv.exogenous import episode_starts
from gridenv.sim.model import GridModel
from gridenv.sim.state import GridOutput, GridState
from gridenv.sim.step import step as grid_step
from gridenv.tasks.actuator import Actuator
from gridenv.tasks.agents import agents_of
from gridenv.tasks.assembly import Assembly, assemble
from gridenv.tasks.demand_response import EUR_LINE
from gridenv.tasks.env import EnvParams, GridEnv, Task
from gridenv.tasks.forecasting import with_forecasts
from gridenv.tasks.grid_config import GridTaskConfig
from gridenv.tasks.observation import observer
from gridenv.tasks.own_terms import own_terms
from gridenv.tasks.settlement import MONEY_LINES, PF_FAIL, THERMAL, UNBALANCE, UNSERVED, V_BAND, Settler, Tariff


def make(config: GridTaskConfig, task_id: str) -> tuple[GridEnv, EnvParams]:
    """The functional environment and its parameters.

    Raises:
        ConfigError: for units and settings that do not fit the network; all problems at once.
        DataError: for profiles and price zones that do not exist.
        MissingExtraError: if a package that the forecaster needs is not installed.
        NetworkError: for a network that does not exist, and for units without a path to a source.
    """
    assembly = assemble(config)
    with assembly.power_flow.precision():
        task = _task(config, task_id, assembly)
        weights = config.cost_weights.model_dump()
        return GridEnv(task), EnvParams(
            model=with_forecasts(config, assembly),
            starts=jnp.asarray(episode_starts(config.split, config.steps_per_episode)),
            cost_weight_eur=jnp.array([weights.get(name, 0.0) for name in task.cost_names], config.dtype),
            steps_per_episode=config.steps_per_episode,
            penalised=config.reward == "penalised",
        )


@dataclass(frozen=True)
class Beginning:
    """The grid in the first step as it stands before anything is commanded."""

    actuator: Actuator
    n_node: int

    def __call__(self, model: GridModel, start: Array) -> tuple[GridState, GridOutput]:
        """State and measurements at first scenario steps [*batch]."""
        t = jnp.asarray(start)
        state = GridState(
            t=t,
            slot_voltage=jnp.broadcast_to(model.flow.slot_no_load, (*t.shape, *model.flow.slot_no_load.shape)),
            v_pu=jnp.ones((*t.shape, self.n_node), model.flow.dtype),
            devices=tuple(group.family.init(group.params, t) for group in model.groups),
        )
        idle = self.actuator.idle(model, state)
        after, output = grid_step(model, state, self.actuator.command(model, state, idle))
        return GridState(t=t, slot_voltage=after.slot_voltage, v_pu=after.v_pu, devices=state.devices), output


def _task(config: GridTaskConfig, task_id: str, assembly: Assembly) -> Task:
    observation, observe = observer(config, assembly)
    actuator = Actuator(groups=assembly.groups)
    begin = Beginning(actuator, len(assembly.power_flow.node_names))
    settler = _settler(config, assembly, begin)
    return Task(
        id=task_id,
        observation=observation,
        actuator=actuator,
        cost_names=settler.cost_names,
        begin=begin,
        observe=observe,
        settle=settler,
        power_flow=assembly.power_flow,
        agents=agents_of(actuator, observation, _nodes_of_units(assembly)),
    )


def _nodes_of_units(assembly: Assembly) -> dict[str, tuple[str, ...]]:
    """Names of the nodes at each unit; none for equipment of the network."""
    names = assembly.power_flow.node_names
    return {
        unit: tuple(dict.fromkeys(names[n] for n in nodes)) if own.injects else ()
        for own, group in zip(assembly.groups, assembly.model.groups, strict=True)
        for unit, nodes in zip(own.names, np.asarray(group.node), strict=True)
    }


def _settler(config: GridTaskConfig, assembly: Assembly, begin: Callable[..., tuple[GridState, GridOutput]]) -> Settler:
    network = assembly.power_flow.network
    costs: dict[str, list[tuple[int, int]]] = {}
    for i, group in enumerate(assembly.groups):
        for line, name in enumerate(group.kind.family.cost_lines):
            costs.setdefault(name, []).append((i, line))
    balance = [UNBALANCE] if assembly.model.three_phase_node.shape[0] else []
    moves_switches = assembly.model.load_legs is not None
    names = (V_BAND, THERMAL, *balance, *((UNSERVED,) if moves_switches else ()), *costs)
    own = own_terms(config, assembly.model, begin, {*names, PF_FAIL, *_money_lines(assembly)})
    return Settler(
        tariff=Tariff(
            is_market=config.market == "wholesale",
            grid_fee_eur_kwh=config.grid_fee_eur_kwh,
            voll_eur_kwh=config.voll_eur_kwh,
        ),
        meter=_meter(config, assembly) if config.grid_fee_eur_kwh else None,
        settled=None if config.settled_buses == "all" else _is_settled(config, assembly).astype(np.float32),
        supplied=None if network.energised.all() or moves_switches else np.flatnonzero(network.energised),
        programme=assembly.programme,
        cost_names=(*names, *(own.cost_names if own else ()), PF_FAIL),
        device_costs=tuple(tuple(places) for places in costs.values()),
        own=own,
    )


def _money_lines(assembly: Assembly) -> set[str]:
    return {*MONEY_LINES, EUR_LINE, *(line for group in assembly.groups for line in group.kind.family.eur_lines)}


def _meter(config: GridTaskConfig, assembly: Assembly) -> np.ndarray:
    """[injection, bus] 1 where an injection is behind a bus's meter; buses without injections left out."""
    buses = np.array(assembly.power_flow.spec.injections.bus)
    counted = _is_settled(config, assembly)
    distinct = list(dict.fromkeys(buses[counted]))
    return np.stack([(buses == bus) & counted for bus in distinct], axis=-1).astype(np.float32)


def _is_settled(config: GridTaskConfig, assembly: Assembly) -> np.ndarray:
    """[injection] whether its trade and fees count.

    Raises:
        ConfigError: for buses without injections.
    """
    buses = np.array(assembly.power_flow.spec.injections.bus)
    if config.settled_buses == "all":
        return np.ones(len(buses), bool)
    raise_collected(
        [
            f"task: settled_buses names bus '{bus}', where nothing is connected{did_you_mean(bus, set(buses))}"
            for bus in config.settled_buses
            if bus not in buses
        ],
        ConfigError,
    )
    return np.isin(buses, config.settled_buses)
