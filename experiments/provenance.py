"""What a result was made with: versions, platform, commit and hashes of configuration and data."""

import hashlib
import importlib.metadata
import inspect
import json
import marshal
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from experiments.config import ExperimentConfig
from gridenv.exogenous.files import DATA_FOLDER
from gridenv.exogenous.splits import SPLIT_NAMES, episode_starts
from gridenv.network.own import digest_of

CHECKOUT = Path(__file__).parents[1]
_PACKAGES = ("gridenv", "jax", "jaxlib", "numpy", "scipy", "optax", "pandapower", "pydantic", "omegaconf", "gymnasium")
_NOT_OWN = ("gridenv", "pydantic", "builtins", "typing", "abc")
"""Packages whose classes are no code of the user."""
_OPTIONAL_PACKAGES = (
    "torch",
    "stable-baselines3",
    "sb3-contrib",
    "ray",
    "wandb",
    "tensorboardX",
    "onnx",
    "onnxruntime",
    "cvxpy",
    "clarabel",
    "highspy",
    "lightgbm",
    "pymodbus",
)
"""Recorded where they are installed."""


def describe(config: ExperimentConfig) -> dict[str, Any]:
    """Contents of a run's `versions.json`, from the experiment with all its seeds."""
    optional = {name: package_version(name) for name in _OPTIONAL_PACKAGES}
    steps: int = config.task.steps_per_episode  # type: ignore[attr-defined]
    own = own_hashes(config.task)
    return {
        "created_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": ["gridenv", *sys.argv[1:]],
        "config_hash": config.hash,
        "data_hash": data_hash(),
        **({"own": own} if own else {}),
        "episodes": {split: episodes_hash(episode_starts(split, steps), steps) for split in SPLIT_NAMES},
        "seeds_together": list(config.seeds) if config.run.vectorise_seeds else None,
        "git": git_state(),
        "python": platform.python_version(),
        "packages": {name: package_version(name) for name in _PACKAGES} | {k: v for k, v in optional.items() if v},
        "platform": {
            "system": platform.platform(),
            "machine": platform.machine(),
            "processor": processor_name(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "device": _device(),
        },
    }


def package_version(name: str) -> str | None:
    """Version of an installed package, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def own_hashes(task: BaseModel) -> dict[str, str]:
    """SHA-256 of what a task takes from files of the user: the network, and the code of a task of one's own."""
    own = [kind for kind in type(task).__mro__ if kind.__module__.partition(".")[0] not in _NOT_OWN]
    code = hashlib.sha256(b"".join(_code_of(kind) for kind in own)).hexdigest() if own else ""
    network = digest_of(getattr(task, "network", ""))
    return {name: value for name, value in (("network", network), ("code", code)) if value}


def _code_of(kind: type) -> bytes:
    """The file that a class is defined in; of one that was typed into a notebook, what its functions do."""
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    if file is not None:
        return Path(file).read_bytes()
    return b"".join(marshal.dumps(f.__code__) for f in vars(kind).values() if inspect.isfunction(f))


@cache
def data_hash() -> str:
    """SHA-256 over names and contents of the shipped data files."""
    return hash_files(sorted(path for path in DATA_FOLDER.iterdir() if path.is_file()), DATA_FOLDER)


def episodes_hash(starts: Sequence[int] | NDArray[np.integer[Any]], steps_per_episode: int) -> str:
    """SHA-256 of the list of episodes that results are means over: their first steps in order, and their length."""
    listed = {"starts": [int(start) for start in starts], "steps_per_episode": steps_per_episode}
    return hashlib.sha256(json.dumps(listed, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def hash_files(paths: list[Path], root: Path) -> str:
    """SHA-256 over the names, relative to `root`, and the contents of files in the order given."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.relative_to(root).as_posix()}\n".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def git_state() -> dict[str, Any] | None:
    """Commit of the checkout and whether files differ from it; None outside of a checkout."""
    commit, status = _git("rev-parse", "HEAD"), _git("status", "--porcelain")
    return None if commit is None else {"commit": commit, "modified": bool(status)}


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(CHECKOUT), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def processor_name() -> str:
    """Model of the processor; its architecture where the system does not tell."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _device() -> str:
    import jax

    device = jax.devices()[0]
    return f"{device.platform}: {device.device_kind}"
