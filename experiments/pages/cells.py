"""Numbers in the cells of tables, as HTML."""

from experiments.statistics import Interval

_MINUS = "\u2212"
DASH = "\u2013"
"""Where there is no number."""


def interval_cell(interval: Interval, digits: int) -> str:
    """A mean with its interval in small print."""
    mean = number(interval.mean, digits)
    if interval.low == interval.high:
        return mean
    return f"{mean}<small>{number(interval.low, digits)} to {number(interval.high, digits)}</small>"


def number(value: float, digits: int, *, signed: bool = False) -> str:
    """A number with thousands separators and a true minus sign."""
    return f"{value:{'+' if signed else ''},.{digits}f}".replace("-", _MINUS)
