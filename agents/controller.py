"""What every controller looks like, learned or not."""

from typing import Protocol, runtime_checkable

from jax import Array
from jaxtyping import Float

from gridenv.tasks.env import EnvParams, EnvState


@runtime_checkable
class Controller(Protocol):
    """Chooses actions for a batch of environments; pure and jittable."""

    @property
    def name(self) -> str:
        """Key of the controller in tables and `evaluation.json`."""
        ...

    def act(
        self, params: EnvParams, state: EnvState, observation: Float[Array, "*batch obs"]
    ) -> Float[Array, "*batch act"]:
        """Normalised actions. Learned policies look at the observation only; reference ones may look at the model."""
        ...


@runtime_checkable
class Planner(Protocol):
    """Decides on whole episodes in advance, knowing them perfectly."""

    def plan(self, params: EnvParams) -> Controller:
        """Controller for the episodes that begin at `params.starts`, in that order."""
        ...
