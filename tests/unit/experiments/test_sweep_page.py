"""The page of a sweep, from metrics made by hand."""

import json
from pathlib import Path
from typing import Any

import pytest

from experiments.pages import sweep as sweep_page
from experiments.summary import summarise
from experiments.sweep.folder import Ending, Job, SweepFolder
from tests.unit.experiments.comparisons import check_page
from tests.unit.experiments.test_summary import evaluation

pytest.importorskip("ray.tune", reason="extra ray: values are drawn by Ray Tune")

from tests.unit.experiments.test_sweep_folder import make_sweep


def put(sweep: SweepFolder, job: Job, status: str, *returns_eur: float, error: str = "") -> None:
    """A training that was looked at every 2,400 steps and broke limits for EUR 0.25 a day."""
    run = sweep.begin_run(job)
    rows = [
        {"steps": 2400 * n, "validation/return_eur": value, "validation/economic_eur": value + 0.25}
        for n, value in enumerate(returns_eur, 1)
    ]
    run.metrics_path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    sweep.end(job, Ending(status, error))  # type: ignore[arg-type]


@pytest.fixture
def sweep(tmp_path: Path) -> SweepFolder:
    made = make_sweep(tmp_path, "seeds=[0, 1]")
    for seed in (0, 1):
        put(made, Job("trial-01", seed), "finished", -9.0, -7.0 - seed)
        put(made, Job("trial-02", seed), "stopped", -30.0)
        put(made, Job("trial-03", seed), "finished", -9.0, -4.0 - seed)
    put(made, Job("trial-04", 0), "failed", error="Traceback\n<ValueError>: odd")
    return made


def test_the_page_shows_the_best_trials_and_their_days(
    sweep: SweepFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[list[str], Any, Any]] = []

    def evaluated(folders: list[Path], split: str, against: list[str]) -> tuple[None, Any, None]:
        asked.append((sorted(folder.parent.name for folder in folders), split, against))
        given = evaluation(tmp_path, {0: [-4.0, -6.0], 1: [-5.0, -7.0]}, rule=[-8.0, -12.0], oracle=[-2.0, -3.0])
        return None, summarise(given), None

    monkeypatch.setattr(sweep_page, "evaluate_runs", evaluated)
    page = check_page(sweep_page.write(sweep).read_text(encoding="utf-8"))
    assert asked == [
        (["trial-03"] * 2, "validation", ["rule", "oracle"]),
        (["trial-01"] * 2, "validation", ["rule", "oracle"]),
    ]
    (days,) = page.days()
    assert [c["label"] for c in days["controllers"]] == ["rule", "oracle", "trial-03", "trial-01"]
    assert days["controllers"][2]["return_eur"] == [-4.5, -6.5]
    assert days["first"] == 1
    # Values, learning, settings, return against limits.
    assert len(page.all("svg")) == 4
    assert "2 finished" in page.text
    assert "<small>&lt;ValueError&gt;: odd</small>" in page.text
    assert "gridenv train experiment=voltvar_ieee33_smoke seed=0 agent.learning_rate=" in page.text


def test_a_sweep_in_which_nothing_was_measured_has_a_page_too(tmp_path: Path) -> None:
    made = make_sweep(tmp_path)
    put(made, Job("trial-01", 0), "failed", error="odd")
    page = check_page(sweep_page.page(made))
    assert page.days() == []
    assert page.all("svg") == []
