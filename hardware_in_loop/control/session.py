"""From a bundle and a rig file to an open rig with its settings: what runs and checks have in common."""

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from gridenv.core.errors import raise_collected
from gridenv.policy.bundle import SUMS_FILE
from gridenv.policy.runtime import Policy, load_policy
from hardware_in_loop.control.checklist import Hashes
from hardware_in_loop.control.commissioning import WriteTest
from hardware_in_loop.control.pilot import Pilot
from hardware_in_loop.control.rules import Register, control_settings
from hardware_in_loop.control.segments import Layout
from hardware_in_loop.control.settings import ControlSettings
from hardware_in_loop.errors import RigFileError
from hardware_in_loop.modbus.link import ModbusLink
from hardware_in_loop.rig.files import RigFile, load_rig


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


def _task_problems(file: RigFile, policy: Policy) -> list[str]:
    task = policy.manifest.task
    if file.rig.task == task:
        return []
    return [f"{file.where}: is for task '{file.rig.task}'; the bundle is for '{task}'; use a bundle of that task"]
