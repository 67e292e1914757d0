"""A rig in memory with a small linear plant and faults that can be switched on; time is simulated."""

import asyncio
import math
import struct
from datetime import UTC, datetime, timedelta

import numpy as np

from gridenv.core.channels import Channel, ChannelSet
from hardware_in_loop.control.settings import ControlSettings, MeasurementRule, SetpointRule, Timing, VoltageModel
from hardware_in_loop.errors import RigError
from hardware_in_loop.link import DeviceStatus, Reading, Snapshot, WriteResult

BUSES = ("bus.1.v_pu", "bus.2.v_pu", "bus.3.v_pu")
UNITS = ("pv.1", "pv.2")
ACTIONS = tuple(f"{unit}.q_share" for unit in UNITS)
FOLLOWED = tuple(f"{unit}.q_kvar" for unit in UNITS)
RATED_KVAR = 100.0
STEP = 0.001
SENSITIVITY = np.array([[0.010, 0.005], [0.020, 0.010], [0.012, 0.030]])
DEVICE_OF = {
    "bus.1.v_pu": "meter",
    "bus.2.v_pu": "meter",
    "bus.3.v_pu": "meter",
    FOLLOWED[0]: "pv.1",
    FOLLOWED[1]: "pv.2",
}
READ_S, WRITE_S = 0.004, 0.003


class SimulatedClock:
    """Time that goes on only when somebody waits."""

    def __init__(self):
        self.time_s, self.wall_shift_s = 1000.0, 0.0

    def now(self):
        return self.time_s

    def wall(self):
        return datetime(2026, 6, 1, tzinfo=UTC) + timedelta(seconds=self.time_s + self.wall_shift_s)

    async def sleep_until(self, moment_s):
        self.time_s = max(self.time_s, moment_s)
        await asyncio.sleep(0)


class Plant:
    """Two inverters on a feeder of three buses; fulfils `RigLink`.

    Faults are attributes: `disconnected` devices, `latency_s`, `stuck` registers, `local` devices, `frozen` heartbeats,
    `override` of measurements, `swapped` channels (words of the float in the wrong order), `refuses` writes.
    """

    def __init__(self, clock, base_pu=(1.0, 1.0, 1.0), reversion_s=5.0):
        self.clock, self.base_pu, self.reversion_s = clock, np.array(base_pu), reversion_s
        self.setpoint = dict.fromkeys(ACTIONS, 0.0)
        self.written_s = dict.fromkeys(ACTIONS, -math.inf)
        self.log, self.reads, self.is_open, self.beat = [], 0, False, 0
        self.disconnected, self.local, self.frozen, self.stuck = set(), set(), set(), set()
        self.override, self.swapped, self.refuses, self.dropped = {}, set(), set(), set()
        self.latency_s, self.operator_stop, self.noise = 0.0, False, 1e-6
        self._kept, self._since = {}, {}

    async def open(self):
        if self.disconnected:
            raise RigError(f"device '{sorted(self.disconnected)[0]}': cannot be reached")
        self.is_open = True

    async def close(self):
        self.is_open = False

    def revert(self):
        for channel, sent_s in self.written_s.items():
            if math.isfinite(sent_s) and self.clock.now() - sent_s > self.reversion_s:
                self.setpoint[channel] = 0.0

    def v_pu(self):
        return self.base_pu + SENSITIVITY @ np.array([self.setpoint[a] for a in ACTIONS])

    def true_values(self):
        ripple = self.noise * (self.reads % 7)
        values = dict(zip(BUSES, self.v_pu() + ripple, strict=True))
        return values | {f: self.setpoint[a] * RATED_KVAR + ripple for f, a in zip(FOLLOWED, ACTIONS, strict=True)}

    async def read(self, deadline_s):
        self.reads += 1
        self.beat += 1
        self.revert()
        took_s = READ_S + self.latency_s
        is_late = took_s > deadline_s
        self.clock.time_s += min(took_s, deadline_s)
        for channel, value in self.true_values().items():
            if is_late or DEVICE_OF[channel] in self.disconnected:
                continue
            shown = self.override.get(channel, value)
            if channel in self.swapped:
                high, low = struct.unpack(">HH", struct.pack(">f", shown))
                shown = struct.unpack(">f", struct.pack(">HH", low, high))[0]
            self._kept[channel] = Reading(value=shown, acquired_s=self.clock.now())
        for action, unit in zip(ACTIONS, UNITS, strict=True):
            if not is_late and unit not in self.disconnected:
                self._since[action] = Reading(value=self.setpoint[action], acquired_s=self.clock.now())
        devices = {d: self.status(d, is_late) for d in ("meter", *UNITS)}
        return Snapshot(
            readings=dict(self._kept),
            setpoints=dict(self._since),
            devices=devices,
            raw={"meter.v": tuple(int(1e4 * v) for v in self.v_pu())},
            operator_stop=self.operator_stop,
        )

    def status(self, device, is_late):
        is_gone = is_late or device in self.disconnected
        return DeviceStatus(
            is_reachable=not is_gone,
            problem="no answer in time" if is_gone else "",
            heartbeat=0 if device in self.frozen else self.beat,
            is_remote=device not in self.local,
        )

    async def write(self, setpoints, deadline_s):
        took_s = WRITE_S + self.latency_s
        self.clock.time_s += min(took_s, deadline_s)
        results = {}
        for channel, value in setpoints.items():
            count = round(value / STEP)
            assert abs(count * STEP - value) < 1e-9, f"{value} is not what a register carries"
            self.log.append((self.clock.now(), channel, value))
            unit = channel.removesuffix(".q_share")
            problem = ""
            if unit in self.disconnected or took_s > deadline_s:
                problem = "no answer in time"
            elif channel in self.refuses:
                problem = "exception 4"
            elif channel not in self.dropped:
                self.written_s[channel] = self.clock.now()
                if channel not in self.stuck:
                    self.setpoint[channel] = value
            results[channel] = WriteResult(value=count * STEP, problem=problem)
        return results


def channels():
    observation = [Channel(name=b, unit="pu", low=0.5, high=1.5, scale=0.05, offset=1.0, source=b) for b in BUSES]
    observation += [
        Channel(name=f, unit="kvar", low=-110.0, high=110.0, scale=100.0, source=u)
        for f, u in zip(FOLLOWED, UNITS, strict=True)
    ]
    action = [
        Channel(name=a, unit="", low=-1.0, high=1.0, scale=1.0, source=u) for a, u in zip(ACTIONS, UNITS, strict=True)
    ]
    return ChannelSet(tuple(observation)), ChannelSet(tuple(action))


class Droop:
    """A policy that answers voltages at buses 2 and 3 with reactive power; what it gives can be replaced."""

    def __init__(self):
        self.observation, self.action = channels()
        self.calls, self.instead = 0, None

    def act_normalised(self, observation):
        self.calls += 1
        answer = np.clip(-np.asarray(observation)[1:3], -1.0, 1.0).astype(np.float32)
        return answer if self.instead is None else self.instead(self.calls)


def settings(ramp_per_s=2.0, stuck_after_s=math.inf, with_voltages=True, **timing):
    rules = [
        SetpointRule(
            channel=a,
            low=-0.8,
            high=0.8,
            ramp_per_s=ramp_per_s,
            safe=0.0,
            step=STEP,
            readback_tolerance=1.5 * STEP,
            readback_within_s=0.15,
        )
        for a in ACTIONS
    ]
    measured = [
        MeasurementRule(
            channel=c, low=0.5, high=1.5, stale_after_s=0.5, max_rate_per_s=5.0, stuck_after_s=stuck_after_s
        )
        for c in BUSES
    ]
    measured += [MeasurementRule(channel=c, low=-110.0, high=110.0, stale_after_s=0.5) for c in FOLLOWED]
    model = VoltageModel(channels=BUSES, low_pu=np.full(3, 0.92), high_pu=np.full(3, 1.08), sensitivity=SENSITIVITY)
    return ControlSettings(
        rig="bench",
        setpoints=tuple(rules),
        measurements=tuple(measured),
        timing=Timing(**{"period_s": 0.1, "policy_period_s": 0.1, "settle_cycles": 3} | timing),
        voltages=model if with_voltages else None,
    )
