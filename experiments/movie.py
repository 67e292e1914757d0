"""An episode of a task as a film."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp

from agents import registry as agent_registry
from gridenv.adapters.drawing import save_movie
from gridenv.adapters.episodes import DAY, Episodes
from gridenv.adapters.program import Program, program
from gridenv.adapters.rendering import Renderer


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
    made = program(task, {"split": split})
    episodes = Episodes.of(made.params)
    chosen = episodes.chosen(None if day is None else {DAY: day})
    start = int(episodes.starts[0]) if chosen is None else int(chosen[0])
    save_movie(_pictures(made, controller, start), path, fps)
    return path


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
