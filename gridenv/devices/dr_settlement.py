"""Settlement of demand-response events: what a reduction against the baseline is worth in a step."""

from jax import numpy as jnp
from jaxtyping import Array, Float

from gridenv.core.pytree import pytree


@pytree
class DrSettlement:
    """What a step of an event comes to; all zero outside of events."""

    eur: Float[Array, "*batch"]
    """Payment less penalty, positive = gained."""
    delivered_kwh: Float[Array, "*batch"]
    """Reduction that is paid for: at most `cap_factor` times the target, never negative."""
    shortfall_kwh: Float[Array, "*batch"]
    """What is missing to the target; more than the target where demand rose above the baseline."""


def settle_event(
    is_active: Float[Array, "*batch"],
    baseline_demand_kw: Float[Array, "*batch"],
    metered_demand_kw: Float[Array, "*batch"],
    target_kw: Float[Array, "*batch"],
    payment_eur_kwh: Float[Array, "*batch"],
    penalty_eur_kwh: Float[Array, "*batch"],
    dt_h: float,
    cap_factor: float = 1.0,
) -> DrSettlement:
    """Settle one step of an event.

    The baseline comes from outside (`gridenv.exogenous.dr_baseline`) and does not depend on what the group does, so
    raising demand before an event earns nothing.

    Args:
        is_active: 1 during an event, else 0; the column `dr.active`.
        baseline_demand_kw: demand that counts as usual, consumption positive; the column `dr.baseline_kw`.
        metered_demand_kw: demand of the group in the step, consumption positive: minus the sum of its `p_kw`.
        target_kw: reduction asked for; the column `dr.target_kw`.
        payment_eur_kwh: for each kWh delivered; the column `dr.payment_eur_kwh`.
        penalty_eur_kwh: for each kWh missing; the column `dr.penalty_eur_kwh`.
        dt_h: length of the step in hours.
        cap_factor: share of the target up to which delivery is paid.

    Source: baseline type I settlement, performance = baseline - metered load, NAESB WEQ-015; docs/demand_response.md.
    Assumed: settlement by the quarter-hour, each for itself.
    """
    reduction_kw = baseline_demand_kw - metered_demand_kw
    is_event = is_active > 0
    delivered_kwh = jnp.where(is_event, jnp.clip(reduction_kw, 0.0, cap_factor * target_kw), 0.0) * dt_h
    shortfall_kwh = jnp.where(is_event, jnp.maximum(target_kw - reduction_kw, 0.0), 0.0) * dt_h
    return DrSettlement(
        eur=payment_eur_kwh * delivered_kwh - penalty_eur_kwh * shortfall_kwh,
        delivered_kwh=delivered_kwh,
        shortfall_kwh=shortfall_kwh,
    )
