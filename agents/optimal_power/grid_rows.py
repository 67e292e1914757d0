"""Trade, fees, losses and limits of the grid as costs and rows of a program."""

import numpy as np

from agents.optimal_power.day import Day, Money
from agents.optimal_power.program import Floats, Index, Program
from agents.optimal_power.quantities import Quantities

_FINE = 1000.0
"""What is beyond a limit is counted in thousandths, so that all rows of a program are of like size."""


def add_trade_and_losses(
    program: Program, day: Day, money: Money, quantities: Quantities, x: Index, loss_root: Floats
) -> Floats:
    """EUR that a unit of each quantity costs, [step, quantity]; the curvature of losses goes into the program.

    Losses are `slope x + 1/2 |y|^2` with `y = loss_root' (x - power of the course)`.
    """
    cost = np.zeros_like(day.power)
    price = day.price_eur_kwh[:, None] * money.dt_h
    slope = day.injected_slope
    if money.trade_share is not None:
        slope = np.where(quantities.is_q, 0.0, money.trade_share[quantities.injection])
    if money.is_market:
        cost -= price * slope
    if money.trade_share is None:
        loss_price = np.maximum(price, 0.0)
        cost += loss_price * day.loss_slope
        n_step, n_root = len(x), loss_root.shape[1]
        for k in range(n_root):
            y = program.variables(n_step, curvature=loss_price[:, 0])
            program.equal(-day.power @ loss_root[:, k], (y, 1.0), (x, -loss_root[:, k]))
    return cost


def add_fees(program: Program, day: Day, money: Money, quantities: Quantities, x: Index) -> None:
    """Fee on what a bus draws net: `h >= 0`, `h >= -(power of the bus)`, for the buses with quantities."""
    if money.meter is None:
        return
    active = np.flatnonzero(~quantities.is_q)
    members = money.meter[quantities.injection[active]]
    for bus in np.flatnonzero(members.any(axis=0)):
        own = active[members[:, bus] > 0]
        fixed_kw = day.net_kw @ money.meter[:, bus] - day.power[:, own].sum(axis=1)
        drawn = program.variables(len(fixed_kw), money.fee_eur_kwh * money.dt_h)
        program.at_most(np.zeros(len(fixed_kw)), (drawn, -1.0))
        program.at_most(fixed_kw, (drawn, -1.0), (x[:, own], -1.0))


def add_limits(program: Program, day: Day, x: Index, low: Floats, high: Floats) -> Floats:
    """Hinge costs of voltages, loadings and unbalance; EUR of those that are beyond for certain, [step, quantity].

    Limits that no power within its bounds reaches are left out, those beyond for certain are plain costs, so that few
    rows are left: `h >= 0`, `h >= value + slope (x - power)`.
    """
    limits = day.limits
    at_zero = limits.value - np.einsum("slk,sk->sl", limits.slope, day.power)
    rising = np.maximum(limits.slope, 0.0)
    falling = limits.slope - rising
    most = at_zero + np.einsum("slk,sk->sl", rising, high) + np.einsum("slk,sk->sl", falling, low)
    least = at_zero + np.einsum("slk,sk->sl", rising, low) + np.einsum("slk,sk->sl", falling, high)
    cost: Floats = np.einsum("sl,slk->sk", (least >= 0.0) * limits.eur, limits.slope)
    step, limit = np.nonzero((most > 0.0) & (least < 0.0))
    if len(step):
        beyond = program.variables(len(step), limits.eur[limit] / _FINE)
        program.at_most(np.zeros(len(step)), (beyond, -1.0))
        program.at_most(-at_zero[step, limit] * _FINE, (x[step], limits.slope[step, limit] * _FINE), (beyond, -1.0))
    return cost
