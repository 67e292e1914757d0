"""Name -> implementation, imported only when asked for."""

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from gridenv.core.errors import ConfigError, did_you_mean


class Registry(Mapping[str, str]):
    """A read-only table of `name -> "module:attribute"`; adding an entry is one line where it is made."""

    def __init__(self, kind: str, entries: Mapping[str, str]) -> None:
        self.kind = kind
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> str:
        if name not in self._entries:
            raise ConfigError(f"unknown {self.kind} '{name}'{did_you_mean(name, self._entries)}")
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def load(self, name: str) -> Any:
        """Import and return the implementation.

        Raises:
            ConfigError: if the name is not registered; the message suggests the closest one.
        """
        module, _, attribute = self[name].partition(":")
        return getattr(importlib.import_module(module), attribute)
