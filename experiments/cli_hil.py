"""Commands for rigs: check, run, replay, report; the virtual rig."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Hardware in the loop: rigs over Modbus, real and virtual.", no_args_is_help=True, rich_markup_mode=None
)
RIGS = Path(__file__).parents[1] / "configs" / "rig"

RigName = Annotated[str, typer.Argument(metavar="RIG", help="Name of a file in configs/rig, or a path.")]


BundlePath = Annotated[Path, typer.Option("--bundle", help="Folder of a policy bundle.", show_default=False)]
Rig = Annotated[str, typer.Option("--rig", help="Name of a file in configs/rig, or a path.", show_default=False)]
Checks = Annotated[Path, typer.Option("--checks", help="Folder of the checks.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run of `hil run`.", show_default=False)]
CHECKS = Path("runs/hil/checks")
UNCONFIRMED = 3
"""Exit code of a run that could not confirm safe set-points."""


class RunMode(StrEnum):
    """Whether a run may write."""

    shadow = "shadow"
    active = "active"


@app.callback()
def _commands() -> None:
    """Keep the commands as subcommands, however many there are."""


@app.command(short_help="Bring a rig file to life: the simulator behind Modbus servers.")
def emulate(
    rig: RigName,
    speed: Annotated[
        float | None,
        typer.Option(help="Seconds of the task's time in a second; as in the rig file if left out.", min=1e-3),
    ] = None,
    control: Annotated[
        int | None, typer.Option(help="Port on loopback for faults and status; as in the rig file if left out.")
    ] = None,
    day: Annotated[int | None, typer.Option(help="Day of the split to begin at.", min=0)] = None,
    seconds: Annotated[float | None, typer.Option(help="Stop after as long; Ctrl-C stops it at any time.")] = None,
) -> None:
    """Serve every device of a rig file on this machine, with the simulator of its task behind the registers.

    Example: gridenv hil emulate configs/rig/voltvar_ieee33.yaml --speed 900
    """
    from experiments.compiled import keep_programs

    keep_programs()
    from hardware_in_loop.virtual_rig.program import emulate as run

    run(rig, RIGS, speed=speed, control_port=control, day=day, seconds=seconds, say=typer.echo)


@app.command(short_help="Run a policy on a rig; shadow writes nothing.")
def run(
    bundle: BundlePath,
    rig: Rig,
    mode: Annotated[RunMode, typer.Option(help="active controls the devices; it needs a check.")] = RunMode.shadow,
    seconds: Annotated[float | None, typer.Option(help="Stop after as long; Ctrl-C stops it at any time.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; new.", show_default=False)] = None,
    checks: Checks = CHECKS,
) -> None:
    """Run a policy on a rig and record every cycle.

    Example: gridenv hil run --bundle runs/voltvar_ieee33/.../bundle --rig voltvar_ieee33 --seconds 60

    Ctrl-C or SIGTERM writes safe set-points, waits for them to be read back, and leaves; a second one skips ramps. Exit
    code 3 if safe set-points are not confirmed.
    """
    from experiments import hil
    from gridenv.core.config import display_path
    from hardware_in_loop.control.outcome import Mode

    folder, outcome = hil.run(bundle, rig, RIGS, Mode(mode.value), seconds, out, checks)
    typer.echo(f"run: {display_path(folder)}")
    typer.echo(f"end: {outcome.state}; {outcome.text}")
    typer.echo(f"next: gridenv hil report {display_path(folder)}", err=True)
    if outcome.unconfirmed:
        raise typer.Exit(UNCONFIRMED)


@app.command(short_help="Check a rig before control: read all, write and read back, let timers run out.")
def check(
    bundle: BundlePath,
    rig: Rig,
    signed_by: Annotated[str, typer.Option(help="Who answers for the check; control needs it.")] = "",
    read_only: Annotated[bool, typer.Option("--read-only", help="Write nothing; not enough for control.")] = False,
    checks: Checks = CHECKS,
) -> None:
    """Check every channel and set-point of a rig with a bundle; writes a JSON file and a page.

    Set-points are written inside the `test_window` of the rig file only. Exit code 1 if control is not allowed.
    """
    from experiments import hil
    from gridenv.core.config import display_path
    from hardware_in_loop.control.pages import checklist_page

    path, checklist = hil.check(bundle, rig, RIGS, checks, not read_only, signed_by)
    for item in checklist.items:
        typer.echo(f"{item.status:<8} {item.kind:<15} {item.subject:<28} {item.detail}")
    page = path.with_suffix(".html")
    page.write_text(checklist_page(checklist), encoding="utf-8")
    typer.echo(f"written: {display_path(path)}, {display_path(page)}")
    for problem in checklist.problems:
        typer.echo(f"control not allowed: {problem}", err=True)
    if checklist.problems:
        raise typer.Exit(1)


@app.command(short_help="Ask the policy of a run again and compare.")
def replay(
    run: RunFolder,
    bundle: Annotated[Path | None, typer.Option(help="Another bundle than the run's.", show_default=False)] = None,
) -> None:
    """Feed recorded measurements to the policy again. Exit code 1 if an action differs, or the record was changed."""
    from experiments import hil
    from hardware_in_loop.control.log import read_log

    log = read_log(run)
    for problem in log.problems:
        typer.echo(f"record: {problem}")
    for event in log.of_kind("state"):
        data = event.data
        typer.echo(f"{event.t_s:8.1f} s  {data['before']} -> {data['after']}  {data['trigger']}: {data['reason']}")
    result = hil.replay_run(run, bundle)
    verdict = (
        "the same actions"
        if result.is_identical
        else f"{len(result.differing)} differ, first in cycle {result.differing[0]}"
    )
    typer.echo(
        f"{result.decisions} decisions: {verdict}; largest difference {result.largest_difference:.2g} of the range"
    )
    if not result.is_identical or log.problems:
        raise typer.Exit(1)


@app.command(short_help="Write a page about a run.")
def report(
    run: RunFolder,
    out: Annotated[
        Path | None, typer.Option(help="File; `report.html` in the run if left out.", show_default=False)
    ] = None,
) -> None:
    """Write one self-contained HTML page about a run: trajectories, jitter, interventions, go or no-go."""
    from gridenv.core.config import display_path
    from hardware_in_loop.control.log import read_log
    from hardware_in_loop.control.report import report_page

    path = out or run / "report.html"
    path.write_text(report_page(read_log(run)), encoding="utf-8")
    typer.echo(f"report: {display_path(path)}")


@app.command(short_help="All of it on the virtual rig: check, shadow, control, report.")
def demo(
    bundle: Annotated[
        Path | None,
        typer.Option(help="Bundle; that of the newest run of voltvar_ieee33 if left out.", show_default=False),
    ] = None,
    seconds: Annotated[
        float, typer.Option(help="Length of the shadow run, and of the run in control.", min=2.0, max=1000.0)
    ] = 60.0,
    rig: Annotated[str, typer.Option(help="Name of a file in configs/rig, or a path.")] = "voltvar_ieee33",
    runs: Annotated[Path, typer.Option("--runs", help="Folder of run folders.")] = Path("runs"),
) -> None:
    """Run a policy on the virtual rig from end to end and compare it with the rig's own volt-var curve.

    Without a run of voltvar_ieee33 a short one is trained. Deadline misses and missed exchanges are counted, and end
    nothing by themselves. Exit code 1 if control was lost, was never taken, or could not be given back in order; 2 if
    the check does not allow it.
    """
    from experiments import console, hil_demo

    result = hil_demo.demonstrate(bundle or hil_demo.newest_bundle(runs), rig, RIGS, seconds)
    console.OUTPUT.print(hil_demo.table(result))
    for problem in result.problems:
        typer.echo(f"not in order: {problem}", err=True)
    if result.problems:
        raise typer.Exit(1)


@app.command(short_help="Work out how set-points move voltages, for the supervisor of a rig.")
def sensitivities(
    task: Annotated[str, typer.Argument(help="Task, such as VoltVar-IEEE33-v0.")],
    out: Annotated[Path, typer.Option(help="CSV file, named by `safety.voltage.sensitivity` of the rig file.")],
    days: Annotated[int, typer.Option(help="Days of the training split that are looked at.", min=1)] = 8,
) -> None:
    """Write voltages per set-point, by small changes of each through the exact power flow, at times of several days."""
    from experiments.compiled import keep_programs

    keep_programs()
    from experiments.hil_sensitivities import write_sensitivities
    from gridenv.core.config import display_path

    summary = write_sensitivities(task, out, days)
    typer.echo(f"{summary}\nwritten: {display_path(out)}")
