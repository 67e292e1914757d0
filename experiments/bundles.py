"""Policy bundles of runs; see docs/bundles.md."""

from datetime import UTC, datetime
from pathlib import Path

from agents.controller import Controller
from agents.export import OPSET, check_exportable, to_onnx
from experiments.provenance import package_version
from experiments.rollout import record_pairs
from experiments.run import Run
from gridenv.core.units import SECONDS_PER_HOUR
from gridenv.policy.bundle import GOLDEN_PAIRS, Bundle, write_bundle
from gridenv.policy.manifest import Manifest
from gridenv.policy.runtime import Policy
from gridenv.tasks.env import EnvParams, GridEnv

_PACKAGES = ("gridenv", "numpy", "onnx", "onnxruntime")


def save_bundle(
    run: Run, update: int, policy: Controller, env: GridEnv, params: EnvParams, folder: Path | None = None
) -> Path:
    """Write the bundle of a policy, if onnxruntime gives the policy's own actions.

    Args:
        run: what the policy was trained in.
        update: updates it was trained for.
        policy: the policy.
        env: environment of the task.
        params: its parameters; pairs are recorded in the episodes that begin at `params.starts`.
        folder: where to write; the run's own folder if left out.

    Returns:
        The folder.

    Raises:
        BundleError: if the policy cannot be exported, or onnxruntime acts otherwise than it does.
        MissingExtraError: if onnx or onnxruntime is not installed.
    """
    folder = run.bundle_path if folder is None else folder
    check_exportable(policy)
    bundle = Bundle(
        name=str(folder),
        onnx=to_onnx(policy, env.n_observation, env.n_action),
        manifest=_manifest(run, update, env, params),
        golden=record_pairs(env, params, policy, GOLDEN_PAIRS),
    )
    # Refused here rather than at the rig: making the policy replays the pairs.
    Policy(bundle)
    write_bundle(folder, bundle)
    return folder


def _manifest(run: Run, update: int, env: GridEnv, params: EnvParams) -> Manifest:
    return Manifest(
        task=env.id,
        network=run.values["task"]["network"],
        step_s=params.model.dt_h * SECONDS_PER_HOUR,
        observation=env.task.observation,
        action=env.task.action,
        cost_names=env.cost_names,
        agent=run.config.agent_name,
        seed=run.seed,
        update=update,
        config=run.values,
        config_hash=run.config_hash,
        versions=run.versions,
        exported={
            "created_utc": datetime.now(UTC).isoformat(timespec="seconds"),
            "opset": OPSET,
            "packages": {name: package_version(name) for name in _PACKAGES},
        },
    )
