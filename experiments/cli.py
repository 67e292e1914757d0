"""The command line. Nothing heavy is imported before a command needs it."""

import atexit
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from experiments import cli_forecast, cli_hil, cli_reports, cli_studies
from experiments.bench.cli import app as bench
from experiments.stopping import StoppedError
from gridenv.core.errors import ConfigError, GridEnvError

app = typer.Typer(
    name="gridenv",
    help="Reinforcement-learning control of electric distribution grids.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(bench, name="bench")
app.add_typer(cli_hil.app, name="hil")

DEMO_EXPERIMENT = "voltvar_ieee33"
DEMO_SEEDS = "seeds=[0,1,2]"
INTERRUPTED = 130
"""Exit code of a program stopped by Ctrl-C."""


class Kind(StrEnum):
    """What `gridenv list` can show."""

    networks = "networks"
    tasks = "tasks"
    agents = "agents"
    experiments = "experiments"
    sweeps = "sweeps"
    comparisons = "comparisons"
    forecasts = "forecasts"
    rigs = "rigs"


Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE...",
        help="experiment=NAME or a YAML file; task=NAME, a YAML file or MODULE:ID; agent=NAME; seed=N; "
        "task.KEY=VALUE, agent.KEY=VALUE and others. A run's config.yaml shows all keys.",
        show_default=False,
    ),
]
RunsFolder = Annotated[Path, typer.Option("--runs", help="Folder in which run folders are made.")]
Split = Annotated[
    str | None, typer.Option(help="train, validation or test; the configuration's final split if left out.")
]
Against = Annotated[
    str | None, typer.Option(help="Reference controllers, comma-separated: rule,oracle,none.", show_default=False)
]


@app.callback(invoke_without_command=True)
def _commands(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command("list", short_help="Networks, tasks, agents and all that is configured, by name.")
def list_(kind: Annotated[Kind | None, typer.Argument(help="What to list; everything if left out.")] = None) -> None:
    """Show networks, tasks, agents, experiments, sweeps, comparisons, forecasts and rigs by name."""
    from experiments.listing import entries

    for each in Kind if kind is None else [kind]:
        if kind is None:
            typer.echo(f"{each}:")
        for name, summary in entries(each):
            typer.echo(f"  {name:<32} {summary}".rstrip())


@app.command(short_help="Train an agent.")
def train(
    overrides: Overrides = None,
    resume: Annotated[list[Path] | None, typer.Option(help="Go on with a run; may be given several times.")] = None,
    runs: RunsFolder = Path("runs"),
) -> None:
    """Train an agent, one run folder a seed, and keep metrics and checkpoints there.

    Example: gridenv train experiment=voltvar_ieee33 agent=ppo seed=3 agent.total_steps=2e6 task.load_scale=2.5

    Ctrl-C saves a checkpoint; --resume goes on to the same result.
    """
    from experiments.config import compose

    if resume and overrides:
        raise ConfigError(f"train: --resume takes the settings of the run; drop {' '.join(overrides)}")
    config = None if resume else compose(overrides or [])
    _prepare_jax()
    from experiments import train as training

    done = training.train(config, runs) if config else training.resume(resume or [])
    folders = " ".join(str(run) for run in done)
    typer.echo(f"trained: {folders}")
    typer.echo(f"next: gridenv report {folders}", err=True)


app.command(short_help="Train an experiment with many different settings, on Ray.")(cli_studies.sweep)
app.command(short_help="Train and score many agents on many tasks, in one table.")(cli_studies.compare)
app.command(short_help="Search a task for schedules that pay more than they should.")(cli_studies.audit)
app.command(short_help="Fit and score forecasters of load, PV and price.")(cli_forecast.forecast)


@app.command(short_help="Score finished runs, or tasks, with reference controllers.")
def evaluate(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN|BUNDLE|TASK... [ray.KEY=VALUE...]",
            help="Folders of runs, or a folder that holds runs; or the folder of one bundle; or tasks or their files. "
            "With ray.address=HOST:PORT or ray.cpus=N controllers run side by side, on a Ray cluster or here.",
            show_default=False,
        ),
    ],
    split: Split = None,
    against: Against = None,
    markdown: Annotated[Path | None, typer.Option(help="Tasks: write the table here as well.")] = None,
    folder: Annotated[Path, typer.Option("--out", help="Tasks: folder of the results.")] = Path("runs/tasks"),
) -> None:
    """Score finished runs (or folders of runs) on every episode of a split, next to reference controllers.

    A bundle is run through onnxruntime, as on a rig. With task names in place of runs, the reference controllers alone
    (default: none,rule). With ray.KEY=VALUE, as in a sweep, the results are the same and policies and reference
    controllers run in processes of their own.
    """
    _prepare_jax()
    from experiments import console, tables, task_scores, tracking
    from experiments.fan_out import ray_settings
    from experiments.results import evaluate_folders
    from gridenv.core.config import display_path

    runs, ray = ray_settings(runs)
    names = None if against is None else [name.strip() for name in against.split(",") if name.strip()]
    tasks = task_scores.task_ids(runs)
    if tasks:
        if len(tasks) < len(runs):
            raise ConfigError("evaluate: tasks and runs together; allowed: one or the other; make two calls")
        scores = task_scores.score_tasks(tasks, split or "test", names or task_scores.DEFAULT_CONTROLLERS, ray)
        console.OUTPUT.print(task_scores.table(scores))
        if markdown is not None:
            markdown.write_text(task_scores.markdown(scores), encoding="utf-8")
        for file in task_scores.write(scores, folder):
            console.say(f"written: {display_path(file)}")
        return
    evaluation, summary, file = evaluate_folders(runs, split, names, ray)
    console.OUTPUT.print(tables.evaluation_table(summary))
    for warning in summary.warnings:
        console.say(f"warning: {warning}")
    console.say(f"written: {display_path(file)}")
    tracking.publish(evaluation.runs)


@app.command(short_help="Do a run again and say whether every number is the same.")
def reproduce(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.", show_default=False)],
    runs: Annotated[Path, typer.Option("--runs", help="Folder in which the new run's folder is made.")] = Path(
        "runs/reproduced"
    ),
) -> None:
    """Train a run again from its recorded configuration, evaluate it if it was, and compare every number.

    Exit code 0 if all are identical, else 1; then the first differing metrics and what differs in versions are named.
    """
    _prepare_jax()
    from experiments import reproduce as reproducing

    comparison = reproducing.reproduce(run, runs)
    for line in comparison.lines():
        typer.echo(line)
    if not comparison.is_identical:
        raise typer.Exit(1)


@app.command(short_help="Make a policy bundle of a run.")
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the bundle; `bundle` in the run if left out.", show_default=False)
    ] = None,
) -> None:
    """Write the policy of a run's newest checkpoint as a bundle, which runs without JAX on a rig."""
    _prepare_jax()
    from experiments.export import export_run
    from gridenv.core.config import display_path

    typer.echo(f"bundle: {display_path(export_run(run, out))}")


@app.command(short_help="Draw an episode of a task as GIF or MP4, or a moment of it as PNG.")
def movie(
    task: Annotated[str, typer.Argument(help="Task, such as Storage-IEEE33-v0.")],
    out: Annotated[Path, typer.Argument(help="File that ends in .gif or .mp4, or in .png for one picture.")],
    controller: Annotated[str, typer.Option(help="Reference controller: rule, none, oracle.")] = "rule",
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    day: Annotated[
        int | None, typer.Option(help="Day of the scenario year; the first of the split if left out.")
    ] = None,
    fps: Annotated[float, typer.Option(help="Pictures a second of a film.")] = 8.0,
    hour: Annotated[float, typer.Option(help="Hours into the episode of a single picture.")] = 13.5,
) -> None:
    """Run a reference controller for a day and draw the feeder in every step."""
    _prepare_jax()
    from experiments import console
    from experiments.movie import PICTURE, film, still
    from gridenv.core.config import display_path

    is_picture = out.suffix.lower() == PICTURE
    with console.working(f"drawing {'a moment' if is_picture else 'a day'} of {task}"):
        if is_picture:
            file = still(task, controller, split, day, out, hour)
        else:
            file = film(task, controller, split, day, out, fps)
    console.say(f"written: {display_path(file)}")


app.command(short_help="Write a page with figures about runs, a sweep or comparisons.")(cli_reports.report)


@app.command(short_help="Train, score and report the volt-var experiment.")
def demo(overrides: Overrides = None, runs: RunsFolder = Path("runs")) -> None:
    """Train, score and report the volt-var experiment; settings may be changed as in `train`."""
    from experiments.config import compose

    asked = overrides or []
    seeds = [] if any(text.partition("=")[0] in ("seed", "seeds") for text in asked) else [DEMO_SEEDS]
    config = compose([f"experiment={DEMO_EXPERIMENT}", *seeds, *asked])
    _prepare_jax()
    from experiments import train as training

    cli_reports.report_runs([run.folder for run in training.train(config, runs)], None)


def _prepare_jax() -> None:
    from experiments.compiled import keep_programs

    keep_programs()


def main() -> None:
    """Entry point. An error that a user can mend is one line on stderr and exit code 2."""
    try:
        app(prog_name="gridenv")
    except GridEnvError as error:
        for line in str(error).splitlines():
            sys.stderr.write(f"error: {line}\n")
        sys.exit(2)
    except StoppedError as stopped:
        sys.stderr.write(f"{stopped}\n")
        sys.exit(INTERRUPTED)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            _leave_at_once(INTERRUPTED)
        raise


def _leave_at_once(code: int) -> NoReturn:
    """End without taking the interpreter apart: after Ctrl-C while JAX compiles that is a segmentation fault."""
    sys.stderr.write("stopped\n")
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
