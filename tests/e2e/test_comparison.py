"""`gridenv compare` from configuration to table."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from experiments.comparison import fitting_references
from experiments.comparison_config import ComparisonConfig, read_comparison
from experiments.config import compose
from experiments.run import open_run
from gridenv.core.errors import ConfigError
from tests.e2e.test_cli import gridenv
from tests.unit.experiments.comparisons import check_page

EXPERIMENT = "voltvar_ieee33_smoke"


def compare(folder: Path) -> None:
    done = gridenv(folder, "compare", "comparison=smoke")
    assert done.returncode == 0, done.stderr


def test_a_comparison_trains_what_is_missing_and_nothing_twice(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    folder = tmp_path / "work" / "runs" / "comparisons" / "smoke"
    compare(tmp_path / "work")
    results = json.loads((folder / "comparison.json").read_text())
    (entry,) = results["entries"]
    assert entry["evaluation"]["seeds"] == [0, 1]
    assert set(entry["evaluation"]["controllers"]) == {"ppo", "none", "rule"}
    assert entry["steps"] == 9600
    table = (folder / "comparison.md").read_text()
    assert [line.split(" | ")[1] for line in table.splitlines()[2:]] == ["none", "rule", "ppo"]
    page = check_page((folder / "report.html").read_text(encoding="utf-8"))
    (days,) = page.days()
    measured = entry["evaluation"]["controllers"]["rule"]
    shown = next(c for c in days["controllers"] if c["label"] == "rule")
    assert np.mean(shown["return_eur"]) == pytest.approx(measured["return_eur"]["mean"], rel=1e-4)
    assert entry["made_with"]["packages"]["numpy"] == [np.__version__]
    first, second = sorted((folder / EXPERIMENT).glob("*-seed*"))
    kept, written = open_run(first), open_run(first).metrics_path.stat().st_mtime_ns
    shutil.rmtree(second)
    compare(tmp_path / "work")
    runs = [open_run(path) for path in sorted((folder / EXPERIMENT).glob("*-seed*"))]
    assert runs[0].folder == first
    assert kept.metrics_path.stat().st_mtime_ns == written
    assert {run.seed for run in runs} == {0, 1}
    assert all(run.is_finished for run in runs)


def test_a_reference_that_does_not_fit_a_task_is_left_out_there(capsys: pytest.CaptureFixture[str]) -> None:
    config = ComparisonConfig(experiments=("demandresponse_simbenchlv",), references=("mpc",))
    assert fitting_references(compose(["experiment=demandresponse_simbenchlv"]), config) == []
    assert "left out: optimal power: DemandResponse-SimBenchLV-v0 has no units that fit" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], r"comparison: none is named; write comparison=NAME with one of: .*smoke"),
        (["comparison=smok"], r"unknown comparison 'smok'; did you mean 'smoke'"),
        (["comparison=nowhere.yaml"], r"comparison 'nowhere.yaml': no such file"),
        (["comparison=smoke", "split=tset"], r"split.*must be one of"),
        (["comparison=smoke", "experiments=[voltvar]"], r"unknown experiment 'voltvar'"),
        (["comparison=smoke", "references=[mpcc]"], r"unknown reference controller 'mpcc'"),
        (["comparison=smoke", "seed=3"], r"seed.*did you mean 'seeds'"),
    ],
)
def test_wrong_settings_are_named(texts: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_comparison(texts)
