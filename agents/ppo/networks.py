"""Policy and value networks: small tanh MLPs as plain pytrees, and the Gaussian they parameterise."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import jax
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float

_HIDDEN_GAIN = math.sqrt(2.0)
_POLICY_GAIN = 0.01
_VALUE_GAIN = 1.0
"""Gains of the orthogonal initialisation. Source: M. Andrychowicz et al., "What matters for on-policy deep
actor-critic methods?", ICLR 2021, section 3.2."""


class Layer(NamedTuple):
    """One dense layer."""

    weight: Float[Array, "inputs outputs"]
    bias: Float[Array, " outputs"]


class ActorCritic(NamedTuple):
    """Parameters of a policy and a value network."""

    actor: tuple[Layer, ...]
    critic: tuple[Layer, ...]
    log_std: Float[Array, " act"]


def init_actor_critic(
    key: Array, n_observation: int, n_action: int, hidden: Sequence[int], log_std: float
) -> ActorCritic:
    """Orthogonally initialised networks; the policy starts close to zero action."""
    actor_key, critic_key = jax.random.split(key)
    return ActorCritic(
        actor=_init_mlp(actor_key, (n_observation, *hidden, n_action), _POLICY_GAIN),
        critic=_init_mlp(critic_key, (n_observation, *hidden, 1), _VALUE_GAIN),
        # A plain number would be weakly typed, and the second update compiled anew.
        log_std=jnp.full(n_action, log_std, jnp.float32),
    )


def mlp(layers: tuple[Layer, ...], x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
    """tanh between layers, linear at the end."""
    for layer in layers[:-1]:
        x = jnp.tanh(x @ layer.weight + layer.bias)
    return x @ layers[-1].weight + layers[-1].bias


def value(params: ActorCritic, observation: Float[Array, "*batch obs"]) -> Float[Array, "*batch"]:
    """Estimated discounted return."""
    return mlp(params.critic, observation)[..., 0]


def mean_action(params: ActorCritic, observation: Float[Array, "*batch obs"]) -> Float[Array, "*batch act"]:
    """Mean of the policy's Gaussian, not yet limited to the action bounds."""
    return mlp(params.actor, observation)


def log_prob(
    mean: Float[Array, "*batch act"], log_std: Float[Array, " act"], action: Float[Array, "*batch act"]
) -> Float[Array, "*batch"]:
    """Log density of a diagonal Gaussian; of the action before it is limited (clipped-Gaussian policy)."""
    z = (action - mean) * jnp.exp(-log_std)
    return -0.5 * jnp.sum(z * z, axis=-1) - jnp.sum(log_std) - 0.5 * mean.shape[-1] * math.log(2.0 * math.pi)


def entropy(log_std: Float[Array, " act"]) -> Float[Array, ""]:
    """Entropy of a diagonal Gaussian, nats."""
    return jnp.sum(log_std) + 0.5 * log_std.shape[-1] * math.log(2.0 * math.pi * math.e)


def _init_mlp(key: Array, sizes: Sequence[int], last_gain: float) -> tuple[Layer, ...]:
    layers = []
    for i, (inputs, outputs) in enumerate(pairwise(sizes)):
        gain = last_gain if i == len(sizes) - 2 else _HIDDEN_GAIN
        weight = jax.nn.initializers.orthogonal(gain)(jax.random.fold_in(key, i), (inputs, outputs))
        layers.append(Layer(weight, jnp.zeros(outputs)))
    return tuple(layers)
