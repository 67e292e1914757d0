"""The program of one day: devices, trade, losses and limits of the grid put together."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from agents.optimal_power.charger_rows import add_chargers, charger_bounds, visits_of
from agents.optimal_power.day import Day, Money, money_of
from agents.optimal_power.device_rows import add_batteries, add_plants, battery_bounds, plant_bounds
from agents.optimal_power.grid_rows import add_fees, add_limits, add_trade_and_losses
from agents.optimal_power.host import on_host
from agents.optimal_power.program import Floats, Index, Program
from agents.optimal_power.quantities import Quantities, quantities_of
from gridenv.core.errors import UnfitError
from gridenv.devices import battery, ev_charger
from gridenv.sim.model import GridModel
from gridenv.tasks.env import EnvParams, GridEnv


@dataclass(frozen=True, kw_only=True, eq=False)
class Setting:
    """What all days of a task have in common."""

    quantities: Quantities
    money: Money
    units: tuple[Any, ...]
    """Parameters of each group on the host, float64; None for groups without quantities."""

    @classmethod
    def of(cls, env: GridEnv, params: EnvParams) -> "Setting":
        """That of a task.

        Raises:
            UnfitError: for a task without units that fit a program.
        """
        quantities = quantities_of(env, params)
        if not quantities.entries:
            raise UnfitError(
                f"optimal power: {env.id} has no units that fit; allowed: batteries, chargers, and plants without a "
                "volt-var curve, in tasks without switches; take `rule` or `oracle`"
            )
        used = {q.group for q in quantities.entries}
        groups = enumerate(params.model.groups)
        units = tuple(on_host(group.params) if i in used else None for i, group in groups)
        return cls(quantities=quantities, money=money_of(env, params), units=units)


def solve_day(
    model: GridModel,
    setting: Setting,
    loss_root: Floats,
    day: Day,
    radius: float,
    known_until: int | None,
    groups: Collection[int] | None = None,
) -> Floats | None:
    """[step, quantity] power of one day's program; None where the solver found none.

    Args:
        model: units and scenario.
        setting: of the task.
        loss_root: see `track.loss_root`.
        day: course and linearised grid.
        radius: of the trust region, as a share of each quantity's range.
        known_until: see `visits_of`.
        groups: that are decided on, all if left out; the others keep the power of the course.

    Raises:
        MissingExtraError: if clarabel is not installed.
    """
    program = Program()
    x = program.variables(day.power.size).reshape(day.power.shape)
    low, high = _add_devices(program, model, setting, day, x, known_until, groups, is_near=radius < 1.0)
    if radius < 1.0:
        reach = radius * (high - low)
        low, high = np.clip(day.power - reach, low, high), np.clip(day.power + reach, low, high)
    program.between(x.ravel(), low.ravel(), high.ravel())
    cost = add_trade_and_losses(program, day, setting.money, setting.quantities, x, loss_root)
    program.add_cost(x, cost + add_limits(program, day, x, low, high))
    add_fees(program, day, setting.money, setting.quantities, x)
    found = program.solve()
    return None if found is None else np.asarray(found[x])


def _add_devices(
    program: Program,
    model: GridModel,
    setting: Setting,
    day: Day,
    x: Index,
    known_until: int | None,
    groups: Collection[int] | None,
    is_near: bool,
) -> tuple[Floats, Floats]:
    """Rows of all units that are decided on; bounds of the quantities, [step, quantity] low and high."""
    quantities, n_step = setting.quantities, len(day.t)
    low, high = day.power.copy(), day.power.copy()
    for i, (group, params) in enumerate(zip(model.groups, setting.units, strict=True)):
        if params is None or (groups is not None and i not in groups):
            continue
        places, q_places = quantities.of_group(i, is_q=False), quantities.of_group(i, is_q=True)
        if group.family.name == ev_charger.EV_CHARGER.name:
            visits = visits_of(group.params, params, day, i, known_until)
            p_low, p_high = charger_bounds(visits)
            q_limit = np.zeros_like(p_high)
            add_chargers(program, params, visits, x[:, list(places.values())], setting.money.dt_h)
        elif group.family.name == battery.BATTERY.name:
            p_low, p_high = battery_bounds(params, n_step)
            q_limit = np.tile(params.s_rated_kva, (n_step, 1))
            add_batteries(program, params, day.devices[i].e_kwh, places, q_places, x, setting.money.dt_h, is_near)
        else:
            p_high, q_limit = plant_bounds(model, i, day, has_p=bool(places))
            p_low = np.zeros_like(p_high)
            add_plants(program, params, places, q_places, x, setting.money.dt_h)
        for unit, k in places.items():
            low[:, k], high[:, k] = p_low[:, unit], p_high[:, unit]
        for unit, k in q_places.items():
            low[:, k], high[:, k] = -q_limit[:, unit], q_limit[:, unit]
    return low, high
