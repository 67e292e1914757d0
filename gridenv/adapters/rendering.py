"""Pictures of a running environment: the feeder with voltages, flows and devices, and the episode so far."""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp

from gridenv.adapters.drawing import (
    Branches,
    Canvas,
    DeviceMark,
    FeederLayout,
    Scene,
    branch_loading,
    branch_power,
    bus_voltages,
)
from gridenv.adapters.program import Program
from gridenv.core.units import HOURS_PER_DAY
from gridenv.exogenous.scenario import PRICE_NAME, sample
from gridenv.network import NetworkSpec
from gridenv.powerflow import flows
from gridenv.sim.model import GridModel
from gridenv.sim.state import GridOutput, GridState
from gridenv.sim.step import inject, moved, solve
from gridenv.tasks.env import EnvParams, EnvState, GridEnv
from gridenv.tasks.terms import V_BAND_HIGH_PU, V_BAND_LOW_PU

Picture = np.ndarray
_VOLTAGE, _SOURCE, _PRICE, _REWARD = "voltage, pu", "source power, kW", "price, EUR/MWh", "reward, EUR"


class Renderer:
    """Draws one environment. To see inside the grid it repeats a step, when a picture of it is asked for."""

    def __init__(self, program: Program, size: tuple[int, int] | None = None) -> None:
        self._program = program
        self._env = program.env
        spec = self._env.task.power_flow.spec
        self._layout = FeederLayout.of(spec)
        self._branches = Branches.of(spec)
        self._transformer_bus = self._buses_of_transformers()
        self._canvas = Canvas(self._layout) if size is None else Canvas(self._layout, size)
        self._price_column = program.params.model.scenario.column(PRICE_NAME)
        self._prices = np.asarray(program.params.model.scenario.values[:, self._price_column])
        self.begin()

    def begin(self) -> None:
        """Forget the episode drawn so far."""
        self._series: dict[str, list[Any]] = {name: [] for name in (_VOLTAGE, _SOURCE, _PRICE, _REWARD)}

    def record(self, t: int, reward: float, kpi: dict[str, Any]) -> None:
        """Add a step to the episode so far.

        Args:
            t: its scenario step.
            reward: EUR.
            kpi: as in `info`.
        """
        dt_h = self._program.params.model.dt_h
        self._series[_VOLTAGE].append([float(kpi["v_min_pu"]), float(kpi["v_max_pu"])])
        self._series[_SOURCE].append(float(kpi["kwh.source"]) / dt_h)
        self._series[_PRICE].append(float(self._prices[t]))
        self._series[_REWARD].append(float(reward))

    def frame(self, before: EnvState, action: np.ndarray | None) -> Picture:
        """The step that began with `before`, uint8 [height, width, 3]; without an action the grid before the first."""
        with self._program.precision():
            params = self._program.params
            if action is None:
                output, grid = _first_output(self._env, before, params), before.grid
            else:
                transition = _advance(self._env, before, jnp.asarray(action), params)
                output, grid = transition.output, transition.state.grid
            line_p_kw, terminal_p_kw = _branch_powers(params.model, before.grid.t, output.feasible)
            marks = self._marks(output, grid)
        t = int(before.grid.t)
        step = int(before.steps) + (action is not None)
        hour = (t + (action is not None)) * params.model.dt_h % HOURS_PER_DAY
        scene = Scene(
            bus_names=self._layout.bus_names,
            v_pu=bus_voltages(self._layout, self._env.task.bus_names, output.v_pu),
            branches=self._switched(output),
            loading=branch_loading(self._branches, output.line_loading, output.transformer_loading),
            branch_p_kw=branch_power(self._branches, line_p_kw, terminal_p_kw, self._transformer_bus),
            devices=marks,
            title=self._env.id,
            hour=hour,
            step=step,
            n_step=params.steps_per_episode,
            dt_h=params.model.dt_h,
            series={
                name: np.array(values, float).reshape(-1, 2) if name == _VOLTAGE else np.array(values, float)
                for name, values in self._series.items()
            },
            limits={_VOLTAGE: (V_BAND_LOW_PU, V_BAND_HIGH_PU)},
        )
        picture: Picture = self._canvas.draw(scene)
        return picture

    def _buses_of_transformers(self) -> list[tuple[str, ...]]:
        """[transformer, terminal] bus of each terminal; empty where there is none."""
        power_flow = self._env.task.power_flow
        nodes = np.asarray(self._program.params.model.flow.transformer_nodes)
        names = power_flow.node_names
        if not isinstance(power_flow.spec, NetworkSpec):
            names = tuple(name.rpartition(".")[0] for name in names)
        padded = (*names, "")
        return [tuple(padded[node] for node in row) for row in nodes]

    def _switched(self, output: GridOutput) -> Branches:
        """The branches with the switches that units move as they were in the step."""
        is_open = dict(zip(self._branches.names, self._branches.is_open.tolist(), strict=True))
        for own, done in zip(self._env.task.actuator.groups, output.feasible, strict=True):
            if own.kind.family.moves == "switches":
                labels = [config.label for config in own.configs]
                is_open |= dict(zip(labels, (np.asarray(done.position) < 0.5).tolist(), strict=True))
        return replace(self._branches, is_open=np.array([is_open[name] for name in self._branches.names], bool))

    def _marks(self, output: GridOutput, grid: GridState) -> list[DeviceMark]:
        """Symbols of the units that feed in or draw power; equipment is part of the network's own drawing."""
        marks = []
        model = self._program.params.model
        for own, group, done, state in zip(
            self._env.task.actuator.groups, model.groups, output.feasible, grid.devices, strict=True
        ):
            if not own.injects:
                continue
            level = own.kind.level
            levels = [None] * len(own.names)
            if level is not None:
                levels = np.asarray(level(group.params, state, grid.t)).tolist()
            marks += [
                DeviceMark(name=name, kind=config.prefix, bus=config.bus, level=full, p_kw=float(p_kw))
                for name, config, full, p_kw in zip(own.names, own.configs, levels, np.asarray(done.p_kw), strict=True)
            ]
        return marks


@partial(jax.jit, static_argnames="env")
def _advance(env: GridEnv, state: EnvState, action: Array, params: EnvParams) -> Any:
    return env.advance(state, action, params)


@jax.jit
def _branch_powers(model: GridModel, t: Array, feasible: tuple[Any, ...]) -> tuple[Array, Array]:
    """Active power into lines and terminals of transformers, by the power flow of a step solved once more."""
    equipment = moved(model, feasible)
    current = solve(model, inject(model, sample(model.scenario, t), feasible), equipment).slot_current
    of_equipment = flows.of_equipment
    lines = of_equipment(flows.line_p_kw, model.flow, current, equipment)
    return lines, of_equipment(flows.transformer_p_kw, model.flow, current, equipment)


@partial(jax.jit, static_argnames="env")
def _first_output(env: GridEnv, state: EnvState, params: EnvParams) -> GridOutput:
    return env.task.begin(params.model, state.grid.t)[1]
