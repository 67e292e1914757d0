"""Deferrable appliances: a run a day within a window; when it begins is asked for, that it is done is certain."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jax import Array
from jax import numpy as jnp
from jaxtyping import Bool, Float, Int

from gridenv.core.errors import ConfigError, raise_collected
from gridenv.core.pytree import pytree
from gridenv.devices.family import Family, Inputs, Ledger, without_power
from gridenv.exogenous.appliance_runs import ApplianceRuns, run_problems
from gridenv.exogenous.timebase import STEPS_PER_DAY, STEPS_PER_HOUR

_ASKED = 0.5
"""Requests above this ask for running."""
_NONE_KNOWN_H = 24.0


@pytree
class ApplianceParams:
    """Runs of the scenario year. All windows lie within their day, so nothing is left over at midnight."""

    earliest_step: Int[Array, "day unit"]
    """First step of the day in which the run may begin."""
    latest_end_step: Int[Array, "day unit"]
    """First step of the day in which it is over at the latest."""
    program: Int[Array, "day unit"]
    """Row of the programme tables."""
    duration_steps: Int[Array, "day unit"]
    """Length of the run; 0 where there is none that day."""
    program_kw: Float[Array, "program step"]
    """Power by steps done, consumption positive; 0 from the end of the programme on."""
    left_kwh: Float[Array, "program step"]
    """Energy still to draw by steps done."""
    q_per_p: Float[Array, " unit"]
    """Reactive over active power, both consumed: tangent of the angle of the power factor."""
    is_interruptible: Bool[Array, " unit"]
    """Whether a run that has begun can pause."""
    delay_eur_per_h: Float[Array, " unit"]
    """Price of an hour of waiting."""


@pytree
class ApplianceState:
    """How far today's run is."""

    steps_done: Int[Array, "*batch unit"]
    """0 = not begun; the duration = finished."""


@pytree
class ApplianceRequest:
    """Whether to run."""

    start: Float[Array, "*batch unit"]
    """Above 0.5 = begin now; of an interruptible appliance also: go on, otherwise pause."""


@pytree
class ApplianceFeasible:
    """What the appliances do in the step."""

    p_kw: Float[Array, "*batch unit"]
    q_kvar: Float[Array, "*batch unit"]
    start: Float[Array, "*batch unit"]
    """1 = runs in this step, 0 = does not: the request that asks for just this."""


@pytree
class ApplianceView:
    """What a controller may know of the appliances at the start of a step; nothing before they are loaded."""

    pending: Float[Array, "*batch unit"]
    """1 = the request of this step matters unless the run is forced: loaded and not begun, or interruptible and not
    finished."""
    running: Float[Array, "*batch unit"]
    """1 = begun and not finished."""
    hours_to_latest_start: Float[Array, "*batch unit"]
    """Hours that a pending run can still wait; 24 where none is pending."""
    left_kwh: Float[Array, "*batch unit"]
    """Energy that the run still draws; 0 before it is loaded."""


class _Run(NamedTuple):
    """Today's run at a step."""

    steps_left: Int[Array, "*batch unit"]
    spare_steps: Int[Array, "*batch unit"]
    """Steps that it can still wait."""
    row: Int[Array, "*batch unit"]
    """Place in the programme tables, flattened."""
    is_open: Bool[Array, "*batch unit"]
    """Loaded and not finished."""
    is_begun: Bool[Array, "*batch unit"]
    """Begun and not finished."""


def appliance_params(
    names: Sequence[str],
    runs: ApplianceRuns,
    *,
    power_factor: Sequence[float],
    is_interruptible: Sequence[bool],
    delay_eur_per_h: Sequence[float],
    dtype: str = "float32",
) -> ApplianceParams:
    """Parameters of a group of appliances.

    Args:
        names: of the units, for the messages.
        runs: the runs of the year, a column an appliance.
        power_factor: of consumption, inductive.
        is_interruptible: whether a run can pause.
        delay_eur_per_h: price of an hour of waiting.
        dtype: of the float arrays.

    Raises:
        ConfigError: for windows that do not fit their day, and values out of range; all at once.
    """
    problems = run_problems(names, runs)
    for name, factor, price in zip(names, power_factor, delay_eur_per_h, strict=True):
        if not 0 < factor <= 1:
            problems.append(f"{name}: power_factor is {factor:g}; allowed: above 0, at most 1; correct it")
        if not (np.isfinite(price) and price >= 0):
            problems.append(f"{name}: delay_eur_per_h is {price:g}; allowed: a number >= 0; correct it")
    raise_collected(problems, ConfigError)
    width = max(len(p) for p in runs.programs_kw) + 1
    program_kw = np.stack([np.pad(p, (0, width - len(p))) for p in runs.programs_kw])
    left_kwh = np.cumsum(program_kw[:, ::-1], axis=1)[:, ::-1] / STEPS_PER_HOUR
    return ApplianceParams(
        earliest_step=jnp.asarray(np.where(runs.is_present, runs.earliest_step, 0), "int32"),
        latest_end_step=jnp.asarray(np.where(runs.is_present, runs.latest_end_step, 0), "int32"),
        program=jnp.asarray(np.where(runs.is_present, runs.program, 0), "int32"),
        duration_steps=jnp.asarray(np.where(runs.is_present, runs.duration_steps, 0), "int32"),
        program_kw=jnp.asarray(program_kw, dtype),
        left_kwh=jnp.asarray(left_kwh, dtype),
        q_per_p=jnp.asarray(np.tan(np.arccos(np.asarray(power_factor, float))), dtype),
        is_interruptible=jnp.asarray(np.asarray(is_interruptible, bool)),
        delay_eur_per_h=jnp.asarray(np.asarray(delay_eur_per_h, float), dtype),
    )


def init(params: ApplianceParams, t: Int[Array, "*batch"]) -> ApplianceState:
    """No run begun; where the latest start has passed already, today's run is over."""
    run = _run(params, jnp.zeros((*t.shape, params.q_per_p.shape[0]), "int32"), t)
    return ApplianceState(steps_done=jnp.where(run.spare_steps < 0, run.steps_left, 0))


def project(
    params: ApplianceParams, state: ApplianceState, request: ApplianceRequest, inputs: Inputs
) -> ApplianceFeasible:
    """Runs what is asked for within the window, what has begun, and what cannot wait any longer."""
    run = _run(params, state.steps_done, inputs.t)
    is_held = run.is_begun & ~params.is_interruptible
    runs = run.is_open & ((request.start > _ASKED) | is_held | (run.spare_steps <= 0))
    p_kw = -jnp.where(runs, params.program_kw.reshape(-1)[run.row], 0.0)
    return ApplianceFeasible(p_kw=p_kw, q_kvar=p_kw * params.q_per_p, start=runs.astype(p_kw.dtype))


def cut_off(params: ApplianceParams, feasible: ApplianceFeasible) -> ApplianceFeasible:
    """Nothing runs; a run that has begun or is due goes on when there is supply again, until midnight."""
    return replace(without_power(params, feasible), start=jnp.zeros_like(feasible.start))


def step(params: ApplianceParams, state: ApplianceState, feasible: ApplianceFeasible, inputs: Inputs) -> ApplianceState:
    """One step of the run more where it runs; at midnight a new day begins with its own run."""
    del params
    steps_done = state.steps_done + (feasible.start > _ASKED).astype(state.steps_done.dtype)
    is_last = (inputs.t + 1) % STEPS_PER_DAY == 0
    return ApplianceState(steps_done=jnp.where(is_last[..., None], 0, steps_done))


def settle(
    params: ApplianceParams,
    before: ApplianceState,
    feasible: ApplianceFeasible,
    after: ApplianceState,
    inputs: Inputs,
) -> Ledger:
    """Price of waiting: of every hour from the earliest start to the end in which the run stands still."""
    del after
    run = _run(params, before.steps_done, inputs.t)
    waits = run.is_open & (feasible.start <= _ASKED)
    delay_eur = -jnp.where(waits, params.delay_eur_per_h, 0.0) * inputs.dt_h
    return Ledger(
        eur=delay_eur[..., None, :],
        cost=jnp.zeros((*delay_eur.shape[:-1], 0, delay_eur.shape[-1]), delay_eur.dtype),
        energy_kwh=(feasible.p_kw * inputs.dt_h)[..., None, :],
    )


def observe(params: ApplianceParams, state: ApplianceState, t: Int[Array, "*batch"]) -> ApplianceView:
    """What is known at the start of step t."""
    run = _run(params, state.steps_done, t)
    dtype = params.program_kw.dtype
    is_pending = run.is_open & (~run.is_begun | params.is_interruptible)
    hours = jnp.maximum(run.spare_steps, 0).astype(dtype) / STEPS_PER_HOUR
    return ApplianceView(
        pending=is_pending.astype(dtype),
        running=run.is_begun.astype(dtype),
        hours_to_latest_start=jnp.where(is_pending, hours, _NONE_KNOWN_H),
        left_kwh=jnp.where(run.is_open, params.left_kwh.reshape(-1)[run.row], 0.0),
    )


def _run(params: ApplianceParams, steps_done: Int[Array, "*batch unit"], t: Int[Array, "*batch"]) -> _Run:
    """Today's run; days beyond the year are as the last one."""
    day, step_of_day = t // STEPS_PER_DAY, (t % STEPS_PER_DAY)[..., None]
    earliest, end, program, duration = (
        jnp.take(table, day, axis=0, mode="clip")
        for table in (params.earliest_step, params.latest_end_step, params.program, params.duration_steps)
    )
    steps_left = jnp.maximum(duration - steps_done, 0)
    is_open = (steps_left > 0) & (step_of_day >= earliest)
    return _Run(
        steps_left=steps_left,
        spare_steps=end - steps_left - step_of_day,
        row=program * params.program_kw.shape[1] + jnp.minimum(steps_done, params.program_kw.shape[1] - 1),
        is_open=is_open,
        is_begun=is_open & (steps_done > 0),
    )


APPLIANCE = Family(
    name="appliance",
    init=init,
    project=project,
    step=step,
    settle=settle,
    cut_off=cut_off,
    eur_lines=("appliance_delay",),
    energy_lines=("appliance",),
)
