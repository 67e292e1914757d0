"""A batch of one task as a `gymnasium.vector.VectorEnv`: one compiled call for a step of all environments."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from jax import Array
from jax import numpy as jnp
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

from gridenv.adapters.actions import checked_action
from gridenv.adapters.episodes import START_STEP, Episodes
from gridenv.adapters.gym_env import refuse_rendering, spaces
from gridenv.adapters.infos import Values, labelled, masked, repeated, rows_where
from gridenv.adapters.program import MIN_ROWS, Leaves, Program, program
from gridenv.adapters.snapshot import Snapshot, generator_of
from gridenv.adapters.vector_options import (
    RESET_MASK,
    parse_autoreset_mode,
    parse_num_envs,
    parse_reset_mask,
    parse_seeds,
)
from gridenv.tasks.env import EnvParams, EnvState, GridEnv

Info = dict[str, Any]


class GridVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """Environments of one task that step together. Use `gymnasium.make_vec("gridenv/<task id>", num_envs=n)`.

    Environment i draws its episodes as a `GymEnv` with its seed does, and returns the same numbers.
    Infos and autoreset modes are documented in docs/environments.md.
    """

    def __init__(
        self,
        task_id: str,
        num_envs: int = 1,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
        render_mode: str | None = None,
        **config: Any,
    ) -> None:
        """Build the task; equal settings share one compiled program.

        Args:
            task_id: such as `VoltVar-IEEE33-v0`.
            num_envs: number of environments.
            autoreset_mode: what happens to environments whose episode has ended: `SAME_STEP` begins the next one at
                once, `NEXT_STEP` in the next step, `DISABLED` leaves it to `reset(options={"reset_mask": mask})`.
            render_mode: None; there is nothing to draw.
            config: settings that differ from the task's defaults, such as `split="test"`.

        Raises:
            ConfigError: for an unknown task or mode, unknown settings and values that are not allowed.
        """
        refuse_rendering(task_id, render_mode)
        self._set_up(program(task_id, config), num_envs, autoreset_mode)

    @classmethod
    def over(
        cls,
        env: GridEnv,
        params: EnvParams,
        num_envs: int,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
    ) -> "GridVectorEnv":
        """Environments of a functional environment that was built already.

        Args:
            env: as `gridenv.make` returns it.
            params: as `gridenv.make` returns them; also those of another split.
            num_envs: number of environments.
            autoreset_mode: as at construction.

        Raises:
            ConfigError: for an unknown mode and a number that is not allowed.
        """
        made = cls.__new__(cls)
        made._set_up(Program.of(env, params), num_envs, autoreset_mode)
        return made

    def _set_up(self, built: Program, num_envs: int, autoreset_mode: AutoresetMode | str) -> None:
        self.num_envs = num_envs = parse_num_envs(num_envs)
        self.autoreset_mode = parse_autoreset_mode(autoreset_mode)
        self.metadata = {"render_modes": [], "autoreset_mode": self.autoreset_mode}
        self.render_mode = None
        self._program = built
        self._episodes = Episodes.of(self._program.params)
        self._layout = self._program.layout(num_envs)
        self._action_names = self.functional.task.action.names
        self._cost_names = repeated(self.functional.cost_names, num_envs)
        self._generators: list[np.random.Generator | None] = [None] * num_envs
        self._seeds: list[int | None] = [None] * num_envs
        self._state: EnvState | None = None
        self._observation: Array | None = None
        self._finished = np.zeros(num_envs, np.bool_)
        self.single_observation_space, self.single_action_space = spaces(self.functional)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    @property
    def functional(self) -> GridEnv:
        """The functional environment underneath, with its manifest."""
        return self._program.env

    @property
    def params(self) -> EnvParams:
        """Parameters of the functional environment."""
        return self._program.params

    @property
    def info_names(self) -> tuple[str, ...]:
        """Keys of the infos of a step."""
        return (*self._layout.structure.unflatten(self._layout.slots)[-1], "cost_names")

    @property
    def cost_names(self) -> tuple[str, ...]:
        """Names of the entries of `info["cost"]`."""
        return self.functional.cost_names

    @property
    def state(self) -> EnvState:
        """State of all running episodes, a pytree with the environments in front.

        Raises:
            ResetNeeded: before the first reset.
        """
        state: EnvState = jax.tree.map(lambda x: x[: self.num_envs], self._begun()[0])
        return state

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """The generators that draw the episodes, one for each environment."""
        return tuple(self._generator(i) for i in range(self.num_envs))

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """The seeds of the generators."""
        self.np_random  # noqa: B018  (makes those that are missing)
        return tuple(seed for seed in self._seeds if seed is not None)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float[np.ndarray, "env obs"], Info]:
        """Begin episodes, in all environments or in those of a mask.

        Args:
            seed: `s` seeds environment i with s + i; a list holds one seed for each; None goes on drawing.
            options: `day` or `start_step` (one, or one for each environment) and `reset_mask` (which environments).

        Raises:
            ConfigError: for unknown options and for seeds, days, steps and masks that are not allowed.
            ResetNeeded: if the first reset leaves environments out.
        """
        mask = parse_reset_mask(options, self.num_envs)
        chosen = self._episodes.chosen(options, self.num_envs, also_known=(RESET_MASK,))
        for i, new in enumerate(parse_seeds(seed, self.num_envs)):
            if new is not None and mask[i]:
                self._generators[i], self._seeds[i] = seeding.np_random(new)
        if self._state is None and not mask.all():
            raise ResetNeeded(f"{self.functional.id}: the first reset must be of all environments; leave the mask out")
        starts = self._begin(mask, chosen)
        self._finished[mask] = False
        info = labelled({START_STEP: starts, "cost_names": self._cost_names.copy()}, mask)
        return self._host_observation(), info

    def step(
        self, actions: ArrayLike
    ) -> tuple[
        Float[np.ndarray, "env obs"],
        Float[np.ndarray, " env"],
        Bool[np.ndarray, " env"],
        Bool[np.ndarray, " env"],
        Info,
    ]:
        """One step of all environments.

        Args:
            actions: normalised [env, act]; values beyond -1..1 are limited and flagged in `info["status"]`.

        Raises:
            ActionError: for actions of another shape, or with NaN or infinity.
            ResetNeeded: before the first reset; with `DISABLED` also if an environment's episode has ended.
        """
        state, _ = self._begun()
        if self.autoreset_mode == AutoresetMode.DISABLED and self._finished.any():
            raise ResetNeeded(
                f"{self.functional.id}: the episodes of environments {np.flatnonzero(self._finished).tolist()} have "
                "ended; reset them first with options={'reset_mask': mask}"
            )
        shape = (self.num_envs, self.functional.n_action)
        checked = checked_action(actions, shape, self._action_names, self.functional.id)
        self._state, self._observation, packed = self._program.step(state, checked)
        reward, terminated, truncated, values = self._layout.unpack(packed)
        values["cost_names"] = self._cost_names.copy()
        info = labelled(values, np.ones(self.num_envs, np.bool_))
        if self.autoreset_mode == AutoresetMode.NEXT_STEP and self._finished.any():
            begun = self._finished
            for result in (reward, terminated, truncated):
                result[begun] = 0
            stepped = {name: value for name, value in values.items() if name != "cost_names"}
            info |= labelled(masked(stepped, ~begun), ~begun) | labelled({START_STEP: self._begin(begun)}, begun)
        self._finished = terminated | truncated
        if self.autoreset_mode == AutoresetMode.SAME_STEP and self._finished.any():
            info |= self._begin_at_once(values)
        return self._host_observation(), reward.astype(np.float64), terminated, truncated, info

    def snapshot(self) -> Snapshot:
        """All that the following steps and resets depend on; `restore` takes it back.

        Raises:
            ResetNeeded: before the first reset.
        """
        leaves = jax.tree.leaves(self._begun())
        states = tuple(None if g is None else dict(g.bit_generator.state) for g in self._generators)
        return Snapshot(
            rows={name: np.array(leaf) for name, leaf in zip(self._leaves().names, leaves, strict=True)},
            finished=self._finished.copy(),
            generators=states,
            seeds=tuple(self._seeds),
        )

    def blank_snapshot(self) -> Snapshot:
        """A snapshot of zeros, without generators; it has the names, shapes and types that `restore` needs."""
        leaves, nothing = self._leaves(), (None,) * self.num_envs
        return Snapshot(
            rows={name: np.zeros(s.shape, s.dtype) for name, s in zip(leaves.names, leaves.shapes, strict=True)},
            finished=np.zeros(self.num_envs, np.bool_),
            generators=nothing,
            seeds=nothing,
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Go on where `snapshot` was taken, of this or of another vector environment of the same settings."""
        leaves = self._leaves()
        with self._program.precision():
            arrays = [jnp.asarray(snapshot.rows[name]) for name in leaves.names]
        self._state, self._observation = jax.tree.unflatten(leaves.structure, arrays)
        self._finished = snapshot.finished.copy()
        self._generators = [generator_of(state) for state in snapshot.generators]
        self._seeds = list(snapshot.seeds)

    def _leaves(self) -> Leaves:
        return self._program.begun_leaves(max(MIN_ROWS, self.num_envs))

    def _begin_at_once(self, values: Values) -> Info:
        """Begin the next episode where one has ended; what this adds to the infos of the step."""
        ended = self._finished
        final = {"final_obs": rows_where(ended, self._host_observation()), "final_info": masked(values, ended)}
        return labelled(final | {START_STEP: self._begin(ended)}, ended)

    def _begin(
        self, mask: Bool[np.ndarray, " env"], chosen: Int[np.ndarray, " env"] | None = None
    ) -> Int[np.ndarray, " env"]:
        """Begin episodes where `mask` is set; their first steps, 0 elsewhere."""
        starts = np.zeros(self.num_envs, np.int32)
        if chosen is None:
            starts[mask] = [self._episodes.draw(self._generator(int(i))) for i in np.flatnonzero(mask)]
        else:
            starts[mask] = chosen[mask]
        spare = (0, max(MIN_ROWS - self.num_envs, 0))
        padded = np.pad(starts, spare, mode="edge")
        if mask.all() or self._state is None or self._observation is None:
            self._state, self._observation = self._program.begin(padded)
        else:
            self._state, self._observation = self._program.renew(
                np.pad(mask, spare, mode="edge"), padded, self._state, self._observation
            )
        return starts

    def _generator(self, i: int) -> np.random.Generator:
        generator = self._generators[i]
        if generator is None:
            generator, self._seeds[i] = seeding.np_random()
            self._generators[i] = generator
        return generator

    def _host_observation(self) -> Float[np.ndarray, "env obs"]:
        return np.array(np.asarray(self._begun()[1])[: self.num_envs])

    def _begun(self) -> tuple[EnvState, Array]:
        if self._state is None or self._observation is None:
            raise ResetNeeded(f"{self.functional.id}: no episode has begun; call reset() first")
        return self._state, self._observation
