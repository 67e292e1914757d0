"""What an experiment is, and how files and overrides become one; imports no JAX.

An experiment names a task (`configs/task`) and an agent (`configs/agent`), and may change settings of both. Order,
later wins: the experiment's base, the experiment, a group chosen on the command line (`agent=ppo`), single overrides
(`agent.total_steps=2e6`).
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, StringConstraints

from agents import registry as agent_registry
from gridenv.core.config import (
    BASE_KEY,
    SUFFIX,
    check,
    display_path,
    named_file,
    names_in,
    read_base,
    read_config,
    read_overrides,
    read_yaml,
)
from gridenv.core.errors import ConfigError, did_you_mean, raise_collected
from gridenv.core.layer import Layer
from gridenv.exogenous.splits import SPLIT_NAMES
from gridenv.tasks import registry as task_registry

CONFIG_FOLDER = Path(__file__).parents[1] / "configs"
EXPERIMENTS = CONFIG_FOLDER / "experiment"
_NOT_HASHED = ("seed", "seeds", "wandb")
"""Keys that two runs of one experiment may differ in."""
_PLACES = "ray"
"""Key of an agent that says where its processes run, which does not matter either."""
_GROUPS = {"task": "id", "agent": "name"}
"""Part of an experiment -> the key in it that says which registered task or agent it is."""


def _known_split(value: str) -> str:
    if value not in SPLIT_NAMES:
        raise ValueError(f"must be one of {', '.join(SPLIT_NAMES)}")
    return value


def _known_references(value: tuple[str, ...]) -> tuple[str, ...]:
    known = agent_registry.REFERENCES
    for name in value:
        if name not in known:
            raise ValueError(f"unknown reference controller '{name}'{did_you_mean(name, known)}")
    return value


def _distinct(value: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(value)) < len(value):
        raise ValueError("each seed must be given once")
    return value


SplitName = Annotated[str, AfterValidator(_known_split)]
References = Annotated[tuple[str, ...], AfterValidator(_known_references)]
Seeds = Annotated[tuple[NonNegativeInt, ...], Field(min_length=1), AfterValidator(_distinct)]


class EvaluationConfig(BaseModel):
    """When and against what the policy is measured, always on all episodes of a split and without exploring."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    every_updates: PositiveInt = 10
    """Updates between two evaluations during training, on `training_split`."""
    training_split: SplitName = "validation"
    final_split: SplitName = "test"
    against: References = ("rule", "oracle", "none")
    """Reference controllers of the final evaluation; a score needs `rule` and `oracle`."""


class WandbConfig(BaseModel):
    """What is kept for Weights & Biases, if the package is installed; no part of the hash of an experiment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["offline", "online", "disabled"] = "offline"
    """`offline`: a folder in the run folder that `wandb sync` uploads later; no connection is made."""
    project: Annotated[str, StringConstraints(pattern=r"^[\w.-]{1,128}$")] = "gridenv"
    entity: str | None = None
    """Account or team that owns the project; that of the login if left out."""


class RunSettings(BaseModel):
    """Everything of an experiment beside its task and its agent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][\w.-]*$")]
    """Folder of the runs."""
    seeds: Seeds = (0,)
    """One run each; `seed: 3` stands for `seeds: [3]`."""
    vectorise_seeds: bool = False
    """Train all seeds side by side in one program. Numbers differ in the last digits from seeds trained alone, so runs
    that were stopped give the same numbers only when they are resumed together."""
    evaluation: EvaluationConfig = EvaluationConfig()
    checkpoint_every_updates: PositiveInt = 20
    wandb: WandbConfig = WandbConfig()


class ExperimentConfig(BaseModel):
    """A checked experiment; task and agent settings are models of the task's and the agent's own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: RunSettings
    task_id: str
    task: BaseModel
    agent_name: str
    agent: BaseModel

    @property
    def name(self) -> str:
        """Folder of the runs."""
        return self.run.name

    @property
    def seeds(self) -> tuple[int, ...]:
        """One run each."""
        return self.run.seeds

    def with_seed(self, seed: int) -> "ExperimentConfig":
        """The same experiment with one seed."""
        return self.model_copy(update={"run": self.run.model_copy(update={"seeds": (seed,)})})

    def to_values(self) -> dict[str, Any]:
        """Every setting with its value, in the layout of the YAML files, JSON-serialisable."""
        run = self.run.model_dump(mode="json")
        seeds = run.pop("seeds")
        return {
            "name": run.pop("name"),
            "task": {"id": task_registry.full_task_id(self.task_id), **self.task.model_dump(mode="json")},
            "agent": {"name": self.agent_name, **self.agent.model_dump(mode="json")},
            **({"seed": seeds[0]} if len(seeds) == 1 else {"seeds": seeds}),
            **run,
        }

    @property
    def hash(self) -> str:
        """SHA-256 of all settings but seeds, `wandb` and `agent.ray`: runs that share it differ by their seed only."""
        return hash_values(self.to_values())


def hash_values(values: Mapping[str, Any]) -> str:
    """Hash of an experiment in the layout of its resolved file."""
    hashed = {k: v for k, v in values.items() if k not in _NOT_HASHED}
    if isinstance(agent := hashed.get("agent"), Mapping):
        hashed["agent"] = {k: v for k, v in agent.items() if k != _PLACES}
    return hashlib.sha256(json.dumps(hashed, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def compose(overrides: Sequence[str]) -> ExperimentConfig:
    """The experiment that `experiment=NAME` and further `key=value` texts describe.

    Args:
        overrides: `experiment` names a file of `configs/experiment` or is the path of a YAML file, and may be left out
            where both others are given; `task` and `agent` choose a file of their folder, the path of one, or what is
            registered under this name; all others set a value.

    Raises:
        ConfigError: one line for every problem.
    """
    # Groups first: `agent=ppo agent.epochs=2` chooses, then changes, in whatever order they are written.
    chosen = [text for text in overrides if text.partition("=")[0] in ("experiment", *_GROUPS)]
    groups, changes = read_overrides(chosen), read_overrides([text for text in overrides if text not in chosen])
    layer = _chosen_experiment(groups)
    for asked in (groups.without("experiment"), changes):
        layer = _on_top(layer, asked, "command line")
    return check_experiment(_one_seed_key(layer), f"experiment '{layer.values['name']}'")


def _chosen_experiment(groups: Layer) -> Layer:
    """The experiment that is named; an empty one where task and agent are."""
    chosen = groups.values.get("experiment")
    if chosen is None and all(isinstance(groups.values.get(group), str) for group in _GROUPS):
        parts = (Path(str(groups.values[group]).rpartition(":")[2]).name for group in _GROUPS)
        return Layer({"name": "_".join(part.removesuffix(SUFFIX) for part in parts)})
    if not isinstance(chosen, str):
        raise ConfigError(
            f"experiment: none is named; write experiment=NAME with one of: {', '.join(names_in(EXPERIMENTS))}, "
            "or the path of a YAML file; or name both, task=NAME agent=NAME"
        )
    path = named_file("experiment", chosen, EXPERIMENTS)
    layer = _read_experiment(path)
    return layer if "name" in layer.values else Layer({"name": path.stem}).merged(layer)


def read_experiment(path: Path) -> ExperimentConfig:
    """The experiment of a run, from its resolved file.

    Raises:
        ConfigError: one line for every problem.
    """
    return check_experiment(_one_seed_key(_read_experiment(path)), display_path(path))


def experiment_from(values: Mapping[str, Any], where: str) -> ExperimentConfig:
    """The experiment that a resolved file holds, from its contents.

    Args:
        values: settings in the layout of the YAML files.
        where: begins every message.

    Raises:
        ConfigError: one line for every problem.
    """
    return check_experiment(_one_seed_key(Layer(dict(values))), where)


def check_experiment(layer: Layer, where: str) -> ExperimentConfig:
    """Check all parts of an experiment.

    Raises:
        ConfigError: the problems of all parts, one a line.
    """
    rest = layer
    for group in _GROUPS:
        rest = rest.without(group)
    run, problems = check(RunSettings, rest, where)
    checked: dict[str, Any] = {}
    for group, class_of in (("task", task_registry.config_class), ("agent", agent_registry.config_class)):
        checked[group], found = _check_group(layer, group, class_of, where)
        problems += found
    raise_collected(problems, ConfigError)
    assert run is not None
    (task_id, task), (agent_name, agent) = checked["task"], checked["agent"]
    return ExperimentConfig(run=run, task_id=task_id, task=task, agent_name=agent_name, agent=agent)


def _check_group(layer: Layer, group: str, class_of: Any, where: str) -> tuple[tuple[str, Any], list[str]]:
    part, key = layer.part(group), _GROUPS[group]
    chosen = part.values.get(key)
    if not isinstance(chosen, str):
        found = "is missing" if chosen is None else f"is {chosen!r}"
        known = ", ".join(names_in(CONFIG_FOLDER / group))
        return ("", None), [f"{where}: {group}.{key} {found}; choose one with `{group}:`; known: {known}"]
    try:
        model = class_of(chosen)
    except ConfigError as error:
        return ("", None), [f"{where}: {line}" for line in str(error).splitlines()]
    name = task_registry.task_id(chosen) if group == "task" else chosen
    settings, problems = check(model, part.without(key), where, f"{group}.")
    return (name, settings), problems


def _read_experiment(path: Path) -> Layer:
    layer = read_yaml(path)
    own = _on_top(Layer(), layer.without(BASE_KEY), display_path(path))
    if BASE_KEY not in layer.values:
        return own
    base = read_base(str(layer.values[BASE_KEY]), [path.parent, EXPERIMENTS], display_path(path))
    return _on_top(_on_top(Layer(), base, f"base of {display_path(path)}"), layer.without(BASE_KEY), display_path(path))


def _on_top(below: Layer, above: Layer, asked_by: str) -> Layer:
    """`above` over `below`; a group that is chosen anew replaces the one below, one that is not is merged into it."""
    for group, key in _GROUPS.items():
        chosen = above.values.get(group)
        if isinstance(chosen, str):
            part = _read_group(group, key, chosen)
            above, below = above.without(group).merged(part.under(group)), below.without(group)
        elif isinstance(chosen, dict) and BASE_KEY in chosen:
            base = read_base(str(chosen[BASE_KEY]), [CONFIG_FOLDER / group], asked_by)
            part = base.merged(above.part(group).without(BASE_KEY))
            above, below = above.without(group).merged(part.under(group)), below.without(group)
        elif chosen is not None and not isinstance(chosen, dict):
            raise ConfigError(f"{asked_by}: {group} = {chosen!r}; allowed: a name or `key: value` lines; correct it")
    if "seed" in above.values:
        below = below.without("seeds")
    return below.merged(above)


def _read_group(group: str, key: str, name: str) -> Layer:
    folder = CONFIG_FOLDER / group
    if name in names_in(folder):
        return read_config(folder / f"{name}{SUFFIX}")
    if name.endswith(SUFFIX):
        return read_config(named_file(group, name, folder), folder)
    if group == "task" and ":" in name:
        task_registry.task_id(name)
        return Layer({key: name}, {key: f"'{group}={name}'"})
    registered: Iterable[str] = task_registry.TASKS if group == "task" else agent_registry.AGENTS
    bare = name.removeprefix(task_registry.NAMESPACE)
    if bare in registered:
        return Layer({key: bare}, {key: f"'{group}={name}'"})
    raise ConfigError(f"unknown {group} '{name}'{did_you_mean(name, [*names_in(folder), *registered])}")


def _one_seed_key(layer: Layer) -> Layer:
    if "seed" not in layer.values:
        return layer
    if "seeds" in layer.values:
        raise ConfigError(
            f"experiment '{layer.values.get('name')}': has seed and seeds; allowed: one of them; drop one"
        )
    seeds = Layer({"seeds": [layer.values["seed"]]}, {"seeds.0": layer.origin.get("seed", "seed")})
    return layer.without("seed").merged(seeds)
