"""Reference controllers on the days of a task, without any training: how much there is to gain."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from experiments import tables
from experiments.evaluate import check_choices
from experiments.fan_out import Job, spread
from experiments.references import reference_results
from experiments.rollout import EpisodeResults
from experiments.run import write_json
from experiments.statistics import mean_interval
from gridenv.adapters.ray_settings import RaySettings
from gridenv.core.config import validate
from gridenv.core.layer import Layer
from gridenv.tasks import registry

DEFAULT_CONTROLLERS = ("none", "rule")


@dataclass(frozen=True, kw_only=True, eq=False)
class TaskScore:
    """What reference controllers achieved on all days of a split."""

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

    def rows(self) -> list[tuple[str, ...]]:
        """Cells of the table, a controller a row."""
        return [
            (
                self.task,
                name,
                f"{r.return_eur.mean():,.1f}",
                f"{r.economic_eur.mean():,.1f}",
                ", ".join(f"{c} {v:.3g}" for c, v in zip(self.cost_names, r.cost.mean(axis=0), strict=True) if v > 0),
                f"{r.loss_kwh.mean():,.1f}",
                f"{r.v_min_pu.min():.3f}..{r.v_max_pu.max():.3f}",
            )
            for name, r in self.results.items()
        ]


COLUMNS = ("task", "controller", "return, EUR", "economic, EUR", "costs", "losses, kWh", "voltage, pu")


def score_tasks(
    tasks: Sequence[str], split: str, names: Sequence[str], ray: RaySettings | None = None
) -> list[TaskScore]:
    """Run reference controllers on every day of a split.

    Args:
        tasks: ids.
        split: train, validation or test.
        names: of `agents.registry.REFERENCES`.
        ray: where all controllers of all tasks run side by side; one after the other here if left out.

    Raises:
        ConfigError: for an unknown split or unknown controllers.
    """
    check_choices(split, names)
    ids = [registry.task_id(name) for name in tasks]
    chosen = {task: validate(registry.config_class(task), Layer({"split": split}), f"task '{task}'") for task in ids}
    if ray is not None:
        # Computed side by side and kept, so that what follows finds them.
        spread([Job(task_id=task, task=s, controller=name) for task, s in chosen.items() for name in names], ray)
    scores = []
    for task, settings in chosen.items():
        env, params = registry.build(task, settings)
        results = reference_results(settings, split, names, env, params)
        scores.append(TaskScore(task=task, split=split, cost_names=env.cost_names, results=results))
    return scores


def table(scores: Sequence[TaskScore]) -> Table:
    """All controllers of all tasks, means of an episode."""
    shown = Table(box=SIMPLE_HEAD, title="mean of an episode", padding=(0, 0, 0, 1))
    for i, column in enumerate(COLUMNS):
        shown.add_column(column, justify="right" if i in (2, 3, 5) else "left")
    for score in scores:
        for row in score.rows():
            shown.add_row(*row)
    return shown


def markdown(scores: Sequence[TaskScore]) -> str:
    """The same as a table for documents."""
    return tables.markdown(COLUMNS, [row for score in scores for row in score.rows()])


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
    """Those of the arguments that are tasks and no folders."""
    bare = [str(path).removeprefix(registry.NAMESPACE) for path in paths if not path.exists()]
    return [name for name in bare if name in registry.TASKS]
