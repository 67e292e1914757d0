"""Pictures of a running environment: the feeder with voltages, flows and devices, and the episode so far."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp

from gridenv.adapters.drawing import Branches, Canvas, DeviceMark, FeederLayout, Scene, branch_loading, bus_voltages
from gridenv.adapters.program import Program
from gridenv.core.units import HOURS_PER_DAY
from gridenv.exogenous.scenario import PRICE_NAME
from gridenv.sim.state import GridOutput
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
            if action is None:
                output = _first_output(self._env, before, self._program.params)
                devices = before.grid.devices
            else:
                output, devices = _output(self._env, before, action, self._program.params)
        t = int(before.grid.t)
        params = self._program.params
        step = int(before.steps) + (action is not None)
        hour = (t + (action is not None)) * params.model.dt_h % HOURS_PER_DAY
        scene = Scene(
            bus_names=self._layout.bus_names,
            v_pu=bus_voltages(self._layout, self._env.task.bus_names, output.v_pu),
            branches=self._switched(output),
            loading=branch_loading(self._branches, output.line_loading, output.transformer_loading),
            devices=self._marks(output, devices),
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

    def _switched(self, output: GridOutput) -> Branches:
        """The branches with the switches that units move as they were in the step."""
        is_open = dict(zip(self._branches.names, self._branches.is_open.tolist(), strict=True))
        for own, done in zip(self._env.task.actuator.groups, output.feasible, strict=True):
            if own.kind.family.moves == "switches":
                labels = [config.label for config in own.configs]
                is_open |= dict(zip(labels, (np.asarray(done.position) < 0.5).tolist(), strict=True))
        return replace(self._branches, is_open=np.array([is_open[name] for name in self._branches.names], bool))

    def _marks(self, output: GridOutput, devices: Sequence[Any]) -> list[DeviceMark]:
        """Symbols of the units that feed in or draw power; equipment is part of the network's own drawing."""
        marks = []
        model = self._program.params.model
        for own, group, done, state in zip(
            self._env.task.actuator.groups, model.groups, output.feasible, devices, strict=True
        ):
            if not own.injects:
                continue
            level = own.kind.level
            levels = [None] * len(own.names) if level is None else np.asarray(level(group.params, state)).tolist()
            marks += [
                DeviceMark(name=name, kind=config.prefix, bus=config.bus, level=full, p_kw=float(p_kw))
                for name, config, full, p_kw in zip(own.names, own.configs, levels, np.asarray(done.p_kw), strict=True)
            ]
        return marks


def _output(env: GridEnv, state: EnvState, action: np.ndarray, params: EnvParams) -> tuple[GridOutput, Any]:
    transition = _advance(env, state, jnp.asarray(action), params)
    return transition.output, transition.state.grid.devices


@partial(jax.jit, static_argnames="env")
def _advance(env: GridEnv, state: EnvState, action: Array, params: EnvParams) -> Any:
    return env.advance(state, action, params)


@partial(jax.jit, static_argnames="env")
def _first_output(env: GridEnv, state: EnvState, params: EnvParams) -> GridOutput:
    return env.task.begin(params.model, state.grid.t)[1]
