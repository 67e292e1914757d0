"""An episode of a task as a film, or one moment of it as a picture."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp
from PIL import Image

from agents import registry as agent_registry
from gridenv.adapters.drawing import save_movie
from gridenv.adapters.episodes import DAY, Episodes
from gridenv.adapters.program import Program, program
from gridenv.adapters.rendering import Renderer
from gridenv.core.errors import ConfigError

PICTURE = ".png"


def film(task: str, controller: str, split: str, day: int | None, path: Path, fps: float) -> Path:
    """Run a reference controller for an episode and draw every step.

    Args:
        task: id of the task.
        controller: of `agents.registry.REFERENCES`.
        split: days to choose from.
        day: of the scenario year, one of the split; its first one if left out.
        path: file that ends in `.gif` or `.mp4`.
        fps: pictures a second.

    Raises:
        ConfigError: for an unknown task, controller or day, and for a file that cannot be written.
    """
    made, start = _chosen(task, split, day)
    save_movie(_pictures(made, controller, start), path, fps)
    return path


def still(task: str, controller: str, split: str, day: int | None, path: Path, hour: float) -> Path:
    """Draw one moment of such an episode.

    Args:
        task: id of the task.
        controller: of `agents.registry.REFERENCES`.
        split: days to choose from.
        day: as for `film`.
        path: file that ends in `.png`.
        hour: since the start of the episode; the step that ends then is drawn.

    Raises:
        ConfigError: for an unknown task, controller or day, a folder that does not exist, and an hour that the episode
            does not have.
    """
    if not path.parent.is_dir():
        raise ConfigError(
            f"picture '{path}': there is no folder '{path.parent}'; allowed: one that exists; make it first"
        )
    made, start = _chosen(task, split, day)
    longest_h = made.params.steps_per_episode * made.params.model.dt_h
    if not 0.0 <= hour <= longest_h:
        raise ConfigError(f"picture '{path}': hour is {hour:g}; allowed: 0 to {longest_h:g}; choose another")
    step = round(hour / made.params.model.dt_h)
    *_, picture = islice(_pictures(made, controller, start), step + 1)
    Image.fromarray(picture).save(path, optimize=True)
    return path


def _chosen(task: str, split: str, day: int | None) -> tuple[Program, int]:
    """The task and the first step of the episode."""
    made = program(task, {"split": split})
    episodes = Episodes.of(made.params)
    chosen = episodes.chosen(None if day is None else {DAY: day})
    return made, int(episodes.starts[0]) if chosen is None else int(chosen[0])


def _pictures(made: Program, controller: str, start: int) -> Iterator[np.ndarray]:
    env, params = made.env, made.params
    acting = agent_registry.make_reference(controller, env, replace(params, starts=jnp.array([start], jnp.int32)))
    renderer = Renderer(made)
    observation, state = env.reset_at(np.int32(start), params)

    @jax.jit
    def one_step(state: object, observation: Array) -> tuple[Array, object, Array, Array, Array, dict[str, Array]]:
        batch = jax.tree.map(lambda x: x[None], (state, observation))
        action = acting.act(params, *batch)[0]
        observation, state, reward, terminated, truncated, info = env.step(None, state, action, params)
        return observation, state, action, reward, terminated | truncated, info["kpi"]

    yield renderer.frame(state, None)
    is_over = False
    while not is_over:
        before = state
        observation, state, action, reward, ended, kpi = one_step(state, observation)
        renderer.record(int(before.grid.t), float(reward), {name: float(value) for name, value in kpi.items()})
        yield renderer.frame(before, np.asarray(action))
        is_over = bool(ended)
