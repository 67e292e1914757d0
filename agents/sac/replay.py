"""Replay buffer as plain arrays: the newest steps of all environments, written in a ring."""

from typing import NamedTuple

import jax
from jax import Array
from jax import numpy as jnp
from jaxtyping import Bool, Float, Int


class Transitions(NamedTuple):
    """What happened in steps; the leading axes are those of a buffer, a rollout or a batch."""

    observation: Float[Array, "*lead obs"]
    action: Float[Array, "*lead act"]
    reward: Float[Array, "*lead"]
    """Scaled for learning."""
    following: Float[Array, "*lead obs"]
    """Observation after the step; the last of its episode where that ended."""
    terminated: Bool[Array, "*lead"]


def empty(rows: int, num_envs: int, n_observation: int, n_action: int) -> Transitions:
    """A buffer [row, env] that holds nothing yet."""
    lead = (rows, num_envs)
    return Transitions(
        observation=jnp.zeros((*lead, n_observation)),
        action=jnp.zeros((*lead, n_action)),
        reward=jnp.zeros(lead),
        following=jnp.zeros((*lead, n_observation)),
        terminated=jnp.zeros(lead, bool),
    )


def add(buffer: Transitions, rollout: Transitions, rows_before: Int[Array, ""]) -> Transitions:
    """The buffer with the rows of a rollout in place of its oldest.

    Args:
        buffer: [row, env].
        rollout: [time, env], at most as many rows as the buffer has.
        rows_before: rows added so far.
    """
    n_row, n_new = buffer.reward.shape[0], rollout.reward.shape[0]
    rows = (rows_before + jnp.arange(n_new)) % n_row
    return jax.tree.map(lambda old, new: old.at[rows].set(new), buffer, rollout)


def draw(buffer: Transitions, key: Array, rows_added: Int[Array, ""], size: int) -> Transitions:
    """Transitions [size] drawn evenly, with replacement, from what the buffer holds.

    Args:
        buffer: [row, env].
        key: random key.
        rows_added: rows added so far, at least one.
        size: number of transitions.
    """
    n_row, n_env = buffer.reward.shape
    place = jax.random.randint(key, (size,), 0, jnp.minimum(rows_added, n_row) * n_env)
    return jax.tree.map(lambda x: x[place // n_env, place % n_env], buffer)
