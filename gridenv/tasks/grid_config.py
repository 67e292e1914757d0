"""Settings of a control task: network, loads, units, market, what is observed and what it costs."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, TypeVar

from jaxtyping import Array, Float
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
)

from gridenv.exogenous.forecasts import ForecastKind, LearnedModel
from gridenv.network.own import name_of
from gridenv.sim.model import GridModel
from gridenv.sim.state import GridOutput, GridState
from gridenv.tasks.demand_response import DemandResponseConfig
from gridenv.tasks.units import (
    appliances,
    batteries,
    curtailable_loads,
    equipment,
    ev_chargers,
    generators,
    heat_pumps,
    inverters,
)
from gridenv.tasks.units.appliances import ApplianceConfig
from gridenv.tasks.units.batteries import BatteryConfig
from gridenv.tasks.units.curtailable_loads import CurtailableLoadConfig
from gridenv.tasks.units.equipment import CapacitorConfig, SwitchConfig, TapChangerConfig
from gridenv.tasks.units.ev_chargers import EvChargerConfig
from gridenv.tasks.units.generators import GeneratorConfig
from gridenv.tasks.units.heat_pumps import HeatPumpConfig
from gridenv.tasks.units.inverters import InverterConfig
from gridenv.tasks.units.kind import UnitKind

_Entries = TypeVar("_Entries", bound=tuple[Any, ...])


def at_least_one(entries: _Entries) -> _Entries:
    """Refuse an empty list."""
    if not entries:
        raise ValueError("must have at least one entry")
    return entries


Names = Annotated[tuple[str, ...], AfterValidator(at_least_one)]


class CostWeights(BaseModel):
    """EUR charged in the penalised reward for one unit of each cost."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    v_band: float = Field(default=500.0, ge=0.0)
    """EUR per pu h of voltage outside the band, summed over nodes."""
    thermal: float = Field(default=200.0, ge=0.0)
    """EUR per pu h of overload, summed over lines and transformers."""
    unbalance: float = Field(default=100.0, ge=0.0)
    """EUR per pu h of voltage unbalance above 2 %, summed over buses with three phases."""
    pf_fail: float = Field(default=100_000.0, ge=0.0)
    """EUR once, when no power-flow solution exists and the episode ends; dearer than any whole day. Charged in the
    economic reward as well: otherwise ending an episode by failing would save the costs of its rest."""


class GridTaskConfig(BaseModel):
    """Settings that all control tasks share. A task is a subclass with defaults of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)

    network: str
    """Name in the catalogue of networks, the path of a file (`.json` of pandapower, `.yaml`, `.dss`), or a network as
    an object, which is kept on this machine and becomes a name that says what is in it."""
    source_v_pu: PositiveFloat | None = None
    """Voltage of the upstream grid, pu; default that of the network."""
    load_scale: PositiveFloat = 1.0
    """Factor on the network's own loads."""
    load_profiles: Names = ("H0-A", "H0-B", "H0-C", "H0-G", "G0-A", "L2-A")
    """SimBench load profiles, dealt to the loads in turn: homes, a business, a farm."""
    line_rating_a: PositiveFloat = 400.0
    """Rating of lines that have none of their own."""

    own_generators: Literal["refuse", "off"] = "refuse"
    """What becomes of generators and storage of the network's own, which have no series here."""

    inverters: tuple[InverterConfig, ...] = ()
    batteries: tuple[BatteryConfig, ...] = ()
    ev_chargers: tuple[EvChargerConfig, ...] = ()
    heat_pumps: tuple[HeatPumpConfig, ...] = ()
    appliances: tuple[ApplianceConfig, ...] = ()
    curtailable_loads: tuple[CurtailableLoadConfig, ...] = ()
    generators: tuple[GeneratorConfig, ...] = ()
    tap_changers: tuple[TapChangerConfig, ...] = ()
    capacitors: tuple[CapacitorConfig, ...] = ()
    switches: tuple[SwitchConfig, ...] = ()
    demand_response: DemandResponseConfig | None = None
    """Programme that pays heat pumps and curtailable loads for drawing less."""

    market: Literal["losses", "wholesale"] = "wholesale"
    """`wholesale`: everything fed in or drawn is traded at the day-ahead price, and losses are bought. `losses`: only
    these, for tasks that cannot change anything else."""
    settled_buses: Names | Literal["all"] = "all"
    """Buses whose trade and fees count; with some of them only, network losses are not among the money."""
    grid_fee_eur_kwh: NonNegativeFloat = 0.0
    """Fees and taxes on what a bus draws net of its own generation; nothing is paid for what it feeds in."""
    voll_eur_kwh: PositiveFloat = 69.0
    """Value of lost load, in tasks with switches: price of energy that loads and units without supply miss. Below
    prices and fees it pays to switch loads off. Source: mean of all consumers of the Netherlands, Ecorys and SEO, "The
    value of lost load for electricity in the Netherlands" (2022), by the method of ACER decision 23/2020."""
    price_zone: str = "Netherlands"
    observed_buses: Names | Literal["all"] = "all"
    """Buses whose voltage is observed."""
    forecast_steps: int = Field(default=0, ge=0, le=95)
    """Steps of forecast of profiles and price in the observation; the last observation of an episode then reads no
    further than the gap day after it."""
    forecast_series: Names | Literal["all"] = "all"
    """Which profiles, and the price `price_eur_mwh`, are observed with these steps; others at present alone."""
    forecast_every: PositiveInt = 1
    """Of these steps only every so many are observed: 4 = those one, two, three hours ahead and so on."""
    forecast: ForecastKind | None = None
    """What these steps are: `oracle` (as they will be), `noisy` (with `forecast_error`), or said by a forecaster that
    knows the past and published prices alone: `persistence`, `seasonal_naive`, `slot_mean`, `learned`. Left out:
    `noisy` where there is a `forecast_error`, else `oracle`."""
    forecast_model: LearnedModel = "linear"
    """Which model `learned` is; fitted to the training days when the task is first made, and kept. `boosting` needs the
    extra `forecast`."""
    forecast_error: float = Field(default=0.0, ge=0.0, le=1.0)
    """Standard deviation of a forecast's error a day ahead, as a share of the value, of temperatures as a share of
    10 K; nearer steps have less of it, as the square root of the time ahead. 0 = perfect; needs `forecast_steps`.
    Assumed: independent from step to step and series to series."""
    forecast_seed: NonNegativeInt = 0
    """Of the errors, and of a learned model; the same step sees the same forecast whenever it is asked for."""
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

    @field_validator("network", mode="before")
    @classmethod
    def _named(cls, network: Any) -> str:
        return name_of(network)

    def further_eur(
        self, model: GridModel, state: GridState, output: GridOutput
    ) -> Mapping[str, Float[Array, "*batch"]]:
        """Money of a step beside the library's; a task of your own may override this.

        Args:
            model: the grid.
            state: of the grid before the step.
            output: what the step brought about: voltages, flows, powers; any leading batch axes.

        Returns:
            EUR of the step by name, positive = earned; `info["kpi"]["eur.<name>"]`. Names must be new.
        """
        del model, state, output
        return {}

    def further_costs(
        self, model: GridModel, state: GridState, output: GridOutput
    ) -> Mapping[str, Float[Array, "*batch"]]:
        """Costs of a step beside the library's, in the cost vector; a task of your own may override this.

        Args:
            model: the grid.
            state: of the grid before the step.
            output: what the step brought about; any leading batch axes.

        Returns:
            Costs by name, positive = worse. Names must be new. The penalised reward charges those that `cost_weights`
            has a weight for.
        """
        del model, state, output
        return {}


UNIT_KINDS: dict[str, UnitKind] = {
    "inverters": inverters.KIND,
    "batteries": batteries.KIND,
    "ev_chargers": ev_chargers.KIND,
    "heat_pumps": heat_pumps.KIND,
    "appliances": appliances.KIND,
    "curtailable_loads": curtailable_loads.KIND,
    "generators": generators.KIND,
    "tap_changers": equipment.TAP_CHANGERS,
    "capacitors": equipment.CAPACITORS,
    "switches": equipment.SWITCHES,
}
"""Kind of the units under each key of the settings. A new kind is a file in `units/`, a field above and a line here."""


def kinds_of(config: GridTaskConfig) -> Iterator[tuple[UnitKind, tuple[Any, ...]]]:
    """The kinds that a task has units of, and their settings."""
    for key, kind in UNIT_KINDS.items():
        configs = getattr(config, key)
        if configs:
            yield kind, configs
