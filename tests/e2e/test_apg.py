"""Training by gradients through the simulator, as a user runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments.run import TIME_FIELDS

ROOT = Path(__file__).parents[2]
TRAINING = (
    "experiment=voltvar_ieee33_smoke",
    "agent=apg",
    "agent.num_envs=8",
    "agent.horizon=8",
    "agent.hidden=[16]",
    "agent.learning_rate=1e-2",
    "agent.total_steps=1920",
    "task.steps_per_episode=8",
    "evaluation.against=[none]",
    "evaluation.every_updates=30",
    "checkpoint_every_updates=10",
)


def _gridenv(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GRIDENV_CACHE_DIR": str(folder / "cache")}
    done = subprocess.run(
        [sys.executable, "-m", "gridenv", *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _rows(run: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{key: value for key, value in row.items() if key not in TIME_FIELDS} for row in rows]


@pytest.mark.slow
def test_training_goes_on_from_a_checkpoint_to_the_same_result_and_pays(tmp_path: Path) -> None:
    run = tmp_path / _gridenv(tmp_path, "train", *TRAINING).removeprefix("trained: ").strip()
    rows, checkpoints = _rows(run), sorted((run / "checkpoints").iterdir())
    last = checkpoints[-1].read_bytes()
    checkpoints[-1].unlink()
    _gridenv(tmp_path, "train", "--resume", str(run))
    assert _rows(run) == rows
    assert checkpoints[-1].read_bytes() == last
    reward = [row["train/reward_eur"] for row in rows]
    assert np.mean(reward[-3:]) > np.mean(reward[:3])
