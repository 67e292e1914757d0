"""The policies of several agents as one controller of the whole action vector."""

from jax import Array
from jaxtyping import Float

from agents.multi_agent.groups import AgentGroup, joined
from agents.networks import Layer, mlp
from agents.ppo.heads import ActionHeads
from gridenv.core.pytree import pytree, static
from gridenv.tasks.env import EnvParams, EnvState


@pytree
class GroupPolicy:
    """The network that the agents of a group share."""

    layers: tuple[Layer, ...]
    group: AgentGroup = static()
    heads: ActionHeads = static()

    def decide(self, observation: Float[Array, "*batch obs"]) -> Float[Array, "*batch agent own"]:
        """Normalised actions of every agent from its part of the observation."""
        return self.heads.most_likely(mlp(self.layers, self.group.inputs(observation)))


@pytree
class JointPolicy:
    """All agents together: gathers what each sees, asks its network, and puts the actions into the action vector."""

    members: tuple[GroupPolicy, ...]
    name: str = static()

    def act(
        self, params: EnvParams, state: EnvState, observation: Float[Array, "*batch obs"]
    ) -> Float[Array, "*batch act"]:
        """Normalised actions; each agent's from its own part of the observation alone."""
        del params, state
        return joined([m.group for m in self.members], [m.decide(observation) for m in self.members])
