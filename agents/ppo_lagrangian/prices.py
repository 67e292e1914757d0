"""Prices of costs that rise while a limit is exceeded and fall while it is held.

Source: A. Stooke, J. Achiam and P. Abbeel, "Responsive safety in reinforcement learning by PID Lagrangian methods",
ICML 2020, algorithm 2. Excess is measured in units of the limit, so one set of gains suits costs of any size.
"""

from typing import NamedTuple

from jax import Array
from jax import numpy as jnp
from jaxtyping import Float

from agents.ppo_lagrangian.config import LagrangianConfig


class Prices(NamedTuple):
    """State of the controller of every price, all in units of the task's own weight."""

    price: Float[Array, " limited"]
    """Charged at present."""
    lasting: Float[Array, " limited"]
    """Integral of the excess."""
    excess: Float[Array, " limited"]
    """At the last update."""


def first_prices(n_limited: int, config: LagrangianConfig) -> Prices:
    """Prices before training."""
    start = jnp.full(n_limited, config.initial_price, jnp.float32)
    return Prices(start, start, jnp.zeros(n_limited, jnp.float32))


def next_prices(
    prices: Prices, episode_cost: Float[Array, " limited"], limit: Float[Array, " limited"], config: LagrangianConfig
) -> Prices:
    """Prices after an update.

    Args:
        prices: before it.
        episode_cost: mean cost of an episode in it.
        limit: of each cost, > 0.
        config: gains.
    """
    excess = episode_cost / limit - 1.0
    lasting = jnp.clip(prices.lasting + config.integral_gain * excess, 0.0, config.max_price)
    rise = jnp.maximum(excess - prices.excess, 0.0)
    price = lasting + config.proportional_gain * excess + config.derivative_gain * rise
    return Prices(jnp.maximum(price, 0.0), lasting, excess)
