"""Where rows go: the file, TensorBoard's events, and what happens without wandb."""

import struct
from pathlib import Path
from typing import Any

import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog

from experiments import tracking
from experiments.config import compose
from experiments.run import Run, create_run
from experiments.tracking import event_files, wandb_run
from experiments.tracking.json_lines import JsonLines
from gridenv.core.errors import ConfigError, MissingExtraError

SMOKE = "experiment=voltvar_ieee33_smoke"


def row(update: int) -> dict[str, Any]:
    return {"update": update, "steps": 96 * update, "validation/score": 0.5 / update, "time_s": 0.25 * update}


def make_run(folder: Path, *overrides: str) -> Run:
    return create_run(compose([SMOKE, *overrides]), 0, folder)


def events(run: Run) -> list[Event]:
    """All events of the single event file, in the record format of TFRecord."""
    (file,) = (run.folder / event_files.FOLDER).iterdir()
    data, at, found = file.read_bytes(), 0, []
    while at < len(data):
        (length,) = struct.unpack("<Q", data[at : at + 8])
        found.append(Event.FromString(data[at + 12 : at + 12 + length]))
        at += length + 16
    return found


def shown(run: Run) -> list[dict[str, float]]:
    return [
        {"steps": e.step} | {v.tag: v.simple_value for v in e.summary.value} for e in events(run) if e.summary.value
    ]


def test_rows_go_to_the_file_and_to_tensorboard_on_the_axis_of_environment_steps(tmp_path: Path) -> None:
    run = make_run(tmp_path, "wandb.mode=disabled")
    with tracking.tracked([(run, ())]) as (tracker,):
        for update in (1, 2, 3):
            tracker.write(row(update))
            # Others may look while training goes on.
            assert run.metrics()[-1] == row(update)
        assert shown(run) == [pytest.approx(row(update)) for update in (1, 2, 3)]
    assert not (run.folder / "wandb").exists()


def test_a_run_that_goes_on_shows_no_update_twice(tmp_path: Path) -> None:
    run = make_run(tmp_path, "wandb.mode=disabled")
    with tracking.tracked([(run, ())]) as (tracker,):
        for update in (1, 2, 3, 4):
            tracker.write(row(update))
    with tracking.tracked([(run, run.cut_metrics(2))]) as (tracker,):
        tracker.write(row(3))
    assert [r["update"] for r in run.metrics()] == [1, 2, 3]
    assert [r["update"] for r in shown(run)] == [1, 2, 3]
    _, begun, *rows = events(run)
    assert (begun.step, begun.session_log.status) == (0, SessionLog.START)
    # Rows from before are as far apart as they were measured.
    assert rows[1].wall_time - rows[0].wall_time == pytest.approx(0.25)


def test_sinks_are_closed_and_told_when_training_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed, close = [], JsonLines.close

    def noted(self: JsonLines, failed: bool) -> None:
        closed.append(failed)
        close(self, failed)

    monkeypatch.setattr(JsonLines, "close", noted)
    runs = [(make_run(tmp_path, "wandb.mode=disabled"), ()) for _ in range(2)]
    with pytest.raises(KeyboardInterrupt), tracking.tracked(runs):
        raise KeyboardInterrupt
    assert closed == [True, True]


@pytest.fixture
def without_wandb(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = wandb_run.importlib.util.find_spec
    monkeypatch.setattr(
        wandb_run.importlib.util, "find_spec", lambda name: None if name == "wandb" else find_spec(name)
    )


@pytest.mark.usefixtures("without_wandb")
def test_without_wandb_one_line_says_how_to_get_it_and_all_else_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path)
    tracking.prepare(run.config)
    (line,) = capsys.readouterr().err.splitlines()
    assert 'pip install "gridenv[wandb]"' in line
    assert "wandb.mode=disabled" in line
    with tracking.tracked([(run, ())]) as (tracker,):
        tracker.write(row(1))
    assert run.metrics() == [row(1)]
    (run.folder / "wandb").mkdir()
    tracking.publish([run])
    assert not list((run.folder / "wandb").iterdir())


@pytest.mark.usefixtures("without_wandb")
def test_without_wandb_online_is_refused_and_disabled_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    tracking.prepare(compose([SMOKE, "wandb.mode=disabled"]))
    assert capsys.readouterr().err == ""
    with pytest.raises(MissingExtraError, match=r"wandb.mode = 'online': .*not installed; pip install \"gridenv"):
        tracking.prepare(compose([SMOKE, "wandb.mode=online"]))


def test_the_mode_is_checked_and_no_part_of_what_identifies_an_experiment() -> None:
    assert compose([SMOKE]).run.wandb.mode == "offline"
    assert compose([SMOKE, "wandb.mode=online", "wandb.project=mine"]).hash == compose([SMOKE]).hash
    with pytest.raises(ConfigError, match=r"wandb.mode = 'later'; must be 'offline', 'online' or 'disabled'"):
        compose([SMOKE, "wandb.mode=later"])
    with pytest.raises(ConfigError, match=r"unknown key 'wandb.mod'"):
        compose([SMOKE, "wandb.mod=online"])
