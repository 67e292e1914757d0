"""What an evaluation says, on results made by hand."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from experiments import selection
from experiments.config import compose
from experiments.evaluate import Evaluation
from experiments.provenance import episodes_hash
from experiments.rollout import EpisodeResults
from experiments.run import create_run
from experiments.selection import Side
from experiments.summary import summarise
from gridenv.exogenous.timebase import STEPS_PER_DAY

COSTS = ("v_band", "thermal", "pf_fail")


def results(return_eur: list[float], v_pu: float = 1.0, days: list[int] | None = None) -> EpisodeResults:
    n = len(return_eur)
    flat = np.zeros(n)
    return EpisodeResults(
        start=np.array(days or range(n)) * STEPS_PER_DAY,
        return_eur=np.array(return_eur),
        economic_eur=np.array(return_eur),
        cost=np.zeros((n, len(COSTS))),
        loss_kwh=flat + 100.0,
        v_band_share=flat,
        v_min_pu=flat + v_pu,
        v_max_pu=flat + v_pu,
        v_pu=np.full((n, 4, 2), v_pu, np.float32),
    )


def evaluation(tmp_path: Path, seeds: dict[int, list[float]], **references: list[float]) -> Evaluation:
    config = compose(["experiment=voltvar_ieee33_smoke"])
    env: Any = SimpleNamespace(cost_names=COSTS)
    params: Any = SimpleNamespace(steps_per_episode=24)
    runs = tuple(create_run(config, seed, tmp_path) for seed in seeds)
    for run in runs:
        starts = [day * STEPS_PER_DAY for day in range(len(seeds[run.seed]))]
        run.versions["episodes"]["test"] = episodes_hash(starts, params.steps_per_episode)
    return Evaluation(
        config=config,
        config_hash=runs[0].config_hash,
        runs=runs,
        split="test",
        env=env,
        params=params,
        seeds={seed: results(values) for seed, values in seeds.items()},
        references={name: results(values) for name, values in references.items()},
    )


def test_scores_are_per_seed_and_their_interval_is_over_seeds(tmp_path: Path) -> None:
    summary = summarise(
        evaluation(
            tmp_path, {0: [-6.0, -6.0], 1: [-4.0, -8.0], 2: [-5.0, -5.0]}, rule=[-12.0, -8.0], oracle=[-4.0, -6.0]
        )
    )
    agent = summary.controllers[0]
    assert agent.score_per_seed == pytest.approx({0: 0.8, 1: 0.8, 2: 1.0})
    assert agent.confidence_over == "seeds"
    assert agent.score is not None
    assert agent.score.mean == pytest.approx(2.6 / 3)
    assert agent.score.low >= 0.8
    assert agent.return_eur.mean == pytest.approx(-17.0 / 3)
    rule = summary.controller("rule")
    assert rule is not None
    assert (rule.confidence_over, rule.return_eur.low, rule.return_eur.high) == ("episodes", -12.0, -8.0)
    assert summary.warnings == ()


def test_without_both_ends_of_the_scale_there_is_no_score(tmp_path: Path) -> None:
    summary = summarise(evaluation(tmp_path, {0: [-6.0, -5.0]}, rule=[-12.0, -8.0]))
    assert summary.controllers[0].score is None
    assert summary.to_json()["controllers"]["ppo"]["score"] is None


def test_references_in_the_wrong_order_are_reported(tmp_path: Path) -> None:
    summary = summarise(evaluation(tmp_path, {0: [-6.0]}, rule=[-5.0], oracle=[-7.0], none=[-4.0]))
    assert [w.partition(" on the")[0] for w in summary.warnings] == [
        "reference 'oracle' (-7.00 EUR) is worse than 'rule' (-5.00 EUR)",
        "reference 'rule' (-5.00 EUR) is worse than 'none' (-4.00 EUR)",
    ]


def test_the_list_of_episodes_is_identified_and_a_run_made_with_another_is_reported(tmp_path: Path) -> None:
    given = evaluation(tmp_path, {0: [-6.0, -5.0]}, rule=[-12.0, -8.0])
    summary = summarise(given)
    assert summary.to_json()["episodes_hash"] == given.runs[0].versions["episodes"]["test"] == summary.episodes_hash
    assert summary.warnings == ()
    given.runs[0].versions["episodes"]["test"] = "0" * 64
    (warning,) = summarise(given).warnings
    assert "was made when the test split had other episodes" in warning


def test_the_middle_seed_is_the_one_with_the_median_return(tmp_path: Path) -> None:
    assert selection.middle_seed(evaluation(tmp_path, {0: [-9.0], 4: [-7.0], 7: [-8.0]})) == 7


def test_the_worst_week_is_made_of_days_in_a_row() -> None:
    days = [0, 1, 2, *range(10, 17), *range(20, 27), 30]
    given = results([0.0] * len(days), 1.0, days)
    given.v_pu[[0, 4, 12, 13]] = 0.94
    given.v_pu[[5, 17]] = 1.06
    given.v_pu[6, 0, 0] = 1.2
    assert [days[e] for e in selection.worst_week(given, Side.UNDER)] == list(range(20, 27))
    assert [days[e] for e in selection.worst_week(given, Side.OVER)] == list(range(10, 17))
    assert selection.worst_moment(given, Side.OVER) == (6, 0)


def test_voltages_without_a_solution_count_as_inside_the_band() -> None:
    v_pu = np.array([np.nan, 0.93, 1.0, 1.07], np.float32)
    np.testing.assert_allclose(selection.beyond_pu(v_pu, Side.UNDER), [0.0, 0.02, 0.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(selection.beyond_pu(v_pu, Side.OVER), [0.0, 0.0, 0.0, 0.02], atol=1e-6)
