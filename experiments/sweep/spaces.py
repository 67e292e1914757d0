"""What a setting may be in the trials of a sweep; imports no Ray."""

import difflib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gridenv.core.layer import Layer

GRID, CHOICE, UNIFORM, LOG_UNIFORM, INTEGER = "grid", "choice", "uniform", "log_uniform", "integer"
KINDS = {
    GRID: "a list of different values, each of which is tried",
    CHOICE: "a list of different values, one of which is drawn",
    UNIFORM: "[low, high] with low < high",
    LOG_UNIFORM: "[low, high] with 0 < low < high",
    INTEGER: "[low, high], whole numbers with low < high; both may be drawn",
}
"""Kind of space -> what is written after it."""
_GROUPS = ("task", "agent")


@dataclass(frozen=True)
class Space:
    """Values that a setting may have."""

    kind: str
    """One of `KINDS`."""
    values: tuple[Any, ...]
    """The values, or the lowest and the highest."""


def read_spaces(search: Layer) -> tuple[dict[str, Space], list[str]]:
    """Spaces by the dotted key of the setting, and what is wrong with the others.

    Args:
        search: nested settings of tasks and agents whose leaves are `{<kind>: values}`.
    """
    spaces, problems = {}, []
    for key, leaf in _leaves(search.values, ""):
        space = _space(leaf)
        problem = _problem(key, leaf, space)
        if problem:
            problems.append(f"search.{key}{problem}{_origin(search, key)}")
        else:
            assert space is not None
            spaces[key] = space
    return spaces, problems


def _leaves(here: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Everything that is a space or should be one."""
    if isinstance(here, Mapping) and here and not set(here) & set(KINDS):
        for name, below in here.items():
            yield from _leaves(below, f"{key}.{name}" if key else str(name))
    else:
        yield key, here


def _space(leaf: Any) -> Space | None:
    """The space of a leaf of the right form, whatever its values."""
    if not isinstance(leaf, Mapping) or len(leaf) != 1:
        return None
    ((kind, values),) = leaf.items()
    return Space(kind, tuple(values) if isinstance(values, list) else (values,)) if kind in KINDS else None


def _problem(key: str, leaf: Any, space: Space | None) -> str:
    """What follows the key in a message; empty where all is well."""
    group, _, rest = key.partition(".")
    if space is None and isinstance(leaf, Mapping) and len(leaf) > 1:
        return f" = {dict(leaf)!r}; allowed: one kind of space; drop all but one"
    if space is None:
        close = difflib.get_close_matches(key.rpartition(".")[2], KINDS, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"write {{KIND: VALUES}} with one of: {', '.join(KINDS)}"
        return f" = {leaf!r}; is no space; {hint}"
    if group not in _GROUPS or not rest:
        return f"; allowed: settings of {' and '.join(f'`{g}`' for g in _GROUPS)}; put others under `settings`"
    if not _is_allowed(space):
        return f".{space.kind} = {leaf[space.kind]!r}; must be {KINDS[space.kind]}"
    return ""


def _is_allowed(space: Space) -> bool:
    values = space.values
    if space.kind in (GRID, CHOICE):
        return bool(values) and all(v not in values[:i] for i, v in enumerate(values)) and None not in values
    number = int if space.kind == INTEGER else (int, float)
    if len(values) != 2 or any(isinstance(v, bool) or not isinstance(v, number) for v in values):
        return False
    low, high = values
    return math.isfinite(low) and math.isfinite(high) and low < high and (space.kind != LOG_UNIFORM or low > 0)


def _origin(search: Layer, key: str) -> str:
    """Where the space was written, as the end of a message."""
    found = [where for name, where in search.origin.items() if name == key or name.startswith(f"{key}.")]
    return f"; correct it in {found[-1]}" if found else ""
