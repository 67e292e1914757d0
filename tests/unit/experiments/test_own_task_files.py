"""Experiments with tasks and networks of users, and scores of policies of any library."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pandapower as pp
import pytest

from experiments import task_scores
from experiments.config import compose, experiment_from
from experiments.provenance import own_hashes
from experiments.rollout import EpisodeResults
from experiments.task_scores import score_policy, score_tasks, task_ids
from gridenv.core.errors import ActionError, ConfigError
from gridenv.tasks.volt_var import VoltVarConfig
from tests.own_tasks import FILE, ID, forgotten, street, write_own_task


@pytest.fixture(autouse=True)
def _place(tmp_path, monkeypatch):
    monkeypatch.setenv("GRIDENV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    write_own_task()
    with forgotten():
        yield


def test_an_experiment_needs_no_file_where_task_and_agent_are_named() -> None:
    config = compose([f"task=tasks.py:{ID}", "agent=ppo", "task.load_scale=1.5"])
    assert (config.name, config.task_id, config.task.load_scale) == (f"{ID}_ppo", ID, 1.5)
    assert config.to_values()["task"]["id"] == f"tasks.py:{ID}"
    assert compose(["task=voltvar_ieee33", "agent=ppo"]).name == "voltvar_ieee33_ppo"


def test_another_process_finds_the_task_of_a_recorded_experiment() -> None:
    values = compose([f"task=tasks.py:{ID}", "agent=ppo"]).to_values()
    with forgotten():
        from gridenv.tasks.registry import TASKS

        del TASKS[ID]
        again = experiment_from(values, "run")
        assert again.task_id == ID
        assert again.to_values() == values


def test_a_task_file_of_ones_own_is_chosen_by_its_path() -> None:
    Path("mine.yaml").write_text(f"id: tasks.py:{ID}\nload_scale: 2.0\n")
    assert compose(["task=mine.yaml", "agent=ppo"]).task.load_scale == 2.0
    assert task_ids([Path("mine.yaml"), Path(f"tasks.py:{ID}"), Path("Storage-IEEE33-v0"), Path()]) == [
        "mine.yaml",
        f"tasks.py:{ID}",
        "Storage-IEEE33-v0",
    ]
    with pytest.raises(ConfigError, match=r"task 'other\.yaml': no such file"):
        compose(["task=other.yaml", "agent=ppo"])
    Path("no_id.yaml").write_text("load_scale: 2.0\n")
    with pytest.raises(ConfigError, match=r"task file 'no_id\.yaml': id is None; allowed: the id of a task"):
        score_tasks(["no_id.yaml"], "test", ["none"])


def test_results_that_are_kept_depend_on_the_users_network_and_code() -> None:
    first = own_hashes(compose([f"task=tasks.py:{ID}", "agent=ppo"]).task)
    assert sorted(first) == ["code", "network"]
    pp.to_json(street(0.03), "street.json")
    second = own_hashes(compose([f"task=tasks.py:{ID}", "agent=ppo"]).task)
    assert (first["code"], first["network"] != second["network"]) == (second["code"], True)
    Path("tasks.py").write_text(f"{FILE}# changed\n")
    third = own_hashes(compose([f"task=tasks.py:{ID}", "agent=ppo"]).task)
    assert third["code"] != first["code"]
    assert own_hashes(VoltVarConfig()) == {}


def test_a_policy_of_any_library_is_scored_beside_the_references() -> None:
    scored = score_policy(
        f"tasks.py:{ID}", lambda seen: np.zeros((len(seen), 1)), against=["none"], split="validation", load_scale=2.0
    )
    policy, none = scored.results["policy"], scored.results["none"]
    np.testing.assert_array_equal(policy.return_eur, none.return_eur)
    assert policy.return_eur.mean() < 0.0
    assert scored.score("policy") is None
    assert scored.to_json()["controllers"]["policy"]["score"] is None
    assert (
        score_tasks([f"tasks.py:{ID}"], "validation", ["none"])[0].results["none"].return_eur.mean()
        != none.return_eur.mean()
    )


def test_a_score_is_0_at_the_rule_and_1_at_the_oracle() -> None:
    class Result:
        def __init__(self, eur: float) -> None:
            self.return_eur = np.array([eur])

    means = {"policy": -8.0, "rule": -10.0, "oracle": -6.0}
    scored = task_scores.TaskScore(
        task="t", split="test", cost_names=(), results={name: Result(eur) for name, eur in means.items()}
    )
    assert [scored.score(name) for name in means] == [0.5, 0.0, 1.0]
    assert str(scored).splitlines()[0] == "policy: -8.00 EUR a day, score 0.50"


def test_a_table_of_tasks_has_scores_where_rule_and_oracle_ran() -> None:
    def scored(task: str, **means: float) -> task_scores.TaskScore:
        results = {
            name: EpisodeResults(**{f.name: np.full((1, 1), eur) for f in fields(EpisodeResults)})
            for name, eur in means.items()
        }
        return task_scores.TaskScore(task=task, split="test", cost_names=("v_band",), results=results)

    with_scale, without = scored("a", none=-12.0, rule=-10.0, oracle=-6.0), scored("b", none=-12.0)
    head, _, *rows = task_scores.markdown([with_scale, without]).splitlines()
    assert head.split(" | ")[:3] == ["| task", "controller", "score"]
    assert [row.split(" | ")[2] for row in rows] == ["-0.50", "0.00", "1.00", ""]
    assert [column.header for column in task_scores.table([with_scale]).columns][2] == "score"
    assert "score" not in task_scores.markdown([without])


def test_what_cannot_be_scored_is_named() -> None:
    with pytest.raises(ConfigError, match="name is 'rule', which is a reference controller"):
        score_policy(f"tasks.py:{ID}", lambda seen: seen, name="rule")
    with pytest.raises(ActionError, match="action has shape"):
        score_policy(f"tasks.py:{ID}", lambda seen: seen, against=[])
