"""Which episode a reset begins: drawn on the host from the task's starts, or chosen by an option."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from gridenv.core.errors import ConfigError, did_you_mean
from gridenv.tasks.env import EnvParams

START_STEP, DAY = "start_step", "day"
_SHOWN = 10
"""Days that an error message lists."""


@dataclass(frozen=True)
class Episodes:
    """Episodes that an environment can begin."""

    starts: Int[np.ndarray, " episode"]
    """First scenario step of each episode that can be drawn."""
    last_start: int
    """Last scenario step from which a whole episode fits into the scenario."""
    steps_per_day: int

    @classmethod
    def of(cls, params: EnvParams) -> "Episodes":
        """The episodes of an environment."""
        scenario = params.model.scenario
        return cls(np.asarray(params.starts), scenario.n_steps - params.steps_per_episode, scenario.steps_per_day)

    def draw(self, generator: np.random.Generator) -> int:
        """First step of an episode; one number is taken from the generator."""
        return int(self.starts[generator.integers(len(self.starts))])

    def chosen(
        self, options: Mapping[str, Any] | None, num_envs: int = 1, also_known: Collection[str] = ()
    ) -> Int[np.ndarray, " env"] | None:
        """First step of each environment's episode as the options of a reset ask for, or None if they do not.

        Args:
            options: `start_step` (any step from which an episode fits into the scenario) or `day` (one of the task's
                own days; 0 is the first of the scenario); one for all environments, or one for each.
            num_envs: number of environments.
            also_known: further keys that are allowed.

        Raises:
            ConfigError: for unknown keys, for both at once and for values that are not allowed.
        """
        given = {name: value for name, value in (options or {}).items() if name not in also_known}
        unknown = [name for name in given if name not in (START_STEP, DAY)]
        if unknown:
            known = (START_STEP, DAY, *also_known)
            raise ConfigError(f"reset: unknown option '{unknown[0]}'{did_you_mean(str(unknown[0]), known)}")
        if len(given) > 1:
            raise ConfigError(f"reset: options '{START_STEP}' and '{DAY}' both choose the episode; give one of them")
        if not given:
            return None
        ((name, value),) = given.items()
        numbers = _whole_numbers(name, value, num_envs)
        return self._checked_days(numbers) * self.steps_per_day if name == DAY else self._checked_starts(numbers)

    def _checked_days(self, days: Int[np.ndarray, " env"]) -> Int[np.ndarray, " env"]:
        allowed = self.starts // self.steps_per_day
        for day in days[~np.isin(days, allowed)]:
            nearest = np.sort(allowed[np.argsort(np.abs(allowed - day), kind="stable")[:_SHOWN]])
            raise ConfigError(
                f"reset: option '{DAY}' is {day}, which is not among the {len(allowed)} days of this environment's "
                f"split; nearest are {', '.join(map(str, nearest))}; take one of them, or make the environment with "
                "another split"
            )
        return days

    def _checked_starts(self, starts: Int[np.ndarray, " env"]) -> Int[np.ndarray, " env"]:
        for start in starts[(starts < 0) | (starts > self.last_start)]:
            raise ConfigError(
                f"reset: option '{START_STEP}' is {start}; allowed: 0..{self.last_start}, so that the whole episode "
                "lies inside the scenario; choose one of these"
            )
        return starts


def _whole_numbers(name: str, value: Any, num_envs: int) -> Int[np.ndarray, " env"]:
    array = np.asarray(value)
    if array.dtype.kind not in "iu" or array.shape not in ((), (num_envs,)):
        each = f" or {num_envs} of them, one for each environment" if num_envs > 1 else ""
        raise ConfigError(f"reset: option '{name}' is {value!r}; allowed: a whole number{each}; correct it")
    return np.broadcast_to(array, num_envs).astype(np.int32)
