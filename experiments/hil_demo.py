"""A policy on the virtual rig from end to end: check, shadow, control, report, and the figures side by side."""

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from experiments import console, hil
from experiments.run import Run
from experiments.virtual_rig import virtual_rig
from gridenv.core.config import display_path
from gridenv.core.errors import RunError
from gridenv.core.units import HOURS_PER_DAY, SECONDS_PER_HOUR
from gridenv.policy.bundle import is_bundle
from hardware_in_loop.control.gap import write_gaps
from hardware_in_loop.control.log import Log, read_log
from hardware_in_loop.control.outcome import Mode, Outcome
from hardware_in_loop.control.pages import checklist_page
from hardware_in_loop.control.report import report_page
from hardware_in_loop.control.runtime import TIME_IS_OVER
from hardware_in_loop.control.states import State
from hardware_in_loop.control.summary import Summary, summarise, unplanned
from hardware_in_loop.errors import RigError
from hardware_in_loop.rig.files import RigFile, read_rig
from hardware_in_loop.virtual_rig.control import ask

FOLDER = Path("runs/hil/demo")
EXPERIMENT = "voltvar_ieee33"
SHORT_TRAINING = ("seeds=[0]", "agent.total_steps=300_000", "evaluation.against=[none]")
"""Settings of the training where there is no run: enough for a policy that beats the droop, in a minute or two."""
SIGNER = "gridenv hil demo, on the virtual rig"
_EVENING_H = 20.0
"""End of the hours that are looked at: by then the evening has been hard on the voltage band."""
_OTHER_S = 600.0
"""Time for all but the two runs, on a machine that has other things to do."""
_IDLE_WITHIN_S = 30.0
_MS_PER_S = 1e3


@dataclass(frozen=True, kw_only=True)
class Band:
    """Cost `v_band` over the same steps of the same days, in pu h."""

    steps: int
    """Steps that both have, all set-points of the controller in force at their end."""
    droop_pu_h: float
    controlled_pu_h: float


def compare_band(droop: Sequence[Mapping[str, Any]], controlled: Sequence[Mapping[str, Any]]) -> Band:
    """What control changes, step by step of the scenario.

    Args:
        droop: answer of the control port to `history`, without a controller.
        controlled: the same, with one.

    Raises:
        RigError: if the task has no such cost.
    """
    if any("v_band" not in step["cost"] for step in droop):
        raise RigError("demo: the task of the rig file has no cost 'v_band'; use a rig file of VoltVar-IEEE33-v0")
    without = {step["scenario_step"]: step["cost"]["v_band"] for step in droop}
    both = [s for s in controlled if s["is_commanded"] and s["scenario_step"] in without]
    return Band(
        steps=len(both),
        droop_pu_h=float(sum(without[s["scenario_step"]] for s in both)),
        controlled_pu_h=float(sum(s["cost"]["v_band"] for s in both)),
    )


@dataclass(frozen=True, kw_only=True)
class Demonstration:
    """What came out."""

    folder: Path
    log: Log
    summary: Summary
    outcome: Outcome
    band: Band
    largest_gap_pu: float
    """Largest difference of a voltage in the registers from the training environment on the same inputs."""
    problems: Sequence[str]
    """Why it did not end as it should, one line each."""


def newest_bundle(runs: Path) -> Path:
    """Bundle of the newest run of the demonstration's experiment; where there is none, of a short training.

    Args:
        runs: folder of run folders.

    Raises:
        RunError: if the training fails.
        BundleError, MissingExtraError: if the run has no bundle and none can be made.
    """
    run = _newest_run(runs) or _newest_run(FOLDER / "training")
    if run is None:
        console.say(f"no run of {EXPERIMENT} in '{display_path(runs)}'; training a short one (`make demo`: a good one)")
        settings = [f"experiment={EXPERIMENT}", *SHORT_TRAINING, "--runs", str(FOLDER / "training")]
        done = subprocess.run([sys.executable, "-m", "gridenv", "train", *settings], stdout=subprocess.DEVNULL)
        run = _newest_run(FOLDER / "training")
        if done.returncode or run is None:
            raise RunError(f"demo: the short training ended with code {done.returncode}; see above, or give --bundle")
    if not is_bundle(run.bundle_path):
        from experiments.export import export_run

        export_run(run.folder)
    return run.bundle_path


def _newest_run(runs: Path) -> Run | None:
    found = [Run(path) for path in sorted((runs / EXPERIMENT).glob("*")) if Run(path).is_recorded]
    return next((run for run in reversed(found) if run.is_finished), None)


def demonstrate(bundle: Path, rig: str, rigs: Path, seconds: float) -> Demonstration:
    """Check, shadow, control and report on the virtual rig.

    Args:
        bundle: folder of a bundle.
        rig: name of a rig file in `rigs`, or a path.
        rigs: folder of rig files.
        seconds: length of the shadow run, and of the run in control.

    Raises:
        RigError: if the virtual rig does not serve.
        RunError: if the check does not allow control, or an operator stops a run.
    """
    file = read_rig(rig, rigs)
    folder = FOLDER / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    with virtual_rig(str(file.path), 2.0 * seconds + _OTHER_S) as port:
        checks = folder / "checks"
        _check(bundle, rig, rigs, checks)
        # In shadow nothing is written, so the rig follows its own curve: that is what control is compared with.
        droop = _stage(port, file, bundle, Mode.SHADOW, seconds, folder / "shadow", checks)[1]
        outcome, controlled = _stage(port, file, bundle, Mode.ACTIVE, seconds, folder / "active", checks)
    # JAX comes in only now: the loop has had the processors for itself.
    from experiments.hil_demo_voltages import voltage_gaps

    with console.working("asking the training environment for the same voltages"):
        gaps = voltage_gaps(file.task, file.rig.emulated.split, controlled)
    write_gaps(folder / "active", gaps, {"simulated": file.task, "inputs": "commands carried out, step by step"})
    for name in ("shadow", "active"):
        page = report_page(read_log(folder / name))
        (folder / name / "report.html").write_text(page, encoding="utf-8")
    log = read_log(folder / "active")
    return Demonstration(
        folder=folder,
        log=log,
        summary=summarise(log),
        outcome=outcome,
        band=compare_band(droop, controlled),
        largest_gap_pu=max((gap.largest for gap in gaps), default=float("nan")),
        problems=_problems(log, outcome),
    )


def _check(bundle: Path, rig: str, rigs: Path, checks: Path) -> None:
    with console.working("checking every channel and set-point"):
        path, checklist = hil.check(bundle, rig, rigs, checks, with_writes=True, signed_by=SIGNER)
    page = path.with_suffix(".html")
    page.write_text(checklist_page(checklist), encoding="utf-8")
    console.say(f"check: {len(checklist.items)} items, {display_path(page)}")
    if checklist.problems:
        raise RunError(_why_not(checklist.problems, display_path(page)))


def _why_not(problems: Sequence[str], page: str) -> str:
    """The first problem of each kind, and what may be behind them."""
    kinds = Counter(problem.split(" of ")[0] for problem in problems)
    first = {kind: next(p for p in problems if p.split(" of ")[0] == kind) for kind in kinds}
    lines = [f"check: control not allowed: {text}{_more(kinds[kind] - 1)}" for kind, text in first.items()]
    busy = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors" if hasattr(os, "getloadavg") else "load"
    return "\n".join([*lines, f"check: all of it is in '{page}'; {busy}: where that is too much, try again later"])


def _more(count: int) -> str:
    return f"; and {count} like it" if count else ""


def _stage(
    port: int, file: RigFile, bundle: Path, mode: Mode, seconds: float, folder: Path, checks: Path
) -> tuple[Outcome, list[dict[str, Any]]]:
    """A run over the same hours as every other, and the steps of the rig meanwhile."""
    with console.working("waiting until the devices have given up their set-points"):
        _wait_until_idle(port)
    emulated = file.rig.emulated
    hours = seconds * emulated.speed / SECONDS_PER_HOUR
    hour = max(0.0, _EVENING_H - hours)
    _ask(port, {"ask": "restart", "day": emulated.start, "hour": hour})
    console.say(f"{mode}: {seconds:g} s from {hour:.1f} h of day {emulated.start}, {hours / HOURS_PER_DAY:.2f} days")
    _, outcome = hil.run(bundle, str(file.path), file.path.parent, mode, seconds, folder, checks)
    steps = _ask(port, {"ask": "history"})["steps"]
    console.say(f"{mode}: ended in {outcome.state}; {outcome.text}")
    sources = {str(order.data["source"]) for order in read_log(folder).of_kind("order")} - {TIME_IS_OVER}
    if sources:
        raise RunError(f"demo: stopped by {', '.join(sorted(sources))}; {outcome.text}")
    return outcome, steps


def _wait_until_idle(port: int) -> None:
    end_s = time.monotonic() + _IDLE_WITHIN_S
    while any(value is not None for value in _ask(port, {"ask": "status"})["setpoints"].values()):
        if time.monotonic() > end_s:
            raise RigError(f"virtual rig: set-points are still in force after {_IDLE_WITHIN_S:g} s; start it anew")
        time.sleep(0.2)


def _ask(port: int, request: dict[str, Any]) -> dict[str, Any]:
    return asyncio.run(ask(port, request))


def _problems(log: Log, outcome: Outcome) -> list[str]:
    found = [f"control was lost: {line}" for line in unplanned(log)]
    if State.ACTIVE not in log.states:
        refused = [str(why) for event in log.of_kind("refused") for why in event.data["why"]]
        found.append(f"control was never taken: {'; '.join(refused) or 'no calm cycles; see the report'}")
    if outcome.unconfirmed:
        found.append(outcome.text)
    return found


def table(result: Demonstration) -> Table:
    """The figures of a demonstration."""
    summary, band = result.summary, result.band
    shown = Table(box=SIMPLE_HEAD, show_header=False, padding=(0, 1, 0, 0), title="gridenv hil demo")
    shown.add_column()
    shown.add_column(overflow="fold")
    states = ", ".join(f"{state} {count}" for state, count in summary.state_cycles.items())
    total = summary.times_s["total"]
    changes = ", ".join(f"{kind} {count}" for kind, count in summary.interventions.items())
    period_ms = _MS_PER_S * float(result.log.header["period_s"])
    rows = (
        ("v_band, own droop", f"{band.droop_pu_h:.4f} pu h over {band.steps} steps in control"),
        ("v_band, policy", f"{band.controlled_pu_h:.4f} pu h over the same steps"),
        ("cycles", f"{summary.cycles} of {period_ms:g} ms: {states}"),
        ("deadline misses", f"{summary.late} cycles late or left out"),
        ("missed exchanges", f"{summary.missed} cycles"),
        ("cycle p50 / p99 / max", " / ".join(f"{_MS_PER_S * total[key]:.1f}" for key in ("p50", "p99", "max")) + " ms"),
        ("interventions", f"{changes} cycles" if changes else "none"),
        ("rig - simulation", f"{result.largest_gap_pu:.1e} pu at most, on the same inputs"),
        ("go or no-go", "go" if summary.is_go else "no-go: " + "; ".join(_unmet(summary))),
        ("reports", f"{display_path(result.folder)}/shadow|active/report.html"),
    )
    for row in rows:
        shown.add_row(*row)
    return shown


def _unmet(summary: Summary) -> list[str]:
    return [f"{c.name}: {c.detail}" for c in summary.criteria if not c.is_met]
