"""Whether what was recorded as written keeps limits and ramps: by other means than those of the loop."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from hardware_in_loop.control.log import Log
from hardware_in_loop.control.states import State
from hardware_in_loop.control.supervisor import RAMP_WINDOW_PERIODS

_ROUNDING = 1e-6
"""Share of a limit or ramp that counts as rounding."""


def audit_writes(log: Log) -> list[str]:
    """Every recorded write beyond its limits, or faster than its ramp; one line each.

    Ramps count from the last write to the channel, or from what the device showed where that is another value; those of
    ESTOP are free.
    """
    found = []
    period_s, sent_s, cycles = float(log.header["period_s"]), log.column("sent_s"), log.column("cycle")
    for channel in log.layout.setpoints:
        rule: Mapping[str, Any] = log.header["setpoints"][channel]
        written, shown = log.column(f"written.{channel}"), log.column(f"in_force.{channel}")
        last: float | None = None
        changed_s = -np.inf
        for row in np.flatnonzero(np.isfinite(written)):
            value, where = float(written[row]), f"cycle {cycles[row]}: '{channel}' = {written[row]:g}"
            room = _ROUNDING * max(abs(rule["low"]), abs(rule["high"]))
            if not rule["low"] - room <= value <= rule["high"] + room:
                found.append(f"{where} is beyond {rule['low']:g}..{rule['high']:g}")
            seen = float(shown[row]) if np.isfinite(shown[row]) else float(rule["safe"])
            starts = [seen] if last is None else [last, seen]
            window_s = max(RAMP_WINDOW_PERIODS * period_s, rule["step"] / rule["ramp_per_s"])
            most = rule["ramp_per_s"] * min(float(sent_s[row]) - changed_s, window_s) * (1.0 + _ROUNDING) + room
            step = min(abs(value - start) for start in starts)
            if log.states[row] != State.ESTOP and step > most:
                found.append(f"{where} is {step:g} away from what was in force; the ramp allows {most:g}")
            if last is None or value != last:
                changed_s = float(sent_s[row])
            last = value
    return found
