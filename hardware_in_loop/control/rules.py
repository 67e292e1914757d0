"""Settings of the control loop from a rig file and the manifest of a policy."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gridenv.core.channels import Channel, ChannelSet
from gridenv.core.config import display_path
from gridenv.core.errors import did_you_mean, raise_collected
from gridenv.policy.manifest import Manifest
from hardware_in_loop.control.settings import (
    ControlSettings,
    MeasurementRule,
    SetpointRule,
    Timing,
    VoltageModel,
)
from hardware_in_loop.errors import RigFileError
from hardware_in_loop.rig.binding import readback_tolerance
from hardware_in_loop.rig.files import RigFile
from hardware_in_loop.rig.schema import RegisterSource, Rig, Safety, Sink

_REFRESH_S = 0.5
"""Devices get the controller's heartbeat, which goes on once a second, at least this often."""
_KEY = "channel"


@dataclass(frozen=True, kw_only=True)
class Register:
    """What the register of a set-point can carry, in the channel's unit."""

    step: float
    """What one count is worth; 0 for floats."""
    origin: float
    """Value of count 0."""


def control_settings(file: RigFile, manifest: Manifest, registers: Mapping[str, Register]) -> ControlSettings:
    """What the loop may do on a rig with a policy.

    Args:
        file: from `load_rig`, for the channels of the same manifest.
        manifest: of the policy's bundle.
        registers: by action channel; known once devices are open.

    Raises:
        RigFileError: one line for everything that cannot work.
    """
    rig = file.rig
    return ControlSettings(
        rig=file.name,
        setpoints=tuple(_setpoint(c, rig.actions[c.name], registers[c.name]) for c in manifest.action),
        measurements=tuple(_measurement(c, rig) for c in manifest.observation),
        timing=_timing(rig, manifest.step_s),
        voltages=_voltages(file, manifest.observation, manifest.action),
    )


def _setpoint(channel: Channel, sink: Sink, register: Register) -> SetpointRule:
    return SetpointRule(
        channel=channel.name,
        low=sink.low,
        high=sink.high,
        ramp_per_s=sink.ramp_per_s,
        safe=sink.safe_value,
        step=register.step,
        origin=register.origin,
        deadband=sink.deadband,
        min_interval_s=sink.min_write_interval_s,
        response_s=sink.response_s,
        readback_tolerance=readback_tolerance(sink, register.step),
        readback_within_s=sink.readback_within_s,
    )


def _measurement(channel: Channel, rig: Rig) -> MeasurementRule:
    source, stale_after_s = rig.observations[channel.name], rig.safety.stale_after_s
    rule = {"channel": channel.name, "low": channel.low, "high": channel.high}
    if not isinstance(source, RegisterSource):
        return MeasurementRule(**rule, stale_after_s=stale_after_s)  # type: ignore[arg-type]
    return MeasurementRule(
        **rule,  # type: ignore[arg-type]
        stale_after_s=source.stale_after_s or stale_after_s,
        max_rate_per_s=source.max_change_per_s or np.inf,
        stuck_after_s=source.stuck_after_s or np.inf,
    )


def _timing(rig: Rig, step_s: float) -> Timing:
    safety: Safety = rig.safety
    period_s = 1.0 / rig.rate_hz
    heartbeats = [d.heartbeat.timeout_s for d in rig.devices if d.heartbeat is not None and d.heartbeat.read]
    return Timing(
        period_s=period_s,
        policy_period_s=max(rig.policy_period_s or step_s, period_s),
        deadline_share=safety.deadline_share,
        max_missed_cycles=safety.max_missed_cycles,
        heartbeat_s=min(heartbeats, default=Timing.heartbeat_s),
        refresh_s=_refresh_s(safety),
        mismatch_cycles=safety.mismatch_cycles,
        armed_s=safety.arm_timeout_s,
    )


def _refresh_s(safety: Safety) -> float:
    """Time between two writes of all set-points.

    The link sends again what is older than `refresh_share` of the timers when it is next asked to, so half of what is
    left of them then must be longer than the time until that.
    """
    due_s = safety.refresh_share * safety.reversion_s
    return min(_REFRESH_S, due_s, (safety.reversion_s - due_s) / 2.0)


def _voltages(file: RigFile, observation: ChannelSet, action: ChannelSet) -> VoltageModel | None:
    guard = file.rig.safety.voltage
    if guard is None:
        return None
    path = file.beside(guard.sensitivity)
    where = f"{file.where}: sensitivities '{display_path(path)}'"
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = [row for row in csv.reader(stream) if row and not row[0].startswith("#")]
    except (OSError, UnicodeDecodeError) as error:
        raise RigFileError(f"{where}: cannot be read ({error}); make them with `gridenv hil sensitivities`") from error
    raise_collected([f"{where}: {p}" for p in _table_problems(rows, observation, action)], RigFileError)
    order = [rows[0].index(name) for name in action.names]
    matrix = np.array([[float(row[place]) for place in order] for row in rows[1:]])
    size = len(rows) - 1
    return VoltageModel(
        channels=tuple(row[0] for row in rows[1:]),
        low_pu=np.full(size, guard.low_pu + guard.margin_pu),
        high_pu=np.full(size, guard.high_pu - guard.margin_pu),
        sensitivity=matrix,
    )


def _table_problems(rows: Sequence[Sequence[str]], observation: ChannelSet, action: ChannelSet) -> list[str]:
    if len(rows) < 2 or rows[0][0] != _KEY:
        return [f"must begin with the column `{_KEY}` and have a row for each voltage; make it anew"]
    found = [
        f"has no column '{name}'; add it, 0 where it acts on nothing" for name in action.names if name not in rows[0]
    ]
    for line, row in enumerate(rows[1:], start=2):
        if row[0] not in observation.names:
            found.append(f"row {line}: '{row[0]}' is no observation{did_you_mean(row[0], observation.names)}")
        if len(row) != len(rows[0]) or not all(_is_number(cell) for cell in row[1:]):
            found.append(f"row {line}: must have {len(rows[0]) - 1} finite numbers, got {', '.join(row[1:])}")
    return found


def _is_number(cell: str) -> bool:
    try:
        return bool(np.isfinite(float(cell)))
    except ValueError:
        return False
