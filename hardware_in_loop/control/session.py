"""From a bundle and a rig file to an open rig with its settings: what runs and checks have in common."""

import hashlib
import json
import platform
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from gridenv.core.errors import raise_collected
from gridenv.policy.bundle import SUMS_FILE
from gridenv.policy.runtime import Policy, load_policy
from hardware_in_loop.control.check_items import WriteTest
from hardware_in_loop.control.checklist import Hashes
from hardware_in_loop.control.outcome import Mode
from hardware_in_loop.control.pilot import Pilot
from hardware_in_loop.control.rules import Register, control_settings
from hardware_in_loop.control.segments import Layout
from hardware_in_loop.control.settings import ControlSettings
from hardware_in_loop.errors import RigFileError
from hardware_in_loop.modbus.link import ModbusLink
from hardware_in_loop.rig.files import RigFile, load_rig

_PACKAGES = ("gridenv", "numpy", "onnxruntime", "pyarrow", "pymodbus", "scipy")


@dataclass(frozen=True, kw_only=True)
class Session:
    """A policy on an open rig."""

    file: RigFile
    bundle: Path
    policy: Policy
    pilot: Pilot
    link: ModbusLink
    settings: ControlSettings
    hashes: Hashes

    @property
    def layout(self) -> Layout:
        """Names of what is recorded."""
        return Layout(
            observations=self.pilot.observation.names,
            setpoints=self.pilot.action.names,
            devices=tuple(device.name for device in self.file.rig.devices),
        )

    @property
    def stop_file(self) -> Path | None:
        """The operator's stop file."""
        stop_file = self.file.rig.safety.stop_file
        return None if stop_file is None else self.file.beside(stop_file)

    @property
    def write_tests(self) -> dict[str, WriteTest]:
        """What commissioning may write."""
        rig = self.file.rig
        return {
            name: WriteTest(
                window=sink.test_window or (sink.safe_value, sink.safe_value),
                reversion_s=None if sink.reversion is None else float(rig.safety.reversion_s),
            )
            for name, sink in rig.actions.items()
        }


@asynccontextmanager
async def open_session(bundle: Path, rig: str, folder: Path) -> AsyncIterator[Session]:
    """A policy on a rig whose devices are connected and are what the rig file says.

    Args:
        bundle: folder of the bundle.
        rig: name of a rig file in `folder`, or a path.
        folder: where rig files are.

    Raises:
        BundleError: as `load_policy`.
        ConfigError: with everything that is wrong with the rig file.
        RigError: naming every device that cannot be reached or is another one.
    """
    policy = load_policy(bundle)
    pilot = Pilot.of(policy)
    file = load_rig(rig, folder, pilot.observation, pilot.action)
    raise_collected(_task_problems(file, policy), RigFileError)
    link = ModbusLink(file, pilot.observation, pilot.action)
    await link.open()
    try:
        settings = control_settings(file, policy.manifest, registers(link))
        hashes = Hashes(rig=file.fingerprint, points=points_hash(link), bundle=bundle_hash(bundle))
        yield Session(file=file, bundle=bundle, policy=policy, pilot=pilot, link=link, settings=settings, hashes=hashes)
    finally:
        await link.close()


def registers(link: ModbusLink) -> dict[str, Register]:
    """What the registers of the set-points carry."""
    return {
        name: Register(step=binding.quantum, origin=binding.to_channel(binding.point.offset))
        for device in link.devices.values()
        for name, binding in device.layout.sinks.items()
    }


def bundle_hash(folder: Path) -> str:
    """SHA-256 of a bundle: of the sums of its files."""
    return hashlib.sha256((folder / SUMS_FILE).read_bytes()).hexdigest()


def points_hash(link: ModbusLink) -> str:
    """SHA-256 of addresses, types and scales as the devices have them."""
    points = {
        name: {p: point.model_dump(mode="json") for p, point in device.layout.points.items()}
        for name, device in link.devices.items()
    }
    return hashlib.sha256(json.dumps(points, sort_keys=True).encode()).hexdigest()


def run_header(session: Session, mode: Mode, now: datetime) -> dict[str, Any]:
    """What `run.json` says of a run."""
    timing, limits = session.settings.timing, session.settings.limits
    return {
        "format": "gridenv.hil-run/1",
        "rig": session.file.name,
        "rig_file": str(session.file.path),
        "bundle": str(session.bundle.resolve()),
        "hashes": vars(session.hashes),
        "mode": mode,
        "utc": now.isoformat(timespec="seconds"),
        "task": session.policy.manifest.task,
        "period_s": timing.period_s,
        "policy_period_s": timing.policy_period_s,
        "timing": vars(timing),
        "setpoints": {
            rule.channel: {
                "low": rule.low,
                "high": rule.high,
                "ramp_per_s": rule.ramp_per_s,
                "safe": rule.safe,
                "step": rule.step,
                "readback_tolerance": rule.readback_tolerance,
            }
            for rule in session.settings.setpoints
        },
        "units": {c.name: c.unit for c in (*session.pilot.observation, *session.pilot.action)},
        "voltages": [] if session.settings.voltages is None else list(session.settings.voltages.channels),
        "longest_ramp_s": session.settings.longest_ramp_s,
        "n_setpoints": len(limits.channels),
        "platform": platform.platform(),
        "python": sys.version.split()[0],
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _task_problems(file: RigFile, policy: Policy) -> list[str]:
    task = policy.manifest.task
    if file.task_id == task:
        return []
    return [f"{file.where}: is for task '{file.task_id}'; the bundle is for '{task}'; use a bundle of that task"]
