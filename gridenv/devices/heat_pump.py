"""Thermostatic heat pumps and air conditioners, each with the home that it heats or cools.

The home is a two-node building (`two_node`) with people, appliances and the sun as gains; the unit turns electricity
into heat or cold with a performance that depends on the outdoor temperature (`homes.cop`).
"""

import math
from collections.abc import Sequence

import numpy as np
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float, Int

from gridenv.core.errors import ConfigError
from gridenv.core.pytree import pytree, static
from gridenv.devices.family import Family, Inputs, Ledger
from gridenv.devices.homes import SYSTEMS, Homes, checked, cop, curves
from gridenv.devices.two_node import Temperatures, TwoNode, advance, settled_mass_c, stored_kwh, two_node
from gridenv.exogenous.scenario import Scenario
from gridenv.exogenous.weather import IRRADIANCE_KW_M2, OUTDOOR_NAME, SUN_NAME

_GAIN_TO_AIR = 0.5
"""Of the heat of people and appliances, to the air; the rest and the sun go to the mass. Source: EN ISO 13790:2008
annex C.2 for the share. Assumed: surfaces, a node of their own there, belong to the mass."""


@pytree
class HeatPumpParams:
    """Homes and their units; made by `heat_pump_params`."""

    building: TwoNode
    heat_sign: Float[Array, " unit"]
    """1 = heats, -1 = cools."""
    lift_k: Float[Array, "2 unit"]
    cop_coefficients: Float[Array, "3 unit"]
    p_max_kw: Float[Array, " unit"]
    p_min_kw: Float[Array, " unit"]
    """Smallest electrical power with the compressor running; as large as `p_max_kw` for units that are on or off."""
    q_per_p: Float[Array, " unit"]
    """Reactive for each kW of active power, both drawn from the network."""
    gain_kw: Float[Array, " unit"]
    window_kw: Float[Array, " unit"]
    """Heat of the sun at share 1 of the series that stands for it."""
    setpoint_c: Float[Array, " unit"]
    deadband_k: Float[Array, " unit"]
    comfort_low_c: Float[Array, " unit"]
    comfort_high_c: Float[Array, " unit"]
    hard_low_c: Float[Array, " unit"]
    hard_high_c: Float[Array, " unit"]
    comfort_eur_per_k_h: Float[Array, " unit"]
    stock_eur_per_kwh: Float[Array, " unit"]
    """Worth of a kWh of heat more in the building; negative for units that cool."""
    start_out_c: Float[Array, " time"]
    """Outdoor temperature of the day before each scenario step."""
    start_sun: Float[Array, " time"]
    """Share of the sun of the day before."""
    out_column: int = static()
    """Position of the outdoor temperature in a row of the scenario."""
    sun_column: int = static()


@pytree
class HeatPumpState:
    """Temperatures, and whether the compressor ran."""

    t_air_c: Float[Array, "*batch unit"]
    t_mass_c: Float[Array, "*batch unit"]
    running: Float[Array, "*batch unit"]
    """1 where it ran in the step before, else 0; the memory of the hysteresis."""


@pytree
class HeatPumpRequest:
    """Electrical power asked for, negative = consumption."""

    p_kw: Float[Array, "*batch unit"]


@pytree
class HeatPumpFeasible:
    """Electrical power into the network, never positive."""

    p_kw: Float[Array, "*batch unit"]
    q_kvar: Float[Array, "*batch unit"]


def heat_pump_params(
    names: Sequence[str],
    homes: Homes,
    scenario: Scenario,
    *,
    outdoor_name: str = OUTDOOR_NAME,
    sun_name: str = SUN_NAME,
    dtype: str = "float32",
) -> HeatPumpParams:
    """Parameters of homes for steps of the scenario.

    Args:
        names: unit names, for messages.
        scenario: has the columns `outdoor_name`, in degC, and `sun_name`, a photovoltaic profile.

    Raises:
        ConfigError: for all values of homes that are not allowed.
        DataError: if the scenario lacks a column.
    """
    h = checked(names, homes)
    out_column, sun_column = scenario.column(outdoor_name), scenario.column(sun_name)
    weather = np.asarray(scenario.values)[:, [out_column, sun_column]].astype(float)
    start = _day_before(weather, scenario.steps_per_day)
    lift_k, coefficients = curves(h.system)
    heat_sign = np.array([SYSTEMS[s].heat_sign for s in h.system])
    reference = cop(lift_k, coefficients, np.array([SYSTEMS[s].reference_c for s in h.system]))
    arrays = {
        "heat_sign": heat_sign,
        "lift_k": lift_k,
        "cop_coefficients": coefficients,
        "p_min_kw": h.min_part * h.p_max_kw,
        "q_per_p": np.tan(np.arccos(h.power_factor)),
        "window_kw": h.window_m2 * IRRADIANCE_KW_M2,
        "stock_eur_per_kwh": heat_sign * h.stock_eur_per_kwh / reference,
        "start_out_c": start[:, 0],
        "start_sun": start[:, 1],
        **{field: getattr(h, field) for field in _TAKEN_OVER},
    }
    return HeatPumpParams(
        building=two_node(
            h.c_air_kwh_k,
            h.c_mass_kwh_k,
            h.h_air_mass_kw_k,
            h.h_air_out_kw_k,
            h.h_mass_out_kw_k,
            dt_h=scenario.dt_h,
            dtype=dtype,
        ),
        out_column=out_column,
        sun_column=sun_column,
        **{field: jnp.asarray(values, dtype) for field, values in arrays.items()},
    )


_TAKEN_OVER = (
    "p_max_kw",
    "gain_kw",
    "setpoint_c",
    "deadband_k",
    "comfort_low_c",
    "comfort_high_c",
    "hard_low_c",
    "hard_high_c",
    "comfort_eur_per_k_h",
)


def _day_before(weather: np.ndarray, steps_per_day: int) -> np.ndarray:
    """Mean of each series [time, series] over the day before each row; the first day takes its own mean."""
    first = weather[:steps_per_day].mean(axis=0)
    padded = np.concatenate([np.broadcast_to(first, (steps_per_day, weather.shape[1])), weather])
    total = np.concatenate([np.zeros((1, weather.shape[1])), np.cumsum(padded, axis=0)])
    return (total[steps_per_day:-1] - total[: len(weather)]) / steps_per_day


def init(params: HeatPumpParams, t: Int[Array, "*batch"]) -> HeatPumpState:
    """Air at the setpoint, the mass settled with it and with the weather of the day before, compressor off."""
    out_c, sun = (jnp.take(a, t, mode="clip")[..., None] for a in (params.start_out_c, params.start_sun))
    air_c = jnp.broadcast_to(params.setpoint_c, (*t.shape, params.setpoint_c.shape[0]))
    mass_c = settled_mass_c(params.building, air_c, out_c, _mass_gain_kw(params, sun))
    return HeatPumpState(t_air_c=air_c, t_mass_c=mass_c, running=jnp.zeros_like(air_c))


def project(
    params: HeatPumpParams, state: HeatPumpState, request: HeatPumpRequest | HeatPumpFeasible, inputs: Inputs
) -> HeatPumpFeasible:
    """Nearest power that the compressor and the protection of the home allow; applying it twice changes nothing.

    The compressor is off or runs between its smallest and largest power: less than half the smallest is off. Beyond
    `hard_low_c` and `hard_high_c` at the start of the step the unit's protection rules: it runs at full power where it
    helps, and is off where it would make matters worse.
    """
    del inputs
    asked = jnp.clip(-request.p_kw, 0.0, params.p_max_kw)
    least = params.p_min_kw
    drawn = jnp.where(asked < least, jnp.where(asked < 0.5 * least, 0.0, least), asked)
    is_heating = params.heat_sign > 0
    is_hot, is_cold = state.t_air_c > params.hard_high_c, state.t_air_c < params.hard_low_c
    drawn = jnp.where(jnp.where(is_heating, is_hot, is_cold), 0.0, drawn)
    drawn = jnp.where(jnp.where(is_heating, is_cold, is_hot), params.p_max_kw, drawn)
    return HeatPumpFeasible(p_kw=-drawn, q_kvar=-drawn * params.q_per_p)


def step(params: HeatPumpParams, state: HeatPumpState, feasible: HeatPumpFeasible, inputs: Inputs) -> HeatPumpState:
    """Temperatures at the end of the step, exact for weather, gains and power constant in it."""
    after = temperatures(params, state, feasible.p_kw, inputs)
    running = (feasible.p_kw < 0).astype(state.running.dtype)
    return HeatPumpState(t_air_c=after.air_c, t_mass_c=after.mass_c, running=running)


def settle(
    params: HeatPumpParams,
    before: HeatPumpState,
    feasible: HeatPumpFeasible,
    after: HeatPumpState,
    inputs: Inputs,
) -> Ledger:
    """Comfort by the mean air temperature of the step, and the change of the heat stored in the building.

    The stock is priced at one price all the time, so over an episode its money is that of the heat at the end less
    that at the start: an agent that lets a home cool down before the end pays for it.
    """
    mean_air_c = temperatures(params, before, feasible.p_kw, inputs).mean_air_c
    outside_k = jnp.maximum(params.comfort_low_c - mean_air_c, 0.0) + jnp.maximum(
        mean_air_c - params.comfort_high_c, 0.0
    )
    k_h = outside_k * inputs.dt_h
    stored = stored_kwh(params.building, after.t_air_c - before.t_air_c, after.t_mass_c - before.t_mass_c)
    return Ledger(
        eur=jnp.stack([-k_h * params.comfort_eur_per_k_h, stored * params.stock_eur_per_kwh], axis=-2),
        cost=k_h[..., None, :],
        energy_kwh=(feasible.p_kw * inputs.dt_h)[..., None, :],
    )


def temperatures(
    params: HeatPumpParams, state: HeatPumpState, p_kw: Float[Array, "*batch unit"], inputs: Inputs
) -> Temperatures:
    """Temperatures at the end of a step and over it with the electrical power `p_kw`, negative = consumption.

    Raises:
        ConfigError: if the step is not of the length that the parameters were made for; while compiling.
    """
    if not math.isclose(inputs.dt_h, params.building.dt_h):
        raise ConfigError(
            f"heat_pump: step is {inputs.dt_h:g} h; allowed: {params.building.dt_h:g} h, which the parameters were "
            "made for; make them with the scenario of the simulation"
        )
    out_c, sun = outdoor_c(params, inputs), inputs.series[..., params.sun_column, None]
    q_air_kw = thermal_kw(params, p_kw, out_c) + _GAIN_TO_AIR * params.gain_kw
    q_mass_kw = jnp.broadcast_to(_mass_gain_kw(params, sun), q_air_kw.shape)
    return advance(params.building, state.t_air_c, state.t_mass_c, out_c, q_air_kw, q_mass_kw)


def thermal_kw(
    params: HeatPumpParams, p_kw: Float[Array, "*batch unit"], out_c: Float[Array, "*batch 1"]
) -> Float[Array, "*batch unit"]:
    """Heat into the home, negative where the unit cools, for the electrical power `p_kw`, negative = consumption."""
    return -params.heat_sign * p_kw * cop(params.lift_k, params.cop_coefficients, out_c)


def outdoor_c(params: HeatPumpParams, inputs: Inputs) -> Float[Array, "*batch 1"]:
    """Outdoor temperature of the step, the same for all homes."""
    return inputs.series[..., params.out_column, None]


def thermostat_kw(
    params: HeatPumpParams, state: HeatPumpState, inputs: Inputs, setpoint_c: Float[Array, "..."] | float
) -> Float[Array, "*batch unit"]:
    """Power that the built-in thermostat asks for, negative = consumption.

    A unit that is on or off follows a hysteresis: on from half the dead band on the wrong side of the setpoint until
    half of it on the right side. Any other asks for the power that ends the step at the setpoint (deadbeat).
    """
    idle = jnp.zeros_like(state.t_air_c)
    lacking_k = params.heat_sign * (setpoint_c - temperatures(params, state, idle, inputs).air_c)
    per_kw = params.building.rise_k_per_kw[0, 0] * cop(
        params.lift_k, params.cop_coefficients, outdoor_c(params, inputs)
    )
    deadbeat = jnp.clip(lacking_k / per_kw, 0.0, params.p_max_kw)
    wanting_k = params.heat_sign * (setpoint_c - state.t_air_c)
    is_on = jnp.where(state.running > 0, wanting_k > -0.5 * params.deadband_k, wanting_k > 0.5 * params.deadband_k)
    on_off = jnp.where(is_on, params.p_max_kw, 0.0)
    return -jnp.where(params.p_min_kw >= params.p_max_kw, on_off, deadbeat)


def _mass_gain_kw(params: HeatPumpParams, sun: Float[Array, "*batch 1"]) -> Float[Array, "*batch unit"]:
    return (1.0 - _GAIN_TO_AIR) * params.gain_kw + params.window_kw * sun


HEAT_PUMP = Family(
    name="heat_pump",
    init=init,
    project=project,
    step=step,
    settle=settle,
    eur_lines=("comfort", "heat_stock"),
    cost_lines=("comfort_k_h",),
    energy_lines=("heat_pump",),
)
