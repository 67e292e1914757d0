"""Parameters of a group of units, given as one number for all or one each, and checks of them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PerUnit = float | Sequence[float] | np.ndarray
"""One number for all units or one for each."""


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """Values that a parameter may take, and what to do about others."""

    low: PerUnit = 0.0
    high: PerUnit = np.inf
    is_low_excluded: bool = False
    is_infinity_allowed: bool = False
    advice: str = "correct it"

    def problems(self, names: Sequence[str], field: str, column: np.ndarray) -> list[str]:
        """A message for every unit with a value outside."""
        low, high = (np.broadcast_to(np.asarray(bound, float), len(names)) for bound in (self.low, self.high))
        is_right = (column > low if self.is_low_excluded else column >= low) & (column <= high)
        is_right &= np.isfinite(column) | self.is_infinity_allowed
        sign = ">" if self.is_low_excluded else ">="
        return [
            f"{names[i]}: {field} is {column[i]:g}; allowed: {sign} {low[i]:g}"
            + (f" and <= {high[i]:g}" if np.isfinite(high[i]) else "")
            + f"; {self.advice}"
            for i in np.flatnonzero(~is_right).tolist()
        ]


def unit_columns(
    names: Sequence[str], values: dict[str, PerUnit], allowed: dict[str, Allowed]
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Each parameter with a value for each unit, and what is wrong with names and values."""
    count = Counter(names)
    problems = [
        f"{n}: name is that of {count[n]} units; allowed: one; rename the others" for n in count if count[n] > 1
    ]
    columns = {}
    for field, value in values.items():
        array = np.asarray(value, float)
        if array.shape not in ((), (len(names),)):
            allowed_text = f"one number or {len(names)}, one a unit"
            problems.append(f"{', '.join(names)}: {field} has shape {array.shape}; allowed: {allowed_text}; correct it")
            continue
        columns[field] = np.broadcast_to(array, len(names))
        problems += allowed[field].problems(names, field, columns[field])
    return columns, problems
