"""Many agents on many tasks in one table: trains what is missing, scores all, and can stop and go on anywhere."""

import copy
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments import console, selection, study_tables
from experiments.comparison_config import ComparisonConfig
from experiments.config import ExperimentConfig, compose
from experiments.pages import comparison as comparison_page
from experiments.references import reference_results
from experiments.results import evaluate_runs
from experiments.run import REPORT_FILE, Run, write_atomically, write_json
from experiments.statistics import ORACLE, RULE
from experiments.stored import RESULTS_FILE
from experiments.study import Study, read_study, without_repeated_episodes
from experiments.summary import Summary
from experiments.train import build_split, resume, train
from gridenv.core.errors import UnfitError

TABLE_FILE = "comparison.md"


def compare(name: str, config: ComparisonConfig, folder: Path) -> Study:
    """Train and score every experiment; what an earlier call finished is taken as it is.

    Args:
        name: of the comparison.
        config: what to compare.
        folder: where the runs and the results go, `<folder>/<experiment>/<run>`.

    Returns:
        What is in `comparison.json`; `comparison.md` and `report.html` beside it are made from it.

    Raises:
        ConfigError: for an experiment that cannot be read or built; before any training.
        TrainingStoppedError: on Ctrl-C; call it again to go on.
    """
    overrides = f"seeds=[{','.join(map(str, config.seeds))}]"
    composed = {experiment: compose([f"experiment={experiment}", overrides]) for experiment in config.experiments}
    entries: list[dict[str, Any]] = []
    for i, (experiment, one) in enumerate(composed.items(), 1):
        console.say(f"{name}: {experiment} ({i} of {len(composed)})")
        fitting = fitting_references(one, config)
        runs = trained(one, folder)
        _, summary, _ = evaluate_runs([run.folder for run in runs], config.split, fitting)
        entries.append(_entry(experiment, one, runs, summary))
        study = _write(name, config, entries, folder)
    comparison_page.write(study, folder / REPORT_FILE)
    return study


def fitting_references(experiment: ExperimentConfig, config: ComparisonConfig) -> list[str]:
    """References that can work on the task of an experiment; their results are kept for its evaluation."""
    env, params = build_split(experiment, config.split)
    fitting = []
    for name in config.references:
        try:
            reference_results(experiment.task, config.split, [name], env, params)
        except UnfitError as error:
            console.say(f"left out: {error}")
        else:
            fitting.append(name)
    return fitting


def trained(config: ExperimentConfig, folder: Path) -> list[Run]:
    """The finished runs of an experiment, one for each seed: those that are there, resumed or trained where not.

    Raises:
        TrainingStoppedError: on Ctrl-C.
    """
    found = _runs(config, folder)
    begun = [run for run in found.values() if not run.is_finished]
    if begun:
        resume([run.folder for run in begun])
    missing = [seed for seed in config.seeds if seed not in found]
    if missing:
        lacking = config.model_copy(update={"run": config.run.model_copy(update={"seeds": tuple(missing)})})
        found |= {run.seed: run for run in train(lacking, folder)}
    return [found[seed] for seed in config.seeds]


def _runs(config: ExperimentConfig, folder: Path) -> dict[int, Run]:
    """Runs of exactly this configuration by seed; of several with one seed a finished one, else the newest."""
    runs: dict[int, Run] = {}
    parent = folder / config.name
    for child in sorted(parent.iterdir()) if parent.is_dir() else ():
        run = Run(child)
        if not run.is_recorded or run.config_hash != config.hash or run.seed not in config.seeds:
            continue
        if run.seed not in runs or run.is_finished or not runs[run.seed].is_finished:
            runs[run.seed] = run
    return runs


def _entry(experiment: str, config: ExperimentConfig, runs: Sequence[Run], summary: Summary) -> dict[str, Any]:
    """Entry of `comparison.json`."""
    last = [run.metrics()[-1] for run in runs]
    return {
        "experiment": experiment,
        "agent": config.agent_name,
        "steps": last[0]["steps"],
        "training_s": round(statistics.fmean(row["time_s"] for row in last), 1),
        "seeds_together": config.run.vectorise_seeds,
        "learning": _learning(config, runs),
        "made_with": _made_with([run.versions for run in runs]),
        "evaluation": summary.to_json(),
    }


def _learning(config: ExperimentConfig, runs: Sequence[Run]) -> dict[str, Any]:
    """Evaluations on the way of every training, with the references that training knows already."""
    split = config.run.evaluation.training_split
    names = [name for name in (RULE, ORACLE) if name in config.run.evaluation.against]
    references = reference_results(config.task, split, names, *build_split(config, split))
    curves = {str(run.seed): selection.evaluations_of(run, f"{split}/return_eur") for run in runs}
    return {
        "split": split,
        "references_eur": {name: float(r.return_eur.mean()) for name, r in references.items()},
        "seeds": {seed: {"steps": steps, "return_eur": values} for seed, (steps, values) in curves.items()},
    }


def _made_with(versions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What is in the `versions.json` of the runs, each different value once."""
    platforms = [v["platform"] for v in versions]
    packages = dict.fromkeys(name for v in versions for name in v["packages"])
    return {
        "trained_utc": _each(v["created_utc"] for v in versions),
        "machines": _each(f"{p['processor']}, {p['cores']} cores, {p['device']}" for p in platforms),
        "python": _each(v["python"] for v in versions),
        "packages": {name: _each(v["packages"].get(name, "none") for v in versions) for name in packages},
        "commits": _each(_commit(v["git"]) for v in versions),
        "data_hash": _each(v["data_hash"] for v in versions),
    }


def _each(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _commit(git: Mapping[str, Any] | None) -> str:
    return "unknown" if git is None else f"{git['commit']}{'+' if git['modified'] else ''}"


def _write(name: str, config: ComparisonConfig, entries: Sequence[dict[str, Any]], folder: Path) -> Study:
    """`comparison.json` and `comparison.md` of what is done so far."""
    values = {
        "comparison": name,
        "settings": config.model_dump(mode="json"),
        "entries": without_repeated_episodes(copy.deepcopy(list(entries))),
    }
    write_json(folder / RESULTS_FILE, values)
    study = read_study([folder])
    write_atomically(folder / TABLE_FILE, study_tables.table(study))
    return study
