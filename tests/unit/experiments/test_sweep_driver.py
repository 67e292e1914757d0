"""Driving sweeps on a Ray that runs already: refusals before any training, and trainings that fail."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gridenv.core.errors import ConfigError, RunError

pytest.importorskip("ray.tune", reason="needs the extra gridenv[ray]")

from experiments.sweep import driver
from experiments.sweep.config import compose_sweep
from experiments.sweep.driver import SweepStoppedError
from experiments.sweep.folder import Ending, SweepFolder
from gridenv.adapters.ray_local import quiet_ray
from tests.own_tasks import ID, forgotten, write_own_task

TINY = [
    "sweep=voltvar_smoke",
    "samples=1",
    "settings.agent.total_steps=576",
    "settings.evaluation={every_updates: 2, against: []}",
    "search.agent.gamma.grid=[0.5]",
]
HOPELESS = "1.0e+30"
"""Learning rate with which every training diverges."""


@pytest.fixture(scope="module")
def local_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with quiet_ray(tmp_path_factory.mktemp("home"), num_cpus=1, log_to_driver=False):
        yield


@pytest.fixture(autouse=True)
def _on_the_ray_that_runs(local_ray: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "ray_session", lambda settings: contextlib.nullcontext())


def test_what_ray_does_not_have_is_refused(tmp_path: Path) -> None:
    sweep = driver.begin(compose_sweep([*TINY, "resources.cpus=3"]), tmp_path)
    with pytest.raises(
        ConfigError, match=r"resources.cpus = 3; allowed: up to 1, what the largest machine .* has; low"
    ):
        driver.drive(sweep)
    assert not list(sweep.folder.glob("trial-*"))


def test_a_metric_that_evaluations_do_not_have_is_refused(tmp_path: Path) -> None:
    sweep = driver.begin(compose_sweep([*TINY, "metric=validation/return"]), tmp_path)
    with pytest.raises(ConfigError, match=r"metric = 'validation/return'; .* did you mean 'validation/return_eur'\?"):
        driver.drive(sweep)
    assert not list(sweep.folder.glob("trial-*"))


def test_a_training_that_fails_is_kept_apart_and_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "two.yaml"
    path.write_text(
        "experiment: voltvar_ieee33_smoke\nmetric: validation/return_eur\n"
        f"search: {{agent: {{learning_rate: {{grid: [{HOPELESS}, 1.0e-3]}}}}}}\n"
    )
    sweep = driver.begin(compose_sweep([f"sweep={path}", *TINY[1:4]]), tmp_path)
    results = driver.drive(sweep)
    assert [r.trial.name for r in results] == ["trial-02", "trial-01"]
    assert [r.status for r in results] == ["finished", "failed"]
    finished = results[0].runs[0]
    assert finished.folder is not None
    lines = (finished.folder / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["update"] for line in lines] == [1, 2, 3, 4, 5, 6]
    written = json.loads((sweep.folder / "sweep.json").read_text())
    assert "training has diverged" in written["trials"][1]["runs"][0]["error"]

    before = (finished.folder / "metrics.jsonl").stat().st_mtime_ns
    assert [r.status for r in driver.drive(sweep)] == ["finished", "failed"]
    assert (finished.folder / "metrics.jsonl").stat().st_mtime_ns == before
    assert len(list((sweep.folder / "trial-01").glob("*-seed0"))) == 1


@pytest.mark.slow
def test_tasks_and_networks_of_relative_files_are_found_by_the_processes_of_a_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_own_task()
    Path("two.yaml").write_text(
        f"experiment: voltvar_ieee33_smoke\nsettings: {{task: {{id: 'tasks.py:{ID}'}}}}\n"
        "metric: validation/return_eur\nsearch: {agent: {gamma: {grid: [0.5]}}}\n"
    )
    with forgotten():
        sweep = driver.begin(compose_sweep(["sweep=two.yaml", *TINY[1:4]]), tmp_path)
        assert [r.status for r in driver.drive(sweep)] == ["finished"]


@pytest.mark.parametrize(
    ("error", "expected", "message"),
    [
        ("", SweepStoppedError, r"stopped; go on with: gridenv sweep --resume .*/sweeps/voltvar_smoke/"),
        ("a reason\nthe last line", RunError, r"sweep '.*': all trainings failed, one of them so: the last line"),
    ],
)
def test_a_sweep_without_a_result_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str, expected: type[Exception], message: str
) -> None:
    def tune(sweep: SweepFolder) -> None:
        for job in sweep.jobs if error else ():
            sweep.end(job, Ending("failed", error))

    monkeypatch.setattr(driver, "_check", lambda sweep: None)
    monkeypatch.setattr(driver, "_tune", tune)
    sweep = driver.begin(compose_sweep(TINY), tmp_path)
    with pytest.raises(expected, match=message):
        driver.drive(sweep)
    assert (sweep.folder / "sweep.json").is_file()
