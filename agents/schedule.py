"""A day's actions, decided in advance: how they are carried out, recorded and scored."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import Array, lax
from jax import numpy as jnp
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from agents.controller import Controller
from gridenv.core.pytree import pytree, static
from gridenv.devices import inverter
from gridenv.sim.model import DeviceGroup
from gridenv.tasks.env import EnvParams, EnvState, GridEnv


@pytree
class Schedule:
    """Controller that carries out actions decided in advance, for episodes that begin at `params.starts` in order."""

    actions: Float[Array, "step episode act"]
    name: str = static()

    def act(
        self, params: EnvParams, state: EnvState, observation: Float[Array, "episode obs"]
    ) -> Float[Array, "episode act"]:
        """Normalised actions of the step that each episode has arrived at."""
        del params, observation
        n_step, n_episode = self.actions.shape[:2]
        return self.actions[jnp.minimum(state.steps, n_step - 1), jnp.arange(n_episode)]


def kinds(names: Sequence[str]) -> NDArray[np.int64]:
    """[act] number of the quantity of the kind of unit, the same for every `battery.*.p_kw`."""
    parts = [f"{name.split('.')[0]}.{name.rsplit('.', 1)[-1]}" for name in names]
    return np.unique(parts, return_inverse=True)[1]


def has_memory(groups: Iterable[DeviceGroup]) -> bool:
    """Whether what these units do in a step changes what later ones can earn: all but plain inverters remember."""
    return any(group.family is not inverter.FAMILY for group in groups)


@pytree
class Outcome:
    """What schedules are worth."""

    return_eur: Float[Array, " episode"]
    """Sum of the rewards, up to and with a step that failed."""
    is_solved: Bool[Array, " episode"]
    """Whether every step up to the end had a power flow."""
    residual_pu: Float[Array, " episode"]
    """Largest residual of the steps that had one."""


@partial(jax.jit, static_argnames="env")
def outcome(env: GridEnv, params: EnvParams, actions: Float[Array, "step episode act"]) -> Outcome:
    """Carry out schedules through the exact power flow, in episodes that begin at `params.starts`.

    Differentiable in `actions`; only the states between the steps are kept for it, the rest is computed again.
    """
    state = env.reset_at(params.starts, params)[1]

    @jax.checkpoint
    def one_step(carry: tuple[EnvState, Array], action: Array) -> tuple[Any, tuple[Array, Array]]:
        state, alive = carry
        t = env.advance(state, action, params)
        reward = jnp.where(alive, t.reward, 0.0)
        residual_pu = jnp.where(alive & t.output.converged, t.output.residual_pu, 0.0)
        return (t.state, alive & ~t.terminated), (reward, residual_pu)

    carry = (state, jnp.ones(params.starts.shape, bool))
    (_, alive), (reward, residual_pu) = lax.scan(one_step, carry, actions)
    return Outcome(
        return_eur=jnp.sum(reward, axis=0), is_solved=alive, residual_pu=jnp.max(residual_pu, axis=0, initial=0.0)
    )


def recorded(env: GridEnv, controller: Controller, params: EnvParams) -> Float[Array, "step episode act"]:
    """The actions of a controller in episodes that begin at `params.starts`."""

    @jax.jit
    def all_steps(params: EnvParams) -> Array:
        def one_step(carry: Any, _: None) -> tuple[Any, Array]:
            observation, state = carry
            action = controller.act(params, state, observation)
            t = env.advance(state, action, params)
            return (t.observation, t.state), action

        begun = env.reset_at(params.starts, params)
        return lax.scan(one_step, begun, length=params.steps_per_episode)[1]

    return all_steps(params)
