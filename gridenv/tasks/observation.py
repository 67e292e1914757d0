"""What is observed: voltages, units, profiles and price with a forecast, time. Channels and values in one order."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float, Int

from gridenv.core.channels import Channel, ChannelSet
from gridenv.core.errors import ConfigError, did_you_mean, raise_collected
from gridenv.core.random import stream
from gridenv.exogenous import CALENDAR_NAMES
from gridenv.exogenous.scenario import PRICE_NAME, sample, sample_window
from gridenv.sim.model import GridModel
from gridenv.sim.state import GridOutput, GridState
from gridenv.tasks.assembly import Assembly
from gridenv.tasks.forecasting import check_forecast, forecast_names, observed_names
from gridenv.tasks.grid_config import GridTaskConfig
from gridenv.tasks.units.kind import UnitKind

AHEAD = ".ahead_"
"""Between a quantity and the step of its forecast in the name of a channel."""
_V_SENSOR_PU = (0.5, 1.5)
_PRICE_RANGE_EUR_MWH = (-500.0, 1000.0)
_PROFILE_RANGE = (-3.0, 3.0)
_TEMPERATURE_BASE_K = 10.0
"""What the error of a temperature is a share of, as zero degrees are no small value. Assumed: an error of 20 % a day
ahead then goes with one of 2 K, about what forecasts of a point for tomorrow have."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Observer:
    """Values of the observation channels; places are known when the program is compiled."""

    nodes: np.ndarray | None
    """Nodes whose voltage is observed; None = all."""
    kinds: tuple[UnitKind, ...]
    """Kind of each group of units."""
    outside: tuple[int, ...]
    """Columns of the scenario that are observed."""
    ahead: tuple[int, ...]
    """Places among them of those that are observed with a forecast."""
    present: tuple[int, ...]
    """Columns of which only the present row is observed."""
    forecast_steps: int
    forecast_every: int
    forecast_error: float
    """Standard deviation of the error a day ahead, share of the value, or of `error_base` where that is not 0."""
    error_base: tuple[float, ...]
    """[ahead] what errors are a share of; 0 = the value itself."""
    forecast_seed: int

    def __call__(self, model: GridModel, state: GridState, output: GridOutput) -> Array:
        """Voltages and units after the step before; profiles, price and time of the step to decide on."""
        scenario = model.scenario
        series = sample(scenario, state.t)
        parts = [output.v_pu if self.nodes is None else output.v_pu[..., self.nodes]]
        inputs = model.inputs(state.t, series, output.v_pu)
        groups = zip(self.kinds, model.groups, state.devices, output.feasible, inputs, strict=True)
        for kind, group, device, done, seen in groups:
            values = kind.observe(group.params, device, done, seen)
            parts.append(values.reshape(*values.shape[:-2], -1))
        parts.append(series[..., np.array(self.outside)])
        if self.forecast_steps:
            ahead = self._forecast(model, state.t)
            parts.append(ahead.reshape(*ahead.shape[:-2], -1))
        parts.append(series[..., np.array(self.present)])
        return jnp.concatenate(parts, axis=-1)

    def _forecast(self, model: GridModel, t: Int[Array, "*batch"]) -> Float[Array, "*batch horizon ahead"]:
        """Forecast made at steps t."""
        scenario, every = model.scenario, self.forecast_every
        if scenario.forecasts is not None:
            return jnp.take(scenario.forecasts, t, axis=0, mode="clip")[..., every - 1 :: every, :]
        columns = np.array(self.outside)[np.array(self.ahead)]
        ahead = sample_window(scenario, t, self.forecast_steps + 1)[..., every::every, columns]
        if not self.forecast_error:
            return ahead
        base = np.array(self.error_base, ahead.dtype)
        errors = self._errors(t, scenario.steps_per_day, ahead.dtype)
        return ahead + errors * jnp.where(base > 0.0, base, ahead)

    def _errors(
        self, t: Int[Array, "*batch"], steps_per_day: int, dtype: np.dtype
    ) -> Float[Array, "*batch horizon ahead"]:
        """Errors of the forecasts made at steps t, as shares; those of a series do not depend on the others chosen."""
        shape = (self.forecast_steps + 1, len(self.outside))
        growth = np.sqrt(np.arange(shape[0]) / steps_per_day)[:, None] * self.forecast_error
        key = stream(jax.random.key(self.forecast_seed), "forecast_error")
        drawn = jax.vmap(lambda step: jax.random.normal(jax.random.fold_in(key, step), shape, dtype))(t.reshape(-1))
        errors = drawn.reshape(*t.shape, *shape) * jnp.asarray(growth, dtype)
        return errors[..., self.forecast_every :: self.forecast_every, np.array(self.ahead)]


def observer(config: GridTaskConfig, assembly: Assembly) -> tuple[ChannelSet, Observer]:
    """Channels and values of a task's observation.

    Raises:
        ConfigError: for buses that the network has not, series that are not observed, and settings of forecasts that
            there are none of.
    """
    check_forecast(config)
    scenario = assembly.model.scenario
    nodes = _observed_nodes(config, assembly)
    names = assembly.power_flow.node_names
    every = len(nodes) == len(names)
    channels = [_voltage_channel(names[n]) for n in nodes]
    for group in assembly.groups:
        for name, unit in zip(group.names, group.configs, strict=True):
            channels += group.kind.channels(unit, name)
    own = {c.channel.name: c.channel for c in assembly.columns}
    outside, chosen = observed_names(assembly), forecast_names(config, assembly)
    channels += [_outside_channel(name, own, "") for name in outside]
    for ahead in range(config.forecast_every, config.forecast_steps + 1, config.forecast_every):
        channels += [_outside_channel(name, own, f"{AHEAD}{ahead}") for name in chosen]
    channels += [Channel(name=n, unit="", low=-1.0, high=1.0, scale=1.0, source="calendar") for n in CALENDAR_NAMES]
    channels += assembly.event_channels
    present = (*CALENDAR_NAMES, *(c.name for c in assembly.event_channels))
    return ChannelSet(tuple(channels)), Observer(
        nodes=None if every else np.array(nodes),
        kinds=tuple(group.kind for group in assembly.groups),
        outside=tuple(scenario.column(name) for name in outside),
        ahead=tuple(outside.index(name) for name in chosen),
        present=tuple(scenario.column(name) for name in present),
        forecast_steps=config.forecast_steps,
        forecast_every=config.forecast_every,
        forecast_error=config.forecast_error,
        error_base=tuple(_TEMPERATURE_BASE_K if n in own and own[n].unit == "degC" else 0.0 for n in chosen),
        forecast_seed=config.forecast_seed,
    )


def _observed_nodes(config: GridTaskConfig, assembly: Assembly) -> list[int]:
    names = assembly.power_flow.node_names
    if config.observed_buses == "all":
        return list(range(len(names)))
    buses = assembly.power_flow.spec.buses.id
    raise_collected(
        [
            f"task: observed_buses names bus '{bus}', which the network has not{did_you_mean(bus, buses)}"
            for bus in config.observed_buses
            if bus not in buses
        ],
        ConfigError,
    )
    return [n for bus in config.observed_buses for n in _nodes_of(bus, names)]


def _nodes_of(bus: str, names: Sequence[str]) -> list[int]:
    return [i for i, name in enumerate(names) if name == bus or name.rpartition(".")[0] == bus]


def _voltage_channel(node: str) -> Channel:
    low, high = _V_SENSOR_PU
    return Channel(name=f"bus.{node}.v_pu", unit="pu", low=low, high=high, offset=1.0, scale=0.05, source=f"bus.{node}")


def _outside_channel(name: str, own: dict[str, Channel], suffix: str) -> Channel:
    if name in own:
        given = own[name]
        return Channel(**{**given.__dict__, "name": given.name + suffix})
    if name == PRICE_NAME:
        low, high = _PRICE_RANGE_EUR_MWH
        unit, offset, scale, source = "EUR/MWh", 50.0, 50.0, "day-ahead market"
        return Channel(name=f"{name}{suffix}", unit=unit, low=low, high=high, offset=offset, scale=scale, source=source)
    low, high = _PROFILE_RANGE
    return Channel(name=f"profile.{name}{suffix}", unit="", low=low, high=high, offset=0.5, scale=0.5, source=name)
