"""The native vector environment behind the interface of Stable-Baselines3's vectorised environments."""

from collections.abc import Iterable, Sequence
from typing import Any

import jax
import numpy as np
from gymnasium.error import ResetNeeded
from jaxtyping import Float
from numpy.typing import ArrayLike
from stable_baselines3.common.vec_env import VecEnv

from gridenv.adapters.episodes import START_STEP
from gridenv.adapters.infos import Values
from gridenv.adapters.vector_env import GridVectorEnv
from gridenv.core.errors import ConfigError, did_you_mean, raise_collected

Info = dict[str, Any]
Indices = None | int | Iterable[int]

_SHARED = ("cost_names", "functional", "metadata", "render_mode", "spec")
_SINGLE = {"action_space": "single_action_space", "observation_space": "single_observation_space"}
_OWN = ("np_random", "np_random_seed", "state")
_ATTRIBUTES = (*_SHARED, *_SINGLE, *_OWN)


class GridVecEnv(VecEnv):
    """Environments of one task that step together, for Stable-Baselines3. Use `gridenv.sb3_vec_env`.

    Observations, actions, rewards and seeds are those of `GridVectorEnv` in the mode `SAME_STEP`.
    """

    batch_infos: Values
    """Infos of the last step of all environments, in Gymnasium's form: arrays with the environments in front."""

    def __init__(self, envs: GridVectorEnv, info_keys: Sequence[str]) -> None:
        """Wrap a vector environment that resets in the same step.

        Raises:
            ConfigError: for unknown info keys.
        """
        self._envs = envs
        self._info_keys = _checked_keys(envs, info_keys)
        self._actions: Any = None
        self.batch_infos = {}
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)

    @property
    def cost_names(self) -> tuple[str, ...]:
        """Names of the entries of `info["cost"]`."""
        return self._envs.cost_names

    def reset(self) -> Float[np.ndarray, "env obs"]:
        """Begin episodes in all environments, with what `seed` and `set_options` said since the last reset."""
        observation, info = self._envs.reset(seed=self._seeds, options=_joint(self._options))
        self._reset_seeds()
        self._reset_options()
        self._note_resets(range(self.num_envs), info[START_STEP])
        self._actions = None
        return observation

    def step_async(self, actions: ArrayLike) -> None:
        """Take the actions of the next step, [env, act]."""
        self._actions = actions

    def step_wait(
        self,
    ) -> tuple[Float[np.ndarray, "env obs"], Float[np.ndarray, " env"], np.ndarray, list[Info]]:
        """Do the step: observation, reward, done, and an info for each environment.

        Raises:
            ActionError: for actions of another shape, or with NaN or infinity.
            ResetNeeded: before the first reset, and without `step_async`.
        """
        actions, self._actions = self._actions, None
        if actions is None:
            raise ResetNeeded(f"{self._envs.functional.id}: no actions were given; call step_async() or step()")
        observation, reward, terminated, truncated, values = self._envs.step(actions)
        done = terminated | truncated
        infos: list[Info] = [{"TimeLimit.truncated": value} for value in (truncated & ~terminated).tolist()]
        for name in self._info_keys:
            for info, value in zip(infos, _rows(values[name]), strict=True):
                info[name] = value
        if done.any():
            ended = np.flatnonzero(done).tolist()
            for i in ended:
                infos[i]["terminal_observation"] = values["final_obs"][i]
            self._note_resets(ended, values[START_STEP])
        self.batch_infos = values
        return observation, reward.astype(np.float32), done, infos

    def close(self) -> None:
        """Nothing is open."""
        self._envs.close()

    def get_attr(self, attr_name: str, indices: Indices = None) -> list[Any]:
        """An attribute of each environment, or of those at `indices`.

        Raises:
            AttributeError: for all but the spaces, generators, states and names of an environment.
        """
        chosen = [int(i) for i in self._get_indices(indices)]
        if attr_name not in _ATTRIBUTES:
            raise AttributeError(
                f"{type(self).__name__}: environments have no attribute '{attr_name}'"
                f"{did_you_mean(attr_name, _ATTRIBUTES)}"
            )
        value = getattr(self._envs, _SINGLE.get(attr_name, attr_name))
        if attr_name == "state":
            return [jax.tree.map(lambda x, i=i: x[i], value) for i in chosen]
        return [value[i] if attr_name in _OWN else value for i in chosen]

    def set_attr(self, attr_name: str, value: Any, indices: Indices = None) -> None:
        """Refuse: the environments are rows of one compiled program and have nothing of their own to set.

        Raises:
            AttributeError: always.
        """
        raise AttributeError(
            f"{type(self).__name__}: '{attr_name}' cannot be set to {value!r}; the environments share one compiled "
            f"program; make new ones with {attr_name}=... if it is a setting of the task, or choose episodes with "
            "set_options"
        )

    def env_method(self, method_name: str, *method_args: Any, indices: Indices = None, **method_kwargs: Any) -> Any:
        """Refuse: there is no object for each environment whose method could be called.

        Raises:
            AttributeError: always.
        """
        raise AttributeError(
            f"{type(self).__name__}: '{method_name}' cannot be called on single environments, which are rows of one "
            "compiled program; use get_attr('functional') and get_attr('state') with the functional environment, or "
            "set_options to choose episodes"
        )

    def env_is_wrapped(self, wrapper_class: type, indices: Indices = None) -> list[bool]:
        """False for each: wrap the whole with `VecMonitor` and the like."""
        return [False for _ in self._get_indices(indices)]

    def _note_resets(self, which: Iterable[int], starts: np.ndarray) -> None:
        for i in which:
            self.reset_infos[i] = {START_STEP: int(starts[i]), "cost_names": self.cost_names}


def _rows(values: Any) -> Any:
    """A value for each environment, as a `GymEnv` has it in its info."""
    if isinstance(values, dict):
        names = [name for name in values if not name.startswith("_")]
        return [
            dict(zip(names, row, strict=True)) for row in zip(*(_rows(values[name]) for name in names), strict=True)
        ]
    # A copy, so that an info that is kept does not keep the results of the whole step.
    return values.tolist() if values.ndim == 1 else list(values.copy())


def _checked_keys(envs: GridVectorEnv, keys: Sequence[str]) -> tuple[str, ...]:
    known = envs.info_names
    given = (keys,) if isinstance(keys, str) else tuple(keys)
    raise_collected(
        [f"sb3_vec_env: unknown info key '{key}'{did_you_mean(key, known)}" for key in given if key not in known],
        ConfigError,
    )
    return given


def _joint(options: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """One dictionary of options for the batch from one for each environment.

    Raises:
        ConfigError: if the environments are given different keys.
    """
    keys = {tuple(sorted(each)) for each in options}
    if len(keys) > 1:
        raise ConfigError(
            f"set_options: environments have different keys, {sorted(keys)}; allowed: the same for all; "
            "give every environment the same keys"
        )
    (names,) = keys
    return {name: [each[name] for each in options] for name in names} or None
