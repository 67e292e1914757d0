"""Gymnasium on a rig: backends, steps, loss of control, gaps."""

from contextlib import asynccontextmanager
from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest

import gridenv  # noqa: F401  (registers the ids)
from gridenv.core.errors import ActionError, ConfigError, RunError
from hardware_in_loop import rig_env
from hardware_in_loop.control.checklist import Checklist, Hashes, check_path, write_checklist
from hardware_in_loop.control.clock import MonotonicClock
from hardware_in_loop.control.gap import read_gaps
from hardware_in_loop.control.log import read_log
from hardware_in_loop.control.segments import Layout
from hardware_in_loop.rig_env import RigEnv, ShadowEnv
from tests.hil.plant import ACTIONS, BUSES, UNITS, Plant, channels, settings
from tests.hil.runs import header

TASK = "VoltVar-IEEE33-v0"
HASHES = Hashes(rig="a" * 64, points="b" * 64, bundle="c" * 64)


class RealClock(MonotonicClock):
    """A clock that the plant cannot push; reading takes no time then."""

    time_s = 0.0


@pytest.fixture
def plant(monkeypatch, tmp_path):
    observation, action = channels()
    plant = Plant(RealClock(), base_pu=(1.0, 0.93, 0.94))
    rules = settings(period_s=0.02, policy_period_s=0.06, settle_cycles=2, heartbeat_s=30.0, max_late_cycles=1000)

    @asynccontextmanager
    async def opened(bundle, rig, rigs):
        layout = Layout(observations=observation.names, setpoints=ACTIONS, devices=("meter", *UNITS))
        file = SimpleNamespace(name="bench")
        yield SimpleNamespace(
            link=plant, settings=rules, hashes=HASHES, file=file, layout=layout, stop_file=None, pilot=None
        )

    manifest = SimpleNamespace(task=TASK, observation=observation, action=action, step_s=900.0)
    monkeypatch.setattr(rig_env, "open_session", opened)
    monkeypatch.setattr(rig_env, "run_header", lambda session, mode, now: header(rules, mode))
    monkeypatch.setattr(rig_env, "load_policy", lambda folder: SimpleNamespace(manifest=manifest))
    good = Checklist(rig="bench", bundle="b", hashes=HASHES, utc="", signed_by="A", items=())
    write_checklist(check_path(tmp_path / "checks", "bench", HASHES), good)
    return plant


def make(tmp_path, mode, backend="modbus", **more):
    return gymnasium.make(
        f"gridenv/{TASK}",
        backend=backend,
        rig="bench",
        bundle="b",
        mode=mode,
        checks=tmp_path / "checks",
        folder=tmp_path / "run",
        disable_env_checker=True,
        **more,
    )


def test_active_rig_follows_actions_and_is_left_safe(plant, tmp_path):
    env = make(tmp_path, "active")
    assert isinstance(env.unwrapped, RigEnv)
    observation, info = env.reset()
    assert env.observation_space.contains(observation)
    assert info["state"] == "ACTIVE"
    for _ in range(8):
        observation, reward, terminated, truncated, info = env.step(np.array([0.6, 0.9], np.float32))
    assert plant.setpoint == {ACTIONS[0]: pytest.approx(0.6), ACTIONS[1]: pytest.approx(0.8)}
    assert not terminated
    assert not truncated
    # Hand-worked: all buses end above 0.95 pu, so the cost is zero; at rest it was (0.02 + 0.01) pu for 0.25 h.
    assert reward == -info["cost"][0]
    assert info["action_applied"] == pytest.approx([0.6, 0.8])
    env.close()
    assert plant.setpoint == dict.fromkeys(ACTIONS, 0.0)
    assert env.unwrapped.outcome.text == "safe set-points are confirmed on all channels"
    assert read_log(tmp_path / "run").problems == []


def test_reward_is_the_band_violation_in_pu_hours(plant, tmp_path):
    plant.noise = 0.0
    env = make(tmp_path, "shadow")
    env.reset()
    _, reward, _, _, info = env.step(np.ones(2, np.float32))
    assert reward == pytest.approx(-(0.02 + 0.01) * 0.25, rel=1e-5)
    assert info["cost_names"] == ("v_band",)
    assert plant.log == []
    env.close()
    assert plant.log == []


def test_loss_of_control_truncates_and_reset_asks_for_it_again(plant, tmp_path):
    env = make(tmp_path, "active")
    env.reset()
    plant.local.add("pv.1")
    truncated = False
    for _ in range(20):
        *_, truncated, info = env.step(np.zeros(2, np.float32))
        if truncated:
            break
    assert truncated
    assert info["state"] == "FALLBACK"
    plant.local.clear()
    for _ in range(5):
        env.unwrapped._background.wait_cycles(1, 5.0)
    _, info = env.reset()
    assert info["state"] == "ACTIVE"
    env.close()


def test_what_cannot_be_is_refused(plant, tmp_path):
    with pytest.raises(ConfigError, match=r"VoltVar-IEEE33-v0: unknown backend 'modbuss'; did you mean 'modbus'"):
        gymnasium.make(f"gridenv/{TASK}", backend="modbuss")
    with pytest.raises(ConfigError, match=r"backend 'modbus' needs rig and bundle"):
        gymnasium.make(f"gridenv/{TASK}", backend="modbus")
    with pytest.raises(ConfigError, match=r"backend 'modbus': unknown setting 'split'"):
        make(tmp_path, "shadow", split="test")
    with pytest.raises(ConfigError, match=r"mode is 'on'; allowed: shadow, active"):
        make(tmp_path, "on")
    for file in (tmp_path / "checks").iterdir():
        file.unlink()
    with pytest.raises(RunError, match=r"mode active: no check of rig 'bench'"):
        make(tmp_path, "active")
    env = make(tmp_path, "shadow")
    env.reset()
    with pytest.raises(ActionError, match=r"rig: action is \[nan, 0.0\]; allowed: 2 finite numbers"):
        env.unwrapped.step([np.nan, 0.0])
    with pytest.raises(ConfigError, match=r"rig: reset has the options day; allowed: none"):
        env.reset(options={"day": 1})
    env.close()


class Copy(gymnasium.Env):
    """A simulation that has every bus at 1 pu."""

    observation_space = gymnasium.spaces.Box(-10.0, 10.0, (5,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        return np.zeros(5, np.float32), {}

    def step(self, action):
        return np.zeros(5, np.float32), 1.5, False, False, {}


def test_shadow_runs_both_and_reports_the_gap(plant, tmp_path):
    rig = RigEnv(TASK, rig="bench", bundle="b", checks=tmp_path / "checks", folder=tmp_path / "run")
    env = ShadowEnv(Copy(), rig)
    env.reset()
    for _ in range(3):
        _, reward, _, _, info = env.step(np.zeros(2, np.float32))
    assert reward == 1.5
    assert info["gap"][BUSES[1]] == pytest.approx(-0.07, abs=1e-4)
    assert info["rig"]["state"] == "SHADOW"
    env.close()
    found = {g.channel: g for g in read_gaps(tmp_path / "run")}
    assert found[BUSES[2]].mean == pytest.approx(-0.06, abs=1e-4)
    assert found[BUSES[0]].cycles == 3
