"""How files, groups and overrides become an experiment."""

from pathlib import Path

import pytest

from experiments.config import compose, hash_values, read_experiment
from gridenv.core.config import read_yaml, to_yaml
from gridenv.core.errors import ConfigError


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def message(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        compose(overrides)
    return str(caught.value)


def test_overrides_reach_task_agent_and_seed() -> None:
    config = compose(
        ["experiment=voltvar_ieee33", "agent=ppo", "seed=3", "agent.total_steps=2e6", "task.load_scale=2.5"]
    )
    assert config.seeds == (3,)
    assert config.agent.total_steps == 2_000_000  # type: ignore[attr-defined]
    assert config.task.load_scale == 2.5  # type: ignore[attr-defined]
    assert (config.name, config.task_id, config.agent_name) == ("voltvar_ieee33", "VoltVar-IEEE33-v0", "ppo")


def test_an_experiment_inherits_from_its_base_and_merges_its_groups() -> None:
    smoke = compose(["experiment=voltvar_ieee33_smoke"])
    assert smoke.task_id == "VoltVar-IEEE33-v0"
    assert smoke.agent_name == "ppo"
    assert smoke.agent.hidden == (8,)  # type: ignore[attr-defined]


def test_choosing_an_agent_anew_drops_the_settings_of_the_one_before() -> None:
    fresh = compose(["experiment=voltvar_ieee33", "agent=ppo"]).agent
    assert compose(["experiment=voltvar_ieee33_smoke"]).agent != fresh
    assert compose(["experiment=voltvar_ieee33_smoke", "agent=ppo"]).agent == fresh
    both = compose(["experiment=voltvar_ieee33_smoke", "agent=ppo", "agent.epochs=2"])
    assert both.agent == fresh.model_copy(update={"epochs": 2})


def test_a_file_by_path_may_change_a_group_on_its_base(tmp_path: Path) -> None:
    path = write(tmp_path, "mine", "task: {base: voltvar_ieee33, load_scale: 2}\nagent: ppo\nseeds: [4, 5]\n")
    config = compose([f"experiment={path}"])
    assert config.name == "mine"
    assert config.seeds == (4, 5)
    assert config.task.load_scale == 2.0  # type: ignore[attr-defined]


def test_the_resolved_file_gives_the_same_experiment_and_hash(tmp_path: Path) -> None:
    config = compose(["experiment=voltvar_ieee33", "seed=7"])
    path = write(tmp_path, "config", to_yaml(config.to_values()))
    assert read_experiment(path) == config
    assert hash_values(read_yaml(path).values) == config.hash


def test_the_hash_ignores_seeds_and_tracking_and_nothing_else() -> None:
    first, second = compose(["experiment=voltvar_ieee33", "seed=1"]), compose(["experiment=voltvar_ieee33", "seed=2"])
    other = compose(["experiment=voltvar_ieee33", "seed=1", "task.load_scale=2.5"])
    assert first.hash == second.hash != other.hash
    assert compose(["experiment=voltvar_ieee33", "seed=1", "wandb.mode=online"]).hash == first.hash


def test_problems_of_all_parts_are_reported_together() -> None:
    lines = message(
        "experiment=voltvar_ieee33",
        "agent.totl_steps=3",
        "task.inverters.0.p_dc_kw=-5",
        "evaluation.final_split=tst",
        "evaluation.against=[rul]",
        "seeds=[1,1]",
    ).splitlines()
    assert all(line.startswith("experiment 'voltvar_ieee33': ") for line in lines)
    text = "\n".join(lines)
    assert "unknown key 'agent.totl_steps' (override 'agent.totl_steps=3'); did you mean 'total_steps'?" in text
    assert "task.inverters.0.p_dc_kw = -5; must be greater than 0" in text
    assert "evaluation.final_split = 'tst'; must be one of train, validation, test" in text
    assert "unknown reference controller 'rul'; did you mean 'rule'?" in text
    assert "seeds = [1, 1]; each seed must be given once" in text
    assert len(lines) == 5


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["agent=ppo"], "experiment: none is named; write experiment=NAME with one of: activeder_cigremv, "),
        (["experiment=voltvar_iee33"], "unknown experiment 'voltvar_iee33'; did you mean 'voltvar_ieee33'?"),
        (["experiment=no/such.yaml"], "experiment 'no/such.yaml': no such file"),
        (["experiment=voltvar_ieee33", "task=VoltVar-IEEE34-v0"], "did you mean 'VoltVar-IEEE33-v0'?"),
        (["experiment=voltvar_ieee33", "agent=pppo"], "unknown agent 'pppo'; did you mean 'ppo'?"),
        (["experiment=voltvar_ieee33", "agent=rule"], "agent 'rule' needs no training; allowed: ppo"),
        (["experiment=voltvar_ieee33", "agent=3"], "command line: agent = 3; allowed: a name"),
        (["experiment=voltvar_ieee33", "seed=-1"], "seeds.0 = -1; must be greater than or equal to 0"),
        (["experiment=voltvar_ieee33", "seed=1", "seeds=[2]"], "has seed and seeds; allowed: one of them"),
        (["experiment=voltvar_ieee33", "name=a/b"], "name = 'a/b'"),
    ],
)
def test_what_cannot_be_chosen_is_named_in_one_line(overrides: list[str], expected: str) -> None:
    text = message(*overrides)
    assert expected in text
    assert len(text.splitlines()) == 1


def test_an_experiment_without_task_says_what_to_choose(tmp_path: Path) -> None:
    path = write(tmp_path, "empty", "agent: ppo\n")
    assert "task.id is missing; choose one with `task:`; known: activeder_cigremv, " in message(f"experiment={path}")


def test_errors_in_a_file_name_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, "bad", "task: voltvar_ieee33\nagent:\n  base: ppo\n  epochs: none\n")
    assert "agent.epochs = 'none'" in message(f"experiment={path}")
    assert "bad.yaml:4" in message(f"experiment={path}")
