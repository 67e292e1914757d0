"""The search for schedules that pay more than they should."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("cma", reason="the search needs the extra bench")

from agents.optimal_schedule import OptimalSchedule
from experiments import audit
from experiments.audit import DayAudit, Finding
from experiments.cli import app
from gridenv.core.errors import ConfigError


def finding(**changes):
    honest = Finding(
        search="random", evaluations=10, best_eur=-5.0, failed=0, best_failed_eur=-np.inf, residual_pu=1e-7
    )
    return replace(honest, **changes)


def day(*findings):
    references = {"none": -10.0, "rule": -4.0, "oracle": -3.0}
    return DayAudit(task="T", start=96, references=references, findings=findings)


def test_what_pays_more_than_the_oracle_is_reported():
    assert day(finding()).problems == []
    assert day(finding(best_eur=-3.0)).problems == []
    (problem,) = day(finding(), finding(best_eur=-2.9)).problems
    assert "-2.900 EUR is above the oracle's -3.000" in problem


def test_a_failed_power_flow_that_pays_is_reported():
    assert day(finding(failed=3, best_failed_eur=-900.0)).problems == []
    (problem,) = day(finding(failed=3, best_failed_eur=-9.0)).problems
    assert "failed power flow" in problem


def test_results_are_valid_json():
    assert json.loads(json.dumps(day(finding()).to_json(), allow_nan=False))["findings"][0]["best_failed_eur"] is None


def test_the_table_has_a_row_for_each_day_and_a_cell_for_each_column():
    lines = audit.markdown([day(finding()), day(finding(failed=2))]).splitlines()
    assert len(lines) == 4
    assert {line.count("|") for line in lines} == {len(audit.columns([day(finding())])) + 1}
    assert lines[0].startswith("| task | from step | none | rule | oracle | best of random |")
    assert lines[3].endswith("| 10 | 2 |")


@pytest.mark.parametrize(("best_eur", "exit_code"), [(-5.0, 0), (-2.9, 1)])
def test_the_command_writes_table_and_json_and_fails_where_something_is_suspicious(
    monkeypatch, tmp_path, best_eur, exit_code
):
    monkeypatch.setattr(audit, "audit", lambda *settings: [day(finding(best_eur=best_eur))])
    table = tmp_path / "table.md"
    done = CliRunner().invoke(app, ["audit", "T", "--out", str(tmp_path / "out"), "--markdown", str(table)])
    assert done.exit_code == exit_code, done.output
    assert ("suspicious" in done.output) == bool(exit_code)
    assert table.read_text() == audit.markdown([day(finding(best_eur=best_eur))])
    (written,) = json.loads((tmp_path / "out" / "T-test.json").read_text())
    assert written["findings"][0]["best_eur"] == best_eur


def test_random_schedules_hold_their_values_and_stay_in_the_range():
    schedules = audit._random_schedules(np.random.default_rng(0), 96, 3)
    assert schedules.shape == (96, audit.BATCH, 3)
    assert schedules.dtype == np.float32
    assert np.abs(schedules).max() <= 1.0
    changes = np.sum(np.any(np.diff(schedules, axis=0) != 0, axis=-1), axis=0)
    assert set(np.unique(changes)) >= {0, 95}


@pytest.mark.parametrize("settings", [{"days": 0}, {"days": 1000}, {"evaluations": 10}, {"split": "tomorrow"}])
def test_settings_that_cannot_be_searched_are_refused(settings):
    asked = {"split": "test", "days": 1, "evaluations": 5000, "seed": 0} | settings
    with pytest.raises(ConfigError, match=str(next(iter(settings.values())))):
        audit.audit("Storage-IEEE33-v0", **asked)


@pytest.mark.slow
def test_the_search_improves_on_nothing_and_stays_below_the_oracle(monkeypatch):
    monkeypatch.setattr("agents.oracle.OptimalSchedule", partial(OptimalSchedule, rounds=30, trials=5))
    monkeypatch.setattr(audit, "BATCH", 100)
    monkeypatch.setattr(audit, "POPULATION", 20)
    (found,) = audit.audit("Storage-IEEE33-v0", split="test", days=1, evaluations=800, seed=0)
    assert found.problems == []
    assert found.references["oracle"] > found.references["rule"]
    assert [f.search for f in found.findings] == ["random", "CMA-ES from the middle", "CMA-ES from the rule"]
    assert all(f.evaluations >= 200 and f.failed == 0 and f.residual_pu < 1e-5 for f in found.findings)
    assert found.findings[2].best_eur > found.references["none"]
