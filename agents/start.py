"""Where a policy begins: one action, whatever it sees, before it has learned anything."""

from dataclasses import replace
from functools import partial

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float

from agents import schedule
from agents.config import Start
from agents.rules import UnitRules
from gridenv.tasks.env import EnvParams, GridEnv

_N_EPISODE = 8
"""Episodes that are looked at."""
_SEED = 0


def first_action(env: GridEnv, params: EnvParams, start: Start) -> Float[Array, " act"]:
    """The normalised action that a policy begins with."""
    if start == "middle":
        return jnp.zeros(env.n_action)
    if start == "idle":
        state = env.reset_batch(jax.random.key(_SEED), params, _N_EPISODE)[1]
        return jnp.mean(env.idle(params, state), axis=0)
    n = len(params.starts)
    days = replace(params, starts=params.starts[np.linspace(0, n - 1, min(n, _N_EPISODE)).astype(int)])
    return _mean_of_rule(env, days)


@partial(jax.jit, static_argnames="env")
def _mean_of_rule(env: GridEnv, params: EnvParams) -> Float[Array, " act"]:
    """Over all steps; compiled once for all seeds of a training."""
    return jnp.mean(schedule.recorded(env, UnitRules(env), params), axis=(0, 1))
