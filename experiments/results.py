"""Evaluating runs and bundles and writing the results where they belong."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from experiments.evaluate import Evaluation, evaluate, evaluate_bundle
from experiments.run import EVALUATION_PREFIX, Run, find_runs, write_json
from experiments.summary import Summary, summarise
from gridenv.adapters.ray_settings import RaySettings
from gridenv.core.errors import BundleError
from gridenv.policy.bundle import is_bundle
from gridenv.policy.runtime import load_policy

EVALUATION_FILE = f"{EVALUATION_PREFIX}.json"


def evaluate_runs(
    paths: Sequence[Path], split: str | None, against: Sequence[str] | None, ray: RaySettings | None = None
) -> tuple[Evaluation, Summary, Path]:
    """Evaluate runs that differ in their seed only, and write their `evaluation.json`.

    Args:
        paths: run folders or folders of runs.
        split: days to run on; the configuration's final split if left out.
        against: reference controllers; those of the configuration if left out.
        ray: where they run side by side; one after the other here if left out.

    Returns:
        The results, their summary over all seeds and the file that it was written to. Each run's folder has the summary
        of its seed alone, the folder common to the runs the one over all seeds.

    Raises:
        RunError: as `find_runs`, and for damaged checkpoints.
        ConfigError: for an unknown split or reference controller.
    """
    runs = find_runs(paths)
    evaluation = evaluate(runs, split, against, ray)
    summary = summarise(evaluation)
    written = _write(common_folder(runs), evaluation, summary)
    if len(runs) > 1:
        for run in runs:
            alone = replace(evaluation, runs=(run,), seeds={run.seed: evaluation.seeds[run.seed]})
            _write(run.folder, alone, summarise(alone))
    return evaluation, summary, written


def evaluate_folders(
    paths: Sequence[Path], split: str | None, against: Sequence[str] | None, ray: RaySettings | None = None
) -> tuple[Evaluation, Summary, Path]:
    """As `evaluate_runs`, or the same for the folder of one bundle, whose `evaluation.json` goes into it.

    Raises:
        BundleError: if a bundle is not named alone, is damaged, or the task no longer has its channels.
        MissingExtraError: if onnxruntime is not installed.
        RunError: as `evaluate_runs`.
        ConfigError: as `evaluate_runs`.
    """
    bundles = [path for path in paths if is_bundle(path)]
    if not bundles:
        return evaluate_runs(paths, split, against, ray)
    if len(paths) > 1:
        raise BundleError(
            f"evaluate: '{bundles[0]}' is a bundle and not the only folder; allowed: one bundle, or runs; make a call "
            "for each bundle"
        )
    evaluation = evaluate_bundle(load_policy(bundles[0]), split, against, ray)
    summary = summarise(evaluation)
    return evaluation, summary, _write(bundles[0], evaluation, summary)


def common_folder(runs: Sequence[Run]) -> Path:
    """The folder of a single run, else the one that holds them all."""
    return runs[0].folder if len(runs) == 1 else Path(os.path.commonpath([run.folder for run in runs]))


def _write(folder: Path, evaluation: Evaluation, summary: Summary) -> Path:
    """Results on the final split go to `evaluation.json`, others beside it."""
    final = evaluation.config.run.evaluation.final_split
    name = EVALUATION_FILE if evaluation.split == final else f"{EVALUATION_PREFIX}_{evaluation.split}.json"
    write_json(folder / name, summary.to_json())
    return folder / name
