"""Channels: named quantities with a unit, a range and a scale, shared by training, logs and hardware."""

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from gridenv.core.errors import ConfigError, did_you_mean, raise_collected


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One observed or commanded quantity.

    The normalised value is `(physical - offset) / scale`. Values outside `low..high` saturate,
    as a transducer does; the range is therefore chosen wider than what the grid can show.
    """

    name: str
    """Dotted name that ends in its unit, such as `bus.18.v_pu`."""
    unit: str
    """Unit of the physical value; empty for dimensionless."""
    low: float
    """Smallest physical value that the channel can carry."""
    high: float
    """Largest physical value that the channel can carry."""
    scale: float
    """Physical size of one normalised unit; > 0."""
    offset: float = 0.0
    """Physical value that is normalised to zero."""
    source: str = ""
    """Device or element that the quantity belongs to."""


@dataclass(frozen=True)
class ChannelSet:
    """An ordered set of channels with a fingerprint; the layout of one vector."""

    channels: tuple[Channel, ...]

    def __post_init__(self) -> None:
        raise_collected([p for c in self.channels for p in _problems(c)] + _repeated(self.names), ConfigError)

    def __len__(self) -> int:
        return len(self.channels)

    def __iter__(self) -> Iterator[Channel]:
        return iter(self.channels)

    @property
    def names(self) -> tuple[str, ...]:
        """Channel names in vector order."""
        return tuple(c.name for c in self.channels)

    def index(self, name: str) -> int:
        """Position of a channel in the vector.

        Raises:
            ConfigError: if there is no such channel.
        """
        try:
            return self.names.index(name)
        except ValueError:
            raise ConfigError(f"unknown channel '{name}'{did_you_mean(name, self.names)}") from None

    @property
    def fingerprint(self) -> str:
        """SHA-256 of names, units, ranges, scaling and order."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> list[dict[str, Any]]:
        """Entries in vector order, JSON-serialisable."""
        return [asdict(c) for c in self.channels]

    @classmethod
    def from_json(cls, entries: list[dict[str, Any]]) -> "ChannelSet":
        """The set that `to_json` wrote."""
        return cls(tuple(Channel(**entry) for entry in entries))


def _problems(c: Channel) -> list[str]:
    found = []
    if not all(math.isfinite(x) for x in (c.low, c.high, c.scale, c.offset)):
        found.append(f"channel '{c.name}': low, high, scale and offset must be finite, got {c}")
    elif not c.low < c.high:
        found.append(f"channel '{c.name}': low must be < high, got {c.low}..{c.high}")
    elif not c.scale > 0:
        found.append(f"channel '{c.name}': scale must be > 0, got {c.scale}")
    return found


def _repeated(names: tuple[str, ...]) -> list[str]:
    return [
        f"channel '{n}' appears {names.count(n)} times; names must be unique"
        for n in sorted(set(names))
        if names.count(n) > 1
    ]
