"""What every learner looks like, and what those written in JAX share."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import jax
import numpy as np
from jax import Array, lax
from jax import numpy as jnp
from jaxtyping import Bool, Float

from agents import checkpoint
from agents.config import Start
from agents.controller import Controller
from agents.start import first_action
from gridenv.tasks.env import EnvParams, GridEnv

State = TypeVar("State")
Metrics = dict[str, float]


class Learner(Protocol):
    """Trains a policy update by update. All that changes is in the state, which only the learner looks into."""

    def begin(self, seed: int, params: EnvParams) -> Any:
        """State before training."""
        ...

    def update(self, state: Any, params: EnvParams) -> tuple[Any, Metrics]:
        """State after one update, and what it measured; the old state must not be used again."""
        ...

    def policy(self, state: Any) -> Controller:
        """The policy learned so far; it does not explore."""
        ...

    def save(self, path: Path, state: Any, identity: dict[str, Any]) -> None:
        """Write a checkpoint, complete or not at all."""
        ...

    def load(self, path: Path, seed: int, params: EnvParams, identity: dict[str, Any]) -> Any:
        """State of a checkpoint; training goes on from it to the same result.

        Raises:
            RunError: if the file is missing, damaged or does not belong to `identity`.
        """
        ...


@runtime_checkable
class SeedsTogether(Protocol):
    """A learner that can train several seeds in one program."""

    def update_together(self, states: Sequence[Any], params: EnvParams) -> tuple[list[Any], list[Metrics]]:
        """`Learner.update` of each state."""
        ...


@runtime_checkable
class HasProcesses(Protocol):
    """A learner that may have started processes."""

    def close(self) -> None:
        """End them; the next update starts them again."""
        ...


class JaxLearner(ABC, Generic[State]):
    """A learner whose state is a pytree and whose update is one compiled program."""

    def __init__(self, env: GridEnv, start: Start = "middle") -> None:
        self.env, self._start = env, start

    @abstractmethod
    def init(self, seed: Any, env_params: EnvParams, start: Float[Array, " act"]) -> State:
        """State before training, with policies that begin with the action `start`; jittable."""

    def start(self, env_params: EnvParams) -> Float[Array, " act"]:
        """The action that policies begin with; learners without that choice leave it unused."""
        return first_action(self.env, env_params, self._start)

    @abstractmethod
    def next(self, state: State, env_params: EnvParams) -> tuple[State, dict[str, Array]]:
        """State after one update, and what it measured; jittable."""

    @partial(jax.jit, static_argnames=("self", "updates"), donate_argnames="state")
    def advance(self, state: State, env_params: EnvParams, updates: int) -> tuple[State, dict[str, Array]]:
        """Train for a number of updates in one compiled call; metrics have a leading axis of `updates`."""
        return lax.scan(lambda s, _: self.next(s, env_params), state, length=updates)

    @abstractmethod
    def policy(self, state: State) -> Controller:
        """The policy learned so far; it does not explore."""

    def place(self, state: State) -> State:
        """The state with its arrays on the devices where training wants them."""
        return state

    @partial(jax.jit, static_argnames=("self", "updates"), donate_argnames="states")
    def advance_seeds(self, states: State, env_params: EnvParams, updates: int) -> tuple[State, dict[str, Array]]:
        """The same for several seeds side by side: `states` has a leading axis of seeds."""
        return jax.vmap(lambda s: self.advance(s, env_params, updates))(states)

    def begin(self, seed: int, params: EnvParams) -> State:
        """State before training."""
        # As it would come back from a checkpoint: one compiled program for both.
        return self.place(jax.tree.map(_strong, self.init(seed, params, self.start(params))))

    def update(self, state: State, params: EnvParams) -> tuple[State, Metrics]:
        """State after one update, and what it measured."""
        state, stacked = self.advance(state, params, 1)
        return state, {name: float(values[0]) for name, values in stacked.items()}

    def update_together(self, states: Sequence[State], params: EnvParams) -> tuple[list[State], list[Metrics]]:
        """`update` of several states in one program."""
        joined = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
        joined, stacked = self.advance_seeds(joined, params, 1)
        rows = range(len(states))
        metrics = [{name: float(values[i, 0]) for name, values in stacked.items()} for i in rows]
        return [jax.tree.map(lambda leaf, i=i: leaf[i], joined) for i in rows], metrics

    def save(self, path: Path, state: State, identity: dict[str, Any]) -> None:
        """Write a checkpoint, complete or not at all."""
        checkpoint.save(path, state, identity)

    def load(self, path: Path, seed: int, params: EnvParams, identity: dict[str, Any]) -> State:
        """State of a checkpoint.

        Raises:
            RunError: if the file is missing, damaged or does not belong to `identity`.
        """
        middle = first_action(self.env, params, "middle")
        return self.place(checkpoint.load(path, jax.eval_shape(lambda: self.init(seed, params, middle)), identity))


def earned(
    cost_names: Sequence[str],
    reward_eur: Float[Array, "*steps"],
    economic_eur: Float[Array, "*steps"],
    cost: Float[Array, "*steps cost"],
    counts: Bool[Array, "*steps"] | None = None,
) -> dict[str, Array]:
    """Metrics that every learner has: means over the steps of an update, or over those that `counts` names."""
    return {
        "train/reward_eur": jnp.mean(reward_eur, where=counts),
        "train/economic_eur": jnp.mean(economic_eur, where=counts),
        **{f"train/cost_{name}": jnp.mean(cost[..., i], where=counts) for i, name in enumerate(cost_names)},
    }


def _strong(leaf: Any) -> Any:
    return leaf if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else jnp.asarray(np.asarray(leaf))
