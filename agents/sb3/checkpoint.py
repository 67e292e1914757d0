"""A training of a Stable-Baselines3 model as one file.

Weights and optimisers are torch's own bytes, read with `weights_only`, so that no object can be made from the file;
all else are arrays and JSON of the archive that every checkpoint is.
"""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer

from agents.checkpoint import check_arrays, damaged, read, write
from agents.sb3.state import TrainingState
from gridenv.adapters.snapshot import Snapshot

_TORCH = "torch"
_OBSERVATION, _STARTS, _FINISHED = "last_observation", "last_episode_starts", "finished"
_ROWS, _BUFFER = "rows", "buffer."
_COUNTERS = ("num_timesteps", "_n_updates", "_episode_num")
"""Attributes of a model that `learn` counts on with; TD3 delays its policy by them."""
_REMEMBERED = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")
"""Arrays of a replay buffer [row, env, ...]."""


def save(path: Path, state: TrainingState[Any], identity: dict[str, Any]) -> None:
    """Write a training so that the file is either complete or absent."""
    model, snapshot = state.model, state.envs.snapshot()
    buffer = _buffer(model)
    header = {
        "identity": identity,
        "updates": state.clock.updates,
        "counters": {name: int(getattr(model, name)) for name in _COUNTERS},
        "buffer": None if buffer is None else {"pos": buffer.pos, "full": buffer.full},
        "generators": state.generators.to_json(),
        "actions": model.action_space.np_random.bit_generator.state,
        "episodes": {"generators": snapshot.generators, "seeds": snapshot.seeds},
    }
    write(path, {**_arrays(snapshot, model), _TORCH: _to_bytes(model)}, header)


def restore(path: Path, state: TrainingState[Any], identity: dict[str, Any]) -> None:
    """Bring a training that was just made to where that of a checkpoint was.

    Raises:
        RunError: if the file is missing, damaged, belongs to something else or holds arrays of other shapes.
    """
    arrays, header = read(path, identity)
    try:
        _restore(path, state, arrays, header)
    except (KeyError, TypeError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise damaged(path, " ".join(str(error).split())) from error


def set_observation(
    model: BaseAlgorithm, observation: Float[np.ndarray, "env obs"], starts: Bool[np.ndarray, " env"]
) -> None:
    """Tell a model what it sees next, as its own first call of `learn` would by a reset.

    Args:
        observation: of all environments.
        starts: where it is the first of an episode.
    """
    model._last_obs = observation
    model._last_episode_starts = starts


def _restore(path: Path, state: TrainingState[Any], arrays: dict[str, np.ndarray], header: dict[str, Any]) -> None:
    model, buffer, blank = state.model, _buffer(state.model), state.envs.blank_snapshot()
    n_env = state.envs.num_envs
    if buffer is not None:
        buffer.pos, buffer.full = int(header["buffer"]["pos"]), bool(header["buffer"]["full"])
    set_observation(model, np.zeros((n_env, state.envs.functional.n_observation), np.float32), np.ones(n_env, np.bool_))
    torch_bytes = arrays.pop(_TORCH)
    check_arrays(path, _arrays(blank, model), arrays)
    _from_bytes(model, torch_bytes)
    for name in _COUNTERS:
        setattr(model, name, int(header["counters"][name]))
    set_observation(model, arrays[_OBSERVATION], arrays[_STARTS])
    if buffer is not None:
        for name in _REMEMBERED:
            getattr(buffer, name)[: _filled(buffer)] = arrays[f"{_BUFFER}{name}"]
    episodes = header["episodes"]
    state.envs.restore(
        Snapshot(
            rows={name: arrays[f"{_ROWS}{name}"] for name in blank.rows},
            finished=arrays[_FINISHED],
            generators=tuple(episodes["generators"]),
            seeds=tuple(episodes["seeds"]),
        )
    )
    model.action_space.np_random.bit_generator.state = header["actions"]
    state.generators.take_over(header["generators"])
    state.clock.updates = int(header["updates"])


def _arrays(snapshot: Snapshot, model: BaseAlgorithm) -> dict[str, np.ndarray]:
    """All arrays of a checkpoint but torch's bytes, by name."""
    buffer = _buffer(model)
    remembered = {} if buffer is None else {n: getattr(buffer, n)[: _filled(buffer)] for n in _REMEMBERED}
    return {
        **{f"{_ROWS}{name}": array for name, array in snapshot.rows.items()},
        **{f"{_BUFFER}{name}": array for name, array in remembered.items()},
        _FINISHED: snapshot.finished,
        _OBSERVATION: np.asarray(model._last_obs),
        _STARTS: np.asarray(model._last_episode_starts),
    }


def _buffer(model: BaseAlgorithm) -> ReplayBuffer | None:
    """The replay buffer; PPO has none, and nothing of its rollout outlives an update."""
    return getattr(model, "replay_buffer", None)


def _filled(buffer: ReplayBuffer) -> int:
    """Rows that hold transitions."""
    return buffer.buffer_size if buffer.full else buffer.pos


def _to_bytes(model: BaseAlgorithm) -> np.ndarray:
    """Weights, optimisers and single variables."""
    variables = {name: getattr(model, name).detach() for name in model._get_torch_save_params()[1]}
    stream = io.BytesIO()
    torch.save({"modules": model.get_parameters(), "variables": variables}, stream)
    return np.frombuffer(stream.getvalue(), np.uint8)


def _from_bytes(model: BaseAlgorithm, content: np.ndarray) -> None:
    loaded = torch.load(io.BytesIO(content.tobytes()), weights_only=True)
    model.set_parameters(loaded["modules"], exact_match=True)
    for name in model._get_torch_save_params()[1]:
        getattr(model, name).data.copy_(loaded["variables"][name])
