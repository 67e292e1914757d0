"""What pictures of a running environment are made of: power on the branches, charge of the vehicles."""

import jax
import numpy as np
import pytest

from gridenv.adapters import rendering
from gridenv.adapters.program import program
from gridenv.adapters.rendering import Renderer


def scenes(task, monkeypatch, start, n_step, **config):
    """The scenes of an idle episode, with the observation after each step."""
    made = program(task, config)
    env, params = made.env, made.params
    drawn = []

    def draw(self, scene):
        drawn.append(scene)
        return np.zeros((1, 1, 3), np.uint8)

    monkeypatch.setattr(rendering.Canvas, "draw", draw)
    renderer = Renderer(made)
    observation, state = env.reset_at(np.int32(start), params)
    seen = [observation]
    renderer.frame(state, None)
    step = jax.jit(lambda state, action: env.step(None, state, action, params))
    for _ in range(n_step):
        action = np.asarray(env.idle(params, state))
        before = state
        observation, state, *_ = step(state, action)
        renderer.frame(before, action)
        seen.append(observation)
    values = [dict(zip(env.task.observation.names, np.asarray(env._observation.decode(o)), strict=True)) for o in seen]
    return drawn, values


@pytest.mark.parametrize("task", ["VoltVar-IEEE33-v0", pytest.param("VoltVar-IEEE13-v0", marks=pytest.mark.slow)])
def test_power_on_the_branches_at_the_source_is_that_of_the_upstream_grid(task, monkeypatch):
    (_, scene), _ = scenes(task, monkeypatch, 198 * 96 + 50, 1)
    made = program(task, {})
    env, params = made.env, made.params
    _, state = env.reset_at(np.int32(198 * 96 + 50), params)
    expected = env.advance(state, env.idle(params, state), params).output
    first = scene.branches.from_bus.index("sourcebus" if "13" in task else "1")
    into_network = float(scene.branch_p_kw[first])
    # At a transformer what comes out counts, so its losses are missing.
    assert into_network == pytest.approx(float(expected.source_p_kw), abs=abs(float(expected.loss_kw)) + 0.5)
    assert np.all(np.isfinite(scene.branch_p_kw))


def test_power_runs_towards_the_source_where_the_sun_feeds_more_than_is_used(monkeypatch):
    (_, noon), _ = scenes("VoltVar-IEEE33-v0", monkeypatch, 198 * 96 + 50, 1)
    end = noon.branches.names.index("line.17")
    assert (noon.branches.from_bus[end], noon.branches.to_bus[end]) == ("17", "18")
    plant = next(d for d in noon.devices if d.name == "pv.18")
    assert noon.branch_p_kw[end] < -0.8 * plant.p_kw
    (_, night), _ = scenes("VoltVar-IEEE33-v0", monkeypatch, 198 * 96 + 4, 1)
    assert night.branch_p_kw[end] > 0.0
    ties = np.array(night.branches.is_open)
    np.testing.assert_allclose(night.branch_p_kw[ties], 0.0, atol=1e-3)


@pytest.mark.slow
def test_level_of_a_charger_is_the_charge_of_its_vehicle_and_nothing_where_there_is_none(monkeypatch):
    drawn, observed = scenes("V2G-SimBenchLV-v0", monkeypatch, 100 * 96 + 48, 3)
    n_here = n_away = 0
    for scene, values in zip(drawn, observed, strict=True):
        for mark in scene.devices:
            if mark.kind != "ev":
                continue
            if values[f"{mark.name}.connected"] > 0.5:
                assert mark.level == pytest.approx(float(values[f"{mark.name}.soc"]), abs=1e-5)
                n_here += 1
            else:
                assert np.isnan(mark.level)
                n_away += 1
    assert n_here > 5
    assert n_away > 5
