import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import numpy as jnp

from gridenv.core.errors import ConfigError
from gridenv.devices import curtailable_load as load
from gridenv.devices.curtailable_load import CURTAILABLE_LOAD, CurtailableRequest, CurtailableState, curtailable_params
from gridenv.devices.family import Inputs

SERIES = ("home_p", "home_q")


def settings_of(**changes):
    return {
        "max_share": [0.5, 1.0],
        "min_kw": [2.0, 0.0],
        "max_h_per_day": [1.0, 24.0],
        "max_kwh_per_day": [3.0, 1e3],
        "rebound_share": [0.8, 1.0],
        "rebound_tau_h": [2.0, 1.0],
        "rebound_max_kw": [10.0, 1.5],
        "cost_eur_per_kwh": [0.2, 0.1],
        "stock_eur_per_kwh": [0.3, 0.4],
    } | changes


def make(dtype="float32", **changes):
    return curtailable_params(
        ("a", "b"),
        SERIES,
        [-10.0, -4.0],
        [-5.0, -1.0],
        ["home_p", "home_p"],
        ["home_q", "home_q"],
        **settings_of(**changes),
        dtype=dtype,
    )


def inputs(t, series):
    series = jnp.asarray(series)
    return Inputs(
        t=jnp.broadcast_to(jnp.asarray(t, "int32"), series.shape[:-1]),
        series=series,
        v_pu=jnp.ones((*series.shape[:-1], 2), series.dtype),
        dt_h=0.25,
    )


@jax.jit
def act(params, state, share, seen):
    done = load.project(params, state, CurtailableRequest(curtail_share=share), seen)
    after = load.step(params, state, done, seen)
    return done, after, load.settle(params, state, done, after, seen)


@jax.jit
def roll(params, shares, profile):
    """Feasible, states after and ledgers of steps from midnight; shares [time, *batch, unit], profile [time]."""

    def one(state, x):
        t, share, level = x
        seen = inputs(t, jnp.broadcast_to(level, (*share.shape[:-1], 2)))
        done, after, ledger = act(params, state, share, seen)
        return after, (done, after, ledger)

    profile = jnp.asarray(profile, params.max_share.dtype)
    state = load.init(params, jnp.zeros(shares.shape[1:-1], "int32"))
    return jax.lax.scan(one, state, (jnp.arange(len(shares)), shares, profile))[1]


def state_of(owed, kwh=(0.0, 0.0), hours=(0.0, 0.0)):
    return CurtailableState(owed_kwh=jnp.array(owed), curtailed_kwh=jnp.array(kwh), curtailed_h=jnp.array(hours))


def test_curtailment_and_rebound_as_worked_by_hand():
    params = make()
    done, after, ledger = act(params, state_of([2.0, 0.0]), jnp.array([0.3, 0.25]), inputs(0, [0.8, 0.4]))
    back = 2.0 * (1 - np.exp(-0.125))  # 0.235 kWh in a quarter-hour with tau = 2 h
    np.testing.assert_allclose(done.demand_kw, [-8.0, -3.2], rtol=1e-6)
    np.testing.assert_allclose(done.curtailed_kw, [2.4, 0.8], rtol=1e-6)
    np.testing.assert_allclose(done.rebound_kw, [4 * back, 0.0], rtol=1e-6)
    np.testing.assert_allclose(done.p_kw, [-8.0 + 2.4 - 4 * back, -2.4], rtol=1e-6)
    np.testing.assert_allclose(done.q_kvar, [-2.0 * 0.7 - 0.5 * 4 * back, -0.3], rtol=1e-6)
    owed = [2.0 - back + 0.8 * 0.6, 0.2]
    np.testing.assert_allclose(after.owed_kwh, owed, rtol=1e-6)
    np.testing.assert_allclose(after.curtailed_kwh, [0.6, 0.2], rtol=1e-6)
    np.testing.assert_allclose(after.curtailed_h, [0.25, 0.25])
    np.testing.assert_allclose(ledger.eur[0], [-0.2 * 0.6, -0.1 * 0.2], rtol=1e-6)
    np.testing.assert_allclose(ledger.eur[1], [-0.3 * (owed[0] - 2.0), -0.4 * 0.2], rtol=1e-5)
    np.testing.assert_allclose(ledger.energy_kwh, [[-2.0, -0.8], [0.6, 0.2], [-back, 0.0]], rtol=1e-6)


@pytest.mark.parametrize(
    ("state", "level", "expected"),
    [
        (state_of([0.0, 0.0]), 1.0, [0.5, 1.0]),  # largest share
        (state_of([0.0, 0.0]), 0.25, [0.2, 1.0]),  # 2 of 2.5 kW remain
        (state_of([0.0, 0.0]), 0.1, [0.0, 1.0]),  # demand of 1 kW is below the minimum
        (state_of([0.0, 0.0], kwh=(2.5, 0.0)), 1.0, [0.2, 1.0]),  # 0.5 kWh left of the day's 3: 2 of 10 kW
        (state_of([0.0, 0.0], hours=(0.75, 23.75)), 1.0, [0.5, 1.0]),
        (state_of([0.0, 0.0], hours=(1.0, 24.0)), 1.0, [0.0, 0.0]),
        (state_of([9.0, 9.0]), 1.0, [0.5, 1.0]),  # rebound leaves the limit as it is
        (state_of([0.0, 0.0]), 0.0, [0.0, 0.0]),
        (state_of([0.0, 0.0]), -0.5, [0.0, 0.0]),  # a profile that feeds in has nothing to curtail
    ],
)
def test_curtailment_limit_in_every_case(state, level, expected):
    seen = inputs(0, [level, level])
    np.testing.assert_allclose(load.share_limit(make(), state, seen), expected, rtol=1e-6, atol=1e-7)
    done, _, _ = act(make(), state, jnp.array([1e9, 1e9]), seen)
    np.testing.assert_allclose(done.curtail_share, expected, rtol=1e-6, atol=1e-7)
    assert np.all(act(make(), state, jnp.array([-1e9, -1e9]), seen)[0].curtailed_kw == 0)


def test_counters_of_the_day_begin_anew_at_midnight_and_what_is_owed_stays():
    params = make()
    shares = jnp.ones((192, 2))
    done, after, _ = roll(params, shares, np.ones(192))
    # 5 kW for an hour would be 5 kWh; the day's 3 kWh are gone after 36 minutes, that is in the third step.
    np.testing.assert_allclose(done.curtailed_kw[:4, 0], [5.0, 5.0, 2.0, 0.0], atol=1e-5)
    np.testing.assert_array_equal(done.curtailed_kw[96:192, 0], done.curtailed_kw[:96, 0])
    assert after.curtailed_kwh[95].tolist() == [0.0, 0.0]
    assert after.curtailed_h[95].tolist() == [0.0, 0.0]
    assert np.all(np.asarray(after.owed_kwh[95]) > 0)


def test_hours_limit_counts_steps_with_any_curtailment():
    done, _, _ = roll(make(), jnp.full((96, 2), 0.01), np.ones(96))
    assert np.count_nonzero(done.curtailed_kw, axis=0).tolist() == [4, 96]


def test_rebound_fades_exponentially_after_a_single_curtailment():
    params = make(rebound_max_kw=[1e3, 1e3])
    shares = jnp.zeros((40, 2)).at[0].set(jnp.array([0.4, 1.0]))
    done, after, _ = roll(params, shares, np.ones(40))
    t = 0.25 * np.arange(40)
    np.testing.assert_allclose(after.owed_kwh[:, 0], 0.8 * 1.0 * np.exp(-t / 2.0), rtol=2e-6)
    np.testing.assert_allclose(after.owed_kwh[:, 1], 1.0 * 1.0 * np.exp(-t / 1.0), rtol=5e-6)
    # The step of the curtailment itself has no rebound of it.
    assert done.rebound_kw[0].tolist() == [0.0, 0.0]


def euler_owed(owed, tau, cap, hours, n):
    for _ in range(n):
        owed -= min(owed / tau, cap) * hours / n
    return owed


@pytest.mark.parametrize("owed", [0.4, 1.6, 1.875, 5.0])
def test_rebound_of_a_step_agrees_with_fine_euler_steps_with_and_without_the_cap(owed):
    # Unit b: tau 1 h, cap 1.5 kW: the cap binds above 1.5 kWh, for part of the step from 1.5 to 1.875 kWh.
    with jax.enable_x64(True):
        back = load.rebound_kwh(make("float64"), jnp.array([owed, owed]), 0.25)
    assert float(back[1]) == pytest.approx(owed - euler_owed(owed, 1.0, 1.5, 0.25, 90_000), abs=1e-6)
    assert float(back[0]) == pytest.approx(owed * -np.expm1(-0.125), rel=1e-12)
    assert float(back[1]) <= 1.5 * 0.25 + 1e-12


def test_rebound_is_the_same_for_one_step_and_for_900_steps_of_a_second():
    with jax.enable_x64(True):
        params, owed = make("float64"), jnp.array([3.0, 1.6])
        one = load.rebound_kwh(params, owed, 0.25)
        left = jax.lax.fori_loop(0, 900, lambda _, e: e - load.rebound_kwh(params, e, 0.25 / 900), owed)
        np.testing.assert_allclose(one, owed - left, rtol=1e-11)


def test_no_rebound_where_its_cap_is_zero():
    params = make(rebound_max_kw=[0.0, 0.0])
    np.testing.assert_array_equal(load.rebound_kwh(params, jnp.array([1.0, 0.0]), 0.25), [0.0, 0.0])


@settings(max_examples=15)
@given(st.integers(0, 2**31), st.floats(0.0, 2.0))
def test_energy_and_money_close_over_a_random_day(seed, scale):
    random = np.random.default_rng(seed)
    profile = random.uniform(0, 1, 96) * scale
    shares = jnp.asarray(random.uniform(-0.5, 1.5, (96, 2)), "float32")
    params = make()
    done, after, ledger = roll(params, shares, profile)
    share_back, stock_price, cost, most_share, least_kw, most_kwh, most_kw, demand, left_out, back, owed, p_kw = (
        np.asarray(x, float)
        for x in (
            *(params.rebound_share, params.stock_eur_per_kwh, params.cost_eur_per_kwh, params.max_share),
            *(params.min_kw, params.max_kwh_per_day, params.rebound_max_kw, -done.demand_kw),
            *(done.curtailed_kw, done.rebound_kw, after.owed_kwh, done.p_kw),
        )
    )
    eur, energy_kwh = np.asarray(ledger.eur, float), np.asarray(ledger.energy_kwh, float)
    curtailed_kwh = 0.25 * left_out.sum(axis=0)
    np.testing.assert_allclose(share_back * curtailed_kwh, 0.25 * back.sum(axis=0) + owed[-1], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(energy_kwh.sum(axis=-2), p_kw * 0.25, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(eur[:, 1].sum(axis=0), -stock_price * owed[-1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(eur[:, 0].sum(axis=0), -cost * curtailed_kwh, rtol=1e-5)
    assert np.all(left_out <= most_share * demand * (1 + 1e-6))
    assert np.all(demand - left_out >= np.minimum(least_kw, demand) - 1e-5)
    assert np.all(curtailed_kwh <= most_kwh + 1e-5)
    assert np.all(back <= most_kw * (1 + 1e-6))
    assert np.all(owed >= 0)


@settings(max_examples=40)
@given(st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=2), st.floats(0, 50), st.floats(0, 1.5), st.floats(0, 3))
def test_projection_twice_is_once_and_all_is_finite_under_extreme_requests(request, owed, level, used_kwh):
    params = make()
    state = state_of([owed, 0.5 * owed], kwh=(used_kwh, used_kwh))
    seen = inputs(0, jnp.array([level, level], "float32"))
    once = act(params, state, jnp.array(request), seen)
    twice = act(params, state, once[0].curtail_share, seen)
    for a, b in zip(jax.tree.leaves(once), jax.tree.leaves(twice), strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.all(np.isfinite(a))


def test_requests_within_the_limits_are_left_as_they_are():
    done, _, _ = act(make(), state_of([0.0, 0.0]), jnp.array([0.37, 0.81]), inputs(0, [1.0, 1.0]))
    np.testing.assert_array_equal(done.curtail_share, jnp.array([0.37, 0.81]))


def test_curtailing_a_little_does_not_hold_off_the_rebound():
    state = state_of([2.0, 2.0])
    idle, _, _ = act(make(), state, jnp.zeros(2), inputs(0, [1.0, 1.0]))
    busy, _, _ = act(make(), state, jnp.array([0.5, 0.5]), inputs(0, [1.0, 1.0]))
    np.testing.assert_array_equal(busy.rebound_kw, idle.rebound_kw)


def test_ending_with_energy_owed_costs_what_buying_it_back_at_the_stock_price_would():
    params = make(rebound_max_kw=[1e3, 1e3], max_h_per_day=[24.0, 24.0])
    shares = jnp.zeros((96, 2)).at[92:].set(0.3)
    _, after, ledger = roll(params, shares, np.ones(96))
    assert np.all(np.asarray(after.owed_kwh[-1]) > 0.5)
    np.testing.assert_allclose(ledger.eur[:, 1].sum(axis=0), [-0.3, -0.4] * np.array(after.owed_kwh[-1]), rtol=1e-5)
    # Curtailed early, it is all back by midnight and the stock has cost nothing.
    early = jnp.zeros((96, 2)).at[:4].set(0.3)
    _, after, ledger = roll(params, early, np.ones(96))
    np.testing.assert_allclose(ledger.eur[:, 1].sum(axis=0), [-0.3, -0.4] * np.array(after.owed_kwh[-1]), atol=2e-6)
    assert np.all(np.abs(np.asarray(ledger.eur[:, 1].sum(axis=0))) < 1e-4)


def test_curtailable_batch_is_the_same_as_a_loop_and_gradients_are_finite():
    params = make()
    shares = jnp.asarray(np.random.default_rng(2).uniform(-1, 2, (24, 3, 2)), "float32")
    profile = np.random.default_rng(3).uniform(0, 1, 24)
    batch = roll(params, shares, profile)
    for i in range(3):
        alone = roll(params, shares[:, i], profile)
        for b, a in zip(jax.tree.leaves(batch), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(b[:, i], a, rtol=2e-6, atol=1e-7)

    def gain(shares, profile):
        return roll(params, shares, profile)[2].eur.sum()

    for level in (profile, np.zeros(24)):
        assert np.all(np.isfinite(jax.grad(gain)(shares, jnp.asarray(level, "float32"))))


def test_curtailable_family_names_as_many_lines_as_it_settles():
    _, _, ledger = act(make(), state_of([0.0, 0.0]), jnp.zeros(2), inputs(0, [1.0, 1.0]))
    lines = (CURTAILABLE_LOAD.eur_lines, CURTAILABLE_LOAD.cost_lines, CURTAILABLE_LOAD.energy_lines)
    assert tuple(len(x) for x in lines) == (ledger.eur.shape[0], ledger.cost.shape[0], ledger.energy_kwh.shape[0])


def test_curtailable_works_in_float64():
    with jax.enable_x64(True):
        state = state_of(np.array([2.0, 0.0]), kwh=np.zeros(2), hours=np.zeros(2))
        done, after, _ = act(make("float64"), state, jnp.array([0.3, 0.1]), inputs(0, np.array([0.8, 0.4])))
        assert done.p_kw.dtype == after.owed_kwh.dtype == jnp.float64
        assert float(done.rebound_kw[0]) == pytest.approx(-8 * np.expm1(-0.125), rel=1e-14)


def test_curtailable_params_report_all_problems_at_once():
    with pytest.raises(ConfigError) as caught:
        curtailable_params(
            ("a", "b"),
            SERIES,
            [-10.0, 4.0],
            [0.0, 0.0],
            ["home_p", "home_s"],
            ["home_q", "home_q"],
            **settings_of(max_share=[1.5, 1.0], rebound_tau_h=[2.0, 0.0], rebound_max_kw=[np.inf, 1.0]),
        )
    assert str(caught.value).split("\n") == [
        "a: max_share is 1.5; allowed: a finite number in 0..1; correct it",
        "a: rebound_max_kw is inf; allowed: a finite number in 0..inf; correct it",
        "b: rebound_tau_h is 0; allowed: a finite number in 0.001..inf; correct it",
        "b: p_rated_kw is 4; allowed: a finite number in -inf..0; correct it",
        "b: series is 'home_s'; did you mean 'home_q'?",
    ]
