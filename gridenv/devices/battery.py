"""Batteries behind a four-quadrant inverter: stored energy with losses, limits and the price of ageing.

Equations are numbered as in `docs/devices/battery.md`.
"""

from collections.abc import Sequence

import numpy as np
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float, Int

from gridenv.core.errors import ConfigError, raise_collected
from gridenv.core.pytree import pytree
from gridenv.core.units import HOURS_PER_DAY
from gridenv.devices.family import Family, Inputs, Ledger
from gridenv.devices.unit_columns import Allowed, PerUnit, unit_columns

_DAYS_PER_YEAR = 365.25
SOC_OF_CALENDAR_LIFE = 0.5
"""State of charge at which the calendar life is stated. Source: reference of Xu et al. 2018 (Smart Grid), table I."""
_SMALL = 1e-2
"""Below it sinh(x) / x is a series whose next term, x^6 / 5040, is beyond float64."""

Unit = Float[Array, "*batch unit"]


@pytree
class BatteryParams:
    """Batteries with their inverters. Powers are at the terminals, efficiencies one way."""

    e_max_kwh: Float[Array, " unit"]
    """Stored energy at a state of charge of 1."""
    soc_min: Float[Array, " unit"]
    soc_max: Float[Array, " unit"]
    soc_start: Float[Array, " unit"]
    """State of charge at the beginning of an episode."""
    p_charge_max_kw: Float[Array, " unit"]
    p_discharge_max_kw: Float[Array, " unit"]
    """Limits, both as positive numbers."""
    s_rated_kva: Float[Array, " unit"]
    has_q_priority: Float[Array, " unit"]
    """1 where reactive power goes before active power in the apparent-power circle, 0 where active power does."""
    eff_charge: Float[Array, " unit"]
    eff_discharge: Float[Array, " unit"]
    standby_kw: Float[Array, " unit"]
    """Drawn always, on the alternating-current side: from the cells, at their minimum from the network."""
    self_discharge_per_h: Float[Array, " unit"]
    """Share of the stored energy lost in an hour."""
    cycle_eur: Float[Array, " unit"]
    """Wear of a cycle from full to empty and back."""
    depth_exponent: Float[Array, " unit"]
    """Wear of a cycle from full to depth d and back is `cycle_eur * d^depth_exponent`."""
    calendar_eur_per_h: Float[Array, " unit"]
    """Ageing at half charge."""
    soc_stress: Float[Array, " unit"]
    """Calendar ageing grows with `exp(soc_stress * soc)`."""
    stock_eur_per_kwh: Float[Array, " unit"]
    """Value of a kWh that the stored energy can still deliver at the terminals."""

    @property
    def e_low_kwh(self) -> Float[Array, " unit"]:
        """Least stored energy."""
        return self.soc_min * self.e_max_kwh

    @property
    def e_high_kwh(self) -> Float[Array, " unit"]:
        """Most stored energy."""
        return self.soc_max * self.e_max_kwh


@pytree
class BatteryState:
    """What the next step needs."""

    e_kwh: Float[Array, "*batch unit"]
    """Stored energy."""


@pytree
class BatteryRequest:
    """Power at the terminals, positive into the network: what is asked for, and from `project` what can be held."""

    p_kw: Float[Array, "*batch unit"]
    """Positive = discharging."""
    q_kvar: Float[Array, "*batch unit"]


_POSITIVE = Allowed(is_low_excluded=True)
_SHARE = Allowed(high=1.0)
_EFFICIENCY = Allowed(high=1.0, is_low_excluded=True, advice="give the efficiency of one way as a share, not percent")
_ALLOWED = {
    "e_max_kwh": _POSITIVE,
    "soc_min": _SHARE,
    "soc_max": _SHARE,
    "soc_start": _SHARE,
    "p_charge_max_kw": Allowed(advice="give limits as positive numbers"),
    "p_discharge_max_kw": Allowed(advice="give limits as positive numbers"),
    "s_rated_kva": Allowed(),
    "has_q_priority": _SHARE,
    "eff_charge": _EFFICIENCY,
    "eff_discharge": _EFFICIENCY,
    "standby_kw": Allowed(advice="give the draw as a positive number"),
    "self_discharge_per_h": _SHARE,
    "replacement_eur_per_kwh": Allowed(),
    "cycle_life": _POSITIVE,
    "rated_depth": Allowed(high=1.0, is_low_excluded=True),
    "depth_exponent": Allowed(low=1.0, advice="1 prices throughput alone, more makes deep cycles dearer"),
    "calendar_life_years": Allowed(is_low_excluded=True, is_infinity_allowed=True, advice="inf turns it off"),
    "soc_stress": Allowed(),
    "stock_eur_per_kwh": Allowed(),
}


def battery_params(
    names: Sequence[str],
    e_max_kwh: PerUnit,
    p_charge_max_kw: PerUnit,
    p_discharge_max_kw: PerUnit,
    s_rated_kva: PerUnit,
    *,
    stock_eur_per_kwh: PerUnit,
    soc_min: PerUnit = 0.15,
    soc_max: PerUnit = 0.95,
    soc_start: PerUnit = 0.5,
    has_q_priority: PerUnit = 0.0,
    eff_charge: PerUnit = 0.95,
    eff_discharge: PerUnit = 0.95,
    standby_kw: PerUnit = 0.0,
    self_discharge_per_h: PerUnit = 0.0,
    replacement_eur_per_kwh: PerUnit = 300.0,
    cycle_life: PerUnit = 3000.0,
    rated_depth: PerUnit = 0.8,
    depth_exponent: PerUnit = 2.03,
    calendar_life_years: PerUnit = 12.5,
    soc_stress: PerUnit = 1.04,
    dtype: str = "float32",
) -> BatteryParams:
    """Parameters of batteries; `docs/devices/battery.md` has the sources of the defaults.

    Raises:
        ConfigError: for values out of range or of wrong number, limits that exclude each other, names used twice, and
            units that could not supply their standby draw when empty; all at once.
    """
    values = {field: value for field, value in locals().items() if field in _ALLOWED}
    given, problems = unit_columns(list(names), values, _ALLOWED)
    raise_collected(problems or _conflicts(list(names), given), ConfigError)
    replacement_eur = given.pop("replacement_eur_per_kwh") * given["e_max_kwh"]
    life_h = given.pop("calendar_life_years") * _DAYS_PER_YEAR * HOURS_PER_DAY
    cycles = given.pop("cycle_life") * given.pop("rated_depth") ** given["depth_exponent"]
    given |= {"cycle_eur": replacement_eur / cycles, "calendar_eur_per_h": replacement_eur / life_h}
    return BatteryParams(**{field: jnp.asarray(column, dtype) for field, column in given.items()})


def _conflicts(names: Sequence[str], given: dict[str, np.ndarray]) -> list[str]:
    """What is wrong between parameters that are right alone."""
    e_low_kwh = given["soc_min"] * given["e_max_kwh"]
    holding_kw = given["standby_kw"] + given["self_discharge_per_h"] * e_low_kwh / given["eff_charge"]
    holds = Allowed(low=holding_kw, advice="it has to cover standby and self-discharge of an empty battery")
    above_min = Allowed(low=given["soc_min"], is_low_excluded=True, high=1.0, advice="raise it above soc_min")
    inside = Allowed(low=given["soc_min"], high=given["soc_max"], advice="start between soc_min and soc_max")
    rules = {"soc_max": above_min, "soc_start": inside, "p_charge_max_kw": holds, "s_rated_kva": holds}
    return [p for field, rule in rules.items() for p in rule.problems(names, field, given[field])]


def init(params: BatteryParams, t: Int[Array, "*batch"]) -> BatteryState:
    """Charged to `soc_start`."""
    e_kwh = params.soc_start * params.e_max_kwh
    return BatteryState(e_kwh=jnp.broadcast_to(e_kwh, (*t.shape, *e_kwh.shape)))


def project(params: BatteryParams, state: BatteryState, request: BatteryRequest, inputs: Inputs) -> BatteryRequest:
    """Nearest power each battery can hold for the step; applying it twice changes nothing.

    Order: limits of power and stored energy, then the apparent-power circle, in which the one with priority takes what
    it asks for and the other what is left. Power that an empty battery has to draw goes before reactive power always.

    Source: docs/devices/battery.md eqs. 3 and 4.
    """
    low, high = _power_window_kw(params, state.e_kwh, inputs.dt_h)
    p_must = jnp.clip(0.0, low, high)
    q_limit = circle_room(params.s_rated_kva, p_must)
    q_first = jnp.clip(request.q_kvar, -q_limit, q_limit)
    q_goes_first = params.has_q_priority > 0.5
    p_limit = jnp.where(q_goes_first, circle_room(params.s_rated_kva, q_first), params.s_rated_kva)
    # The window comes last: rounding of the circle must not move the stored energy beyond its limits.
    p_kw = jnp.clip(jnp.clip(request.p_kw, -p_limit, p_limit), low, high)
    q_left = circle_room(params.s_rated_kva, p_kw)
    q_kvar = jnp.where(q_goes_first, q_first, jnp.clip(request.q_kvar, -q_left, q_left))
    return BatteryRequest(p_kw=p_kw, q_kvar=q_kvar)


def step(params: BatteryParams, state: BatteryState, feasible: BatteryRequest, inputs: Inputs) -> BatteryState:
    """Stored energy after the step, exact for constant power. Source: docs/devices/battery.md eq. 2."""
    lost, hours = _self_discharge(params, inputs.dt_h)
    e_kwh = state.e_kwh + (_inflow_kw(params, feasible.p_kw) * hours - state.e_kwh * lost)
    # Rounding only: `project` has seen to the limits.
    return BatteryState(e_kwh=jnp.clip(e_kwh, params.e_low_kwh, params.e_high_kwh))


def settle(
    params: BatteryParams, before: BatteryState, feasible: BatteryRequest, after: BatteryState, inputs: Inputs
) -> Ledger:
    """Wear, change in value of the stored energy, and where the energy at the terminals came from."""
    loss_kwh = _loss_kwh(params, before.e_kwh, feasible.p_kw, inputs.dt_h)
    wear_eur = _wear_eur(params, before.e_kwh / params.e_max_kwh, after.e_kwh / params.e_max_kwh, inputs.dt_h)
    gained_kwh = after.e_kwh - before.e_kwh
    stock_eur = gained_kwh * params.eff_discharge * params.stock_eur_per_kwh
    return Ledger(
        eur=jnp.stack([-wear_eur, stock_eur], axis=-2),
        cost=jnp.zeros((*gained_kwh.shape[:-1], 0, gained_kwh.shape[-1]), gained_kwh.dtype),
        energy_kwh=jnp.stack([-gained_kwh, -loss_kwh], axis=-2),
    )


def circle_room(s_rated_kva: Float[Array, " unit"], used: Unit) -> Unit:
    """What the apparent-power circle leaves beside active or reactive power `used`; 0 on and beyond it.

    Source: q^2 <= s^2 - p^2.
    """
    # As a product it loses no digits near the circle; the inner `where` keeps gradients finite on it.
    left = (s_rated_kva - used) * (s_rated_kva + used)
    return jnp.where(left > 0, jnp.sqrt(jnp.where(left > 0, left, 1.0)), 0.0)


def _inflow_kw(params: BatteryParams, p_kw: Unit) -> Unit:
    """Power into the cells at power `p_kw` at the terminals. Source: docs/devices/battery.md eq. 1."""
    converter_kw = p_kw + params.standby_kw
    return params.eff_charge * jnp.maximum(-converter_kw, 0.0) - jnp.maximum(converter_kw, 0.0) / params.eff_discharge


def _terminal_kw(params: BatteryParams, inflow_kw: Unit) -> Unit:
    """Power at the terminals that brings `inflow_kw` into the cells; the inverse of eq. 1."""
    converter_kw = params.eff_discharge * jnp.maximum(-inflow_kw, 0.0) - jnp.maximum(inflow_kw, 0.0) / params.eff_charge
    return converter_kw - params.standby_kw


def _self_discharge(params: BatteryParams, dt_h: float) -> tuple[Float[Array, " unit"], Float[Array, " unit"]]:
    """Share of the energy lost in the step, and hours that inflow counts for (`dt_h` without self-discharge)."""
    rate = params.self_discharge_per_h
    lost = -jnp.expm1(-rate * dt_h)
    return lost, jnp.where(rate > 0, lost / jnp.where(rate > 0, rate, 1.0), dt_h)


def _power_window_kw(params: BatteryParams, e_kwh: Unit, dt_h: float) -> tuple[Unit, Unit]:
    """Least and largest power within the ratings after which the stored energy is within its limits (eq. 3)."""
    lost, hours = _self_discharge(params, dt_h)
    low = _terminal_kw(params, (params.e_high_kwh - e_kwh + e_kwh * lost) / hours)
    high = _terminal_kw(params, (params.e_low_kwh - e_kwh + e_kwh * lost) / hours)
    return (
        jnp.maximum(low, -jnp.minimum(params.p_charge_max_kw, params.s_rated_kva)),
        jnp.minimum(high, jnp.minimum(params.p_discharge_max_kw, params.s_rated_kva)),
    )


def _loss_kwh(params: BatteryParams, e_kwh: Unit, p_kw: Unit, dt_h: float) -> Unit:
    """Energy lost by standby, conversion and self-discharge (eq. 5); never negative."""
    lost, hours = _self_discharge(params, dt_h)
    converter_kw = p_kw + params.standby_kw
    charging = (1.0 - params.eff_charge) * jnp.maximum(-converter_kw, 0.0)
    discharging = (1.0 / params.eff_discharge - 1.0) * jnp.maximum(converter_kw, 0.0)
    by_itself = e_kwh * lost + _inflow_kw(params, p_kw) * (dt_h - hours)
    return (params.standby_kw + charging + discharging) * dt_h + jnp.maximum(by_itself, 0.0)


def _wear_eur(params: BatteryParams, soc_before: Unit, soc_after: Unit, dt_h: float) -> Unit:
    """Price of cycle ageing (eq. 6) and calendar ageing (eq. 7) in the step; never negative.

    Source: cycle ageing as the wear density of Han, Han and Aki 2014, Applied Energy 113, with the depth law of Xu et
    al. 2018, IEEE Trans. Power Systems 33(2); calendar ageing of Xu et al. 2018, IEEE Trans. Smart Grid 9(2).
    """
    depth_before, depth_after = (jnp.maximum(1.0 - soc, 0.0) for soc in (soc_before, soc_after))
    change = jnp.abs(depth_after**params.depth_exponent - depth_before**params.depth_exponent)
    # Mean of the exponential while the state of charge moves evenly from one value to the other.
    x = params.soc_stress * (soc_after - soc_before) / 2
    is_small = jnp.abs(x) < _SMALL
    safe = jnp.where(is_small, 1.0, x)
    spread = jnp.where(is_small, 1.0 + x**2 / 6 + x**4 / 120, jnp.sinh(safe) / safe)
    stress = jnp.exp(params.soc_stress * ((soc_before + soc_after) / 2 - SOC_OF_CALENDAR_LIFE)) * spread
    return params.cycle_eur * change / 2 + params.calendar_eur_per_h * stress * dt_h


BATTERY = Family(
    name="battery",
    init=init,
    project=project,
    step=step,
    settle=settle,
    is_missed=False,
    eur_lines=("battery_wear", "battery_stock"),
    energy_lines=("battery_stored", "battery_loss"),
)
