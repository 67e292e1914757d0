"""Which agents share a network: those that do the same and see the same, each with its own units."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float

from gridenv.core.channels import ChannelSet
from gridenv.tasks.agents import Agent

Rows = tuple[tuple[int, ...], ...]
_Signature = tuple[tuple[str, ...], tuple[int, ...], tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class AgentGroup:
    """Agents with actions and observations of the same kinds in the same order; plain tuples, so it can be hashed."""

    names: tuple[str, ...]
    observations: Rows
    """[agent] entries of the observation vector that the agent sees."""
    actions: Rows
    """[agent] entries of the action vector that are the agent's."""
    levels: tuple[int, ...]
    """Number of positions of the actions of one agent; 0 = continuous."""
    unit_rows: Rows
    """[agent] places of its units in `info["unit_eur"]`."""

    @property
    def n_agent(self) -> int:
        """Agents of the group."""
        return len(self.names)

    @property
    def n_input(self) -> int:
        """Inputs of a network of the group."""
        return len(self.observations[0]) + (self.n_agent if self.n_agent > 1 else 0)

    def inputs(self, observation: Float[Array, "*batch obs"]) -> Float[Array, "*batch agent inputs"]:
        """What a network of the group sees for each agent: its observation and, among several, which of them it is."""
        seen = observation[..., np.array(self.observations)]
        if self.n_agent == 1:
            return seen
        which = jnp.broadcast_to(jnp.eye(self.n_agent, dtype=seen.dtype), (*seen.shape[:-1], self.n_agent))
        return jnp.concatenate([seen, which], axis=-1)

    def own(self, action: Float[Array, "*batch act"]) -> Float[Array, "*batch agent own"]:
        """The actions of each agent."""
        return action[..., np.array(self.actions)]


def groups_of(
    agents: Sequence[Agent], actions: ChannelSet, levels: Sequence[int], observation: ChannelSet
) -> tuple[AgentGroup, ...]:
    """The groups of a task, in the order of their first agents; `levels` are the positions of each action entry.

    Agents share a network if their actions have the same kinds (such as `battery`, `p_kw`) and positions and their
    observations the same kinds, entry by entry. So the single-phase plants of a feeder share one, and its three-phase
    plants, which see three voltages, another.
    """
    members: dict[_Signature, list[Agent]] = {}
    acted, seen = [_kind(name) for name in actions.names], [_kind(name) for name in observation.names]
    for agent in agents:
        signature = (
            tuple(acted[i] for i in agent.actions),
            tuple(levels[i] for i in agent.actions),
            tuple(seen[i] for i in agent.local),
        )
        members.setdefault(signature, []).append(agent)
    return tuple(
        AgentGroup(
            names=tuple(a.name for a in group),
            observations=tuple(tuple(a.local.tolist()) for a in group),
            actions=tuple(tuple(a.actions.tolist()) for a in group),
            levels=own_levels,
            unit_rows=tuple(tuple(a.unit_rows.tolist()) for a in group),
        )
        for (_, own_levels, _), group in members.items()
    )


def joined(groups: Sequence[AgentGroup], parts: Sequence[Float[Array, "*batch _ _"]]) -> Float[Array, "*batch act"]:
    """The action vector from the actions of the agents of every group."""
    flat = jnp.concatenate([part.reshape(*part.shape[:-2], -1) for part in parts], axis=-1)
    return flat[..., places(groups)]


def places(groups: Sequence[AgentGroup]) -> np.ndarray:
    """Where each entry of the action vector stands among the actions of all agents, group by group."""
    return np.argsort(np.concatenate([np.ravel(group.actions) for group in groups]))


def own_rewards(
    groups: Sequence[AgentGroup], reward: Float[Array, "*batch"], unit_eur: Float[Array, "*batch unit"]
) -> Float[Array, "*batch agent"]:
    """The reward of every agent, group by group: what its units earned, and an equal part of what is left."""
    rows = [rows for group in groups for rows in group.unit_rows]
    own = jnp.stack([jnp.sum(unit_eur[..., np.array(r)], axis=-1) for r in rows], axis=-1)
    rest = (reward - jnp.sum(own, axis=-1)) / len(rows)
    return own + rest[..., None]


def split_keys(key: Array, groups: Sequence[AgentGroup]) -> list[Array]:
    """A random key for each group."""
    return list(jax.random.split(key, len(groups)))


def _kind(name: str) -> str:
    """Kind and quantity of a channel, without the name of its unit or bus."""
    parts = name.split(".")
    return f"{parts[0]}.{parts[-1]}"
