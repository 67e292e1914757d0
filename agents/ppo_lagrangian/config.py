"""Settings of PPO with learned prices of costs."""

from pydantic import Field, NonNegativeFloat, PositiveFloat

from agents.ppo.config import PPOConfig


class LagrangianConfig(PPOConfig):
    """Those of PPO, and what each cost may be; costs without a limit are charged as the task charges them."""

    cost_limits: dict[str, PositiveFloat] = Field(default_factory=dict)
    """Name of a cost -> most of it in an episode, on average, in the cost's own unit (such as pu h of `v_band`)."""
    initial_price: NonNegativeFloat = 1.0
    """Price of every limited cost at the start, in units of the task's own weight (or of EUR 1 where that is zero)."""
    proportional_gain: NonNegativeFloat = 0.1
    """Price added, in the same units, for costs that are twice their limit."""
    integral_gain: NonNegativeFloat = 0.05
    """Price added for good in every update in which costs are twice their limit. Alone it is plain dual ascent."""
    derivative_gain: NonNegativeFloat = 0.0
    """Price added while costs rise by their limit from one update to the next."""
    max_price: PositiveFloat = 100.0
    """The lasting part of a price grows no further, in the same units, so that a limit that cannot be held does not
    drive it up without end."""
