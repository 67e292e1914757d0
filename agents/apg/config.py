"""Settings of the analytic policy gradient."""

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from agents.config import LearnerConfig, Start


class APGConfig(LearnerConfig):
    """Analytic policy gradient."""

    total_steps: PositiveInt = 1_000_000
    num_envs: PositiveInt = 16
    """Episodes side by side in an update."""
    horizon: PositiveInt = 96
    """Steps of each episode in an update. Actions are judged by what they earn up to its end, so it should be a whole
    episode where they reach far; at most the task's `steps_per_episode`."""
    learning_rate: PositiveFloat = 3e-3
    final_learning_rate_share: float = Field(default=0.05, ge=0.0, le=1.0)
    """The learning rate falls to this share of its start, along half a cosine."""
    max_grad_norm: PositiveFloat = 1.0
    """Longer gradients of the mean scaled reward of a step are shortened to this."""
    start: Start = "idle"
    """Action of the policy before it has learned. Devices that are off below a least power, such as compressors of heat
    pumps, give no gradient there, and need another start than `idle`."""
    noise: float = Field(default=0.0, ge=0.0, le=10.0)
    """Standard deviation of noise on the network's output, before the tanh, as training begins; falls to none along a
    straight line. Finds gradients where devices have none, such as below the least power of a compressor."""
    mixed_days: NonNegativeInt = 0
    """Every update sees prices, loads and weather of different training days together, each taken from a day at most
    as many training days away; 0 leaves days as they were. For policies that learn their days by heart. Updates are of
    whole episodes then."""
    price_stretch: float = Field(default=0.0, ge=0.0, le=2.0)
    """With mixed days: the prices of every day are also stretched about their mean by a random factor, anew in every
    update. Standard deviation of the factor's logarithm."""
    hidden: tuple[PositiveInt, ...] = (64, 64)
    shared: bool = False
    """Units of a kind share one network, which sees what can be measured at one of them; else one network sees and
    decides on everything. Learns from less where many units are alike."""
    ordered: tuple[str, ...] = ()
    """Quantities observed with a forecast, such as `price_eur_mwh`, that the network also sees in order: what they will
    be less what they are, sorted, and the highest and the lowest up to each step. For storage, whose best action
    depends on how many of the coming prices are higher. Not with `shared`."""

    @model_validator(mode="after")
    def _one_network_sees_them(self) -> "APGConfig":
        if self.shared and self.ordered:
            raise ValueError(
                f"ordered = {', '.join(self.ordered)} with shared; allowed with shared: none; leave one of them out"
            )
        return self

    @model_validator(mode="after")
    def _days_to_stretch_are_mixed(self) -> "APGConfig":
        if self.price_stretch and not self.mixed_days:
            raise ValueError(
                f"price_stretch = {self.price_stretch:g} with mixed_days = 0; allowed there: 0; set mixed_days to 1 or "
                "more, or leave price_stretch out"
            )
        return self

    @property
    def steps_per_update(self) -> int:
        """Environment steps that one update consumes."""
        return self.num_envs * self.horizon
