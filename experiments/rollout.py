"""Running a controller over all episodes of a split at once."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import Array, lax
from jax import numpy as jnp
from numpy.typing import NDArray

from agents.controller import Controller
from gridenv.policy.bundle import Golden
from gridenv.tasks.env import EnvParams, EnvState, GridEnv

Floats = NDArray[np.float64]
_Carry = tuple[Array, EnvState, Array]
"""Observation, state and whether the episode goes on; leading axis: episodes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EpisodeResults:
    """What a controller achieved in every episode. An episode that failed counts up to and with the step of failure."""

    start: NDArray[np.int64]
    """[episode] first scenario step."""
    return_eur: Floats
    """[episode] economic return less the weighted costs."""
    economic_eur: Floats
    """[episode]"""
    cost: Floats
    """[episode, cost] in the task's order of costs."""
    loss_kwh: Floats
    """[episode]"""
    v_band_share: Floats
    """[episode] share of bus-steps outside the voltage band."""
    v_min_pu: Floats
    """[episode]"""
    v_max_pu: Floats
    """[episode]"""
    v_pu: NDArray[np.float32]
    """[episode, step, bus] voltage magnitudes; NaN where there is no solution or the episode is over."""

    def cost_of(self, names: tuple[str, ...], name: str) -> Floats:
        """[episode] one of the costs."""
        return self.cost[:, names.index(name)]


def run_episodes(env: GridEnv, params: EnvParams, controller: Controller) -> EpisodeResults:
    """Run a controller once from every start in `params.starts`, all episodes side by side."""
    trace = _run(env, _as_pytree(controller), params)
    return _summarise(trace, params)


def run_episodes_on_host(
    env: GridEnv, params: EnvParams, act: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> EpisodeResults:
    """The same for a policy that JAX cannot compile: it is asked between the steps, for all episodes at once.

    Args:
        env: environment.
        params: its parameters, with the starts of the episodes.
        act: normalised actions [episode, n_action] for normalised observations [episode, n_observation].
    """
    carry = _begin(env, params)
    rows = []
    for _ in range(params.steps_per_episode):
        observation, alive = np.asarray(carry[0], np.float32), np.asarray(carry[2])
        # An episode that has failed no longer counts, and what is observed in it means nothing.
        action = act(np.where(alive[:, None], observation, np.float32(0.0)))
        carry, values = _compiled_step(env, params, carry, action)
        rows.append(values)
    return _summarise({name: np.stack([row[name] for row in rows]) for name in rows[0]}, params)


def record_pairs(env: GridEnv, params: EnvParams, controller: Controller, count: int) -> Golden:
    """Observations and actions from the episodes of `params.starts`, spread evenly over days and times of day.

    Args:
        env: environment.
        params: its parameters, with the starts of the episodes.
        controller: compiled as in `run_episodes`.
        count: number of pairs.
    """
    trace = jax.tree.map(np.asarray, _run(env, _as_pytree(controller), params))
    step, episode = np.nonzero(trace["alive"])
    chosen = np.linspace(0, len(step) - 1, count).round().astype(np.int64)
    observation, action = (trace[name][step[chosen], episode[chosen]] for name in ("observation", "action"))
    return Golden(observation=observation.astype(np.float32), action=action.astype(np.float32))


def _as_pytree(controller: Controller) -> Any:
    is_leaf = jax.tree_util.treedef_is_leaf(jax.tree.structure(controller))
    return _Fixed(controller) if is_leaf else controller


@partial(jax.jit, static_argnames="env")
def _run(env: GridEnv, controller: Any, params: EnvParams) -> dict[str, Array]:
    """Values of every step, time first."""

    def one_step(carry: _Carry, _: None) -> tuple[_Carry, dict[str, Array]]:
        observation, state, _alive = carry
        return _step(env, params, carry, controller.act(params, state, observation))

    return lax.scan(one_step, _begin(env, params), length=params.steps_per_episode)[1]


def _begin(env: GridEnv, params: EnvParams) -> _Carry:
    return (*env.reset_at(params.starts, params), jnp.ones(params.starts.shape, bool))


def _step(env: GridEnv, params: EnvParams, carry: _Carry, action: Any) -> tuple[_Carry, dict[str, Array]]:
    observation, state, alive = carry
    t = env.advance(state, action, params)
    values = {
        "observation": observation,
        "action": action,
        "alive": alive,
        "economic_eur": t.info["economic_eur"],
        "cost": t.info["cost"],
        "loss_kwh": -t.info["kpi"]["kwh.loss"],
        "v_band_share": t.info["kpi"]["v_band_share"],
        "v_pu": t.output.v_pu,
        "solved": t.info["pf_converged"],
    }
    return (t.observation, t.state, alive & ~t.terminated), values


_compiled_step = jax.jit(_step, static_argnames="env")


@jax.tree_util.register_static
@dataclass(frozen=True)
class _Fixed:
    """A controller without parameters, as part of the compiled program."""

    controller: Controller

    def act(self, *arguments: Any) -> Array:
        return self.controller.act(*arguments)


def _summarise(values: dict[str, Any], params: EnvParams) -> EpisodeResults:
    """Sums over the steps of each episode, in float64."""
    trace: dict[str, NDArray[Any]] = jax.tree.map(np.asarray, values)
    weight_eur = np.asarray(params.cost_weight_eur, np.float64)
    alive = trace["alive"]

    def total(name: str) -> Floats:
        values = trace[name].astype(np.float64)
        return np.sum(values * alive.reshape(alive.shape + (1,) * (values.ndim - alive.ndim)), axis=0)

    economic, cost = total("economic_eur"), total("cost")
    known = (alive & trace["solved"])[..., None]
    v_pu = np.moveaxis(np.where(known, trace["v_pu"], np.nan).astype(np.float32), 0, 1)
    lowest, highest = np.where(known, trace["v_pu"], np.inf), np.where(known, trace["v_pu"], -np.inf)
    return EpisodeResults(
        start=np.asarray(params.starts, np.int64),
        return_eur=economic - cost @ weight_eur,
        economic_eur=economic,
        cost=cost,
        loss_kwh=total("loss_kwh"),
        v_band_share=total("v_band_share") / np.sum(alive, axis=0),
        v_min_pu=lowest.min(axis=(0, 2)).astype(np.float64),
        v_max_pu=highest.max(axis=(0, 2)).astype(np.float64),
        v_pu=v_pu,
    )
