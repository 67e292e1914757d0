"""A training loop of your own in JAX: the gradient of the reward through the simulator, three seeds side by side."""

import argparse
from typing import Any

import jax
import optax
from jax import Array, lax
from jax import numpy as jnp

import gridenv
from experiments.task_scores import score_policy

TASK, SEEDS, ENVS, HORIZON = "VoltVar-IEEE33-v0", 3, 64, 4
env, params = gridenv.make(TASK, split="train")


def new_policy(key: Array, hidden: int = 64) -> Any:
    """Weights of two layers."""
    first, second = jax.random.split(key)
    w1 = jax.random.normal(first, (env.n_observation, hidden)) * env.n_observation**-0.5
    w2 = jax.random.normal(second, (hidden, env.n_action)) * 0.01
    return {"w1": w1, "b1": jnp.zeros(hidden), "w2": w2, "b2": jnp.zeros(env.n_action)}


def act(policy: Any, observation: Array) -> Array:
    """Normalised actions in -1..1."""
    hidden = jnp.tanh(observation @ policy["w1"] + policy["b1"])
    return jnp.tanh(hidden @ policy["w2"] + policy["b2"])


def mean_reward(policy: Any, key: Array) -> Array:
    """EUR a step, in pieces of days that begin at any time of any day."""
    day, time = jax.random.split(key)
    start = jax.random.choice(day, params.starts, (ENVS,))
    start += jax.random.randint(time, (ENVS,), 0, params.steps_per_episode - HORIZON)

    def step(carry: tuple[Array, Any], _: None) -> tuple[tuple[Array, Any], Array]:
        observation, state = carry
        observation, state, reward, *_ = env.step(None, state, act(policy, observation), params)
        return (observation, state), reward

    return lax.scan(step, env.reset_at(start, params), length=HORIZON)[1].mean()


def train(key: Array, updates: int) -> tuple[Any, Array]:
    """A policy and the mean rewards on the way, one compiled program."""
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(3e-3, updates)))
    policy = new_policy(key)

    def update(carry: Any, key: Array) -> tuple[Any, Array]:
        policy, memory = carry
        reward, gradient = jax.value_and_grad(mean_reward)(policy, key)
        change, memory = optimiser.update(jax.tree.map(jnp.negative, gradient), memory)
        return (optax.apply_updates(policy, change), memory), reward

    (policy, _), rewards = lax.scan(update, (policy, optimiser.init(policy)), jax.random.split(key, updates))
    return policy, rewards


def main() -> None:
    """Train, and score every seed on the test days."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=float, default=400_000)
    parser.add_argument("--against", nargs="*", default=["none", "rule", "oracle"])
    options = parser.parse_args()
    updates = max(int(options.steps) // (ENVS * HORIZON), 1)
    keys = jax.random.split(jax.random.key(0), SEEDS)
    policies, rewards = jax.jit(jax.vmap(train, (0, None)), static_argnums=1)(keys, updates)
    for seed in range(SEEDS):
        policy = jax.tree.map(lambda leaf, seed=seed: leaf[seed], policies)
        scored = score_policy(TASK, lambda seen, policy=policy: act(policy, seen), against=options.against)
        print(f"seed {seed}: {rewards[seed, -1]:.2f} EUR a step in the last update\n{scored}")


if __name__ == "__main__":
    main()
