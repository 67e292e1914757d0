"""Evaluations that are shared out: how they are asked for, and that they give the results of one process."""

import dataclasses
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from agents.rules import DoNothing
from experiments import fan_out, references
from experiments.fan_out import Job, ray_settings, spread
from experiments.rollout import EpisodeResults, run_episodes
from gridenv.adapters.ray_settings import RaySettings
from gridenv.core.errors import ConfigError
from gridenv.tasks import registry
from tests.own_tasks import ID, forgotten, write_own_task

TASK = "VoltVar-IEEE33-v0"


def test_settings_of_ray_stand_among_the_folders_as_in_a_sweep() -> None:
    folders, settings = ray_settings([Path("runs/a"), Path("ray.cpus=2"), Path("ray.address=127.0.0.1:6379")])
    assert folders == [Path("runs/a")]
    assert settings == RaySettings(cpus=2, address="127.0.0.1:6379")
    assert ray_settings([Path("runs/a"), Path("runs/ray.x")]) == ([Path("runs/a"), Path("runs/ray.x")], None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ray.cpu=2", "evaluate: unknown key 'ray.cpu' (override 'ray.cpu=2'); did you mean 'cpus'?"),
        ("ray.cpus=0", "evaluate: ray.cpus = 0; must be greater than 0 (override 'ray.cpus=0')"),
        ("ray.address=here", "evaluate: ray.address = 'here'; must be HOST:PORT, such as 127.0.0.1:6379"),
    ],
)
def test_wrong_settings_of_ray_are_one_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        ray_settings([Path("runs/a"), Path(text)])
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(message.partition(";")[0])


def results(value: float) -> EpisodeResults:
    return EpisodeResults(**{f.name: np.full(3, value) for f in dataclasses.fields(EpisodeResults)})


def job(controller: str) -> Job:
    task = registry.config_class(TASK)(split="test")
    return Job(task_id=TASK, task=task, controller=controller)


def test_kept_references_are_not_computed_again_and_new_ones_are_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GRIDENV_CACHE_DIR", str(tmp_path))
    asked = []

    def computed(jobs: dict[int, Job], settings: RaySettings) -> dict[int, EpisodeResults]:
        asked.append([each.controller for each in jobs.values()])
        return {i: results(float(i)) for i in jobs}

    monkeypatch.setattr(fan_out, "_computed", computed)
    none, rule = job("none"), job("rule")
    references.keep(TASK, none.task, "test", "none", results(7.0))
    found = spread([rule, none], RaySettings())
    assert [each.return_eur[0] for each in found] == [0.0, 7.0]
    assert asked == [["rule"]]
    assert [each.return_eur[0] for each in spread([none, rule], RaySettings())] == [7.0, 0.0]
    assert asked == [["rule"]]


@pytest.mark.slow
def test_a_controller_that_refuses_ends_all_with_its_own_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ray = pytest.importorskip("ray", reason="extra ray")
    monkeypatch.setenv("GRIDENV_CACHE_DIR", str(tmp_path))
    with pytest.raises(ConfigError, match="unknown reference controller 'ruler'; did you mean 'rule'"):
        spread([job("ruler")], RaySettings(cpus=1))
    assert not ray.is_initialized()


def test_a_job_in_a_process_of_its_own_is_the_rollout_of_this_one() -> None:
    task = registry.config_class(TASK)(split="test", steps_per_episode=4)
    env, params = registry.build(TASK, task)
    found = fan_out._run_sent(Job(task_id=TASK, task=task, controller="none").sent())
    expected = run_episodes(env, params, DoNothing(env))
    for field in dataclasses.fields(EpisodeResults):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(expected, field.name))


@pytest.mark.parametrize("task_id", registry.TASKS)
def test_settings_that_travel_arrive_as_they_are(task_id: str) -> None:
    kind = registry.config_class(task_id)
    given = kind(split="test", load_scale=0.1 + 0.2).model_copy(update={"split": "validation"})
    sent = pickle.loads(pickle.dumps(Job(task_id=task_id, task=given, controller="none").sent()))
    assert registry.config_class(sent.task_id).model_validate_json(sent.settings) == given


ELSEWHERE = """
import pickle, sys
from experiments import fan_out
found = fan_out._run_sent(pickle.load(sys.stdin.buffer))
print(found.return_eur.tolist())
"""


def test_a_task_of_a_users_file_runs_in_a_process_that_starts_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GRIDENV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    write_own_task()
    with forgotten():
        name, task = registry.settings_of(f"tasks.py:{ID}", {"split": "test"})
        sent = pickle.dumps(Job(task_id=name, task=task, controller="none").sent())
        env, params = registry.build(name, task)
        expected = run_episodes(env, params, DoNothing(env))
    (tmp_path / "elsewhere").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE],
        input=sent,
        cwd=tmp_path / "elsewhere",
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout) == expected.return_eur.tolist()
