"""Set-points as the loop knows them: what it sent, what devices show, what is safe and confirmed."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hardware_in_loop.control.settings import ControlSettings, Floats
from hardware_in_loop.control.supervisor import InForce, follow, respond
from hardware_in_loop.link import Snapshot, WriteResult

_LONG_AGO_S = 1e6
Mask = NDArray[np.bool_]


class Commands:
    """Set-points of a rig through a run; arrays are [setpoint]."""

    def __init__(self, settings: ControlSettings) -> None:
        self._limits = settings.limits
        size = len(self._limits.channels)
        self.in_force = InForce(value=np.full(size, np.nan), effective=np.full(size, np.nan), changed_s=np.zeros(size))
        self.read_back = np.full(size, np.nan)
        """As the devices showed them last; NaN where none is in force."""
        self._read_s = np.full(size, -np.inf)
        self._sent_s = np.full(size, -np.inf)
        self._is_safe = np.zeros(size, bool)
        self._time_s = 0.0

    @property
    def unconfirmed(self) -> list[str]:
        """Channels whose safe set-point no device has shown."""
        return [c for c, is_safe in zip(self._limits.channels, self._is_safe, strict=True) if not is_safe]

    @property
    def is_known(self) -> bool:
        """Every device has shown its set-points, or that none is in force."""
        return bool(np.isfinite(self._read_s).all())

    @property
    def has_begun(self) -> bool:
        """There are set-points to go on from."""
        return bool(np.isfinite(self.in_force.value).all())

    def problems(self) -> list[str]:
        """Why control cannot begin from the set-points in force, one line each."""
        found = []
        for i, channel in enumerate(self._limits.channels):
            value, low, high = self.read_back[i], self._limits.low[i], self._limits.high[i]
            room = self._limits.readback_tolerance[i]
            if not np.isfinite(self._read_s[i]):
                found.append(f"'{channel}': no device shows its set-point")
            elif np.isfinite(value) and not low - room <= value <= high + room:
                found.append(f"'{channel}': {value:g} is in force; allowed {low:g}..{high:g}; set it inside by hand")
        return found

    def see(self, snapshot: Snapshot, now_s: float, is_own: bool) -> None:
        """Take in what the devices show.

        Args:
            snapshot: of this cycle.
            now_s: when it was complete.
            is_own: the loop's own commands are in force, so that they count until a device must have taken them.
        """
        for i, channel in enumerate(self._limits.channels):
            reading = snapshot.setpoints.get(channel)
            if reading is not None:
                self.read_back[i], self._read_s[i] = reading.value, reading.acquired_s
        self.in_force = respond(self._limits, self.in_force, max(now_s - self._time_s, 0.0))
        self._time_s = now_s
        if is_own:
            is_due = self._read_s >= self._sent_s + self._limits.readback_within_s
            is_other, shown = is_due & ~self._shows(self.in_force.value), self._starts()
            value = np.where(is_other, shown, self.in_force.value)
            effective = np.where(is_other, shown, self.in_force.effective)
            self.in_force = InForce(value=value, effective=effective, changed_s=self.in_force.changed_s)

    def begin(self, now_s: float) -> None:
        """Start from what the devices show."""
        changed_s = np.full(len(self.read_back), now_s - _LONG_AGO_S)
        self.in_force = InForce(value=self._starts(), effective=self._starts(), changed_s=changed_s)
        self._is_safe[:] = False

    def imagine(self, setpoints: Floats, now_s: float) -> None:
        """Go on as if these had been sent, while the devices stay as they are: shadow."""
        is_all = np.ones(len(setpoints), bool)
        followed = follow(self._limits, self.in_force, setpoints, is_all, now_s)
        self.in_force = InForce(value=followed.value, effective=self._starts(), changed_s=followed.changed_s)

    def sent(self, results: Mapping[str, WriteResult], now_s: float) -> None:
        """Take note of what was sent."""
        written = np.array([results[c].value if c in results else np.nan for c in self._limits.channels])
        is_sent = np.isfinite(written)
        self._sent_s = np.where(is_sent, now_s, self._sent_s)
        self.in_force = follow(self._limits, self.in_force, np.where(is_sent, written, 0.0), is_sent, now_s)

    def is_refresh_due(self, now_s: float, refresh_s: float) -> bool:
        """Some set-point was last sent too long ago."""
        return bool((now_s - self._sent_s >= refresh_s).any())

    def forget_safe(self) -> None:
        """Safe set-points are to be confirmed anew."""
        self._is_safe[:] = False

    def confirm_safe(self, since_s: float) -> None:
        """Tick off channels that were last sent the safe set-point and whose devices show it.

        The reading must be later than `since_s` and than the write. That a device shows the safe set-point is not
        enough: it may be one of before, and the command sent since still on its way.
        """
        is_fresh = self._read_s >= np.maximum(since_s, self._sent_s)
        is_commanded = np.abs(self.in_force.value - self._limits.safe) <= self._limits.readback_tolerance
        self._is_safe |= is_fresh & is_commanded & self._shows(self._limits.safe)

    def to_send(self, setpoints: Floats, is_refresh: bool) -> dict[str, float]:
        """Those set-points, by channel, that are not in force yet; all with `is_refresh`."""
        return self._chosen(setpoints, (setpoints != self.in_force.value) | is_refresh)

    def to_make_safe(self, setpoints: Floats) -> dict[str, float]:
        """Those set-points on the way to the safe ones, by channel, whose safe one is not confirmed."""
        return self._chosen(setpoints, ~self._is_safe)

    def _chosen(self, setpoints: Floats, which: Mask) -> dict[str, float]:
        return {c: float(v) for c, v, w in zip(self._limits.channels, setpoints, which, strict=True) if w}

    def _starts(self) -> Floats:
        """What the devices show; the safe set-point stands for none in force, when a device does as it likes."""
        return np.where(np.isfinite(self.read_back), self.read_back, self._limits.safe)

    def _shows(self, values: Floats) -> Mask:
        is_same: Mask = np.abs(self.read_back - values) <= self._limits.readback_tolerance
        return is_same
