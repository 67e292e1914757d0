"""Commands about tasks, as a user types them."""

import json

import numpy as np
from PIL import Image
from typer.testing import CliRunner

from experiments.cli import app

TASK = "VoltVar-IEEE33-v0"


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_evaluate_scores_a_task_with_its_references_and_writes_table_and_json(tmp_path):
    table = tmp_path / "table.md"
    done = run(
        "evaluate", TASK, "--against", "none,rule", "--split", "validation", "--markdown", table, "--out", tmp_path
    )
    assert done.exit_code == 0, done.output
    written = json.loads((tmp_path / f"{TASK}-validation.json").read_text())
    returns = {name: c["return_eur"]["mean"] for name, c in written["controllers"].items()}
    assert returns["none"] < returns["rule"] < 0.0
    assert set(written["controllers"]["rule"]["cost"]) == {"v_band", "thermal", "pf_fail"}
    lines = table.read_text().splitlines()
    assert [line.split(" | ")[:2] for line in lines[2:]] == [[f"| {TASK}", "none"], [f"| {TASK}", "rule"]]


def test_evaluate_refuses_tasks_and_runs_together(tmp_path):
    done = run("evaluate", TASK, tmp_path)
    assert "tasks and runs together" in str(done.exception)


def test_movie_draws_every_step_of_a_day(tmp_path):
    file = tmp_path / "day.gif"
    done = run("movie", TASK, file, "--controller", "none", "--fps", "20")
    assert done.exit_code == 0, done.output
    with Image.open(file) as picture:
        assert picture.n_frames == 97
        first = np.asarray(picture.convert("RGB"))
    assert first.shape == (540, 960, 3)
    assert first.std() > 5.0


def test_movie_draws_one_moment_into_a_png(tmp_path):
    file = tmp_path / "moment.png"
    done = run("movie", TASK, file, "--controller", "none", "--hour", "0.5")
    assert done.exit_code == 0, done.output
    with Image.open(file) as picture:
        assert picture.size == (960, 540)
    refused = run("movie", TASK, file, "--hour", "24.5")
    assert "hour is 24.5; allowed: 0 to 24" in str(refused.exception)
    refused = run("movie", TASK, tmp_path / "none" / "moment.png")
    assert "there is no folder" in str(refused.exception)
