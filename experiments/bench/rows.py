"""Rows of results: one flat dictionary for each measurement, and the JSON file that holds them."""

import json
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from experiments.bench.contest import Timing
from experiments.bench.worker import available_cpus
from experiments.provenance import git_state, package_version, processor_name
from gridenv.core.errors import ConfigError

Row = dict[str, Any]

SOLVE_TIME = "us_per_solve"
STEP_RATE = "steps_per_s"
_US_PER_S = 1e6
_COMMON_KEYS = (
    "bench",
    "case",
    "engine",
    "batch",
    "threads",
    "dtype",
    "tolerance",
    "max_abs_dv_pu",
    "compile_s",
    "peak_mb",
    "runs",
    "min",
    "max",
)


def solve_row(timing: Timing, **about: Any) -> Row:
    """A row of the power-flow benchmark: microseconds per solve, median and range over the rounds.

    `compile_s` is the first call with these inputs, `build_s` what making the engine took before it.
    """
    us = [_US_PER_S * s for s in timing.seconds]
    return _row(timing, SOLVE_TIME, us, compile_s=timing.first.call_s, build_s=rounded(timing.build_s), **about)


def rate_row(timing: Timing, **about: Any) -> Row:
    """A row of the environment and training benchmarks: steps per second, median and range over the rounds.

    `compile_s` is all that happens before the second call: first reset and first steps.
    """
    rates = [1.0 / s for s in timing.seconds]
    compile_s = timing.first.prepare_s + timing.first.call_s
    return _row(timing, STEP_RATE, rates, compile_s=compile_s, tolerance=None, max_abs_dv_pu=None, **about)


def _row(timing: Timing, quantity: str, values: Sequence[float], **about: Any) -> Row:
    row = {
        **about,
        quantity: rounded(statistics.median(values)),
        "min": rounded(min(values)),
        "max": rounded(max(values)),
        "compile_s": rounded(about["compile_s"]),
        "peak_mb": timing.first.peak_mb and round(timing.first.peak_mb, 1),
        "runs": len(values),
    }
    order = [*_COMMON_KEYS[:7], quantity, *_COMMON_KEYS[7:]]
    return {key: row[key] for key in [*order, *(key for key in row if key not in order)]}


def rounded(value: float) -> float:
    """Four digits: more than a timing is worth."""
    return float(f"{value:.4g}")


@cache
def machine() -> Row:
    """What a timing depends on beside the code; part of every row. Call it before the work, for the load."""
    commit = git_state()
    return {
        "cpu": processor_name(),
        "cpus": len(available_cpus()),
        "load_before": round(os.getloadavg()[0], 2),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit and commit["commit"][:12] + ("+" if commit["modified"] else ""),
    }


def engine_version(distribution: str) -> str | None:
    """Version of a package, with that of JAX for our own."""
    version = package_version(distribution)
    return f"{version or 'checkout'}, jax {package_version('jax')}" if distribution == "gridenv" else version


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as a JSON list, one row a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n  ".join(json.dumps(row) for row in rows)
    path.write_text(f"[\n  {lines}\n]\n", encoding="utf-8")


Keep = Callable[[Sequence[Row]], None]
"""Takes all rows so far after each case, so that a benchmark that is cut off has not been for nothing."""


def kept_in(path: Path | None) -> Keep:
    """Writes rows to a file, or nothing without one."""
    return (lambda rows: None) if path is None else (lambda rows: write_rows(path, rows))


def read_rows(path: Path) -> list[Row]:
    """Rows of a file that `write_rows` made.

    Raises:
        ConfigError: if there is no such file or it holds something else.
    """
    hint = f"make one with `gridenv bench ... --json {path}`"
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"bench table: file '{path}' cannot be read ({error}); {hint}") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) and set(_COMMON_KEYS) <= set(row) for row in rows):
        raise ConfigError(f"bench table: file '{path}' holds no list of benchmark rows; {hint}")
    return rows
