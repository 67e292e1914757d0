"""How set-points move voltages, for the supervisor of a rig: small changes through the exact power flow of the task."""

import csv
from pathlib import Path

import jax
import numpy as np
from jax import numpy as jnp

from gridenv.core.config import display_path
from gridenv.core.errors import ConfigError
from gridenv.policy.codec import Codec
from gridenv.tasks.env import EnvParams, GridEnv
from gridenv.tasks.registry import make

_SHARE = 0.05
"""Change of each set-point to both sides of what asks for nothing, in normalised units: large against the tolerance of
the power flow, small against the curvature of voltages. Positions change by a whole one. Assumed."""
_STEPS_BETWEEN = 8
"""A step of the task out of as many is looked at."""
_SPLIT = "train"


def write_sensitivities(task: str, path: Path, days: int) -> str:
    """Write a CSV with a row for each observed voltage and a column for each action channel.

    An entry is the mean of central differences over steps of some days, in pu per unit of the action channel, for the
    voltage at the end of the step.

    Args:
        task: id of the task.
        path: file to write.
        days: days of the training split, spread over it.

    Returns:
        One line about sizes and spread.

    Raises:
        ConfigError: if the task observes no voltages, or the file cannot be written.
    """
    env, params = make(task, split=_SPLIT)
    names = env.task.observation.names
    voltages = [i for i, name in enumerate(names) if name.startswith("bus.") and name.endswith("_pu")]
    if not voltages:
        raise ConfigError(f"task '{task}': observes no voltages; name a task with observed_buses")
    samples = _differences(env, params, voltages, days)
    mean, spread = samples.mean(axis=0), samples.std(axis=0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["channel", *env.task.action.names])
            for row, place in zip(mean, voltages, strict=True):
                writer.writerow([names[place], *(f"{value:.6g}" for value in row)])
    except OSError as error:
        raise ConfigError(f"{display_path(path)}: cannot be written ({error.strerror}); name another file") from error
    largest = float(np.abs(mean).max())
    return (
        f"{mean.shape[0]} voltages, {mean.shape[1]} set-points, {len(samples)} times of {days} days; largest "
        f"{largest:.4g} pu per unit, standard deviation over times up to {float(spread.max()):.2g}"
    )


def _differences(env: GridEnv, params: EnvParams, voltages: list[int], days: int) -> np.ndarray:
    """[sample, voltage, setpoint]"""
    observation, codec = Codec.of(env.task.observation), Codec.of(env.task.action)
    size, places = env.n_action, jnp.asarray(voltages)
    is_position = np.array([entry.levels > 0 for entry in env.task.actuator.entries])
    moves = jnp.diag(jnp.asarray(np.where(is_position, 1.0 / codec.scale, _SHARE), jnp.float32))
    low, high = env.action_bounds

    def voltages_after(state: object, action: jax.Array) -> jax.Array:
        return observation.decode(env.advance(state, action, params).observation)[..., places]  # type: ignore[arg-type]

    @jax.jit
    def differences(state: object) -> jax.Array:
        rest = env.idle(params, state)  # type: ignore[arg-type]
        # At an end of its range a set-point moves to one side.
        up, down = (jnp.clip(rest + move, low, high) for move in (moves, -moves))
        after = jax.vmap(lambda action: voltages_after(state, action))(jnp.concatenate([up, down]))
        return (after[:size] - after[size:]).T / (jnp.diagonal(up - down) * jnp.asarray(codec.scale))

    @jax.jit
    def idle(state: object) -> object:
        return env.advance(state, env.idle(params, state), params).state  # type: ignore[arg-type]

    starts = np.asarray(params.starts)
    chosen = starts[np.linspace(0, len(starts) - 1, min(days, len(starts))).round().astype(int)]
    found = []
    for start in chosen:
        state: object = env.reset_at(jnp.asarray(start), params)[1]
        for step in range(params.steps_per_episode):
            if step % _STEPS_BETWEEN == 0:
                found.append(np.asarray(differences(state), float))
            state = idle(state)
    return np.stack(found)
