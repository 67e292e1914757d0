"""The policy of actions some of which are positions."""

from jax import Array
from jaxtyping import Float

from agents.networks import Layer, mlp
from agents.ppo.heads import ActionHeads
from gridenv.core.pytree import pytree, static
from gridenv.tasks.env import EnvParams, EnvState


@pytree
class HybridPolicy:
    """A dense network from the observation to means of continuous actions and to the likeliest positions."""

    layers: tuple[Layer, ...]
    heads: ActionHeads = static()
    name: str = static()

    def act(
        self, params: EnvParams, state: EnvState, observation: Float[Array, "*batch obs"]
    ) -> Float[Array, "*batch act"]:
        """Normalised actions from the observation alone."""
        del params, state
        return self.heads.most_likely(mlp(self.layers, observation))
