"""What the control loop knows of a rig: measurements in, set-points out, by channel name and in channel units."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One measured channel."""

    value: float
    """In the channel's unit and sign; NaN if the device marks the quantity as not available."""
    acquired_s: float
    """When the device answered, on the monotonic clock."""


@dataclass(frozen=True, kw_only=True)
class DeviceStatus:
    """How one device of the rig is doing."""

    is_reachable: bool
    """It answered every request of this cycle in time."""
    problem: str = ""
    """What went wrong in the last exchange, in one line; empty if nothing did."""
    heartbeat: int | None = None
    """Counter that the device advances; None if it has none."""
    is_remote: bool | None = None
    """The device accepts set-points from the network; None if it does not say."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Everything that one cycle read. Values of devices that did not answer keep the time they were acquired."""

    readings: Mapping[str, Reading]
    """By observation channel; channels that were never read are absent."""
    setpoints: Mapping[str, Reading]
    """Set-points that the devices report as in force, by action channel."""
    devices: Mapping[str, DeviceStatus]
    """By device name."""
    raw: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Registers as read, by `device.point`."""
    operator_stop: bool = False
    """The rig's stop input is set."""


@dataclass(frozen=True, kw_only=True)
class WriteResult:
    """What became of one set-point."""

    value: float
    """As encoded in the registers, in the channel's unit: the request rounded to what the register can carry."""
    problem: str = ""
    """Why the device did not take it, in one line; empty if it acknowledged."""


class RigLink(Protocol):
    """A rig that can be read and commanded. Every call returns within its deadline, whatever the devices do."""

    async def open(self) -> None:
        """Connect to the devices.

        Raises:
            RigError: naming every device that cannot be reached or is not what the rig file says.
        """
        ...

    async def read(self, deadline_s: float) -> Snapshot:
        """Read all observation channels and the set-points in force; devices that fail are marked, never raised."""
        ...

    async def write(self, setpoints: Mapping[str, float], deadline_s: float) -> Mapping[str, WriteResult]:
        """Write set-points by action channel, with the reversion timers and the controller's heartbeat."""
        ...

    async def close(self) -> None:
        """Drop the connections without writing."""
        ...
