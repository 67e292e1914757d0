"""Running a controller over all episodes of a split at once."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import Array, lax
from jax import numpy as jnp
from numpy.typing import NDArray

from agents.controller import Controller
from gridenv.tasks.env import EnvParams, GridEnv

Floats = NDArray[np.float64]


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
    if jax.tree_util.treedef_is_leaf(jax.tree.structure(controller)):
        trace = _run(env, _Fixed(controller), params)
    else:
        trace = _run(env, controller, params)
    return _summarise(
        jax.tree.map(np.asarray, trace), np.asarray(params.starts, np.int64), np.asarray(params.cost_weight_eur)
    )


@partial(jax.jit, static_argnames="env")
def _run(env: GridEnv, controller: Any, params: EnvParams) -> dict[str, Array]:
    """Values of every step, time first."""
    observation, state = env.reset_at(params.starts, params)

    def one_step(carry: Any, _: None) -> tuple[Any, dict[str, Array]]:
        observation, state, alive = carry
        action = controller.act(params, state, observation)
        t = env.advance(state, action, params)
        values = {
            "alive": alive,
            "economic_eur": t.info["economic_eur"],
            "cost": t.info["cost"],
            "loss_kwh": -t.info["kpi"]["kwh.loss"],
            "v_band_share": t.info["kpi"]["v_band_share"],
            "v_pu": t.output.v_pu,
            "solved": t.info["pf_converged"],
        }
        return (t.observation, t.state, alive & ~t.terminated), values

    alive = jnp.ones(params.starts.shape, bool)
    return lax.scan(one_step, (observation, state, alive), length=params.steps_per_episode)[1]


@jax.tree_util.register_static
@dataclass(frozen=True)
class _Fixed:
    """A controller without parameters, as part of the compiled program."""

    controller: Controller

    def act(self, *arguments: Any) -> Array:
        return self.controller.act(*arguments)


def _summarise(trace: dict[str, NDArray[Any]], start: NDArray[np.int64], weight_eur: NDArray[Any]) -> EpisodeResults:
    """Sums over the steps of each episode, in float64."""
    alive = trace["alive"]

    def total(name: str) -> Floats:
        values = trace[name].astype(np.float64)
        return np.sum(values * alive.reshape(alive.shape + (1,) * (values.ndim - alive.ndim)), axis=0)

    economic, cost = total("economic_eur"), total("cost")
    known = (alive & trace["solved"])[..., None]
    v_pu = np.moveaxis(np.where(known, trace["v_pu"], np.nan).astype(np.float32), 0, 1)
    lowest, highest = np.where(known, trace["v_pu"], np.inf), np.where(known, trace["v_pu"], -np.inf)
    return EpisodeResults(
        start=start,
        return_eur=economic - cost @ weight_eur.astype(np.float64),
        economic_eur=economic,
        cost=cost,
        loss_kwh=total("loss_kwh"),
        v_band_share=total("v_band_share") / np.sum(alive, axis=0),
        v_min_pu=lowest.min(axis=(0, 2)).astype(np.float64),
        v_max_pu=highest.max(axis=(0, 2)).astype(np.float64),
        v_pu=v_pu,
    )
