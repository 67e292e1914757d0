"""Voltages of the virtual rig beside those of the training environment on the same inputs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jax import numpy as jnp

from gridenv.core.channels import ChannelSet
from gridenv.policy.codec import Codec
from gridenv.tasks.registry import make
from hardware_in_loop.control.gap import Gap, gaps

Steps = Sequence[Mapping[str, Any]]
"""Answer of the control port to `history`."""


def voltage_gaps(task: str, split: str, steps: Steps) -> list[Gap]:
    """Voltages in the registers less those of the training environment, bus by bus.

    The environment is stepped by itself, with what the devices did of their commands at the end of each step.

    Args:
        task: id of the task.
        split: days that its parameters are made for.
        steps: one after another; where one is missing, the environment begins anew.
    """
    env, params = make(task, split=split)
    observation, action = env.task.observation, env.task.action
    voltages = [c.name for c in observation if c.unit == "pu"]
    codec = Codec.of(observation)
    state, expected = None, []
    for step in steps:
        if state is None or int(state.grid.t) != step["scenario_step"]:
            _, state = env.reset_at(jnp.asarray(step["scenario_step"]), params)
        commands = jnp.asarray([step["applied"][name] for name in action.names], jnp.float32)
        vector, state, *_ = env.step(None, state, env.encode_action(commands), params)
        expected.append(_chosen(observation, codec.decode(np.asarray(vector)), voltages))
    measured = [[step["registers"][name] for name in voltages] for step in steps]
    return gaps(np.array(measured), np.array(expected), [(name, "pu") for name in voltages])


def _chosen(channels: ChannelSet, values: Any, names: Sequence[str]) -> list[float]:
    return [float(values[channels.index(name)]) for name in names]
