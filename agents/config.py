"""What the settings of every learner have in common."""

from abc import abstractmethod
from typing import Literal

from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt

Activation = Literal["tanh", "relu"]
"""Between the layers of a network."""

Start = Literal["middle", "idle", "rule"]
"""Action that a policy begins with. `middle`: in the middle of all ranges. `idle`: asking for nothing. `rule`: the mean
of what the usual rule does on the days of the training, for devices that do harm in the middle of their ranges and when
they are idle, such as heat pumps."""


class LearnerConfig(BaseModel):
    """Length of a training and the form of an update; each learner sets defaults of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    total_steps: PositiveInt
    """Environment steps of the whole training, rounded up to full updates."""
    num_envs: PositiveInt
    reward_scale: PositiveFloat = 1.0
    """Rewards are multiplied by this for learning only, so that returns are of the order of one."""

    @property
    @abstractmethod
    def steps_per_update(self) -> int:
        """Environment steps that one update consumes."""

    @property
    def total_updates(self) -> int:
        """Number of updates in the whole training."""
        return -(-self.total_steps // self.steps_per_update)


class RolloutConfig(LearnerConfig):
    """Settings of learners that step all environments for a while between two updates."""

    rollout_steps: PositiveInt
    """Steps of each environment between two updates."""

    @property
    def steps_per_update(self) -> int:
        """Environment steps that one update consumes."""
        return self.num_envs * self.rollout_steps
