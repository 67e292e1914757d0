"""Every configuration file and every entry of the registries."""

from pkgutil import resolve_name

import jax
import pytest
from jax import numpy as jnp
from pydantic import BaseModel

from agents.registry import AGENTS, LEARNERS, REFERENCES, make_reference
from agents.registry import config_class as agent_config_class
from experiments.comparison_config import COMPARISONS, read_comparison
from experiments.config import CONFIG_FOLDER, EXPERIMENTS, compose
from experiments.forecast_config import FORECASTS, read_forecast
from experiments.forecasts import chosen_series
from experiments.sweep.config import SWEEPS, compose_sweep
from experiments.sweep.plan import make_trials
from gridenv.core.config import names_in, read_config
from gridenv.exogenous.splits import SPLIT_NAMES
from gridenv.tasks.registry import NAMESPACE, TASKS, make
from gridenv.tasks.registry import config_class as task_config_class
from tests.environments import QUICK


def strict(model: type[BaseModel]) -> bool:
    return model.model_config.get("frozen") is True and model.model_config.get("extra") == "forbid"


@pytest.mark.parametrize("name", names_in(EXPERIMENTS))
def test_every_experiment_is_valid_and_starts_with_a_line_of_explanation(name: str) -> None:
    assert compose([f"experiment={name}"]).name == name
    assert (EXPERIMENTS / f"{name}.yaml").read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("name", names_in(SWEEPS))
def test_every_sweep_is_valid_and_starts_with_a_line_of_explanation(name: str) -> None:
    assert compose_sweep([f"sweep={name}"]).name == name
    assert (SWEEPS / f"{name}.yaml").read_text(encoding="utf-8").startswith("# ")
    pytest.importorskip("ray.tune", reason="extra ray: values are drawn by Ray Tune")
    assert make_trials(compose_sweep([f"sweep={name}"]))


@pytest.mark.parametrize("name", names_in(COMPARISONS))
def test_every_comparison_is_valid_and_starts_with_a_line_of_explanation(name: str) -> None:
    assert read_comparison([f"comparison={name}"])[0] == name
    assert (COMPARISONS / f"{name}.yaml").read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("name", names_in(FORECASTS))
def test_every_comparison_of_forecasters_is_valid_and_starts_with_a_line_of_explanation(name: str) -> None:
    found, config = read_forecast([f"forecast={name}"])
    assert found == name
    assert chosen_series(config).names
    assert (FORECASTS / f"{name}.yaml").read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("group", ["task", "agent"])
def test_every_group_file_is_valid_and_states_differences_only(group: str) -> None:
    for name in names_in(CONFIG_FOLDER / group):
        config = compose(["experiment=voltvar_ieee33", f"{group}={name}"])
        chosen = getattr(config, group).model_dump(mode="json")
        defaults = type(getattr(config, group))().model_dump(mode="json")
        stated = read_config(CONFIG_FOLDER / group / f"{name}.yaml").values
        same = [key for key, value in stated.items() if key in defaults and chosen[key] == defaults[key] == value]
        assert not same, f"{group}/{name}.yaml repeats defaults: {same}"


@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_strict_settings_a_split_and_an_environment(name: str) -> None:
    model = task_config_class(f"{NAMESPACE}{name}")
    assert strict(model)
    assert "split" in model.model_fields
    assert TASKS[name].summary
    starts = {}
    for split in SPLIT_NAMES:
        env, params = make(name, split=split)
        assert env.id == name
        starts[split] = set(params.starts.tolist())
    assert all(starts.values())
    assert not starts["train"] & starts["test"]
    assert not starts["validation"] & (starts["train"] | starts["test"])


@pytest.mark.parametrize("name", AGENTS)
def test_every_agent_can_be_loaded(name: str) -> None:
    entry = AGENTS[name]
    assert entry.summary
    if name in LEARNERS:
        assert strict(agent_config_class(name))
        config = agent_config_class(name)()
        assert config.total_updates * config.steps_per_update >= config.total_steps  # type: ignore[attr-defined]
        assert callable(resolve_name(LEARNERS[name].learner))


# Those that plan whole days are in tests/unit/agents, test_optimal_schedule.py and test_optimal_power.py.
PLANNERS = ("oracle", "mpc")


@pytest.mark.parametrize(
    ("name", "task"),
    [("oracle", "VoltVar-IEEE33-v0"), *((n, t) for t in QUICK for n in REFERENCES if n not in PLANNERS)],
)
def test_every_reference_controller_acts_inside_the_bounds_of_every_task(name: str, task: str) -> None:
    env, params = make(task)
    controller = make_reference(name, env, params)
    assert controller.name == name
    observation, state = env.reset_at(params.starts[:2], params)
    action = jax.jit(controller.act)(params, state, observation)
    assert action.shape == (2, env.n_action)
    assert bool(jnp.all(jnp.abs(action) <= 1.0))
