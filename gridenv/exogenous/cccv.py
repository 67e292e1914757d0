"""Two-stage (constant current, constant voltage) charging of a battery in closed form; imports no JAX.

The same lines serve NumPy, where sessions are drawn, and JAX, where chargers are simulated. All powers are at the
battery, after the losses of the charger.

Below the state of charge `transition_soc` a battery takes up to `p_cc_kw`; above it the most it takes falls linearly
and is zero when it is full. With the room G = battery_kwh - e_kwh that is dG/dt = -min(pilot, rate * G), with
rate = p_cc_kw / ((1 - transition_soc) * battery_kwh), which is solved without steps.

Source: docs/devices/ev_charger.md eq. 1 to 3; model of `Linear2StageBattery` in acnportal 0.3.3 (Z. J. Lee et al.,
"ACN-Sim: an open-source simulator for data-driven electric vehicle charging research", 2021).
"""

from typing import Any

from array_api_compat import array_namespace

_SMALL_ROOM = 1e-6
"""Share of the battery: a fuller target counts as this far from full, which is reached only after an infinite time."""


def charged_kwh(e_kwh: Any, battery_kwh: Any, p_cc_kw: Any, p_pilot_kw: Any, transition_soc: Any, hours: Any) -> Any:
    """Energy that goes into batteries while the charger offers a constant power.

    Args:
        e_kwh: stored at the start, array; the other arguments are arrays or numbers that broadcast with it.
        battery_kwh: capacity, > 0.
        p_cc_kw: most that the battery takes below the transition, > 0.
        p_pilot_kw: offered power, >= 0; more than `p_cc_kw` counts as `p_cc_kw`.
        transition_soc: state of charge where the most it takes begins to fall, 0 <= transition_soc < 1.
        hours: duration, >= 0.

    Returns:
        kWh, >= 0, never more than the room in the battery.
    """
    xp = array_namespace(e_kwh)
    pilot, rate, taper_room = _curve(xp, battery_kwh, p_cc_kw, p_pilot_kw, transition_soc)
    room = xp.maximum(battery_kwh - e_kwh, xp.zeros_like(e_kwh))
    # Before the room is down to `taper_room` the battery takes the whole pilot; a pilot of zero stays there for good.
    moving = xp.where(pilot > 0, pilot, xp.ones_like(pilot))
    to_taper = xp.where(pilot > 0, (room - taper_room) / moving, xp.zeros_like(pilot) + hours)
    linear_h = xp.minimum(xp.maximum(to_taper, xp.zeros_like(to_taper)), xp.zeros_like(to_taper) + hours)
    linear = pilot * linear_h
    return linear + (room - linear) * -xp.expm1(-rate * (hours - linear_h))


def needed_kwh(
    target_kwh: Any, battery_kwh: Any, p_cc_kw: Any, p_pilot_kw: Any, transition_soc: Any, hours: Any
) -> Any:
    """Least stored energy from which a constant offer reaches the target in time; `charged_kwh` run backwards.

    Args:
        target_kwh: wanted at the end, array; the other arguments are as for `charged_kwh`.
        battery_kwh: capacity.
        p_cc_kw: most that the battery takes below the transition.
        p_pilot_kw: offered power.
        transition_soc: state of charge where the most it takes begins to fall.
        hours: time left.

    Returns:
        kWh, at most the target; below zero where there is time to spare even for an empty battery.
    """
    xp = array_namespace(target_kwh)
    pilot, rate, taper_room = _curve(xp, battery_kwh, p_cc_kw, p_pilot_kw, transition_soc)
    room = xp.maximum(battery_kwh - target_kwh, _SMALL_ROOM * battery_kwh + xp.zeros_like(target_kwh))
    from_taper = xp.log(xp.maximum(taper_room, room) / room) / rate
    taper_h = xp.minimum(from_taper, xp.zeros_like(from_taper) + hours)
    before = battery_kwh - room * xp.exp(rate * taper_h) - pilot * (hours - taper_h)
    return xp.minimum(before, target_kwh + xp.zeros_like(before))


def _curve(xp: Any, battery_kwh: Any, p_cc_kw: Any, p_pilot_kw: Any, transition_soc: Any) -> tuple[Any, Any, Any]:
    """Power taken before the taper, rate of the taper (1/h), and room (kWh) at which the taper meets the pilot."""
    rate = p_cc_kw / ((1 - transition_soc) * battery_kwh)
    pilot = xp.minimum(xp.asarray(p_pilot_kw), xp.asarray(p_cc_kw))
    return pilot, rate, pilot / rate
