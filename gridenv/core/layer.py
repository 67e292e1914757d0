"""Nested settings that know where they were written, and putting one set over another."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gridenv.core.errors import ConfigError


@dataclass(frozen=True)
class Layer:
    """Nested settings and where they were written."""

    values: dict[str, Any] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)
    """Dotted key -> `file:line` or the text of an override."""

    def merged(self, other: "Layer") -> "Layer":
        """These settings with those of `other` on top; mappings are merged, lists and values replaced.

        Raises:
            ConfigError: if `other` names an entry of a list that is not there.
        """
        values = merge(self.values, other.values, "")
        return Layer(values, {k: v for k, v in (self.origin | other.origin).items() if _has(values, k)})

    def without(self, key: str) -> "Layer":
        """A copy that lacks the top-level `key`."""
        values = {k: v for k, v in self.values.items() if k != key}
        return Layer(values, {k: v for k, v in self.origin.items() if k != key and not k.startswith(f"{key}.")})

    def part(self, key: str) -> "Layer":
        """The mapping under the top-level `key`, or nothing where it is left out."""
        start = f"{key}."
        origin = {k.removeprefix(start): v for k, v in self.origin.items() if k.startswith(start)}
        return Layer(self.values.get(key) or {}, origin)

    def under(self, key: str) -> "Layer":
        """The same settings, one level deeper under `key`."""
        return Layer({key: self.values}, {f"{key}.{k}": v for k, v in self.origin.items()})


def value_at(values: Any, key: str) -> Any:
    """The value at a dotted key; numbers are places in lists."""
    for part in key.split("."):
        values = values[part] if isinstance(values, Mapping) else values[int(part)]
    return values


def merge(below: Any, above: Any, path: str) -> Any:
    """One value over another: mappings are merged, numbered keys change entries of a list, all else is replaced.

    Args:
        below: value that gives way.
        above: value that wins.
        path: dotted start of the keys in messages.

    Raises:
        ConfigError: if `above` names an entry of a list that is not there.
    """
    if not isinstance(above, Mapping):
        return above
    if isinstance(below, Mapping):
        merged = {k: merge(below[k], v, f"{path}{k}.") if k in below else v for k, v in above.items()}
        return {**below, **merged}
    if isinstance(below, list) and above and all(str(k).isdigit() for k in above):
        outside = [k for k in above if int(k) >= len(below)]
        if outside:
            raise ConfigError(
                f"'{path}{outside[0]}': the list has {len(below)} entries; allowed: 0..{len(below) - 1}; "
                "replace the whole list to make it longer"
            )
        return [merge(v, above[str(i)], f"{path}{i}.") if str(i) in above else v for i, v in enumerate(below)]
    return dict(above)


def _has(values: Any, key: str) -> bool:
    try:
        value_at(values, key)
    except (KeyError, IndexError, TypeError, ValueError):
        return False
    return True
