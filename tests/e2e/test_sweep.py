"""Sweeps as a user has them: processes that are killed, go on, and run on a cluster of two nodes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from experiments import cli
from experiments.sweep.folder import Job, SweepFolder, open_sweep
from tests.proxy import recording_proxy

pytest.importorskip("ray.tune", reason="needs the extra gridenv[ray]")
ROOT = Path(__file__).parents[2]
N_UPDATE = 500
"""Of a training; it is looked at every 25 updates and saved every 10. Fewer are over before a signal arrives."""
SWEEP = ("sweep", "sweep=voltvar_smoke", f"settings.agent.total_steps={96 * N_UPDATE}")
ALONE = ("unshare", "--map-root-user", "--net")


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[str], dict[str, str]]]:
    """What was asked for through a proxy, and the environment of all processes."""
    with recording_proxy() as (urls, proxy):
        cache = {"GRIDENV_CACHE_DIR": str(tmp_path_factory.mktemp("cache")), "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
        yield urls, {**os.environ, **cache, **proxy}


def start(folder: Path, environment: dict[str, str], *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "gridenv", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def gridenv(folder: Path, environment: dict[str, str], *arguments: str) -> str:
    """What a command printed."""
    process = start(folder, environment, *arguments)
    out, err = process.communicate(timeout=900)
    assert process.returncode == 0, err
    return out


def states(sweep: SweepFolder) -> dict[Job, str]:
    return {job: sweep.ending(job).status for job in sweep.jobs}


def saved_update(sweep: SweepFolder, job: Job) -> int:
    """The update of the last checkpoint; 0 before the first."""
    run = sweep.run(job)
    checkpoints = [] if run is None else run.checkpoints()
    return checkpoints[-1][0] if checkpoints else 0


def stop_half_way(folder: Path, environment: dict[str, str], number: signal.Signals) -> tuple[SweepFolder, int]:
    """A sweep whose driver got a signal when half of the trainings were done and another was under way.

    Two trainings run side by side and may end together, so one that is almost over does not count.
    """
    process = start(folder, environment, *SWEEP, "ray.cpus=2")
    deadline = time.monotonic() + 600
    while process.poll() is None and time.monotonic() < deadline:
        found = list(folder.glob("runs/sweeps/*/*/sweep.yaml"))
        if found:
            sweep = open_sweep(found[0].parent)
            of_all = states(sweep)
            saved = [saved_update(sweep, job) for job, status in of_all.items() if status == "unfinished"]
            if list(of_all.values()).count("finished") >= 3 and any(0 < update <= N_UPDATE // 2 for update in saved):
                process.send_signal(number)
                break
        time.sleep(0.2)
    _, err = process.communicate(timeout=120)
    assert found, err
    return open_sweep(found[0].parent), process.returncode


def content(sweep: SweepFolder, job: Job) -> bytes:
    run = sweep.run(job)
    return b"" if run is None else run.metrics_path.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, cli.INTERRUPTED)])
def test_a_sweep_that_is_cut_half_way_goes_on_and_every_trial_is_trained_once(
    tmp_path: Path, asked: tuple[list[str], dict[str, str]], number: signal.Signals, code: int
) -> None:
    urls, environment = asked
    sweep, returned = stop_half_way(tmp_path, environment, number)
    assert returned == code
    # What Ray's processes still do when their driver is gone is over within seconds.
    for job in sweep.jobs:
        if sweep.run(job) is not None:
            with sweep.training(job, wait_s=60.0):
                pass
    before = {job: content(sweep, job) for job in sweep.jobs}
    done = [job for job, status in states(sweep).items() if status == "finished"]
    assert 3 <= len(done) < 8
    saved = {job: saved_update(sweep, job) for job in sweep.jobs}
    assert any(update > 0 for job, update in saved.items() if job not in done)

    out = gridenv(tmp_path, environment, "sweep", "--resume", str(sweep.folder))
    assert out.count("finished") == 8
    for job in sweep.jobs:
        run = sweep.run(job)
        assert run is not None
        assert [path.name for path in sorted((sweep.folder / job.trial).glob("*-seed0"))] == [run.folder.name]
        assert [row["update"] for row in run.metrics()] == list(range(1, N_UPDATE + 1))
        assert run.is_finished
        lines = before[job].splitlines()[: N_UPDATE if job in done else saved[job]]
        # Times are in the rows, so that a row made again would differ.
        assert content(sweep, job).splitlines()[: len(lines)] == lines
    written = json.loads((sweep.folder / "sweep.json").read_text())
    assert [trial["status"] for trial in written["trials"]] == ["finished"] * 8
    values = [trial["value"] for trial in written["trials"]]
    assert values == sorted(values, reverse=True)
    assert urls == []


def can_have_a_network_of_its_own() -> bool:
    try:
        return subprocess.run([*ALONE, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not can_have_a_network_of_its_own(), reason="needs network namespaces, which Linux may forbid")
def test_the_same_sweep_runs_on_a_cluster_of_two_nodes(tmp_path: Path, asked: tuple[list[str], dict[str, str]]) -> None:
    _, environment = asked
    command = [sys.executable, "-m", "gridenv", *SWEEP, "samples=1"]
    # The proxy is not there.
    without = {name: value for name, value in environment.items() if not name.endswith("_proxy")}
    done = subprocess.run(
        [*ALONE, sys.executable, str(ROOT / "tests" / "e2e" / "two_nodes.py"), str(tmp_path), *command],
        cwd=tmp_path,
        env=without,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("finished") == 2
    (file,) = tmp_path.glob("runs/sweeps/voltvar_smoke/*/sweep.json")
    written = json.loads(file.read_text())
    assert [trial["status"] for trial in written["trials"]] == ["finished"] * 2
    # Each node has room for one training, and the two trainings overlapped.
    begun = [path.stat().st_mtime for path in file.parent.glob("trial-*/*-seed0/versions.json")]
    ended = [path.stat().st_mtime for path in file.parent.glob("trial-*/seed0.json")]
    assert max(begun) < min(ended)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sweep=voltvar_smok"], "unknown sweep 'voltvar_smok'; did you mean 'voltvar_smoke'?"),
        (["samples=2", "--resume", "x"], "sweep: --resume takes the settings of the sweep; drop samples=2"),
        (["--resume", "x"], "sweep 'x': no such folder; `ls -d runs/sweeps/*/*` shows the sweeps"),
    ],
)
def test_what_is_wrong_with_the_command_is_one_line(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["gridenv", "sweep", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    assert capsys.readouterr().err == f"error: {message}\n"
