"""A training of a Stable-Baselines3 model."""

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from stable_baselines3.common.base_class import BaseAlgorithm

from agents.sb3.metered import MeteredVecEnv
from agents.torch_models.generators import Generators
from gridenv.adapters.vector_env import GridVectorEnv

Model = TypeVar("Model", bound=BaseAlgorithm)


@dataclass
class Clock:
    """How far a training is; the model's schedules look at it."""

    updates: int = 0
    """Updates done."""


@dataclass(frozen=True, kw_only=True)
class TrainingState(Generic[Model]):
    """Everything that training needs to go on; each part changes with every update."""

    model: Model
    envs: GridVectorEnv
    """The environments."""
    meter: MeteredVecEnv
    """What the model sees of them."""
    generators: Generators
    clock: Clock = field(default_factory=Clock)
