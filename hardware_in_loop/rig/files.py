"""Rig files: read, and checked against the channels of a policy."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gridenv.core.channels import ChannelSet
from gridenv.core.config import SUFFIX, check, named_file, read_config
from gridenv.core.errors import ConfigError, raise_collected
from hardware_in_loop.errors import RigFileError
from hardware_in_loop.registers.files import named_register_map
from hardware_in_loop.registers.maps import RegisterMap
from hardware_in_loop.rig.schema import Rig

MAPS_FOLDER = "register_map"
"""Beside the folder of the rig files."""


@dataclass(frozen=True, kw_only=True)
class RigFile:
    """A rig file and the register maps that it names."""

    name: str
    """Stem of the file."""
    path: Path
    rig: Rig
    task_id: str
    maps: Mapping[str, RegisterMap | None]
    """By device; None for devices whose registers are found by discovery."""

    @property
    def where(self) -> str:
        """How messages begin."""
        return f"rig '{self.name}'"

    @property
    def task(self) -> str:
        """What `gridenv.make` takes: id of the task, or path of the task file."""
        return _task(self.path, self.rig)

    def beside(self, path: Path) -> Path:
        """A path that the file states, which is relative to it."""
        return path if path.is_absolute() else self.path.parent / path

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything that the file and its maps say."""
        maps = {name: None if m is None else m.model_dump(mode="json") for name, m in self.maps.items()}
        text = json.dumps({"rig": self.rig.model_dump(mode="json"), "maps": maps}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def read_rig(name: str, folder: Path) -> RigFile:
    """A rig file and its register maps, checked by themselves.

    Args:
        name: name of a file in `folder` without `.yaml`, or a path.
        folder: where rig files are.

    Raises:
        ConfigError: with everything that is wrong with it, one line each.
    """
    path = named_file("rig", name, folder)
    where = f"rig '{path.stem}'"
    rig, problems = check(Rig, read_config(path, folder), where)
    raise_collected(problems, RigFileError)
    assert rig is not None
    task_id = _task_id(_task(path, rig), where, problems)
    maps: dict[str, RegisterMap | None] = {}
    for device in rig.devices:
        maps[device.name] = None
        if device.map is None:
            continue
        try:
            maps[device.name] = named_register_map(device.map, path.parent.parent / MAPS_FOLDER, path.parent)
        except ConfigError as error:
            problems += [f"{where}: device '{device.name}': {line}" for line in str(error).splitlines()]
    raise_collected(list(dict.fromkeys(problems)), RigFileError)
    return RigFile(name=path.stem, path=path, rig=rig, task_id=task_id, maps=maps)


def load_rig(name: str, folder: Path, observation: ChannelSet, action: ChannelSet) -> RigFile:
    """A rig file on which every observation has a source and every action a sink.

    Args:
        name: name of a file in `folder` without `.yaml`, or a path.
        folder: where rig files are.
        observation: channels of the policy's manifest.
        action: channels of the policy's manifest.

    Raises:
        ConfigError: with everything that is wrong with it, one line each.
    """
    from hardware_in_loop.rig.check import rig_problems

    file = read_rig(name, folder)
    problems = [f"{file.where}: {problem}" for problem in rig_problems(file, observation, action)]
    raise_collected(problems, RigFileError)
    return file


def _task(path: Path, rig: Rig) -> str:
    return str(path.parent / rig.task) if rig.task.endswith(SUFFIX) else rig.task


def _task_id(task: str, where: str, problems: list[str]) -> str:
    """Id of a task that is named by its id or its file; what is wrong with the file is added to the problems."""
    if not task.endswith(SUFFIX):
        return task
    try:
        found = read_config(Path(task)).values.get("id")
    except ConfigError as error:
        problems += [f"{where}: task: {line}" for line in str(error).splitlines()]
        return ""
    if not isinstance(found, str):
        problems.append(f"{where}: task file '{task}' has id {found!r}; allowed: the id of a task; write `id: NAME`")
        return ""
    return found
