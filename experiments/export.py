"""Bundles of runs that are already there."""

from pathlib import Path

from experiments import console
from experiments.bundles import save_bundle
from experiments.evaluate import load_policy
from experiments.run import open_run
from experiments.train import build_split


def export_run(path: Path, folder: Path | None = None) -> Path:
    """Write the bundle of a run's newest checkpoint.

    Args:
        path: folder of the run; it need not be finished.
        folder: where to write; the run's own folder if left out.

    Returns:
        The folder of the bundle.

    Raises:
        RunError: if the path is no run, or has no checkpoint that can be read.
        BundleError: as `save_bundle`.
        MissingExtraError: if onnx or onnxruntime is not installed.
    """
    run = open_run(path)
    update, _ = run.last_checkpoint()
    with console.working(f"recording the policy of {run}"):
        env, params = build_split(run.config, run.config.run.evaluation.training_split)
        return save_bundle(run, update, load_policy(run, env, params), env, params, folder)
