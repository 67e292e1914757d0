"""One episode's simulated course and linearised grid as arrays of the host: what a program is built from."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np

from agents.optimal_power.host import on_host
from agents.optimal_power.program import Floats
from agents.optimal_power.track import Course, Measured, Metrics
from gridenv.core.units import KWH_PER_MWH
from gridenv.tasks import terms
from gridenv.tasks.env import EnvParams, GridEnv
from gridenv.tasks.settlement import THERMAL, UNBALANCE, V_BAND, Settler


@dataclass(frozen=True, kw_only=True)
class Money:
    """Prices and places of a task's settlement that the programs know."""

    trade_share: Floats | None
    """[injection] 1 where trade counts; None = everywhere, and losses are bought."""
    is_market: bool
    fee_eur_kwh: float
    meter: np.ndarray | None
    """[injection, bus] which injections a bus's fee is charged for, net; None = no fee."""
    v_band_eur: float
    """EUR for a pu h outside the band."""
    thermal_eur: float
    unbalance_eur: float
    dt_h: float


def money_of(env: GridEnv, params: EnvParams) -> Money:
    """The prices of a task, weights of costs as the reward charges them."""
    settler = env.task.settle
    assert isinstance(settler, Settler)
    weights = dict(zip(env.cost_names, np.asarray(params.charged_eur, float), strict=True))
    return Money(
        trade_share=None if settler.settled is None else np.asarray(settler.settled, float),
        is_market=settler.tariff.is_market,
        fee_eur_kwh=settler.tariff.grid_fee_eur_kwh,
        meter=settler.meter,
        v_band_eur=weights[V_BAND],
        thermal_eur=weights[THERMAL],
        unbalance_eur=weights.get(UNBALANCE, 0.0),
        dt_h=params.model.dt_h,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Day:
    """The steps of one episode that a program decides on. Arrays are float64 [step, ...]."""

    t: np.ndarray
    """Scenario steps."""
    power: Floats
    """[step, quantity] kW and kvar of the course."""
    net_kw: Floats
    """[step, injection]"""
    price_eur_kwh: Floats
    devices: tuple[Any, ...]
    """State of each group, [step + 1, unit]; the last one is after the last step."""
    limits: "Limits"
    loss_slope: Floats
    """[step, quantity] kW of losses per kW or kvar."""
    injected_slope: Floats
    """[step, quantity] kW of all loads and units together."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Limits:
    """Quantities of the grid that cost money above zero: `value + slope @ (power - power of the course)`."""

    value: Floats
    """[step, limit] how far beyond the limit, negative within."""
    slope: Floats
    """[step, limit, quantity]"""
    eur: Floats
    """[limit] for one unit of it in one step."""


class Days:
    """The simulated episodes on the host."""

    def __init__(self, money: Money, course: Course, grid: Measured, slopes: Metrics, shift: int) -> None:
        """Bring them to the host.

        Args:
            money: prices of the task.
            course: of all episodes.
            grid: along the course.
            slopes: of the grid.
            shift: step of the slopes that is the first of the course.
        """
        self._money, self._shift = money, shift
        self._course, self._grid = on_host((course, grid))
        # By far the largest arrays; they stay in single precision.
        self._slopes = jax.tree.map(np.asarray, slopes)

    @property
    def power(self) -> Floats:
        """[step, episode, quantity] kW and kvar of the courses."""
        return np.asarray(self._grid.power)

    def day(self, episode: int, n_step: int) -> Day:
        """The first steps of an episode."""
        at: Any = (slice(None, n_step), episode)
        grid = self._grid
        steps = slice(self._shift, self._shift + n_step)
        slopes = {f: getattr(self._slopes, f)[steps, :, episode].astype(float) for f in self._slopes._fields}
        devices = tuple(
            _states(states, last, episode, n_step)
            for states, last in zip(self._course.devices, self._course.last_devices, strict=True)
        )
        return Day(
            t=np.asarray(self._course.t[at]),
            power=np.asarray(grid.power[at]),
            net_kw=np.asarray(grid.net_kw[at]),
            price_eur_kwh=np.asarray(grid.price_eur_mwh[at]) / KWH_PER_MWH,
            devices=devices,
            limits=self._limits(at, slopes),
            loss_slope=slopes["loss_kw"],
            injected_slope=slopes["injected_kw"],
        )

    def _limits(self, at: Any, slopes: dict[str, Floats]) -> Limits:
        money, values = self._money, self._grid.values
        v_pu, dv = values.v_pu[at], np.swapaxes(slopes["v_pu"], 1, 2)
        parts = [
            (v_pu - terms.V_BAND_HIGH_PU, dv, money.v_band_eur),
            (terms.V_BAND_LOW_PU - v_pu, -dv, money.v_band_eur),
            (values.loading[at] - 1.0, np.swapaxes(slopes["loading"], 1, 2), money.thermal_eur),
            (
                values.unbalance[at] - terms.UNBALANCE_LIMIT,
                np.swapaxes(slopes["unbalance"], 1, 2),
                money.unbalance_eur,
            ),
        ]
        parts = [part for part in parts if part[2] > 0.0 and part[0].shape[1]]
        n_step, n_quantity = slopes["loss_kw"].shape
        if not parts:
            return Limits(value=np.zeros((n_step, 0)), slope=np.zeros((n_step, 0, n_quantity)), eur=np.zeros(0))
        return Limits(
            value=np.concatenate([p[0] for p in parts], axis=1),
            slope=np.concatenate([p[1] for p in parts], axis=1),
            eur=np.concatenate([np.full(p[0].shape[1], p[2] * money.dt_h) for p in parts]),
        )


def _states(states: Any, last: Any, episode: int, n_step: int) -> Any:
    """[step + 1, unit] every field of a group's state."""
    made = {}
    for name, values in vars(states).items():
        made[name] = np.concatenate([values[:, episode], getattr(last, name)[None, episode]])[: n_step + 1]
    return SimpleNamespace(**made)
