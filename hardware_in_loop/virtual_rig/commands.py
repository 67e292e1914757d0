"""A set-point of a virtual device: in force or not, its reversion timer, and the output that follows it."""

import math
from collections.abc import Mapping

from hardware_in_loop.modbus.point_store import PointStore
from hardware_in_loop.modbus.protocol import Code, Refusal
from hardware_in_loop.rig.binding import Binding
from hardware_in_loop.rig.emulated import Emulated
from hardware_in_loop.rig.schema import Sink

REVERT = "Rvrt"
"""SunSpec calls the value that a point gets when its timer runs out like the point, with this behind."""
MODE = "Mod"
"""End of the names of points that choose what a set-point means."""


class Command:
    """One commanded channel of a device. Times are in seconds of any steady clock."""

    def __init__(self, sink: Sink, binding: Binding, store: PointStore, emulated: Emulated) -> None:
        self.sink, self.binding = sink, binding
        self._store, self._emulated = store, emulated
        self._expires_s = math.inf
        self._is_given = False
        self.output = 0.0
        """What the device does, in the channel's unit."""
        self.reversions = 0
        """Times that the timer ran out."""

    @property
    def setpoint(self) -> float | None:
        """The set-point in force, in the channel's unit; None if there is none."""
        sink = self.sink
        if sink.apply is not None:
            is_in_force = self._store.value(sink.apply) == sink.together[sink.apply]
        else:
            is_in_force = self._is_given
        return self.binding.to_channel(self._store.value(sink.point)) if is_in_force else None

    @property
    def names(self) -> frozenset[str]:
        """Points that belong to the command."""
        timer = () if self.sink.reversion is None else (self.sink.reversion.timer,)
        return frozenset((self.sink.point, *self.sink.together, *timer))

    def check(self, values: Mapping[str, float]) -> None:
        """Refuse what the device does not support.

        Raises:
            Refusal: for a mode in which set-points mean something else.
        """
        for name, value in values.items():
            if name.endswith(MODE) and name in self.sink.together and value != self.sink.together[name]:
                raise Refusal(Code.ILLEGAL_VALUE)

    def written(self, values: Mapping[str, float], now_s: float) -> None:
        """A controller has written these points; starts the timer anew."""
        sink = self.sink
        if sink.point in values:
            self._is_given = True
        if sink.reversion is None or not self.names & values.keys():
            return
        timer_s = values.get(sink.reversion.timer, self._store.value(sink.reversion.timer))
        self._expires_s = now_s + timer_s if math.isfinite(timer_s) and timer_s > 0.0 else math.inf

    def tick(self, now_s: float) -> None:
        """Let time pass: revert if the timer has run out, show what is left of it."""
        reversion = self.sink.reversion
        if reversion is None:
            return
        if self.setpoint is not None and now_s >= self._expires_s:
            self.revert()
        left_s = self._expires_s - now_s if self.setpoint is not None else 0.0
        if reversion.remaining is not None:
            self._store.set(reversion.remaining, max(0.0, math.ceil(left_s)) if math.isfinite(left_s) else 0.0)

    def revert(self) -> None:
        """Back to what holds without a controller."""
        self.reversions += 1
        self._expires_s, self._is_given = math.inf, False
        for name in (self.sink.point, *self.sink.together):
            if f"{name}{REVERT}" in self._store.points:
                self._store.set_words(name, self._store.words(f"{name}{REVERT}"))
        if self.sink.apply is None:
            self._store.set(self.sink.point, self.binding.to_point(self.sink.safe_value))

    def reset(self) -> None:
        """As after switching on: nothing commanded, no output."""
        self._expires_s, self._is_given, self.output = math.inf, False, 0.0
        points = self._store.points
        for name in self.names | {f"{n}{REVERT}" for n in self.names if f"{n}{REVERT}" in points}:
            self._store.set(name, self.sink.together[name] if name.endswith(MODE) else 0.0)

    def follow(self, uncommanded: float, dt_s: float) -> float:
        """Output after `dt_s`: towards the set-point, or towards what holds without one.

        A first-order lag, and a ramp as a share of the range.
        """
        setpoint = self.setpoint
        target = uncommanded if setpoint is None else setpoint
        response_s = self._emulated.response_s
        share = 1.0 if response_s == 0.0 else -math.expm1(-dt_s / response_s)
        most = self._emulated.ramp_share_per_s * (self.sink.high - self.sink.low) * dt_s
        change = min(max(share * (target - self.output), -most), most)
        self.output = target if abs(target - self.output) < self.binding.quantum * 0.5 else self.output + change
        return self.output
