"""What a person writes about an inverter, with the defaults of IEEE Std 1547-2018, and checks of it."""

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from gridenv.core.errors import ConfigError, did_you_mean, raise_collected
from gridenv.devices.ieee1547 import CATEGORIES, Category

Q_MODES = ("constant_pf", "constant_q", "volt_var", "watt_var")
"""Reactive-power modes. Source: clause 5.3.1."""

_RESPONSE_S = 5.0
"""Assumed for the modes other than volt-var: clauses 5.3.2, 5.3.4 and 5.3.5 allow up to 10 s, OpenDER takes 5 s."""


@dataclass(frozen=True, kw_only=True)
class InverterSpec:
    """One inverter. What is left at None is the default of the category or follows from the ratings."""

    id: str
    series: str
    """Name of the relative series that sun or wind follow."""
    p_dc_kw: float
    """Power at a series of 1: the rating of modules or turbine."""
    s_rated_kva: float
    p_rated_kw: float | None = None
    """Largest active power; None = the apparent-power rating."""
    category: str = "B"
    """Category of normal operating performance, A or B."""
    q_inject_max_kvar: float | None = None
    q_absorb_max_kvar: float | None = None
    """Reactive capability, positive numbers; None = what the category requires, table 7."""
    has_q_priority: bool = True
    """Whether reactive power goes before active power beyond what table 7 requires."""
    has_q_at_night: bool = False
    """Whether the capability holds below 20 % of rated active power too, down to none."""
    q_mode: str = "constant_q"
    """One of `Q_MODES`."""
    power_factor: float = 1.0
    is_absorbing: bool = True
    """Sign of reactive power in the mode `constant_pf`."""
    q_set_kvar: float = 0.0
    """Reactive power in the mode `constant_q`, positive = injecting."""
    volt_var_v_pu: tuple[float, float, float, float] | None = None
    volt_var_q_share: tuple[float, float, float, float] | None = None
    """Points of the curve, shares of rated apparent power; None = table 8."""
    watt_var_p_share: tuple[float, float, float] | None = None
    watt_var_q_share: tuple[float, float, float] | None = None
    """Points of the curve, shares of rated active and rated apparent power; None = table 9."""
    has_volt_watt: bool = False
    volt_watt_v_pu: tuple[float, float] = (1.06, 1.10)
    volt_watt_p_share: tuple[float, float] = (1.0, 0.0)
    """Points of the curve, shares of rated active power. Source: table 10; P2 = least active power, here 0."""
    q_response_s: float | None = None
    """Open-loop response time; None = table 8 for volt-var, 5 s for the other modes."""
    volt_watt_response_s: float = 10.0
    """Open-loop response time. Source: table 10."""
    curtailment_price_per_kwh: float = 0.0
    """EUR that the operator pays the owner for energy not taken."""

    @property
    def defaults(self) -> Category:
        """Settings of the unit's category."""
        return CATEGORIES[self.category]

    @property
    def p_max_kw(self) -> float:
        """Largest active power."""
        return self.s_rated_kva if self.p_rated_kw is None else self.p_rated_kw

    def q_max_kvar(self, injecting: bool) -> float:
        """Reactive capability in one direction, a positive number."""
        given = self.q_inject_max_kvar if injecting else self.q_absorb_max_kvar
        required = self.defaults.q_inject_share if injecting else self.defaults.q_absorb_share
        return required * self.s_rated_kva if given is None else given

    @property
    def q_kvar_per_kw(self) -> float:
        """Reactive over active power in the mode `constant_pf`."""
        tangent = math.tan(math.acos(self.power_factor))
        return -tangent if self.is_absorbing else tangent

    @property
    def response_s(self) -> float:
        """Open-loop response time of the reactive-power mode."""
        if self.q_response_s is not None:
            return self.q_response_s
        return self.defaults.volt_var_response_s if self.q_mode == "volt_var" else _RESPONSE_S


def check_specs(specs: Sequence[InverterSpec], series_names: Sequence[str]) -> None:
    """Do nothing when everything is in order.

    Raises:
        ConfigError: for all wrong or unknown values of all units at once.
    """
    twice = [name for name, count in Counter(spec.id for spec in specs).items() if count > 1]
    problems = [
        f"inverter '{name}': id is used more than once; allowed: one unit an id; rename the others" for name in twice
    ]
    for spec in specs:
        found = _choice_problems(spec, series_names) or _number_problems(spec) + _curve_problems(spec)
        problems += [f"inverter '{spec.id}': {problem}" for problem in found]
    raise_collected(problems, ConfigError)


def _choice_problems(spec: InverterSpec, series_names: Sequence[str]) -> list[str]:
    choices = (
        ("series", spec.series, series_names),
        ("category", spec.category, tuple(CATEGORIES)),
        ("q_mode", spec.q_mode, Q_MODES),
    )
    return [
        f"{field} is '{value}'; allowed: one of {len(known)} names{did_you_mean(value, known)}"
        for field, value, known in choices
        if value not in known
    ]


def _number_problems(spec: InverterSpec) -> list[str]:
    s_kva = spec.s_rated_kva
    ranges = [
        ("p_dc_kw", spec.p_dc_kw, 0.0, math.inf),
        ("s_rated_kva", s_kva, 0.0, math.inf),
        ("p_rated_kw", spec.p_rated_kw, 0.0, s_kva),
        ("q_inject_max_kvar", spec.q_inject_max_kvar, 0.0, s_kva),
        ("q_absorb_max_kvar", spec.q_absorb_max_kvar, 0.0, s_kva),
        ("q_set_kvar", spec.q_set_kvar, -s_kva, s_kva),
        ("q_response_s", spec.q_response_s, 0.0, math.inf),
        ("volt_watt_response_s", spec.volt_watt_response_s, 0.0, math.inf),
        ("curtailment_price_per_kwh", spec.curtailment_price_per_kwh, 0.0, math.inf),
    ]
    problems = [
        f"{field} is {value:g}; allowed: a finite number from {low:g} to {high:g}; correct it"
        for field, value, low, high in ranges
        if value is not None and not (math.isfinite(value) and low <= value <= high)
    ]
    if not 0.0 < spec.power_factor <= 1.0:
        problems.append(
            f"power_factor is {spec.power_factor:g}; allowed: above 0 up to 1; set its direction with is_absorbing"
        )
    return problems


def _curve_problems(spec: InverterSpec) -> list[str]:
    curves = (
        ("volt_var_v_pu", spec.volt_var_v_pu, 4, "voltages", False),
        ("watt_var_p_share", spec.watt_var_p_share, 3, "powers", True),
        ("volt_watt_v_pu", spec.volt_watt_v_pu, 2, "voltages", False),
    )
    problems = []
    for field, points, n, what, strictly in curves:
        steps = [b - a for a, b in itertools.pairwise(points)] if points is not None else []
        is_rising = all(step > 0 if strictly else step >= 0 for step in steps)
        if points is not None and not (_is_finite(points, n) and points[0] > 0 and is_rising):
            problems.append(f"{field} is {points}; allowed: {n} positive, rising {what}; sort or correct them")
    heights = (
        ("volt_var_q_share", spec.volt_var_q_share, 4, -1.0),
        ("watt_var_q_share", spec.watt_var_q_share, 3, -1.0),
        ("volt_watt_p_share", spec.volt_watt_p_share, 2, 0.0),
    )
    for field, points, n, low in heights:
        if points is not None and not (_is_finite(points, n) and all(low <= y <= 1.0 for y in points)):
            problems.append(f"{field} is {points}; allowed: {n} shares from {low:g} to 1; correct them")
    return problems


def _is_finite(points: Sequence[float], n: int) -> bool:
    return len(points) == n and all(math.isfinite(point) for point in points)
