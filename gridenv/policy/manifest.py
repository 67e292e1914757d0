"""What the numbers of a policy mean and what made it: the manifest of a bundle."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from gridenv.core.channels import Channel, ChannelSet
from gridenv.core.errors import BundleError, ConfigError, raise_collected

FORMAT_VERSION = 1
"""Version of the layout of a bundle; others are refused."""
_VERSION_KEY = "format_version"
_FINGERPRINT = "{}_fingerprint"
_KINDS: Mapping[str, tuple[type, str]] = {
    "task": (str, "a text"),
    "network": (str, "a text"),
    "step_s": (float, "a number"),
    "observation": (list, "a list of channels"),
    "observation_fingerprint": (str, "a text"),
    "action": (list, "a list of channels"),
    "action_fingerprint": (str, "a text"),
    "cost_names": (list, "a list of texts"),
    "agent": (str, "a text"),
    "seed": (int, "a whole number"),
    "update": (int, "a whole number"),
    "config": (dict, "a mapping"),
    "config_hash": (str, "a text"),
    "versions": (dict, "a mapping"),
    "exported": (dict, "a mapping"),
}
"""Keys of the file beside the version, and what they hold."""
_NUMBER = (int, float)
_CHANNEL_KINDS: Mapping[str, Any] = {f.name: _NUMBER if f.type is float else f.type for f in fields(Channel)}
_ANEW = "make the bundle anew with `gridenv export`"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Channels of a policy and where it comes from."""

    task: str
    """Id such as `VoltVar-IEEE33-v0`."""
    network: str
    """Name in the catalogue of networks."""
    step_s: float
    """Time between two actions in s."""
    observation: ChannelSet
    """Order, units and scaling of the network's input."""
    action: ChannelSet
    """Order, units and scaling of the network's output."""
    cost_names: tuple[str, ...]
    """Constraints of the task."""
    agent: str
    """Name of the learner."""
    seed: int
    update: int
    """Updates that the policy was trained for."""
    config: dict[str, Any]
    """Every setting of the experiment, as in `config.yaml` of the run."""
    config_hash: str
    """Hash of the experiment without its seed."""
    versions: dict[str, Any]
    """What it was trained with, as in `versions.json` of the run."""
    exported: dict[str, Any]
    """When and with which packages it became a bundle."""

    def to_json(self) -> dict[str, Any]:
        """Contents of `manifest.json`."""
        entries: dict[str, Any] = {_VERSION_KEY: FORMAT_VERSION}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, ChannelSet):
                entries[field.name] = value.to_json()
                entries[_FINGERPRINT.format(field.name)] = value.fingerprint
            else:
                entries[field.name] = list(value) if isinstance(value, tuple) else value
        return entries

    @classmethod
    def from_json(cls, entries: Any, where: str) -> "Manifest":
        """The manifest that `to_json` wrote.

        Args:
            entries: contents of the file.
            where: begins every message.

        Raises:
            BundleError: for another version of the format, missing, unknown or wrong entries, channels that are not
                allowed, or whose fingerprint is not the one stated.
        """
        raise_collected(_problems(entries, where), BundleError)
        values = {field.name: entries[field.name] for field in fields(cls)}
        values |= {key: _channels(entries, key, where) for key in ("observation", "action")}
        return cls(**values | {"cost_names": tuple(values["cost_names"])})

    def check_channels(self, observation: ChannelSet, action: ChannelSet, whose: str, where: str) -> None:
        """Refuse to be used with other channels than those of the training.

        Args:
            observation: channels that will be observed.
            action: channels that will be commanded.
            whose: what they belong to, such as `task 'VoltVar-IEEE33-v0'`.
            where: begins every message, such as `bundle 'x'`.

        Raises:
            BundleError: naming the first channel that differs.
        """
        pairs = (("observation", self.observation, observation), ("action", self.action, action))
        raise_collected(
            [
                f"{where}: has other {kind} channels than {whose}: {_first_difference(own, other)}; use it with what "
                "it was trained for, or train anew"
                for kind, own, other in pairs
                if own.fingerprint != other.fingerprint
            ],
            BundleError,
        )


def _problems(entries: Any, where: str) -> list[str]:
    if not isinstance(entries, dict):
        return [f"{where}: is not a mapping; {_ANEW}"]
    version = entries.get(_VERSION_KEY)
    if version != FORMAT_VERSION:
        return [
            f"{where}: {_VERSION_KEY} is {version!r}; this version of gridenv reads {FORMAT_VERSION}; {_ANEW}, or use "
            "the version of gridenv that made it"
        ]
    missing = [key for key in _KINDS if key not in entries]
    unknown = [key for key in entries if key not in _KINDS and key != _VERSION_KEY]
    found = [f"{where}: {key} is missing; {_ANEW}" for key in missing]
    found += [f"{where}: unknown key '{key}'; {_ANEW}" for key in unknown]
    for key, (kind, shown) in _KINDS.items():
        if key in entries and not isinstance(entries[key], _NUMBER if kind is float else kind):
            found.append(f"{where}: {key} is {entries[key]!r}; it must be {shown}; {_ANEW}")
    return found


def _channels(entries: Mapping[str, Any], key: str, where: str) -> ChannelSet:
    raise_collected(
        [
            f"{where}: {key}: entry {i} is no channel: {entry!r}; allowed: texts and numbers for "
            f"{', '.join(_CHANNEL_KINDS)}; {_ANEW}"
            for i, entry in enumerate(entries[key])
            if not _is_channel(entry)
        ],
        BundleError,
    )
    try:
        channels = ChannelSet.from_json(entries[key])
    except ConfigError as error:
        raise BundleError("\n".join(f"{where}: {key}: {line}" for line in str(error).splitlines())) from error
    stated = entries[_FINGERPRINT.format(key)]
    if channels.fingerprint != stated:
        raise BundleError(
            f"{where}: the {key} channels have the fingerprint {channels.fingerprint[:12]}..., the file states "
            f"{stated[:12]}...: names, units, ranges or order were changed; {_ANEW}"
        )
    return channels


def _is_channel(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and entry.keys() == _CHANNEL_KINDS.keys()
        and all(isinstance(entry[key], kind) for key, kind in _CHANNEL_KINDS.items())
    )


def _first_difference(own: ChannelSet, other: ChannelSet) -> str:
    for i, (mine, theirs) in enumerate(zip(own, other, strict=False)):
        if mine != theirs:
            return f"entry {i} is {_shown(mine)} in the bundle and {_shown(theirs)} there"
    return f"{len(own)} in the bundle and {len(other)} there"


def _shown(c: Channel) -> str:
    return f"'{c.name}' ({c.low:g}..{c.high:g} {c.unit}, {c.offset:g} + {c.scale:g} x, of '{c.source}')"
