"""Training with Stable-Baselines3 in both ways of docs/training.md, on budgets of a few seconds."""

import json
import re
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the extra gridenv[sb3]")
pytest.importorskip("stable_baselines3", reason="needs the extra gridenv[sb3]")

from experiments.config import compose  # noqa: E402
from experiments.evaluate import evaluate  # noqa: E402
from experiments.run import TIME_FIELDS, Run  # noqa: E402
from experiments.train import resume, train  # noqa: E402

PAGE = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
PAGE = PAGE.partition("## Train with Stable-Baselines3")[2].partition("\n## ")[0]
COMMANDS = re.findall(r"^gridenv train (.*)$", PAGE, re.MULTILINE)
SMALL = [
    "task.steps_per_episode=8",
    "agent.num_envs=4",
    "agent.rollout_steps=8",
    "agent.hidden=[8]",
    "seeds=[0]",
    "evaluation.against=[]",
    "evaluation.every_updates=4",
    "checkpoint_every_updates=2",
    "agent.total_steps=128",
]
OFF_POLICY = ["agent.learning_starts=40", "agent.batch_size=16", "agent.buffer_size=400", "agent.gradient_steps=1"]


def metrics(folder: Path) -> list[dict[str, object]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{key: value for key, value in row.items() if key not in TIME_FIELDS} for row in rows]


def train_small(command: str, folder: Path) -> Run:
    changes = ["agent.minibatches=2", "agent.epochs=1"] if "sb3_ppo" in command else OFF_POLICY
    (run,) = train(compose([*command.split(), *SMALL, *changes]), folder)
    return run


def test_page_shows_a_command_for_each_agent() -> None:
    assert [re.search(r"agent=(\w+)", command).group(1) for command in COMMANDS] == ["sb3_ppo", "sb3_sac", "sb3_td3"]


@pytest.mark.parametrize("command", COMMANDS)
def test_command_of_the_page_trains(command: str, tmp_path: Path) -> None:
    rows = metrics(train_small(command, tmp_path).folder)
    assert [row["steps"] for row in rows] == [32, 64, 96, 128]
    assert {"train/reward_eur", "loss/policy", "validation/return_eur"} <= rows[-1].keys()


def test_run_resumes_to_the_same_metrics_and_is_evaluated(tmp_path: Path) -> None:
    run = train_small(COMMANDS[1], tmp_path)
    rows = metrics(run.folder)
    run.checkpoint_path(4).unlink()
    resume([run.folder])
    assert metrics(run.folder) == rows
    result = evaluate([run], "validation", [])
    assert float(result.seeds[0].return_eur.mean()) == pytest.approx(rows[-1]["validation/return_eur"], rel=1e-5)


def test_script_of_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (script,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    budget = "num_envs, updates = 64, 100"
    assert budget in script
    n_thread = torch.get_num_threads()
    try:
        exec(compile(script.replace(budget, "num_envs, updates = 8, 1"), "docs/training.md", "exec"), {})
    finally:
        torch.set_num_threads(n_thread)
    assert len(capsys.readouterr().out.splitlines()) >= 1
