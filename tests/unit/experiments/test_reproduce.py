"""Comparing a run with its repetition, on rows made by hand; whole repetitions are in tests/e2e."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from experiments import reproduce
from experiments.config import compose
from experiments.reproduce import Comparison, differences
from experiments.run import Run, create_run
from gridenv.core.errors import RunError


def run_with(folder: Path, losses: list[float], **versions: Any) -> Run:
    run = create_run(compose(["experiment=voltvar_ieee33_smoke"]), 0, folder)
    rows = [{"update": i, "steps": 96 * i, "loss": x, "kl": 1.0, "time_s": 0.1} for i, x in enumerate(losses, 1)]
    run.metrics_path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run.versions.update(versions)
    return run


def compared(run: Run, again: Run, evaluation: Any = None) -> Comparison:
    return reproduce._compare(run, again, run.metrics(), evaluation)


def test_equal_rows_are_identical_whatever_time_they_took(tmp_path: Path) -> None:
    run, again = run_with(tmp_path, [0.5, 0.25]), run_with(tmp_path, [0.5, 0.25])
    again.metrics_path.write_text(again.metrics_path.read_text().replace('"time_s": 0.1', '"time_s": 7.0'))
    found = compared(run, again)
    assert found.is_identical
    assert found.versions == ()
    assert found.lines() == [f"identical: 2 updates of 2 metrics ({again})"]
    assert compared(run, again, ()).lines() == [f"identical: 2 updates of 2 metrics, evaluation.json ({again})"]


def test_the_first_update_that_differs_is_named_with_both_values_and_what_may_explain_it(tmp_path: Path) -> None:
    run = run_with(tmp_path, [0.5, 0.25, 0.125], python="3.11.0")
    again = run_with(tmp_path, [0.5, 0.2, 0.1], python="3.12.0")
    found = compared(run, again)
    assert not found.is_identical
    assert found.lines() == [
        f"differs: 2 of 3 updates ({again})",
        "  first at update 2:",
        "    loss: recorded 0.25, again 0.2 (relative 2.0e-01)",
        "  made with:",
        "    python: recorded 3.11.0, again 3.12.0",
    ]


def test_rows_and_metrics_that_are_missing_differ(tmp_path: Path) -> None:
    run, again = run_with(tmp_path, [0.5, 0.25]), run_with(tmp_path, [0.5])
    found = compared(run, again)
    assert (found.first_update, found.differing_updates) == (2, 1)
    assert {d.name: d.again for d in found.rows} == dict.fromkeys(("update", "steps", "loss", "kl"), "absent")
    assert "the program itself is not deterministic" in found.lines()[-1]


def test_an_evaluation_that_differs_is_a_difference_and_long_lists_are_cut(tmp_path: Path) -> None:
    run = run_with(tmp_path, [0.5])
    recorded, again = ({"controllers": {f"c{i}": {"score": i + shift} for i in range(11)}} for shift in (0.0, 0.5))
    found = compared(run, run_with(tmp_path, [0.5]), tuple(differences(recorded, again)))
    assert not found.is_identical
    assert found.lines()[2] == "    controllers.c0.score: recorded 0.0, again 0.5 (relative 1.0e+00)"
    assert found.lines()[-2] == "    and 3 more"


def test_of_lists_the_first_value_that_differs_is_shown_and_long_values_are_cut() -> None:
    days = [float(i) for i in range(65)]
    again = [*days[:3], 3.5, *days[4:9], 10.0, *days[10:]]
    assert [str(each) for each in differences({"a": {"eur": days}}, {"a": {"eur": again}})] == [
        "a.eur[3]: recorded 3.0, again 3.5 (relative 1.4e-01), and 1 more of this list"
    ]
    assert not list(differences({"a": [float("nan"), [1]]}, {"a": [float("nan"), [1]]}))
    (cut,) = differences({"a": days}, {"a": days[:2]})
    assert str(cut).startswith("a: recorded [0.0, 1.0, 2.0, ")
    assert str(cut).endswith("..., again [0.0, 1.0]")
    assert len(str(cut)) < 120


def test_nan_is_equal_to_nan_only() -> None:
    nan = float("nan")
    assert not list(differences({"a": nan}, {"a": nan}))
    assert [d.name for d in differences({"a": nan, "b": {"c": 1}}, {"a": 0.0, "b": {"c": 2}})] == ["a", "b.c"]


def test_a_run_without_metrics_and_one_of_another_version_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"has no metrics yet; allowed: at least one update; train it first"):
        reproduce.reproduce(create_run(compose(["experiment=voltvar_ieee33_smoke"]), 0, tmp_path).folder, tmp_path)
    run = run_with(tmp_path, [0.5])
    config = run.folder / "config.yaml"
    config.write_text(re.sub(r"  clip: ", "  clip_range: ", config.read_text()))
    with pytest.raises(RunError, match=r"not one of this version: .*'agent.clip_range'.*made with gridenv 0") as error:
        reproduce.reproduce(run.folder, tmp_path)
    assert "\n" not in str(error.value)


def test_what_a_later_version_adds_to_an_evaluation_is_no_difference() -> None:
    found = differences({"mean": 1.0, "gone": 2.0}, {"mean": 1.5, "added": 3.0})
    assert [each.name for each in reproduce._of_recorded(found)] == ["mean", "gone"]
