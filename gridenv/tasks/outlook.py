"""What rules may look at besides their own units."""

from jax import numpy as jnp
from jaxtyping import Array, Int

from gridenv.exogenous.scenario import PRICE_NAME, Scenario, sample
from gridenv.tasks.units.kind import Outlook


def look_ahead(scenario: Scenario, t: Int[Array, "*batch"]) -> Outlook:
    """Day-ahead prices of the present day; they are published at noon of the day before."""
    per_day = scenario.steps_per_day
    midnight = t // per_day * per_day
    steps = midnight[..., None] + jnp.arange(per_day, dtype=midnight.dtype)
    price = sample(scenario, steps)[..., scenario.column(PRICE_NAME)]
    return Outlook(price_eur_mwh=price, step_of_day=t - midnight)
