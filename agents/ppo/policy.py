"""The policy of actions some of which are positions."""

from jax import Array
from jaxtyping import Float

from agents.graph import Graph
from agents.networks import Layer, exact_mlp, mlp_graph
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
        return self.heads.most_likely(exact_mlp(self.layers, observation))

    def build_graph(self, graph: Graph, observation: str) -> str:
        """The same as operations of a graph."""
        return self.heads.most_likely_graph(graph, mlp_graph(graph, self.layers, observation))
