"""Commands that train or simulate many things: sweeps, comparisons of agents, audits of tasks."""

from pathlib import Path
from typing import Annotated

import typer

from experiments.cli_reports import report_sweep
from gridenv.core.errors import ConfigError


def sweep(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE...",
            help="sweep=NAME or a YAML file; seeds=[0,1]; samples=N; metric=NAME; ray.address=HOST:PORT; "
            "settings.agent.KEY=VALUE and others. A sweep's sweep.yaml shows all keys.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with a sweep; its folder.")] = None,
    runs: Annotated[Path, typer.Option("--runs", help="Folder in which run folders are made.")] = Path("runs"),
) -> None:
    """Train an experiment with many different settings and show which are best.

    Example: gridenv sweep sweep=voltvar_ppo samples=4 seeds=[0,1]

    After Ctrl-C or a crash --resume goes on: what is finished is kept, what is not goes on from its newest checkpoint.
    """
    from experiments import console
    from experiments.sweep import driver, results
    from experiments.sweep.config import compose_sweep
    from experiments.sweep.folder import RESULTS_FILE, open_sweep
    from gridenv.core.config import display_path

    if resume and overrides:
        raise ConfigError(f"sweep: --resume takes the settings of the sweep; drop {' '.join(overrides)}")
    chosen = open_sweep(resume) if resume else driver.begin(compose_sweep(overrides or []), runs)
    console.say(f"sweep: {chosen}")
    console.OUTPUT.print(results.table(chosen, driver.drive(chosen)))
    console.say(f"written: {display_path(chosen.folder / RESULTS_FILE)}")
    report_sweep(chosen.folder)


def compare(
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE...",
            help="comparison=NAME of configs/comparison, or a YAML file; seeds, references, split.",
            show_default=False,
        ),
    ] = None,
    runs: Annotated[Path, typer.Option("--runs", help="Folder in which the comparison's folder is made.")] = Path(
        "runs/comparisons"
    ),
) -> None:
    """Train every experiment of a comparison with all its seeds, score it, and write one table.

    Example: gridenv compare comparison=all_tasks

    Runs that are there already with the same settings are taken as they are, so the same call goes on after Ctrl-C.
    """
    from experiments.comparison_config import read_comparison

    name, config = read_comparison(settings or [])
    from experiments.compiled import keep_programs

    keep_programs()
    from experiments import comparison, console, study_tables
    from experiments.run import REPORT_FILE
    from experiments.stored import RESULTS_FILE
    from gridenv.core.config import display_path

    folder = runs / name
    study = comparison.compare(name, config, folder)
    typer.echo(study_tables.table(study))
    for file in (RESULTS_FILE, comparison.TABLE_FILE):
        console.say(f"written: {display_path(folder / file)}")
    typer.echo(f"report: {display_path(folder / REPORT_FILE)}")


def audit(
    tasks: Annotated[
        list[str], typer.Argument(metavar="TASK...", help="Such as Storage-IEEE33-v0.", show_default=False)
    ],
    evaluations: Annotated[int, typer.Option(help="Schedules of a day that are simulated for each task.")] = 100_000,
    days: Annotated[int, typer.Option(help="Days searched, spread over the split.")] = 3,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    seed: Annotated[int, typer.Option(help="Seed of the searches.")] = 0,
    markdown: Annotated[Path | None, typer.Option(help="Write the table here as well.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("runs/audit"),
) -> None:
    """Look for ways to game a task: random schedules and CMA-ES against the best plan known and doing nothing.

    Exit code 1 if a schedule pays more than the oracle, or one whose power flow failed more than doing nothing.
    """
    from experiments.compiled import keep_programs

    keep_programs()
    from experiments import audit as audits
    from experiments import console
    from experiments.run import write_json
    from gridenv.core.config import display_path

    out.mkdir(parents=True, exist_ok=True)
    every = []
    for task in tasks:
        done = audits.audit(task, split, days, evaluations, seed)
        every += done
        file = out / f"{done[0].task}-{split}.json"
        write_json(file, [day.to_json() for day in done])
        console.say(f"written: {display_path(file)}")
    console.OUTPUT.print(audits.table(every))
    if markdown is not None:
        markdown.write_text(audits.markdown(every), encoding="utf-8")
    problems = [problem for day in every for problem in day.problems]
    for problem in problems:
        console.say(f"suspicious: {problem}")
    if problems:
        raise typer.Exit(1)
