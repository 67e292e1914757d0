"""What the README and the documents tell users to type exists, and the README's Python runs."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer

from experiments.bench.cli import app as bench
from experiments.cli import app
from experiments.comparison_config import COMPARISONS
from experiments.config import CONFIG_FOLDER, EXPERIMENTS
from experiments.sweep.config import SWEEPS
from gridenv.core.config import names_in
from gridenv.tasks.registry import TASKS
from tests.docs.test_links import PAGES, ROOT

COMMANDS = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
BENCHES = set(typer.main.get_command(bench).commands)  # type: ignore[attr-defined]
GROUPS = {
    "experiment": {*names_in(EXPERIMENTS)},
    "sweep": {*names_in(SWEEPS)},
    "comparison": {*names_in(COMPARISONS)},
    "task": {*names_in(CONFIG_FOLDER / "task"), *TASKS},
}
NO_COMMANDS = {"functional", "compiled"}
"""Words behind the name of the library in tables."""
_PLACEHOLDER = re.compile(r"^[A-Z]+$|[<./:]|^my")
"""NAME, `<this file>`, paths, tasks of users."""


def _typed(page: Path) -> list[str]:
    """Calls of `gridenv` in fenced blocks and in code within lines."""
    text = page.read_text(encoding="utf-8")
    return re.findall(r"^\s*(?:\$ )?gridenv +(.+)$", text, re.MULTILINE) + re.findall(r"`gridenv +([^`]+)`", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_names_in_documents_exist(page: Path) -> None:
    if page.name == "CHANGELOG.md":
        return
    wrong = []
    for call in _typed(page):
        first, second, *_ = [*call.split(), "", ""]
        is_command = first in COMMANDS and (first != "bench" or not second.isalpha() or second in BENCHES)
        if first.isalpha() and first.islower() and first not in NO_COMMANDS and not is_command:
            wrong.append(f"gridenv {call}")
        wrong += [
            f"gridenv {call}"
            for group, name in re.findall(r"\b(experiment|sweep|comparison|task)=(\S+)", call)
            if name not in GROUPS[group] and not _PLACEHOLDER.search(name)
        ]
    assert not wrong


def test_the_readme_names_every_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [extra for extra in extras if f"`{extra}`" not in readme] == []


@pytest.mark.slow
def test_python_of_the_readme_runs(tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    assert len(blocks) >= 2
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GRIDENV_CACHE_DIR": str(tmp_path)}
    for block in blocks:
        command = [sys.executable, "-W", "error", "-c", block]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()
