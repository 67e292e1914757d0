"""Demand-response events as part of a task: who takes part, the baseline, and the settlement of a step."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from gridenv.core.channels import Channel
from gridenv.devices.dr_settlement import settle_event
from gridenv.devices.family import Inputs
from gridenv.exogenous.dr_events import DR_NAMES, NONE_KNOWN_H, event_columns, generate_events, load_events
from gridenv.exogenous.scenario import Scenario, sample
from gridenv.exogenous.timebase import N_STEPS
from gridenv.sim.model import GridModel
from gridenv.sim.state import GridOutput, GridState
from gridenv.tasks.outlook import look_ahead
from gridenv.tasks.units.kind import UnitGroup

EUR_LINE = "demand_response"
_PRICE_RANGE_EUR_KWH = 2.0


class DemandResponseConfig(BaseModel):
    """A programme that pays heat pumps and curtailable loads for drawing less than usual during events."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    seed: NonNegativeInt = 0
    n_events: PositiveInt = 40
    """Events in the year, on winter weekdays."""
    target_share: float = Field(default=0.2, gt=0.0, le=1.0)
    """Reduction asked for, share of the baseline."""
    payment_eur_kwh: NonNegativeFloat = 0.50
    penalty_eur_kwh: NonNegativeFloat = 0.10
    events: str | None = None
    """CSV file of events instead."""


@dataclass(frozen=True, kw_only=True)
class DemandResponse:
    """A programme and the groups that take part, by their places in `GridModel.groups`."""

    rows: tuple[int, ...]

    def eur(self, model: GridModel, state: GridState, output: GridOutput) -> Float[Array, "*batch"]:
        """Payment less penalty of the step."""
        series = sample(model.scenario, state.t)
        column = {name: series[..., model.scenario.column(name)] for name in DR_NAMES}
        demand_kw = -jnp.sum(jnp.concatenate([output.feasible[row].p_kw for row in self.rows], axis=-1), axis=-1)
        return settle_event(
            column["dr.active"],
            column["dr.baseline_kw"],
            demand_kw,
            column["dr.target_kw"],
            column["dr.payment_eur_kwh"],
            column["dr.penalty_eur_kwh"],
            model.dt_h,
        ).eur


def participants(groups: Sequence[UnitGroup]) -> tuple[int, ...]:
    """Places of the groups that take part."""
    return tuple(i for i, group in enumerate(groups) if group.kind.event_kw is not None)


def empty_columns() -> dict[str, np.ndarray]:
    """Columns of a programme without events; they hold the place until the baseline can be worked out."""
    return {name: np.zeros(N_STEPS) for name in DR_NAMES}


def with_events(
    config: DemandResponseConfig, model: GridModel, groups: Sequence[UnitGroup], rows: tuple[int, ...]
) -> Scenario:
    """The scenario with the columns of the programme filled in.

    The baseline is worked out from what the participants draw over the year when they follow their usual rules.
    """
    events = (
        load_events(config.events)
        if config.events
        else generate_events(
            config.seed,
            n_events=config.n_events,
            target_share=config.target_share,
            payment_eur_kwh=config.payment_eur_kwh,
            penalty_eur_kwh=config.penalty_eur_kwh,
        )
    )
    columns = event_columns(events, usual_demand_kw(model, groups, rows))
    scenario = model.scenario
    places = np.array([scenario.column(name) for name in DR_NAMES])
    filled = jnp.asarray(np.stack([columns[name] for name in DR_NAMES], axis=-1), scenario.values.dtype)
    return replace(scenario, values=scenario.values.at[:, places].set(filled))


def usual_demand_kw(model: GridModel, groups: Sequence[UnitGroup], rows: tuple[int, ...]) -> np.ndarray:
    """Demand of the participants in every step of the year under their usual rules, consumption positive [time]."""

    def one_step(states: list[Any], t: Array) -> tuple[list[Any], Array]:
        demand_kw = jnp.zeros((), model.flow.dtype)
        after = []
        for row, state in zip(rows, states, strict=True):
            kind, group = groups[row].kind, model.groups[row]
            v_pu = jnp.ones(len(group.names), model.flow.dtype)
            inputs = Inputs(t=t, series=sample(model.scenario, t), v_pu=v_pu, dt_h=model.dt_h)
            if kind.rule is None:
                action = kind.idle(group.params, state, inputs)
            else:
                action = kind.rule(group.params, state, inputs, look_ahead(model.scenario, t))
            done = kind.family.project(group.params, state, kind.request(group.params, state, action, inputs), inputs)
            demand_kw = demand_kw - jnp.sum(done.p_kw)
            after.append(kind.family.step(group.params, state, done, inputs))
        return after, demand_kw

    start = [groups[row].kind.family.init(model.groups[row].params, jnp.int32(0)) for row in rows]
    steps = jnp.arange(model.scenario.n_steps, dtype=jnp.int32)
    return np.asarray(jax.jit(lambda s: jax.lax.scan(one_step, s, steps)[1])(start), float)


def event_channels(groups: Sequence[UnitGroup]) -> tuple[Channel, ...]:
    """How the columns of the programme are observed, in the order of `DR_NAMES`; only those of the present step."""
    money, hours = _PRICE_RANGE_EUR_KWH, NONE_KNOWN_H
    largest_kw = sum(g.kind.event_kw(c) for g in groups if g.kind.event_kw is not None for c in g.configs)
    ranges = {
        "dr.active": ("", 1.0, 0.5, 0.5),
        "dr.target_kw": ("kW", largest_kw, 0.0, largest_kw),
        "dr.payment_eur_kwh": ("EUR/kWh", money, 0.0, 0.5),
        "dr.penalty_eur_kwh": ("EUR/kWh", money, 0.0, 0.5),
        "dr.hours_to_event": ("h", hours, hours / 2, hours / 2),
        "dr.baseline_kw": ("kW", largest_kw, 0.0, largest_kw),
    }
    return tuple(
        Channel(name=name, unit=unit, low=0.0, high=high, offset=offset, scale=scale, source="demand response")
        for name, (unit, high, offset, scale) in ranges.items()
    )
