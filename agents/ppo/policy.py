"""What PPO has learned, as a controller that does not explore."""

from jax import Array
from jax import numpy as jnp
from jaxtyping import Float

from agents.ppo.learner import LearnerState
from agents.ppo.networks import ActorCritic, mean_action
from gridenv.core.pytree import pytree, static
from gridenv.tasks.env import EnvParams, EnvState


@pytree
class PPOPolicy:
    """Mean of the learned Gaussian, held inside the action bounds."""

    params: ActorCritic
    name: str = static(default="ppo")

    def act(
        self, params: EnvParams, state: EnvState, observation: Float[Array, "*batch obs"]
    ) -> Float[Array, "*batch act"]:
        """Normalised actions from the observation alone."""
        del params, state
        return jnp.clip(mean_action(self.params, observation), -1.0, 1.0)


def policy_of(state: LearnerState) -> PPOPolicy:
    """The controller of a learner's state."""
    return PPOPolicy(params=state.params)
