"""Tutorials: a page shows its script as it is, and the script runs."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "tutorials"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py"))
EXTRAS = {"train_sb3": ("stable_baselines3", "sb3"), "train_rllib": ("ray.rllib", "ray")}
"""Package that a tutorial needs beside the library, and the extra that has it."""
_LIMIT_S = 900
STEPS = "1"
"""All tutorials do at least one update."""
_SCORED = r"policy: -[\d,.]+ EUR a day\nnone: -[\d,.]+ EUR a day$"
SAID = {
    "own_task": r"ppo: -[\d,]+ EUR a day\nnone: -[\d,]+ EUR a day$",
    "own_feeder": r"lowest voltage: (0\.\d{5}) pu, pandapower \1 pu\n[\s\S]*none: -[\d.,]+ EUR a day$",
    "own_jax_loop": rf"seed 2: -[\d.]+ EUR a step in the last update\n{_SCORED}",
    "train_sb3": _SCORED,
    "train_rllib": _SCORED,
}
"""What a tutorial says at its end."""


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def test_every_script_has_a_page_and_is_run() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.md") if path.stem != "README") == SCRIPTS == sorted(SAID)


@pytest.mark.parametrize("name", SCRIPTS)
def test_python_blocks_of_a_page_are_its_script(name: str) -> None:
    page = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert _lines("".join(blocks)) == _lines((FOLDER / f"{name}.py").read_text(encoding="utf-8"))


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_script_runs(name: str, tmp_path: Path) -> None:
    package, extra = EXTRAS.get(name, ("gridenv", ""))
    if not _installed(package):
        pytest.skip(f"needs the extra gridenv[{extra}]")
    command = [sys.executable, str(FOLDER / f"{name}.py"), "--steps", STEPS, "--against", "none"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GRIDENV_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=_LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.search(SAID[name], done.stdout.rstrip()), done.stdout
