"""One device of the virtual rig: its registers, its set-points, its heartbeat."""

import math
from collections.abc import Callable, Mapping

import numpy as np

from gridenv.core.channels import ChannelSet
from gridenv.core.units import PERCENT, W_PER_KW
from hardware_in_loop.modbus.point_store import PointStore
from hardware_in_loop.modbus.protocol import Code, Refusal
from hardware_in_loop.rig.binding import Binding, bind
from hardware_in_loop.rig.files import RigFile
from hardware_in_loop.rig.schema import Device, RegisterSource
from hardware_in_loop.virtual_rig.commands import Command
from hardware_in_loop.virtual_rig.image import BASE, build

_POWER_UNITS = ("kW", "kvar", "kVA")
_DEFAULT_KVA = 30.0
_NOMINAL_HZ = 50.0
_CURVE_PU = ((0.92, 0.44), (0.98, 0.0), (1.02, 0.0), (1.08, -0.44))
"""Default volt-var curve of category B. Source: IEEE Std 1547-2018 table 8."""
_FIXED = {
    "103.St": 4.0,
    "103.Evt1": 0.0,
    "201.Evt": 0.0,
    "203.Evt": 0.0,
    "701.ACType": 2.0,
    "701.St": 1.0,
    "701.InvSt": 3.0,
    "701.ConnSt": 1.0,
    "701.Alrm": 0.0,
    "701.Hz": _NOMINAL_HZ,
    "703.ES": 1.0,
    "705.Ena": 1.0,
    "705.AdptCrvRslt": 0.0,
    "713.Sta": 0.0,
    "715.LocRemCtl": 0.0,
    "715.DERHb": 0.0,
    "715.ControllerHb": 0.0,
    "715.OpCtl": 1.0,
}
"""What a device without trouble shows, where it has the point."""


class VirtualDevice:
    """A device as its controller sees it."""

    def __init__(
        self,
        file: RigFile,
        settings: Device,
        observation: ChannelSet,
        action: ChannelSet,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Make a device that has just been switched on.

        Args:
            file: rig file that it is in.
            settings: its part of the file.
            observation: channels of the task.
            action: channels of the task.
            clock: seconds, of the same clock as `tick`; None = the time of the last tick.
        """
        self.settings, self.name = settings, settings.name
        self._file = file
        self._largest_kva = _largest_kva(file, settings.name, observation)
        self.store = self._new_store()
        self.store.on_write = self._written
        self._now_s = 0.0
        self._clock = (lambda: self._now_s) if clock is None else clock
        self._switched_on_s = 0.0
        self.is_local = False
        """Somebody at the device has taken it away from the network."""
        rig, points = file.rig, self.store.points
        self.sources: tuple[Binding, ...] = tuple(
            bind(source, points[source.point], channel)
            for channel in observation
            if isinstance(source := rig.observations[channel.name], RegisterSource) and source.device == self.name
        )
        self.commands: dict[str, Command] = {
            channel.name: Command(sink, bind(sink, points[sink.point], channel), self.store, rig.emulated)
            for channel in action
            if (sink := rig.actions[channel.name]).device == self.name
        }
        self.switch_on(0.0)

    def switch_on(self, now_s: float) -> None:
        """As after a reboot: set-points are forgotten, counters begin anew."""
        self._now_s = self._switched_on_s = now_s
        self.is_local = False
        for name, value in {**_FIXED, **self._ratings(), **_curve(self.store)}.items():
            if name in self.store.points:
                self.store.set(name, value)
        for command in self.commands.values():
            command.reset()

    def tick(self, now_s: float) -> None:
        """Let time pass for counters and timers."""
        self._now_s = now_s
        for command in self.commands.values():
            command.tick(now_s)
        heartbeat, remote = self.settings.heartbeat, self.settings.remote
        if heartbeat is not None and heartbeat.read is not None:
            limit = self.store.points[heartbeat.read].type.limits[1]
            self.store.set(heartbeat.read, math.floor(now_s - self._switched_on_s) % limit)
        if remote is not None:
            self.store.set(remote.point, remote.value if not self.is_local else 1.0 - min(remote.value, 1.0))

    def show(self, values: Mapping[str, float], time_s: float, noise_counts: float, rng: np.random.Generator) -> None:
        """Put measurements into the registers, rounded to their counts.

        Args:
            values: by observation channel.
            time_s: since the start of the year.
            noise_counts: standard deviation of what is added, in counts.
            rng: source of the noise.
        """
        for binding in self.sources:
            point, value = binding.point, values[binding.channel.name]
            shown = math.nan if value == binding.absent else binding.to_point(value)
            if noise_counts and not (point.table.is_bits or point.bit is not None):
                shown += noise_counts * point.quantum * rng.standard_normal()
            self.store.show(point.name, shown)
        clock = self._file.rig.clock
        if clock.device == self.name and clock.point is not None:
            self.store.show(clock.point, time_s)
        self._show_derived()

    def shown(self) -> dict[str, float]:
        """Measurements as a controller would decode the registers, by channel."""
        return {b.channel.name: b.decode(self.store.words(b.point.name)) for b in self.sources}

    def _show_derived(self) -> None:
        """Apparent power and power factor beside active and reactive power."""
        points = self.store.points
        if not all(name in points for name in ("701.W", "701.Var", "701.VA", "701.PF")):
            return
        p_w, q_var = self.store.value("701.W"), self.store.value("701.Var")
        if math.isfinite(p_w) and math.isfinite(q_var):
            s_va = math.hypot(p_w, q_var)
            self.store.show("701.VA", s_va)
            self.store.show("701.PF", p_w / s_va if s_va else 1.0)

    def _written(self, values: Mapping[str, float]) -> None:
        """A controller writes; called before the registers change."""
        heartbeat = self.settings.heartbeat
        own = {} if heartbeat is None else {heartbeat.write: None}
        if self.is_local and any(name not in own for name in values):
            raise Refusal(Code.DEVICE_FAILURE)
        for command in self.commands.values():
            command.check(values)
        for command in self.commands.values():
            command.written(values, self._clock())

    def _new_store(self) -> PointStore:
        register_map = self._file.maps[self.name]
        identity = {0: "gridenv", 1: self.name, 2: "1"}
        if register_map is not None:
            store = PointStore(register_map.points, readable_holes=register_map.readable_holes, identity=identity)
            for point in register_map.points:
                expected = self.settings.identity.get(point.name)
                store.show(point.name, float(expected) if expected is not None else point.offset)
            return store
        assert self.settings.sunspec is not None
        texts = {"1.Mn": "gridenv", "1.Md": self.name, "1.Vr": "1", "1.SN": f"{self.name}-virtual"}
        texts |= {k: str(v) for k, v in self.settings.identity.items()}
        base = BASE if self.settings.sunspec.base is None else self.settings.sunspec.base
        image = build(self.settings.sunspec.models, texts, self._largest_kva, base)
        return PointStore(image.points, words=image.words, identity=identity)

    def _ratings(self) -> dict[str, float]:
        watts = self._largest_kva * W_PER_KW
        shares = {"WMax": 1.0, "VAMax": 1.0, "VarMaxInj": 0.44, "VarMaxAbs": 0.44}
        if "713.SoC" in self.store.points:
            shares |= dict.fromkeys(("WChaRteMax", "WDisChaRteMax", "VAChaRteMax", "VADisChaRteMax"), 1.0)
        return {f"702.{n}{end}": watts * s for n, s in shares.items() for end in ("", "Rtg")}


def _largest_kva(file: RigFile, name: str, observation: ChannelSet) -> float:
    """Largest power that the device can show."""
    found = [
        max(abs(channel.low), abs(channel.high))
        for channel in observation
        if isinstance(source := file.rig.observations[channel.name], RegisterSource)
        and source.device == name
        and channel.unit in _POWER_UNITS
    ]
    return max(found, default=_DEFAULT_KVA)


def _curve(store: PointStore) -> dict[str, float]:
    """The volt-var curve that the device follows by itself, where it has the model."""
    if "705.Ena" not in store.points:
        return {}
    values = {"705.Crv[1].ActPt": float(len(_CURVE_PU)), "705.Crv[1].DeptRef": 3.0, "705.Crv[1].ReadOnly": 1.0}
    for i, (v_pu, share) in enumerate(_CURVE_PU, start=1):
        values[f"705.Crv[1].Pt[{i}].V"] = v_pu * PERCENT
        values[f"705.Crv[1].Pt[{i}].Var"] = share * PERCENT
    return values
