"""A task as a `gymnasium.Env`."""

from typing import TYPE_CHECKING, Any

import gymnasium
import jax
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box
from jax import numpy as jnp
from jaxtyping import Float
from numpy.typing import ArrayLike

from gridenv.adapters.actions import checked_action
from gridenv.adapters.backends import METADATA
from gridenv.adapters.episodes import START_STEP, Episodes
from gridenv.adapters.program import MIN_ROWS, Program, program
from gridenv.core.errors import ConfigError
from gridenv.tasks.env import EnvParams, EnvState, GridEnv

if TYPE_CHECKING:
    from gridenv.adapters.drawing import HumanWindow
    from gridenv.adapters.rendering import Renderer

Info = dict[str, Any]


class GymEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """One environment of a task. Use `gymnasium.make("gridenv/<task id>", **settings)`.

    A step is one compiled call. Infos are documented in docs/environments.md.
    """

    metadata = METADATA

    def __init__(self, task_id: str, *, render_mode: str | None = None, **config: Any) -> None:
        """Build the task; equal settings share one compiled program.

        Args:
            task_id: such as `VoltVar-IEEE33-v0`.
            render_mode: `rgb_array`: `render()` returns a picture; `human`: every step is shown in a window.
            config: settings that differ from the task's defaults, such as `split="test"`.

        Raises:
            ConfigError: for an unknown task, unknown settings and values that are not allowed; all problems at once.
        """
        known = self.metadata["render_modes"]
        if render_mode is not None and render_mode not in known:
            raise ConfigError(
                f"{task_id}: render_mode is '{render_mode}'; allowed: {', '.join(known)} or None; take one"
            )
        self._set_up(program(task_id, config), render_mode)

    @classmethod
    def over(cls, env: GridEnv, params: EnvParams) -> "GymEnv":
        """One environment of a functional environment that was built already; it is not drawn.

        Args:
            env: as `gridenv.make` returns it.
            params: as `gridenv.make` returns them; also those of another split.
        """
        made = cls.__new__(cls)
        made._set_up(Program.of(env, params), None)
        return made

    def _set_up(self, built: Program, render_mode: str | None) -> None:
        self._program = built
        self._episodes = Episodes.of(self._program.params)
        self._layout = self._program.layout_one()
        self._action_names = self.functional.task.action.names
        self._state: EnvState | None = None
        self._is_over = False
        self.observation_space, self.action_space = spaces(self.functional)
        self.render_mode = render_mode
        self._scene: tuple[EnvState, np.ndarray | None] | None = None
        self._renderer: Renderer | None = None
        self._window: HumanWindow | None = None

    @property
    def functional(self) -> GridEnv:
        """The functional environment underneath, with its manifest."""
        return self._program.env

    @property
    def params(self) -> EnvParams:
        """Parameters of the functional environment."""
        return self._program.params

    @property
    def cost_names(self) -> tuple[str, ...]:
        """Names of the entries of `info["cost"]`."""
        return self.functional.cost_names

    @property
    def state(self) -> EnvState:
        """State of the running episode, a pytree: keep it, and set it later to go on from there.

        Setting it leaves the random generator of later resets alone. The state of an episode that has ended, by time or
        by failure, still needs a reset.

        Raises:
            ResetNeeded: before the first reset.
        """
        state: EnvState = jax.tree.map(lambda x: x[0], self._begun())
        return state

    @state.setter
    def state(self, state: EnvState) -> None:
        with self._program.precision():
            self._state = jax.tree.map(lambda x: jnp.broadcast_to(x, (MIN_ROWS, *jnp.shape(x))), state)
        self._is_over = int(state.steps) >= self._program.params.steps_per_episode

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float[np.ndarray, " obs"], Info]:
        """Begin an episode.

        Args:
            seed: of the generator that draws episodes.
            options: `{"day": d}` for a day of the task's split, or `{"start_step": t}` for any scenario step.

        Raises:
            ConfigError: for unknown options and for days and steps that are not allowed.
        """
        super().reset(seed=seed)
        chosen = self._episodes.chosen(options)
        start = self._episodes.draw(self.np_random) if chosen is None else int(chosen[0])
        self._state, observation = self._program.begin(np.full(MIN_ROWS, start, np.int32))
        self._is_over = False
        if self.render_mode is not None:
            self._scene = (self.state, None)
            self._drawer().begin()
            self._show()
        return np.array(np.asarray(observation)[0]), {START_STEP: start, "cost_names": self.cost_names}

    def step(self, action: ArrayLike) -> tuple[Float[np.ndarray, " obs"], float, bool, bool, Info]:
        """One step of the grid.

        Args:
            action: normalised [act]; values beyond -1..1 are limited and flagged in `info["status"]`.

        Raises:
            ActionError: for an action of another shape, or with NaN or infinity.
            ResetNeeded: before the first reset and after the end of an episode.
        """
        state = self._begun()
        if self._is_over:
            raise ResetNeeded(f"{self.functional.id}: step after the end of the episode; call reset() first")
        assert self.action_space.shape is not None
        checked = checked_action(action, self.action_space.shape, self._action_names, self.functional.id)
        if self.render_mode is not None:
            self._scene = (self.state, checked)
        self._state, packed = self._program.step_one(state, checked)
        observation, reward, terminated, truncated, info = self._layout.unpack(packed)
        info["cost_names"] = self.cost_names
        self._is_over = terminated or truncated
        if self._scene is not None:
            self._drawer().record(int(self._scene[0].grid.t), reward, info["kpi"])
            self._show()
        return observation, reward, terminated, truncated, info

    def render(self) -> np.ndarray | None:
        """The feeder after the last step as uint8 [height, width, 3]; in the mode `human` it is shown already.

        Raises:
            ResetNeeded: before the first reset.
        """
        self._begun()
        if self.render_mode != "rgb_array" or self._scene is None:
            return None
        return self._drawer().frame(*self._scene)

    def close(self) -> None:
        """Close the window, where there is one."""
        if self._window is not None:
            self._window.close()
            self._window = None

    def _drawer(self) -> "Renderer":
        if self._renderer is None:
            from gridenv.adapters.rendering import Renderer

            self._renderer = Renderer(self._program)
        return self._renderer

    def _show(self) -> None:
        if self.render_mode != "human" or self._scene is None:
            return
        if self._window is None:
            from gridenv.adapters.drawing import HumanWindow

            self._window = HumanWindow(self.functional.id, float(self.metadata["render_fps"]))
        self._window.show(self._drawer().frame(*self._scene))

    def _begun(self) -> EnvState:
        if self._state is None:
            raise ResetNeeded(f"{self.functional.id}: no episode has begun; call reset() first")
        return self._state


def spaces(env: GridEnv) -> tuple[Box, Box]:
    """Observation and action space of a functional environment: float32, finite bounds."""
    return Box(*env.observation_bounds, dtype=np.float32), Box(*env.action_bounds, dtype=np.float32)


def refuse_rendering(task_id: str, render_mode: str | None) -> None:
    """Say that a batch is not drawn.

    Raises:
        ConfigError: if a render mode is given.
    """
    if render_mode is not None:
        raise ConfigError(
            f"{task_id}: render_mode is '{render_mode}'; allowed: None, batches are not drawn; leave it out"
        )
