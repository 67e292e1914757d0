"""Settings of the volt-var task; imports no JAX."""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

_Entries = TypeVar("_Entries", bound=tuple[Any, ...])


def _at_least_one(entries: _Entries) -> _Entries:
    if not entries:
        raise ValueError("must have at least one entry")
    return entries


_Names = Annotated[tuple[str, ...], AfterValidator(_at_least_one)]


class InverterConfig(BaseModel):
    """A photovoltaic plant."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    bus: str
    p_dc_kw: PositiveFloat
    """Rated power of the modules."""
    profile: str
    """Series of sunshine, relative to `p_dc_kw`."""


class CostWeights(BaseModel):
    """EUR charged in the penalised reward for one unit of each cost."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    v_band: float = Field(default=500.0, ge=0.0)
    """EUR per pu h of voltage outside the band, summed over buses."""
    thermal: float = Field(default=200.0, ge=0.0)
    """EUR per pu h of overload, summed over lines and transformers."""
    pf_fail: float = Field(default=100_000.0, ge=0.0)
    """EUR once, when no power-flow solution exists and the episode ends; dearer than any whole day."""


class VoltVarConfig(BaseModel):
    """Settings of a volt-var task; the defaults are those of VoltVar-IEEE33-v0."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    network: str = "ieee33"
    source_v_pu: PositiveFloat = 1.01
    """Voltage of the substation, pu. Assumed: set a little high, as for a feeder with long branches."""
    load_scale: PositiveFloat = 3.5
    """Factor on the network's own loads. SimBench profiles are relative to connected power and average 0.06 to 0.35,
    so a factor of 3.5 gives the published peak on a winter evening."""
    load_profiles: _Names = ("H0-A", "H0-B", "H0-C", "H0-G", "G0-A", "L2-A")
    """SimBench load profiles, dealt to the loads in turn: homes, a business, a farm."""
    inverters: Annotated[tuple[InverterConfig, ...], AfterValidator(_at_least_one)] = tuple(
        InverterConfig(bus=bus, p_dc_kw=p_dc_kw, profile=profile)
        for bus, p_dc_kw, profile in (
            ("10", 2000.0, "PV1"),
            ("18", 3000.0, "PV3"),
            ("21", 1000.0, "PV5"),
            ("24", 2000.0, "PV6"),
            ("27", 3000.0, "PV7"),
            ("31", 1000.0, "PV8"),
        )
    )
    s_over_p_dc: PositiveFloat = 1.1
    """Apparent-power rating of an inverter as a multiple of its module rating."""
    q_max_over_s: float = Field(default=0.44, gt=0.0, le=1.0)
    """Reactive capability as a share of the apparent-power rating, either sign. Source: IEEE Std 1547-2018 table 7,
    category B, from 5 % of rated active power up. Assumed: also below that and at night, as inverters with a night
    function do."""
    line_rating_a: PositiveFloat = 400.0
    """Rating of lines that have none of their own. Assumed: Baran and Wu publish none."""
    price_zone: str = "Netherlands"
    observed_buses: _Names | Literal["all"] = "all"
    forecast_steps: int = Field(default=0, ge=0, le=95)
    """Steps of exact forecast of profiles and price in the observation; the last observation of an episode then reads
    no further than the gap day after it. Actions here do not reach beyond their step."""
    split: Literal["train", "validation", "test"] = "train"
    """Days that `reset` draws from."""
    steps_per_episode: PositiveInt = 96
    reward: Literal["penalised", "economic"] = "penalised"
    cost_weights: CostWeights = CostWeights()
    dtype: Literal["float32", "float64"] = "float32"
    tolerance_pu: PositiveFloat | None = None
    """Estimated distance of the power flow from the solution, pu; default that of `PowerFlow` for the dtype."""
    max_iterations: PositiveInt = 60
    """Fixed-point iterations before the power flow turns to Newton's method; `pf_fail` means that neither found a
    solution, not that none exists."""
