"""The volt-var task on other networks than its own."""

from dataclasses import replace

import numpy as np
import pytest

from gridenv.core.errors import ConfigError
from gridenv.network import BusTable, NetworkSpec, TransformerTable
from gridenv.tasks import assembly, grid_task
from gridenv.tasks.env import EnvParams, GridEnv, Transition
from gridenv.tasks.registry import make
from gridenv.tasks.volt_var import VoltVarConfig
from tests.unit.network.small_networks import floats, two_bus

TASK = "VoltVar-IEEE33-v0"
DT_H = 0.25
NOON = 170 * 96 + 48


def plants(*buses: str) -> list[dict[str, object]]:
    return [{"bus": bus, "p_dc_kw": 20.0, "profile": "PV1"} for bus in buses]


def idle_step(env: GridEnv, params: EnvParams, start: int = NOON) -> Transition:
    _, state = env.reset_at(np.int32(start), params)
    return env.advance(state, np.zeros(env.n_action, np.float32), params)


def own_network(monkeypatch: pytest.MonkeyPatch, spec: NetworkSpec, **settings: object) -> tuple[GridEnv, EnvParams]:
    monkeypatch.setattr(assembly, "load_network", lambda name: spec)
    return grid_task.make(VoltVarConfig(network=spec.name, inverters=plants("b"), **settings), TASK)


@pytest.mark.parametrize(
    ("network", "buses"),
    [("case33bw", ("17", "30")), ("cigre_lv", ("12", "18")), ("kerber_landnetz_freileitung_1", ("5",))],
)
def test_networks_with_loads_only_work(network: str, buses: tuple[str, ...]) -> None:
    env, params = make(TASK, network=network, load_scale=1.0, inverters=plants(*buses))
    starts = params.starts[:3] + 48
    observation, state = env.reset_at(starts, params)
    assert np.all(np.isfinite(observation))
    observation, _, reward, terminated, _, info = env.step(None, state, np.full((3, env.n_action), 0.5), params)
    assert np.all(np.isfinite(observation))
    assert np.all(np.isfinite(reward))
    assert np.all(reward < 0.0)
    assert not np.any(terminated)
    np.testing.assert_allclose(info["action_applied"], 0.5, atol=1e-6)


def test_case33bw_gives_what_the_bundled_feeder_gives() -> None:
    shifted = [{**i.model_dump(), "bus": str(int(i.bus) - 1)} for i in VoltVarConfig().inverters]
    ours = idle_step(*make(TASK))
    theirs = idle_step(*make(TASK, network="case33bw", inverters=shifted, line_rating_a=400.0))
    np.testing.assert_allclose(theirs.output.v_pu, ours.output.v_pu, atol=2e-6)


def test_network_with_generators_of_its_own_is_refused() -> None:
    with pytest.raises(ConfigError) as error:
        make(TASK, network="cigre_mv_all", inverters=plants("3"))
    named = ", ".join(f"sgen.{i}" for i in range(10))
    assert str(error.value) == (
        f"task: network 'cigre_mv_all' has generators or storage of its own: {named} and 5 more; allowed: loads only, "
        "as the task has no series for others; set own_generators to 'off', and give plants as `inverters`"
    )


def test_generator_out_of_service_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = two_bus(-500.0)
    table = spec.injections
    sgen = type(table)(
        id=("sgen.0",), bus=("b",), kind=("sgen",), p_kw=floats(400.0), q_kvar=floats(0.0), in_service=np.array([False])
    )
    expected = idle_step(*own_network(monkeypatch, spec))
    got = idle_step(*own_network(monkeypatch, spec.replace(injections=table.joined(sgen))))
    np.testing.assert_allclose(got.output.v_pu, expected.output.v_pu, atol=1e-6)


def test_bus_without_supply_is_not_charged_as_under_voltage(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = two_bus(-500.0)
    dead = spec.replace(buses=BusTable(id=("dead", "a", "b"), vn_kv=floats(10.0, 10.0, 10.0)))
    expected = idle_step(*own_network(monkeypatch, spec))
    got = idle_step(*own_network(monkeypatch, dead))
    assert float(got.output.v_pu[0]) == pytest.approx(0.0, abs=1e-6)
    np.testing.assert_allclose(got.info["cost"], [0.0, 0.0, 0.0])
    assert float(got.info["kpi"]["v_min_pu"]) > 0.99
    assert float(got.info["kpi"]["v_band_share"]) == 0.0
    for name, value in expected.info["kpi"].items():
        assert float(got.info["kpi"][name]) == pytest.approx(float(value), rel=1e-6)


def test_share_of_buses_outside_the_band_is_that_of_the_supplied_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = two_bus(-500.0)
    dead = spec.replace(buses=BusTable(id=("dead", "a", "b"), vn_kv=floats(10.0, 10.0, 10.0)))
    step = idle_step(*own_network(monkeypatch, dead, source_v_pu=1.06))
    v_pu = np.asarray(step.output.v_pu, float)[1:]
    assert np.all(v_pu > 1.05)
    assert float(step.info["kpi"]["v_band_share"]) == 1.0
    assert float(step.info["kpi"]["v_max_pu"]) == pytest.approx(v_pu.max())
    assert float(step.info["cost"][0]) == pytest.approx((v_pu - 1.05).sum() * DT_H, rel=1e-4)


def test_overloaded_transformer_is_charged(monkeypatch: pytest.MonkeyPatch) -> None:
    """One transformer feeds all; with neither iron loss nor magnetising current its sides carry equal currents."""
    s_rated_kva, source_v_pu = 100.0, 1.02
    spec = two_bus(-400.0)
    spec = spec.replace(
        lines=type(spec.lines)(),
        transformers=TransformerTable(
            id=("trafo.0",),
            hv_bus=("a",),
            lv_bus=("b",),
            s_kva=floats(s_rated_kva),
            vn_hv_kv=floats(10.0),
            vn_lv_kv=floats(10.0),
            vk=floats(0.04),
            vkr=floats(0.01),
            loading_base_kva=floats(s_rated_kva),
        ),
        buses=replace(spec.buses, vn_kv=floats(10.0, 10.0)),
    )
    env, params = own_network(monkeypatch, spec, source_v_pu=source_v_pu, load_scale=2.0)
    evening = 13 * 96 + 74
    step = idle_step(env, params, evening)
    s_kva = np.hypot(float(step.output.source_p_kw), float(step.output.source_q_kvar))
    loading = s_kva / source_v_pu / s_rated_kva
    assert loading > 1.5
    np.testing.assert_allclose(step.output.transformer_loading, [loading], rtol=1e-4)
    assert float(step.info["kpi"]["transformer_loading_max"]) == pytest.approx(loading, rel=1e-4)
    assert float(step.info["kpi"]["line_loading_max"]) == 0.0
    assert float(step.info["cost"][1]) == pytest.approx((loading - 1.0) * DT_H, rel=1e-3)


def test_network_without_transformers_has_none_to_load() -> None:
    step = idle_step(*make(TASK))
    assert step.output.transformer_loading.shape == (0,)
    assert float(step.info["kpi"]["transformer_loading_max"]) == 0.0
