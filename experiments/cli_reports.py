"""The command that writes pages: about runs, a sweep, or comparisons."""

from pathlib import Path
from typing import Annotated

import typer

from gridenv.core.errors import ConfigError

Paths = Annotated[
    list[Path],
    typer.Argument(
        metavar="RUN|SWEEP|COMPARISON...",
        help="Folders of runs, or a folder that holds runs; or the folder of a sweep; or folders or JSON files of "
        "comparisons, which are merged.",
        show_default=False,
    ),
]
Split = Annotated[
    str | None, typer.Option(help="Runs: train, validation or test; the configuration's final split if left out.")
]
Out = Annotated[
    Path | None,
    typer.Option(help="Comparisons: file of the page; report.html beside them if left out.", show_default=False),
]
Markdown = Annotated[
    Path | None,
    typer.Option(
        help="Comparisons: write or renew the results in this document; its other text stays.", show_default=False
    ),
]
Json = Annotated[
    Path | None,
    typer.Option(
        help="Comparisons: write the results, a file a task, into this folder; they can be read again.",
        show_default=False,
    ),
]


def report(paths: Paths, split: Split = None, out: Out = None, markdown: Markdown = None, json: Json = None) -> None:
    """Write one self-contained HTML page about finished runs, a sweep, or comparisons.

    Example: gridenv report runs/comparisons/* --json docs/benchmark --markdown docs/benchmark.md
    """
    from experiments.study import is_comparison
    from experiments.sweep.folder import is_sweep

    given = {"--out": out, "--markdown": markdown, "--json": json}
    used = [name for name, value in given.items() if value is not None]
    if all(is_comparison(path) for path in paths):
        if split is not None:
            raise ConfigError("report: --split is for runs; a comparison has the split that it was made with; drop it")
        _report_comparisons(paths, out, markdown, json)
        return
    if used:
        raise ConfigError(f"report: {', '.join(used)} is for comparisons; allowed here: --split; drop it")
    if any(map(is_comparison, paths)) or (len(paths) > 1 and any(map(is_sweep, paths))):
        raise ConfigError(
            f"report: {', '.join(f'{str(path)!r}' for path in paths)} together; allowed: runs, or one sweep, or "
            "comparisons; make a call for each"
        )
    if is_sweep(paths[0]):
        report_sweep(paths[0])
    else:
        report_runs(paths, split)


def report_runs(runs: list[Path], split: str | None) -> None:
    """Evaluate runs and write the page about them."""
    from experiments.compiled import keep_programs

    keep_programs()
    from experiments import console, tables, tracking
    from experiments import report as run_page
    from experiments.results import evaluate_runs

    evaluation, summary, file = evaluate_runs(runs, split, None)
    page = run_page.write(evaluation, summary, file.parent)
    console.OUTPUT.print(tables.evaluation_table(summary))
    for warning in summary.warnings:
        console.say(f"warning: {warning}")
    typer.echo(f"report: {page}")
    tracking.publish(evaluation.runs)


def _report_comparisons(paths: list[Path], out: Path | None, markdown: Path | None, json: Path | None) -> None:
    import os

    from experiments import console, study_tables
    from experiments.pages import comparison as page
    from experiments.run import REPORT_FILE
    from experiments.study import read_study, write_by_task
    from gridenv.core.config import display_path

    study = read_study(paths)
    if markdown is not None:
        study_tables.write_document(study, markdown)
        typer.echo(f"markdown: {display_path(markdown)}")
    if json is not None:
        for file in write_by_task(study, json):
            console.say(f"written: {display_path(file)}")
    if out is None:
        folders = [path if path.is_dir() else path.parent for path in paths]
        out = Path(os.path.commonpath([folder.resolve() for folder in folders])) / REPORT_FILE
    with console.working(f"drawing the page of {len(study.entries)} trained agents"):
        page.write(study, out)
    typer.echo(f"report: {display_path(out)}")


def report_sweep(folder: Path) -> None:
    """Write the page about a sweep."""
    from experiments.compiled import keep_programs

    keep_programs()
    from experiments import console
    from experiments.pages import sweep as page
    from experiments.sweep.folder import open_sweep
    from gridenv.core.config import display_path

    sweep = open_sweep(folder)
    with console.working(f"drawing the page of {sweep}"):
        file = page.write(sweep)
    typer.echo(f"report: {display_path(file)}")
