"""Experience of an update and what the policy gradient makes of it; the same for one policy and for many.

A learner may look at several things at once: the rewards of several agents, or a reward and costs. Each is a *lane*, an
axis behind that of the environments; there is none where there is one reward.
"""

from typing import NamedTuple

from jax import Array, lax
from jax import numpy as jnp
from jaxtyping import Bool, Float

from gridenv.core.pytree import along


class Rollout(NamedTuple):
    """Experience of one update, time first."""

    observation: Float[Array, "time env obs"]
    action: Float[Array, "time env act"]
    log_prob: Float[Array, "time env *actor"]
    reward: Float[Array, "time env *lane"]
    terminated: Bool[Array, "time env"]
    truncated: Bool[Array, "time env"]
    final_value: Float[Array, "time env *lane"]
    """Value of the last observation of an episode, where it was truncated; else 0."""
    cost: Float[Array, "time env cost"]
    economic_eur: Float[Array, "time env"]
    penalised_eur: Float[Array, "time env"]


class Batch(NamedTuple):
    """Samples of a policy update."""

    observation: Float[Array, "sample obs"]
    action: Float[Array, "sample act"]
    log_prob: Float[Array, "sample *actor"]
    advantage: Float[Array, "sample *actor"]
    target: Float[Array, "sample *lane"]


def gae(
    rollout: Rollout,
    values: Float[Array, "time env *lane"],
    next_values: Float[Array, "time env *lane"],
    gamma: float,
    gae_lambda: float,
) -> Float[Array, "time env *lane"]:
    """Generalised advantage estimates.

    A terminated episode has no future; a truncated one goes on unseen, so its last value is bootstrapped. Neither
    passes advantages back across its end.
    """
    done = along(rollout.terminated | rollout.truncated, values)
    following = jnp.where(done, rollout.final_value, next_values)
    delta = rollout.reward + gamma * following - values
    decay = gamma * gae_lambda * (1.0 - done)

    def back(later: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        delta, decay = now
        advantage = delta + decay * later
        return advantage, advantage

    return lax.scan(back, jnp.zeros_like(values[0]), (delta, decay), reverse=True)[1]


def policy_loss(
    log_ratio: Float[Array, "sample *actor"], advantage: Float[Array, "sample *actor"], clip: float
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """Clipped surrogate loss with normalised advantages, and what it says of the change of the policy.

    Source: J. Schulman et al., arXiv:1707.06347, equation 7; every actor has a ratio of its own, as in C. Yu et al.,
    arXiv:2103.01955.
    """
    ratio = jnp.exp(log_ratio)
    advantage = (advantage - advantage.mean(axis=0)) / (advantage.std(axis=0) + 1e-8)
    clipped = jnp.clip(ratio, 1.0 - clip, 1.0 + clip)
    loss = -jnp.mean(jnp.minimum(ratio * advantage, clipped * advantage))
    return loss, {
        "policy/kl": jnp.mean(ratio - 1.0 - log_ratio),
        "policy/clip_share": jnp.mean(jnp.abs(ratio - 1.0) > clip),
    }
