"""Controllers on the days of a task without a run: references, and policies of any library beside them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel
from rich.box import SIMPLE_HEAD
from rich.table import Table

from experiments import tables
from experiments.config import CONFIG_FOLDER
from experiments.evaluate import check_choices
from experiments.fan_out import Job, spread
from experiments.references import reference_results
from experiments.rollout import EpisodeResults, run_episodes_on_host
from experiments.run import write_json
from experiments.statistics import ORACLE, RULE, mean_interval
from experiments.statistics import score as score_between
from gridenv.adapters.ray_settings import RaySettings
from gridenv.core.config import SUFFIX
from gridenv.core.errors import ConfigError
from gridenv.tasks import registry

DEFAULT_CONTROLLERS = ("none", RULE)
POLICY = "policy"


@dataclass(frozen=True, kw_only=True, eq=False)
class TaskScore:
    """What controllers achieved on all days of a split."""

    task: str
    split: str
    cost_names: tuple[str, ...]
    results: dict[str, EpisodeResults]

    def to_json(self) -> dict[str, Any]:
        """As the controllers in `evaluation.json`; all values are means over the episodes."""
        return {
            "task": self.task,
            "split": self.split,
            "episodes": len(next(iter(self.results.values())).return_eur),
            "controllers": {
                name: {
                    "score": self.score(name),
                    "return_eur": mean_interval(r.return_eur).to_json(),
                    "economic_eur": mean_interval(r.economic_eur).to_json(),
                    "cost": dict(zip(self.cost_names, r.cost.mean(axis=0).tolist(), strict=True)),
                    "loss_kwh": float(r.loss_kwh.mean()),
                    "v_min_pu": float(r.v_min_pu.min()),
                    "v_max_pu": float(r.v_max_pu.max()),
                }
                for name, r in self.results.items()
            },
        }

    def score(self, name: str) -> float | None:
        """Of a controller, 0 = rule and 1 = oracle; None where one of the two was not run."""
        if RULE not in self.results or ORACLE not in self.results:
            return None
        means = (float(self.results[each].return_eur.mean()) for each in (name, RULE, ORACLE))
        return score_between(*means)

    def __str__(self) -> str:
        """A line for each controller."""
        lines = []
        for name, results in self.results.items():
            score = self.score(name)
            shown = "" if score is None else f", score {_score_text(score)}"
            lines.append(f"{name}: {results.return_eur.mean():,.2f} EUR a day{shown}")
        return "\n".join(lines)

    def rows(self) -> list[tuple[str, ...]]:
        """Cells of the table, a controller a row."""
        return [
            (
                self.task,
                name,
                _score_text(self.score(name)),
                f"{r.return_eur.mean():,.1f}",
                f"{r.economic_eur.mean():,.1f}",
                tables.costs_text(dict(zip(self.cost_names, r.cost.mean(axis=0), strict=True))),
                f"{r.loss_kwh.mean():,.1f}",
                f"{r.v_min_pu.min():.3f}..{r.v_max_pu.max():.3f}",
            )
            for name, r in self.results.items()
        ]


def _score_text(score: float | None) -> str:
    return "" if score is None else f"{score:.2f}"


_SCORE = "score"
_COLUMNS = ("task", "controller", _SCORE, "return, EUR", "economic, EUR", "costs", "losses, kWh", "voltage, pu")
_TEXTS = ("task", "controller", "costs", "voltage, pu")


def score_tasks(
    tasks: Sequence[str], split: str, names: Sequence[str], ray: RaySettings | None = None
) -> list[TaskScore]:
    """Run reference controllers on every day of a split.

    Args:
        tasks: ids, or paths of task files.
        split: train, validation or test.
        names: of `agents.registry.REFERENCES`.
        ray: where all controllers of all tasks run side by side; one after the other here if left out.

    Raises:
        ConfigError: for an unknown split or unknown controllers.
    """
    check_choices(split, names)
    chosen = [_settings(name, split) for name in tasks]
    if ray is not None:
        # Computed side by side and kept, so that what follows finds them.
        spread([Job(task_id=task, task=s, controller=name) for _, task, s in chosen for name in names], ray)
    scores = []
    for shown, task, settings in chosen:
        env, params = registry.build(task, settings)
        results = reference_results(settings, split, names, env, params)
        scores.append(TaskScore(task=shown, split=split, cost_names=env.cost_names, results=results))
    return scores


def score_policy(
    task: str | BaseModel,
    act: Callable[[NDArray[np.float32]], ArrayLike],
    *,
    split: str = "test",
    against: Sequence[str] = ("none", RULE, ORACLE),
    name: str = POLICY,
    **settings: Any,
) -> TaskScore:
    """Run a policy of any library on every day of a split, beside reference controllers.

    Args:
        task: as of `gridenv.make`.
        act: normalised actions [episode, n_action] for normalised observations [episode, n_observation].
        split: train, validation or test.
        against: of `agents.registry.REFERENCES`; a score needs `rule` and `oracle`. They are kept for the next time.
        name: of the policy in results.
        settings: of the task, where they differ from its defaults; those that the policy was trained with.

    Raises:
        ConfigError: for unknown names and settings, and a name that is that of a reference controller.
        ActionError: for actions of another shape.
    """
    check_choices(split, against)
    if name in against:
        raise ConfigError(f"score_policy: name is '{name}', which is a reference controller; take another")
    known, config = registry.settings_of(task, {**settings, "split": split}, CONFIG_FOLDER / "task")
    env, params = registry.build(known, config)
    own = run_episodes_on_host(env, params, lambda observation: np.asarray(act(observation), np.float32))
    results = {name: own, **reference_results(config, split, against, env, params)}
    return TaskScore(task=known, split=split, cost_names=env.cost_names, results=results)


def _settings(name: str, split: str) -> tuple[str, str, BaseModel]:
    """What a task is called in tables, its id, and its settings on the days of a split."""
    known, config = registry.settings_of(name, {"split": split}, CONFIG_FOLDER / "task")
    return Path(name).stem if name.endswith(SUFFIX) else known, known, config


def table(scores: Sequence[TaskScore]) -> Table:
    """All controllers of all tasks, means of an episode."""
    shown = Table(box=SIMPLE_HEAD, title="mean of an episode", padding=(0, 0, 0, 1))
    columns, rows = _cells(scores)
    for column in columns:
        shown.add_column(column, justify="left" if column in _TEXTS else "right")
    for row in rows:
        shown.add_row(*row)
    return shown


def markdown(scores: Sequence[TaskScore]) -> str:
    """The same as a table for documents."""
    return tables.markdown(*_cells(scores))


def _cells(scores: Sequence[TaskScore]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows; without scores where no task has both ends of their scale."""
    rows = [row for score in scores for row in score.rows()]
    filled = [i for i, column in enumerate(_COLUMNS) if column != _SCORE or any(row[i] for row in rows)]
    return [_COLUMNS[i] for i in filled], [[row[i] for i in filled] for row in rows]


def write(scores: Sequence[TaskScore], folder: Path) -> list[Path]:
    """`<task>-<split>.json` of every task."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for score in scores:
        file = folder / f"{score.task}-{score.split}.json"
        write_json(file, score.to_json())
        files.append(file)
    return files


def task_ids(paths: Sequence[Path]) -> list[str]:
    """Those of the arguments that are tasks or task files, and no folders."""
    bare = [str(path).removeprefix(registry.NAMESPACE) for path in paths if not path.is_dir()]
    return [name for name in bare if name in registry.TASKS or ":" in name or name.endswith(SUFFIX)]
