import functools
from dataclasses import replace

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import numpy as jnp

from gridenv.core.errors import ConfigError
from gridenv.devices import appliance
from gridenv.devices.appliance import APPLIANCE, ApplianceRequest, ApplianceState, appliance_params
from gridenv.devices.family import Inputs
from gridenv.exogenous.appliance_runs import ApplianceRuns, draw_runs

PROGRAMS = (np.array([1.0, 2.0, 0.5]), np.array([3.0, 1.0]))
TAN = np.tan(np.arccos(0.8))


def small_runs():
    """Day 0: both units run; day 1: only the second does, in the last steps of the day."""
    earliest, latest = np.zeros((366, 2), np.int32), np.zeros((366, 2), np.int32)
    program, present = np.zeros((366, 2), np.int32), np.zeros((366, 2), bool)
    earliest[0], latest[0], program[0], present[0] = (10, 20), (14, 25), (0, 1), True
    earliest[1, 1], latest[1, 1], program[1, 1], present[1, 1] = 90, 94, 1, True
    return ApplianceRuns(
        earliest_step=earliest, latest_start_step=latest, program=program, is_present=present, programs_kw=PROGRAMS
    )


def small(is_interruptible=(False, False), dtype="float32"):
    return appliance_params(
        ("a", "b"),
        small_runs(),
        power_factor=(0.8, 1.0),
        is_interruptible=is_interruptible,
        delay_eur_per_h=(0.1, 0.0),
        dtype=dtype,
    )


def inputs(t, dtype="float32"):
    t = jnp.asarray(t, "int32")
    return Inputs(t=t, series=jnp.zeros((*t.shape, 1), dtype), v_pu=jnp.ones((*t.shape, 2), dtype), dt_h=0.25)


def assert_same(first, second):
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        np.testing.assert_array_equal(a, b)


@jax.jit
def act(params, state, start, seen):
    done = appliance.project(params, state, ApplianceRequest(start=start), seen)
    after = appliance.step(params, state, done, seen)
    return done, appliance.settle(params, state, done, after, seen), appliance.observe(params, state, seen.t)


@functools.partial(jax.jit, static_argnums=1)
def roll(params, start, requests):
    """Powers, ledgers and views of the steps from `start` on; requests [time, *batch, unit]."""
    t = start + jnp.arange(len(requests))

    def one(state, x):
        t, request = x
        seen = Inputs(
            t=jnp.broadcast_to(t, request.shape[:-1]),
            series=jnp.zeros((*request.shape[:-1], 1), params.program_kw.dtype),
            v_pu=jnp.ones(request.shape, params.program_kw.dtype),
            dt_h=0.25,
        )
        done = appliance.project(params, state, ApplianceRequest(start=request), seen)
        after = appliance.step(params, state, done, seen)
        return after, (done, appliance.settle(params, state, done, after, seen), after)

    state = appliance.init(params, jnp.full(requests.shape[1:-1], start))
    return jax.lax.scan(one, state, (t, requests))[1]


def power_by_plain_python(runs, unit, start, requests, is_interruptible):
    """One appliance, written down again without arrays: a program that waits, pauses and is cut into quarter-hours."""
    powers, done, waited = [], 0, 0
    for i, request in enumerate(requests):
        day, step = divmod(start + i, 96)
        if step == 0:
            done = 0
        program = list(runs.programs_kw[runs.program[day, unit]]) if runs.is_present[day, unit] else []
        first, last = runs.earliest_step[day, unit], runs.latest_start_step[day, unit] + len(program)
        left = program[done:]
        if i == 0 and program and step > runs.latest_start_step[day, unit]:
            done, left = len(program), []
        if not left or step < first:
            powers.append(0.0)
            continue
        goes = request > 0.5 or step + len(left) >= last or (done > 0 and not is_interruptible)
        powers.append(-left[0] if goes else 0.0)
        done, waited = (done + 1, waited) if goes else (done, waited + 1)
    return powers, waited


def test_appliance_starts_when_asked_and_runs_to_the_end():
    request = np.zeros((96, 2))
    request[:11, 0] = 1.0  # too early before step 10; withdrawn after the first step of the run
    request[22, 1] = 1.0
    done, _, after = roll(small(), 0, jnp.asarray(request, "float32"))
    expected = np.zeros((96, 2))
    expected[10:13, 0], expected[22:24, 1] = [-1.0, -2.0, -0.5], [-3.0, -1.0]
    np.testing.assert_array_equal(done.p_kw, expected)
    np.testing.assert_allclose(done.q_kvar, expected * [TAN, 0.0], rtol=1e-6)
    assert after.steps_done[[9, 10, 12, 94, 95], 0].tolist() == [0, 1, 3, 3, 0]


def test_appliance_starts_by_itself_at_the_latest_start():
    done, ledger, _ = roll(small(), 0, jnp.zeros((192, 2)))
    expected = np.zeros((192, 2))
    expected[14:17, 0], expected[25:27, 1], expected[190:192, 1] = [-1.0, -2.0, -0.5], [-3.0, -1.0], [-3.0, -1.0]
    np.testing.assert_array_equal(done.p_kw, expected)
    # Waiting from step 10 to 14 is an hour at 0.1 EUR.
    assert ledger.eur.shape == (192, 1, 2)
    np.testing.assert_allclose(ledger.eur.sum(axis=(0, 1)), [-0.1, 0.0], rtol=1e-6)


def test_interruptible_appliance_pauses_but_ends_in_time():
    request = np.zeros((96, 2))
    request[10, 0] = 1.0
    done, ledger, _ = roll(small((True, False)), 0, jnp.asarray(request, "float32"))
    expected = np.zeros(96)
    expected[[10, 15, 16]] = [-1.0, -2.0, -0.5]  # deadline at step 17
    np.testing.assert_array_equal(done.p_kw[:, 0], expected)
    np.testing.assert_allclose(ledger.eur[..., 0].sum(), -0.1, rtol=1e-6)  # four steps of standing still


def test_appliance_run_is_over_in_episodes_that_begin_after_the_latest_start():
    assert appliance.init(small(), jnp.array([0, 14, 15, 96])).steps_done.tolist() == [[0, 0], [0, 0], [3, 0], [0, 0]]
    done, _, _ = roll(small(), 15, jnp.ones((81, 2)))
    assert np.all(done.p_kw[:, 0] == 0)
    assert done.p_kw[:, 1].sum() == -4.0


@pytest.mark.parametrize("is_interruptible", [False, True])
def test_every_run_of_the_year_is_done_as_a_plain_machine_does_it(is_interruptible):
    names = ("appliance.1", "appliance.2", "appliance.3")
    runs = draw_runs(names, ("washing_machine", "dishwasher", "tumble_dryer"), 5)
    params = appliance_params(
        names,
        runs,
        power_factor=(0.9, 1.0, 1.0),
        is_interruptible=[is_interruptible] * 3,
        delay_eur_per_h=(0.2, 0.4, 0.0),
        dtype="float32",
    )
    request = np.random.default_rng(1).random((366 * 96, 3)) ** 8  # 0.5 is passed in 8 % of the steps
    done, ledger, _ = roll(params, 0, jnp.asarray(request, "float32"))
    for unit in range(3):
        powers, waited = power_by_plain_python(runs, unit, 0, request[:, unit], is_interruptible)
        np.testing.assert_allclose(done.p_kw[:, unit], powers, rtol=1e-6)
        price = params.delay_eur_per_h[unit]
        np.testing.assert_allclose(np.asarray(ledger.eur, float)[..., unit].sum(), -0.25 * waited * price, rtol=1e-6)
        energy = sum(
            p.sum() * (runs.is_present[:, unit] & (runs.program[:, unit] == i)).sum() / 4
            for i, p in enumerate(runs.programs_kw)
        )
        np.testing.assert_allclose(-np.asarray(ledger.energy_kwh, float)[:, 0, unit].sum(), energy, rtol=1e-6)


@settings(max_examples=30)
@given(
    st.integers(0, 191),
    st.lists(st.floats(-1e9, 1e9), min_size=4, max_size=4),
    st.lists(st.integers(0, 4), min_size=4, max_size=4),
)
def test_appliance_projection_twice_is_once_and_energy_is_power_times_time(t, request, steps):
    params = small((True, False))
    state = ApplianceState(steps_done=jnp.array(steps, "int32").reshape(2, 2))
    seen = inputs([t, 15])
    done, ledger, view = act(params, state, jnp.array(request).reshape(2, 2), seen)
    assert_same(act(params, state, done.start, seen)[0], done)
    np.testing.assert_allclose(ledger.energy_kwh.sum(axis=-2), done.p_kw * 0.25, rtol=1e-6)
    assert np.all(done.p_kw <= 0)
    assert np.all(np.isfinite(done.q_kvar))
    # A request that asks for the opposite changes what is done only where the run is pending.
    flipped = act(params, state, 1.0 - done.start, seen)[0]
    assert np.all((np.asarray(view.pending) == 1) | (flipped.start == done.start))


def test_appliance_batch_is_the_same_as_a_loop_and_jit_as_eager():
    params = small((False, True))
    requests = jnp.asarray(np.random.default_rng(0).random((192, 3, 2)) > 0.9, "float32")
    batch = roll(params, 0, requests)
    for i in range(3):
        alone = roll(params, 0, requests[:, i])
        assert_same([leaf[:, i] for leaf in jax.tree.leaves(batch)], alone)
    state, seen = ApplianceState(steps_done=jnp.array([[1, 0]])), inputs([12])
    assert_same(act(params, state, jnp.ones((1, 2)), seen), act.__wrapped__(params, state, jnp.ones((1, 2)), seen))


def test_appliance_family_names_as_many_lines_as_it_settles():
    params = small()
    _, ledger, _ = act(params, appliance.init(params, jnp.array([0])), jnp.zeros((1, 2)), inputs([0]))
    lines = (APPLIANCE.eur_lines, APPLIANCE.cost_lines, APPLIANCE.energy_lines)
    assert tuple(len(x) for x in lines) == (ledger.eur.shape[1], ledger.cost.shape[1], ledger.energy_kwh.shape[1])


def test_appliance_view_tells_nothing_before_the_machine_is_loaded():
    params = small()
    fresh = appliance.init(params, jnp.asarray(0))
    view = appliance.observe(params, fresh, jnp.asarray(9))
    assert [view.pending[0], view.running[0], view.hours_to_latest_start[0], view.left_kwh[0]] == [0, 0, 24, 0]
    view = appliance.observe(params, fresh, jnp.asarray(12))
    assert [view.pending[0], view.running[0], view.hours_to_latest_start[0], view.left_kwh[0]] == [1, 0, 0.5, 0.875]
    begun = ApplianceState(steps_done=jnp.array([1, 0]))
    view = appliance.observe(params, begun, jnp.asarray(12))
    assert [view.pending[0], view.running[0], view.hours_to_latest_start[0], view.left_kwh[0]] == [0, 1, 24, 0.625]
    view = appliance.observe(small((True, False)), begun, jnp.asarray(12))
    assert [view.pending[0], view.running[0], view.hours_to_latest_start[0]] == [1, 1, 0.75]


def test_appliance_works_in_float64():
    with jax.enable_x64(True):
        params = small(dtype="float64")
        state = appliance.init(params, jnp.array([14]))
        done = appliance.project(params, state, ApplianceRequest(start=jnp.zeros((1, 2))), inputs([14], "float64"))
        assert done.p_kw.dtype == done.q_kvar.dtype == done.start.dtype == jnp.float64
        assert done.q_kvar[0, 0] == pytest.approx(-TAN, rel=1e-14)


def test_appliance_gradients_are_finite_under_extreme_requests():
    params = small()
    state = appliance.init(params, jnp.array([12]))

    def gain(start):
        done, ledger, _ = act(params, state, start, inputs([12]))
        return ledger.eur.sum() + done.q_kvar.sum()

    with jax.numpy_dtype_promotion("strict"):
        assert np.all(np.isfinite(jax.grad(gain)(jnp.array([[1e9, -1e9]], "float32"))))


def test_appliance_params_report_all_problems_at_once():
    runs = small_runs()
    latest = runs.latest_start_step.copy()
    latest[1, 1] = 95
    with pytest.raises(ConfigError) as caught:
        appliance_params(
            ("a", "b"),
            replace(runs, latest_start_step=latest),
            power_factor=(0.0, 1.0),
            is_interruptible=(False, False),
            delay_eur_per_h=(0.1, float("nan")),
        )
    assert str(caught.value).split("\n") == [
        "b: latest_start_step on day 1 is 95; allowed: 0..96 less the duration; correct it or drop the run",
        "a: power_factor is 0; allowed: above 0, at most 1; correct it",
        "b: delay_eur_per_h is nan; allowed: a number >= 0; correct it",
    ]
