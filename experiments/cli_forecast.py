"""`gridenv forecast`: forecasters side by side."""

from pathlib import Path
from typing import Annotated

import typer


def forecast(
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE...",
            help="forecast=NAME of configs/forecast, or a YAML file; forecasters, profiles, price_zones, seeds, split, "
            "horizon, settings.boosting.rounds=N and others.",
            show_default=False,
        ),
    ] = None,
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the results here as well.", show_default=False)
    ] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the tables here as well.", show_default=False)] = None,
    out: Annotated[Path, typer.Option(help="Folder in which the comparison's folder is made.")] = Path(
        "runs/forecasts"
    ),
) -> None:
    """Fit forecasters of load, PV and price to the training days and score them on the days of a split.

    Example: gridenv forecast forecast=published seeds=[0]
    """
    from experiments.forecast_config import read_forecast

    name, config = read_forecast(settings or [])
    from experiments.compiled import keep_programs

    keep_programs()
    from experiments import console, forecast_tables, forecasts
    from gridenv.core.config import display_path

    folder = out / name
    rows = forecasts.compare_forecasters(name, config, folder)
    console.OUTPUT.print(forecast_tables.table(rows, config.split))
    for verdict in forecast_tables.verdicts(rows):
        typer.echo(verdict)
    written = [folder / forecasts.RESULTS_FILE, folder / forecasts.TABLE_FILE]
    for copy, original in ((json, written[0]), (markdown, written[1])):
        if copy is not None:
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(original.read_text(encoding="utf-8"), encoding="utf-8")
            written.append(copy)
    for file in written:
        console.say(f"written: {display_path(file)}")
