"""Bundles at the end of a training: one that cannot be made ends nothing, and the reason is said."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agents.networks import NetworkPolicy
from agents.rules import DoNothing
from experiments.config import compose
from experiments.run import Run, create_run
from experiments.train import Progress, Trainer


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return create_run(compose(["experiment=voltvar_ieee33_smoke"]), 0, tmp_path)


def said_about(policy: Any, run: Run, capsys: pytest.CaptureFixture[str]) -> str:
    """What the trainer says about the bundle of a policy."""
    env: Any = SimpleNamespace(n_observation=3, n_action=2)
    trainer: Any = SimpleNamespace(_validation=(env, None), learner=SimpleNamespace(policy=lambda _: policy))
    Trainer._save_bundle(trainer, Progress(run, None))
    assert not run.bundle_path.exists()
    return capsys.readouterr().err


def test_a_policy_that_is_no_network_is_said(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    said = said_about(DoNothing.__new__(DoNothing), run, capsys)
    assert said.startswith("no bundle: policy 'none' (DoNothing) cannot be exported")
    assert said.count("\n") == 1


def test_without_the_packages_training_says_how_to_get_a_bundle_later(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    said = said_about(NetworkPolicy(layers=(), name="net"), run, capsys)
    assert said == (
        "no bundle: package 'onnx' is not installed; install it with pip install \"gridenv[hil]\"; then run `gridenv "
        f"export {run}`\n"
    )
