"""Runs of every stack as a user has them: resumed, evaluated, done again; and evaluations that are shared out."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TINY = [
    "experiment=voltvar_ieee33",
    "task.steps_per_episode=8",
    "agent.num_envs=4",
    "agent.rollout_steps=8",
    "agent.total_steps=128",
    "agent.hidden=[8]",
    "evaluation.against=[none]",
    "evaluation.every_updates=2",
    "checkpoint_every_updates=2",
]
ON_POLICY = ["agent.minibatches=2", "agent.epochs=2"]
OFF_POLICY = ["agent.batch_size=16", "agent.buffer_size=400", "agent.gradient_steps=1", "agent.learning_starts=40"]
OF_RAY = ["ray.rllib", "pettingzoo"]
STACKS = {
    "ppo": ([], ON_POLICY),
    "sb3_ppo": (["stable_baselines3"], ON_POLICY),
    "sb3_sac": (["stable_baselines3"], OFF_POLICY),
    "rllib_ppo": (OF_RAY, [*ON_POLICY, "agent.ray.cpus=1"]),
    "rllib_ppo with two env runners": (OF_RAY, [*ON_POLICY, "agent.ray.cpus=2", "agent.num_env_runners=2"]),
    "rllib_ippo": (OF_RAY, [*ON_POLICY, "agent.ray.cpus=1"]),
}
"""Run -> packages that it needs, and its settings."""


def gridenv(folder: Path, *arguments: str, cache: str = "cache", code: int = 0) -> str:
    """What a command printed."""
    settings = {"PYTHONPATH": str(ROOT), "GRIDENV_CACHE_DIR": str(folder / cache), "COLUMNS": "200"}
    command = [sys.executable, "-m", "gridenv", *arguments]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **settings}, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == code, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("stack", STACKS)
def test_a_run_that_was_resumed_is_identical_when_it_is_done_again_and_its_bundle_scores_as_it_does(
    stack: str, tmp_path: Path
) -> None:
    packages, settings = STACKS[stack]
    for package in (*packages, "onnxruntime"):
        pytest.importorskip(package, reason="needs the extras gridenv[sb3,ray,marl,hil]")
    out = gridenv(tmp_path, "train", *TINY, "seeds=[3]", f"agent={stack.split()[0]}", *settings)
    run = tmp_path / out.removeprefix("trained: ").split()[-1]
    # Half of it is done anew from a checkpoint, so that going on is compared with going through.
    (run / "checkpoints" / "update-000004.checkpoint").unlink()
    gridenv(tmp_path, "train", "--resume", str(run))
    gridenv(tmp_path, "evaluate", str(run))
    again = gridenv(tmp_path, "reproduce", str(run))
    assert again.startswith("identical: 4 updates of "), again
    assert "evaluation.json" in again
    gridenv(tmp_path, "evaluate", str(run / "bundle"))
    scores = [json.loads((folder / "evaluation.json").read_text())["controllers"] for folder in (run, run / "bundle")]
    name = stack.split()[0]
    own, exported = (score[name]["return_eur"]["mean"] for score in scores)
    assert exported == pytest.approx(own, rel=1e-4)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    rows[2]["train/reward_eur"] *= 1.0 + 1e-7
    (run / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    differing = gridenv(tmp_path, "reproduce", str(run), "--runs", "third", code=1).splitlines()
    assert differing[0].startswith("differs: 1 of 4 updates")
    assert differing[1] == "  first at update 3:"
    assert differing[2].startswith("    train/reward_eur: recorded ")


@pytest.mark.slow
def test_an_evaluation_that_is_shared_out_has_the_results_of_one_process(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="extra ray")
    gridenv(tmp_path, "train", *TINY, "seeds=[0,1]", "agent=ppo", *ON_POLICY)
    (folder,) = tmp_path.glob("runs/*")
    found = []
    for cache, settings in (("cache", []), ("another", ["ray.cpus=2", "ray.object_store_mb=80"])):
        # Each computes its references anew.
        gridenv(tmp_path, "evaluate", str(folder), "--against", "none,rule", *settings, cache=cache)
        found.append([path.read_text() for path in sorted(folder.rglob("evaluation.json"))])
        gridenv(tmp_path, "evaluate", "VoltVar-IEEE33-v0", "--out", cache, *settings, cache=f"{cache}-tasks")
        found[-1].append((tmp_path / cache / "VoltVar-IEEE33-v0-test.json").read_text())
    assert found[0] == found[1]
    assert len(found[0]) == 4
    assert {"ppo", "none", "rule"} <= json.loads(found[0][0])["controllers"].keys()
