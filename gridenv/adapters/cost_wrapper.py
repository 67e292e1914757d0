"""The interface of Safety-Gymnasium: the cost of a step is a number of its own beside the reward."""

import warnings
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import VectorEnv, VectorWrapper
from jaxtyping import Float

from gridenv.adapters.gym_env import GymEnv
from gridenv.adapters.vector_env import GridVectorEnv
from gridenv.core.errors import ConfigError, did_you_mean, raise_collected

Cost = str | Mapping[str, float] | None
"""Name of a cost; weights of costs by name; or None for the weights of the task, in EUR."""
Info = dict[str, Any]


class SafetyEnv(gymnasium.Wrapper[np.ndarray, np.ndarray, np.ndarray, np.ndarray]):
    """One environment whose `step` returns observation, reward, cost, terminated, truncated and info.

    That is what Safety-Gymnasium and the learners written for it use. Make the environment with `reward="economic"`,
    so that the reward is money alone. `info["cost"]` stays the vector of all costs. Wrappers that expect Gymnasium's
    five results go inside of this one.
    """

    def __init__(self, env: gymnasium.Env[np.ndarray, np.ndarray], cost: Cost = None) -> None:
        """Choose the cost.

        Args:
            env: of `gymnasium.make("gridenv/<task id>")`, possibly wrapped.
            cost: name of one cost; `{name: weight}` for a weighted sum; None for the sum in EUR that the task's
                penalised reward would charge.

        Raises:
            ConfigError: for unknown names, weights that are not finite numbers from 0, and other environments.
        """
        super().__init__(env)
        self._weights = _weights(env.unwrapped, cost, type(self).__name__)

    @property
    def cost_weights(self) -> dict[str, float]:
        """Weight of each entry of `info["cost"]` by name."""
        return _named(self.env.unwrapped, self._weights)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, float, bool, bool, Info]:  # type: ignore[override]
        """One step; the cost is a float, in the unit of the chosen entry or weighted sum."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, float(reward), float(info["cost"] @ self._weights), terminated, truncated, info


class SafetyVectorEnv(VectorWrapper):
    """A batch whose `step` returns observation, reward, cost, terminated, truncated and info; see `SafetyEnv`.

    A step that only begins an episode (`NEXT_STEP`) costs nothing.
    """

    def __init__(self, env: VectorEnv, cost: Cost = None) -> None:
        """Choose the cost.

        Args:
            env: of `gymnasium.make_vec("gridenv/<task id>", num_envs)`, possibly wrapped.
            cost: as for `SafetyEnv`.

        Raises:
            ConfigError: as for `SafetyEnv`.
        """
        super().__init__(env)
        self._weights = _weights(env.unwrapped, cost, type(self).__name__)

    @property
    def cost_weights(self) -> dict[str, float]:
        """Weight of each entry of `info["cost"]` by name."""
        return _named(self.env.unwrapped, self._weights)

    def step(  # type: ignore[override]
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, Float[np.ndarray, " env"], Float[np.ndarray, " env"], np.ndarray, np.ndarray, Info]:
        """One step of all environments; a cost for each."""
        observation, reward, terminated, truncated, info = self.env.step(actions)
        return observation, reward, info["cost"] @ self._weights, terminated, truncated, info


def _named(env: Any, weights: Float[np.ndarray, " cost"]) -> dict[str, float]:
    return dict(zip(env.cost_names, weights.tolist(), strict=True))


def _weights(env: Any, cost: Cost, wrapper: str) -> Float[np.ndarray, " cost"]:
    """Weight of each entry of `info["cost"]`, float64."""
    if not isinstance(env, GymEnv | GridVectorEnv):
        raise ConfigError(
            f"{wrapper}: environment is a {type(env).__name__}; allowed: environments of gridenv, made with "
            "gymnasium.make or gymnasium.make_vec; wrap one of them"
        )
    params = env.params
    if params.penalised:
        warnings.warn(
            f"{wrapper}: the reward of {env.functional.id} already has the weighted costs taken off; make it with "
            "reward='economic', so that costs do not count twice",
            stacklevel=3,
        )
    names = env.cost_names
    if cost is None:
        return np.asarray(params.cost_weight_eur, np.float64)
    given: Mapping[Any, Any] = {cost: 1.0} if isinstance(cost, str) else cost
    raise_collected(
        [f"{wrapper}: unknown cost '{name}'{did_you_mean(str(name), names)}" for name in given if name not in names]
        + [
            f"{wrapper}: weight of cost '{name}' is {weight!r}; allowed: a finite number from 0; correct it"
            for name, weight in given.items()
            if not _is_weight(weight)
        ],
        ConfigError,
    )
    return np.array([float(given.get(name, 0.0)) for name in names])


def _is_weight(weight: Any) -> bool:
    is_number = isinstance(weight, int | float | np.number) and not isinstance(weight, bool)
    return is_number and bool(np.isfinite(weight)) and weight >= 0
