"""Every rig file and register map of `configs/`, against the channels of the tasks that they are for."""

from pathlib import Path

import pytest

from gridenv.core.channels import ChannelSet
from gridenv.tasks.registry import make
from hardware_in_loop.registers.files import read_register_map
from hardware_in_loop.rig.files import load_rig, read_rig

CONFIGS = Path(__file__).parents[2] / "configs"
RIGS = sorted(path.stem for path in (CONFIGS / "rig").glob("*.yaml"))


@pytest.mark.parametrize("path", sorted((CONFIGS / "register_map").iterdir()), ids=lambda path: path.name)
def test_register_map_is_sound(path):
    assert read_register_map(path).points


@pytest.mark.parametrize("name", RIGS)
def test_every_observation_has_a_source_and_every_action_a_sink(name):
    file = read_rig(name, CONFIGS / "rig")
    env, _ = make(file.task)
    channels = [ChannelSet.from_json(env.manifest[kind]) for kind in ("observation", "action")]
    assert load_rig(name, CONFIGS / "rig", *channels).fingerprint == file.fingerprint
