"""Networks of soft actor-critic: a Gaussian limited by tanh, and two critics."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float

from agents.networks import Layer, init_mlp, mlp

_ACTOR_GAIN = 0.01
_CRITIC_GAIN = 1.0
_LOG_STD_LOW, _LOG_STD_HIGH = -5.0, 2.0
"""Bounds of the logarithm of the standard deviation. Assumed: from 0.7 % of the range to far beyond it."""


class Networks(NamedTuple):
    """Everything that is learned."""

    actor: tuple[Layer, ...]
    """Mean and logarithm of the standard deviation of every entry, before the tanh."""
    critics: tuple[Layer, ...]
    """Two networks from observation and action to value; leading axis of every array: critic."""
    log_temperature: Float[Array, ""]


def init_networks(key: Array, n_observation: int, n_action: int, hidden: Sequence[int], temperature: float) -> Networks:
    """Orthogonally initialised networks; the mean action starts close to zero."""
    actor_key, *critic_keys = jax.random.split(key, 3)
    critics = [init_mlp(k, (n_observation + n_action, *hidden, 1), _CRITIC_GAIN) for k in critic_keys]
    return Networks(
        actor=init_mlp(actor_key, (n_observation, *hidden, 2 * n_action), _ACTOR_GAIN),
        critics=jax.tree.map(lambda *leaves: jnp.stack(leaves), *critics),
        log_temperature=jnp.asarray(math.log(temperature), jnp.float32),
    )


def mean_layers(actor: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """The network that gives the mean alone."""
    *inner, last = actor
    n_action = last.bias.shape[-1] // 2
    return (*inner, Layer(last.weight[..., :n_action], last.bias[..., :n_action]))


def sample(
    actor: tuple[Layer, ...], observation: Float[Array, "*batch obs"], key: Array
) -> tuple[Float[Array, "*batch act"], Float[Array, "*batch"]]:
    """Random actions inside -1..1 and their log density, differentiable in the actor."""
    mean, log_std = jnp.split(mlp(actor, observation, "relu"), 2, axis=-1)
    log_std = jnp.clip(log_std, _LOG_STD_LOW, _LOG_STD_HIGH)
    noise = jax.random.normal(key, mean.shape)
    before = mean + jnp.exp(log_std) * noise
    return jnp.tanh(before), log_density(noise, log_std, before)


def log_density(
    noise: Float[Array, "*batch act"], log_std: Float[Array, "*batch act"], before: Float[Array, "*batch act"]
) -> Float[Array, "*batch"]:
    """Log density of tanh(before), where before = mean + exp(log_std) * noise.

    Source: T. Haarnoja et al., arXiv:1812.05905, appendix C; log(1 - tanh(u)^2) in the form that does not cancel.
    """
    normal = -0.5 * noise**2 - log_std - 0.5 * math.log(2.0 * math.pi)
    stretch = 2.0 * (math.log(2.0) - before - jax.nn.softplus(-2.0 * before))
    return jnp.sum(normal - stretch, axis=-1)


def values(
    critics: tuple[Layer, ...], observation: Float[Array, "*batch obs"], action: Float[Array, "*batch act"]
) -> Float[Array, "2 *batch"]:
    """What both critics expect of an action."""
    inputs = jnp.concatenate([observation, action], axis=-1)
    return jax.vmap(lambda layers: mlp(layers, inputs, "relu")[..., 0])(critics)
