"""What the training benchmark measures: updates of a learner, rollout and gradients included."""

from typing import Any

from agents import registry
from agents.learner import SeedsTogether
from gridenv.core.errors import ConfigError
from gridenv.tasks.registry import make


class Training:
    """A learner with its default settings but those given; several seeds train side by side in one program."""

    def __init__(self, task: str, agent: str, settings: dict[str, Any]) -> None:
        self._env, self._params = make(task)
        self._agent = agent
        self._settings = settings
        self.work = 0

    def prepare(self, updates: int, seeds: int, num_envs: int | None) -> None:
        """Initial states.

        Args:
            updates: done by one call.
            seeds: number of learners.
            num_envs: environments of each; None = as in the settings.

        Raises:
            ConfigError: if the learner cannot train so many seeds side by side.
        """
        changes = {} if num_envs is None else {"num_envs": num_envs}
        config: Any = registry.config_class(self._agent)(**self._settings, **changes)
        self._updates = updates
        self._learner = registry.make_learner(self._agent, self._env, config)
        if seeds > 1 and not isinstance(self._learner, SeedsTogether):
            raise ConfigError(f"--seeds is {seeds}; agent '{self._agent}' trains one seed at a time; leave it out")
        self.num_envs = config.num_envs
        self.work = updates * seeds * config.steps_per_update
        self._states = [self._learner.begin(seed, self._params) for seed in range(seeds)]

    def call(self) -> object:
        """Train on from where the last call ended."""
        metrics: object = None
        for _ in range(self._updates):
            if len(self._states) == 1:
                state, metrics = self._learner.update(self._states[0], self._params)
                self._states = [state]
            else:
                assert isinstance(self._learner, SeedsTogether)
                self._states, metrics = self._learner.update_together(self._states, self._params)
        return metrics

    def outcome(self) -> int:
        """Number of environments."""
        number: int = self.num_envs
        return number
