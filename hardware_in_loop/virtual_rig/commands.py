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
        self._is_given = self._has_reverted = False
        self._idle = 0.0
        self.output: float | None = None
        """What the device does, in the channel's unit; None = it has just been switched on, and asks for nothing."""
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
            self._is_given, self._has_reverted = True, False
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
        """Back to what holds without a controller.

        Points take the value that the device has for it; without one the command is switched off, or, where there is
        no point for that, the safe value comes into force.
        """
        self.reversions += 1
        self._expires_s, self._is_given = math.inf, False
        sink, store = self.sink, self._store
        for name in (sink.point, *sink.together):
            if f"{name}{REVERT}" in store.points:
                store.set_words(name, store.words(f"{name}{REVERT}"))
            elif name == sink.apply:
                store.show(name, self._off)
        if sink.apply is None:
            self._has_reverted = True
            store.set(sink.point, self.binding.to_point(sink.safe_value))

    def reset(self) -> None:
        """As after switching on: nothing commanded, nothing asked for; positions are where they were."""
        self._expires_s, self.output = math.inf, None
        self._is_given = self._has_reverted = False
        points = self._store.points
        for name in self.names | {f"{n}{REVERT}" for n in self.names if f"{n}{REVERT}" in points}:
            is_mode = name.endswith(MODE) and name in self.sink.together
            self._store.show(name, self.sink.together[name] if is_mode else 0.0)
        if self.sink.apply is not None:
            self._store.show(self.sink.apply, self._off)
        self._show_own(self._idle)

    def follow(self, uncommanded: float, idle: float, dt_s: float) -> float:
        """Output after `dt_s`: towards the set-point, or towards what holds without one.

        A first-order lag, and a ramp as a share of the range.

        Args:
            uncommanded: what the device does without a set-point, in the channel's unit.
            idle: what asks for nothing, where the output begins; positions are held.
            dt_s: time that has passed.
        """
        self._idle = idle
        if self.output is None:
            self.output = idle
        target = self._target(uncommanded)
        response_s = self._emulated.response_s
        share = 1.0 if response_s == 0.0 else -math.expm1(-dt_s / response_s)
        most = self._emulated.ramp_share_per_s * (self.sink.high - self.sink.low) * dt_s
        change = min(max(share * (target - self.output), -most), most)
        self.output = target if abs(target - self.output) < self.binding.quantum * 0.5 else self.output + change
        self._show_own(self.output)
        return self.output

    @property
    def _off(self) -> float:
        """Value of the point `apply` with which the command is not in force."""
        return 0.0 if self.sink.apply is None or self.sink.together[self.sink.apply] != 0.0 else 1.0

    def _target(self, uncommanded: float) -> float:
        setpoint = self.setpoint
        if setpoint is not None:
            return setpoint
        return self.sink.safe_value if self._has_reverted else uncommanded

    def _show_own(self, output: float) -> None:
        """Without a command, and without a point that says so, the set-point shown is what the device does."""
        sink = self.sink
        if sink.apply is None and not self._is_given and not self._has_reverted:
            inside = min(max(output, sink.low), sink.high)
            self._store.show(sink.point, self.binding.to_point(inside))
