"""What may be written in a sweep, and which trials follow from it."""

import sys
from pathlib import Path

import pytest

from experiments.config import compose
from experiments.sweep.config import SWEEPS, compose_sweep, read_sweep
from experiments.sweep.plan import grace_steps, make_trials, training_steps
from gridenv.core.config import to_yaml
from gridenv.core.errors import ConfigError, MissingExtraError

SMOKE = "sweep=voltvar_smoke"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], r"sweep: none is named; write sweep=NAME with one of: .*voltvar_smoke"),
        (["sweep=voltvar_smok"], r"unknown sweep 'voltvar_smok'; did you mean 'voltvar_smoke'\?"),
        (["sweep=missing/file.yaml"], r"sweep 'missing/file.yaml': no such file; known names: "),
        ([SMOKE, "sample=3"], r"sweep 'voltvar_smoke': unknown key 'sample' .*did you mean 'samples'"),
        ([SMOKE, "mode=up"], r"mode = 'up'; must be 'max' or 'min'"),
        ([SMOKE, "search=3"], r"search = 3; must be a valid dictionary"),
        (
            [SMOKE, "search.agent.clip=3"],
            r"search.agent.clip = 3; is no space; write {KIND: VALUES} with one of: grid,",
        ),
        ([SMOKE, "search.agent.clip.unifrm=[0,1]"], r"clip.unifrm = \[0, 1\]; is no space; did you mean 'uniform'\?"),
        ([SMOKE, "search.agent.gamma.uniform=[0,1]"], r"search.agent.gamma = {.*}; allowed: one kind of space; drop"),
        (
            [SMOKE, "search.agent.clip.uniform=[2,1]"],
            r"uniform = \[2, 1\]; must be \[low, high\] with low < high; .* in",
        ),
        ([SMOKE, "search.agent.clip.uniform=[0]"], r"uniform = \[0\]; must be \[low, high\]"),
        ([SMOKE, "search.agent.clip.uniform=[a,b]"], r"uniform = \['a', 'b'\]; must be \[low, high\]"),
        ([SMOKE, "search.agent.epochs.integer=[1,2.5]"], r"integer = \[1, 2.5\]; must be \[low, high\], whole numbers"),
        ([SMOKE, "search.agent.epochs.grid=[]"], r"grid = \[\]; must be a list of different values"),
        ([SMOKE, "search.agent.epochs.choice=[1,1]"], r"choice = \[1, 1\]; must be a list of different values"),
        (
            [SMOKE, "search.agent.learning_rate.log_uniform=[0,1]"],
            r"must be \[low, high\] with 0 < low < high; correct it in .*voltvar_smoke.yaml:\d|override",
        ),
        ([SMOKE, "search.seed.grid=[1,2]"], r"search.seed; allowed: settings of `task` and `agent`; put others under"),
        (
            [SMOKE, "settings.seed=3"],
            r"settings = {'seed': 3}; seed: the sweep has name, seeds and experiment of its own",
        ),
        ([SMOKE, "seeds=[1,1]"], r"seeds = \[1, 1\]; each seed must be given once"),
        ([SMOKE, "scheduler=ash"], r"scheduler = 'ash'; must be 'asha'"),
        ([SMOKE, "scheduler=asha", "scheduler.reduction_factor=1"], r"reduction_factor = 1; must be greater than or"),
        ([SMOKE, "ray.address=here"], r"ray.address = 'here'; must be HOST:PORT, such as 127.0.0.1:6379"),
        ([SMOKE, "resources.cpus=0"], r"resources.cpus = 0; must be greater than 0"),
    ],
)
def test_what_is_wrong_with_a_sweep_is_one_line(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        compose_sweep(overrides)
    assert len(str(raised.value).splitlines()) == 1


def test_a_sweep_without_ray_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"sweep: package 'ray' is not installed; .*\"gridenv\[ray\]\""):
        make_trials(compose_sweep([SMOKE]))


def test_the_resolved_file_is_the_same_sweep(tmp_path: Path) -> None:
    config = compose_sweep([SMOKE, "scheduler=asha", "seeds=[3, 1]", "settings.task.load_scale=1.5"])
    path = tmp_path / "sweep.yaml"
    path.write_text(to_yaml(config.model_dump(mode="json")))
    assert read_sweep(path) == config


def test_a_file_of_ones_own_names_its_sweep(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("base: voltvar_smoke\nsamples: 2\n")
    config = compose_sweep([f"sweep={path}"])
    assert (config.name, config.samples, config.experiment) == ("mine", 2, "voltvar_ieee33_smoke")
    assert (SWEEPS / "voltvar_smoke.yaml").is_file()


pytest.importorskip("ray.tune", reason="extra ray: values are drawn by Ray Tune")


def test_trials_are_the_samples_of_each_combination_and_the_same_every_time() -> None:
    changes = ["search.agent.clip.uniform=[0.1, 0.4]", "search.agent.epochs.integer=[1, 2]", "samples=3"]
    trials = make_trials(compose_sweep([SMOKE, *changes]))
    assert [trial.name for trial in trials] == [f"trial-{n:02d}" for n in range(1, 7)]
    assert [trial.parameters["agent.gamma"] for trial in trials] == [0.0, 0.9] * 3
    drawn = [trial.parameters["agent.clip"] for trial in trials]
    assert len(set(drawn)) == 6
    assert all(0.1 <= value <= 0.4 for value in drawn)
    assert {trial.parameters["agent.epochs"] for trial in trials} == {1, 2}
    assert all(type(trial.parameters["agent.epochs"]) is int for trial in trials)
    again = make_trials(compose_sweep([SMOKE, *changes]))
    assert [trial.parameters for trial in again] == [trial.parameters for trial in trials]
    other = make_trials(compose_sweep([SMOKE, *changes, "sample_seed=1"]))
    assert [trial.parameters for trial in other] != [trial.parameters for trial in trials]


def test_a_trial_is_the_experiment_that_its_overrides_describe() -> None:
    trials = make_trials(
        compose_sweep(
            [SMOKE, "search.agent.hidden.choice=[[4], [4, 8]]", "settings.task.load_scale=1.5", "seeds=[7,8]"]
        )
    )
    for trial in trials:
        assert compose([*trial.overrides, f"name={trial.name}"]) == trial.config
        assert trial.config.task.load_scale == 1.5  # type: ignore[attr-defined]
        assert trial.config.seeds == (7,)
        assert trial.config.agent.learning_rate == trial.parameters["agent.learning_rate"]  # type: ignore[attr-defined]
        assert list(trial.config.agent.hidden) == trial.parameters["agent.hidden"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["search.agent.gama.grid=[1]"], r"trial-01: .* unknown key 'agent.gama' .*; did you mean 'gamma'\?"),
        (["search.agent.gamma.grid=[0, 2]"], r"trial-02: .* agent.gamma = 2; must be less than or equal to 1"),
        (["settings.agent.num_env=2"], r"unknown key 'agent.num_env' .*; did you mean 'num_envs'"),
        (["experiment=nothing"], r"unknown experiment 'nothing'"),
        (["scheduler=asha", "scheduler.grace_steps=9600"], r"grace_steps = 9600; allowed: less than the 9600 steps"),
        (
            ["scheduler=asha", "settings.evaluation.every_updates=100"],
            r"evaluations are 9600 steps apart, trainings 96",
        ),
    ],
)
def test_what_is_wrong_with_its_trials_is_one_line_before_any_begins(changes: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        make_trials(compose_sweep([SMOKE, *changes]))
    assert str(raised.value).startswith("sweep 'voltvar_smoke': ")
    assert len(str(raised.value).splitlines()) == 1


def test_drawing_nothing_several_times_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text("experiment: voltvar_ieee33_smoke\nsearch: {agent: {gamma: {grid: [0.0, 0.9]}}}\nsamples: 2\n")
    with pytest.raises(ConfigError, match=r"samples = 2; nothing is drawn, .* allowed: 1; add a space"):
        compose_sweep([f"sweep={path}"])
    assert len(make_trials(compose_sweep([f"sweep={path}", "samples=1"]))) == 2


def test_the_first_decision_of_a_scheduler_is_two_reductions_before_the_end() -> None:
    config = compose_sweep([SMOKE, "scheduler=asha", "scheduler.reduction_factor=4"])
    longest = training_steps(make_trials(config)[0].config)
    assert (longest, grace_steps(config, longest)) == (9600, 600)
