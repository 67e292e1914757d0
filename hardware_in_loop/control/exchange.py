"""Reading and writing that always come back in time and never raise."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from gridenv.core.errors import GridEnvError
from hardware_in_loop.link import DeviceStatus, RigLink, Snapshot, WriteResult

_GUARD = 1.5
"""A link that is not back after this many of its deadlines is given up for the cycle."""
_FAILURES = (TimeoutError, OSError, GridEnvError)
_UNNAMED = "rig"


class Exchange:
    """A link whose failures are results."""

    def __init__(self, link: RigLink) -> None:
        self._link = link
        self.last = Snapshot(readings={}, setpoints={}, devices={})
        """What was read last."""

    async def read(self, deadline_s: float) -> Snapshot:
        """As `RigLink.read`; if that fails, what was read last, all devices marked."""
        try:
            async with asyncio.timeout(_GUARD * deadline_s):
                self.last = await self._link.read(deadline_s)
        except _FAILURES as error:
            problem = f"reading failed: {type(error).__name__} {error}".strip()
            lost = {name: replace(d, is_reachable=False, problem=problem) for name, d in self.last.devices.items()}
            lost = lost or {_UNNAMED: DeviceStatus(is_reachable=False, problem=problem)}
            self.last = replace(self.last, devices=lost)
        return self.last

    async def write(self, setpoints: Mapping[str, float], deadline_s: float) -> Mapping[str, WriteResult]:
        """As `RigLink.write`; if that fails, all set-points with the problem."""
        try:
            async with asyncio.timeout(_GUARD * deadline_s):
                return await self._link.write(setpoints, deadline_s)
        except _FAILURES as error:
            problem = f"writing failed: {type(error).__name__} {error}".strip()
            return {channel: WriteResult(value=value, problem=problem) for channel, value in setpoints.items()}
