"""Policy and value networks of PPO."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float

from agents.networks import Layer, init_mlp

POLICY_GAIN = 0.01
VALUE_GAIN = 1.0
"""Gains of the orthogonal initialisation. Source: M. Andrychowicz et al., "What matters for on-policy deep
actor-critic methods?", ICLR 2021, section 3.2."""


class ActorCritic(NamedTuple):
    """Parameters of a policy and a value network."""

    actor: tuple[Layer, ...]
    critic: tuple[Layer, ...]
    log_std: Float[Array, " continuous"]


def init_actor_critic(
    key: Array,
    n_observation: int,
    n_action: int,
    hidden: Sequence[int],
    log_std: float,
    *,
    n_step: int = 0,
    n_value: int = 1,
) -> ActorCritic:
    """Orthogonally initialised networks; the policy starts close to zero action and equally likely positions.

    Args:
        key: of the draw.
        n_observation: inputs of both networks.
        n_action: continuous actions.
        hidden: sizes of the hidden layers.
        log_std: of all continuous actions.
        n_step: further outputs of the policy network, for positions.
        n_value: outputs of the value network.
    """
    actor_key, critic_key = jax.random.split(key)
    return ActorCritic(
        actor=init_mlp(actor_key, (n_observation, *hidden, n_action + n_step), POLICY_GAIN),
        critic=init_mlp(critic_key, (n_observation, *hidden, n_value), VALUE_GAIN),
        # A plain number would be weakly typed, and the second update compiled anew.
        log_std=jnp.full(n_action, log_std, jnp.float32),
    )


def log_prob(
    mean: Float[Array, "*batch act"], log_std: Float[Array, " act"], action: Float[Array, "*batch act"]
) -> Float[Array, "*batch"]:
    """Log density of a diagonal Gaussian; of the action before it is limited (clipped-Gaussian policy)."""
    z = (action - mean) * jnp.exp(-log_std)
    return -0.5 * jnp.sum(z * z, axis=-1) - jnp.sum(log_std) - 0.5 * mean.shape[-1] * math.log(2.0 * math.pi)


def entropy(log_std: Float[Array, " act"]) -> Float[Array, ""]:
    """Entropy of a diagonal Gaussian, nats."""
    return jnp.sum(log_std) + 0.5 * log_std.shape[-1] * math.log(2.0 * math.pi * math.e)
