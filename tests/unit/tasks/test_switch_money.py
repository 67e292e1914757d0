"""What parts without supply cost, and that nothing is gained by leaving them so."""

import numpy as np
import pytest

from tests.unit.tasks.switching import (
    LINES,
    N_SECTION,
    NIGHT,
    NOON,
    action_of,
    advance,
    begun,
    downstream,
    kwh_lines,
    made,
)


@pytest.mark.slow
def test_unserved_counts_loads_and_plants_and_leaves_out_storage():
    env, params, state = begun("mixed")
    resting = advance(env, params, state, action_of(env, params, state, ["line.17", "line.17"]))
    charging = advance(env, params, state, action_of(env, params, state, ["line.17", "line.17"], battery=-1.0, ev=-1.0))
    np.testing.assert_array_equal(resting.info["kpi"]["eur.unserved"], charging.info["kpi"]["eur.unserved"])
    whole = advance(env, params, state, action_of(env, params, state))
    row = next(i for i, g in enumerate(params.model.groups) if g.names[0] == "pv.18")
    fed_kwh = float(whole.output.feasible[row].p_kw[0, 0]) / 4
    curtailable = next(i for i, g in enumerate(params.model.groups) if g.names[0] == "curtailable.18")
    drawn_kwh = -float(whole.output.feasible[curtailable].p_kw[0, 0]) / 4
    cost = float(resting.info["cost"][0, env.cost_names.index("unserved")])
    load_kwh = float(kwh_lines(resting.info)["unserved"][0])
    assert fed_kwh > 10.0
    assert cost == pytest.approx(load_kwh + fed_kwh + drawn_kwh, rel=1e-5)


def test_trade_and_fee_count_only_what_is_delivered():
    env, params, state = begun("mixed")
    t = advance(env, params, state, action_of(env, params, state, ["line.6", "line.25"], generator=1.0))
    model, spec = params.model, env.task.power_flow.spec
    series = np.asarray(model.scenario.values, float)[int(state.grid.t[0])]
    price = series[model.scenario.column("price_eur_mwh")]
    bus, power = np.array(spec.injections.bus), np.asarray(t.output.p_kw, float)
    n_load = len(model.loads.p_weight_kw[0])
    asked = series @ np.asarray(model.loads.p_weight_kw, float)
    for i, line in enumerate(("line.6", "line.25")):
        is_dead = np.isin(bus, list(downstream(spec, line)))
        np.testing.assert_array_equal(power[i, is_dead], 0.0)
        np.testing.assert_allclose(power[i, :n_load], np.where(is_dead[:n_load], 0.0, asked), rtol=1e-5)
        net = {b: power[i, bus == b].sum() for b in set(bus)}
        drawn = -sum(min(v, 0.0) for v in net.values()) / 4
        assert float(t.info["kpi"]["eur.grid_fee"][i]) == pytest.approx(-0.15 * drawn, rel=1e-4)
        assert float(t.info["kpi"]["eur.trade"][i]) == pytest.approx(
            power[i].sum() / 4 * price / 1000, rel=1e-3, abs=1e-3
        )


def _negative_price_noon(params):
    """The scenario step in which a plant pays most to feed in."""
    values, model = np.asarray(params.model.scenario.values), params.model
    price, sun = values[:, model.scenario.column("price_eur_mwh")], values[:, model.scenario.column("PV3")]
    return int(np.argmax(-price * sun))


@pytest.mark.parametrize(
    "key", ["no wear", *(pytest.param(key, marks=pytest.mark.slow) for key in ("plants", "market of losses"))]
)
def test_opening_a_switch_for_a_step_never_earns(key):
    env, params = made(key)
    steps = [int(params.starts[d]) + k for d in (0, 40, 100, 150) for k in (NIGHT, NOON, 76)]
    if key == "plants":
        steps.append(_negative_price_noon(params))
    opened = ((), *LINES[:N_SECTION])
    for step in steps:
        state = env.reset_at(np.full(len(opened), step), params)[1]
        # Who gives up demand does so with and without supply.
        t = advance(env, params, state, action_of(env, params, state, opened, curtailable=1.0))
        for worth in (np.asarray(t.info["economic_eur"], float), np.asarray(t.reward, float)):
            solved = np.asarray(t.output.converged)
            assert solved[0]
            assert solved.sum() > N_SECTION // 2
            gained = (worth - worth[0])[1:]
            assert np.all(gained[solved[1:]] <= 1e-4 * np.abs(worth[0])), (step, LINES[int(np.argmax(gained))])
