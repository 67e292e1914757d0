"""`gridenv bench`: nothing heavy is imported before a command needs it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gridenv.core.errors import ConfigError

if TYPE_CHECKING:
    from experiments.bench.rows import Row

app = typer.Typer(
    help="Measure speed, side by side with the peers that are installed.", no_args_is_help=True, rich_markup_mode=None
)

DEFAULT_RUNS = 7
DEFAULT_SECONDS = 0.3
DEFAULT_TOLERANCE_PU = 1e-6
DEFAULT_STEPS = 96
DEFAULT_UPDATES = 4

_LIST = "may be repeated, or separated by commas"
Batches = Annotated[list[str] | None, typer.Option("--batch", metavar="N", help=f"Batch size; {_LIST}.")]
Threads = Annotated[list[str] | None, typer.Option("--threads", metavar="N", help=f"Number of threads; {_LIST}.")]
Runs = Annotated[int, typer.Option("--runs", help="Rounds, in each of which everything is measured once.")]
Seconds = Annotated[float, typer.Option("--seconds", help="How long a single measurement lasts at least.")]
Json = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the rows here.", show_default=False)]


@app.command()
def powerflow(
    case: Annotated[
        list[str] | None,
        typer.Option("--case", metavar="NAME", help=f"Network; default six from 33 to 10,000 buses; {_LIST}."),
    ] = None,
    batch: Batches = None,
    threads: Threads = None,
    engine: Annotated[
        list[str] | None, typer.Option("--engine", metavar="NAME", help=f"Engine, all if left out; {_LIST}.")
    ] = None,
    tolerance: Annotated[float, typer.Option("--tolerance", help="Of voltages, pu.")] = DEFAULT_TOLERANCE_PU,
    runs: Runs = DEFAULT_RUNS,
    seconds: Seconds = DEFAULT_SECONDS,
    json: Json = None,
) -> None:
    """Time batches of power flows; default batches 1 to 8192, 256 on large networks, with one and two threads."""
    from experiments.bench import cases, plan
    from gridenv.network import list_networks
    from gridenv.network.catalog import SIMBENCH_PREFIX

    made = plan.make_plan(
        "powerflow",
        cases=case or (),
        default_cases=cases.CASES,
        known_cases=[name for name in list_networks() if not name.startswith(SIMBENCH_PREFIX)],
        prefixes=[SIMBENCH_PREFIX],
        batches=batch or (),
        default_batches=(),
        threads=threads or (),
        default_threads=plan.POWER_FLOW_THREADS,
        runs=runs,
        seconds=seconds,
        json=json,
    )
    engines = plan.checked_engines(engine or ())
    tolerance = plan.checked_tolerance(tolerance)
    from experiments.bench.powerflow import measure
    from experiments.bench.rows import kept_in

    _give(measure(made, engines, tolerance, kept_in(json)), json)


@app.command()
def env(
    case: Annotated[
        list[str] | None,
        typer.Option("--case", metavar="ID", help=f"Task such as VoltVar-IEEE33-v0, all if left out; {_LIST}."),
    ] = None,
    batch: Batches = None,
    threads: Threads = None,
    steps: Annotated[
        int, typer.Option("--steps", help="Steps of every environment in one call; 96 contain one reset.")
    ] = DEFAULT_STEPS,
    every: Annotated[bool, typer.Option("--all", help="All tasks, as without --case.")] = False,
    runs: Runs = DEFAULT_RUNS,
    seconds: Seconds = DEFAULT_SECONDS,
    json: Json = None,
) -> None:
    """Time environment steps with random actions; default 4096 environments, on all processors."""
    from experiments.bench import plan

    if every and case:
        raise ConfigError("bench env: --all and --case together; allowed: one of them; drop the other")
    made = plan.task_plan("env", case, batch, plan.ENVIRONMENT_BATCHES, threads, runs, seconds, json)
    steps = plan.checked_count("env", "--steps", steps)
    from experiments.bench.rows import kept_in
    from experiments.bench.throughput import measure_environments

    _give(measure_environments(made, steps, kept_in(json)), json)


@app.command()
def train(
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="agent.KEY=VALUE...", help="Settings of all measured agents.", show_default=False),
    ] = None,
    case: Annotated[
        list[str] | None,
        typer.Option("--case", metavar="ID", help=f"Task such as VoltVar-IEEE33-v0, all if left out; {_LIST}."),
    ] = None,
    agent: Annotated[
        list[str] | None,
        typer.Option("--agent", metavar="NAME", help=f"Agent that can be trained, default ppo; {_LIST}."),
    ] = None,
    batch: Annotated[
        list[str] | None,
        typer.Option("--batch", metavar="N", help=f"Number of environments, the agent's default if left out; {_LIST}."),
    ] = None,
    seeds: Annotated[
        list[str] | None, typer.Option("--seeds", metavar="K", help=f"Train K seeds side by side, default 1; {_LIST}.")
    ] = None,
    threads: Threads = None,
    updates: Annotated[int, typer.Option("--updates", help="Updates of the policy in one call.")] = DEFAULT_UPDATES,
    runs: Runs = DEFAULT_RUNS,
    seconds: Seconds = DEFAULT_SECONDS,
    json: Json = None,
) -> None:
    """Time training, rollouts and gradients included, after compilation."""
    from experiments.bench import plan

    made = plan.task_plan("train", case, batch, (), threads, runs, seconds, json)
    updates = plan.checked_count("train", "--updates", updates)
    agents = plan.checked_agents(agent or ())
    given = plan.checked_settings(agents, settings or (), made.batches)
    n_seeds = plan.checked_numbers("train", "--seeds", seeds or ("1",))
    from experiments.bench.rows import kept_in
    from experiments.bench.throughput import measure_training

    _give(measure_training(made, agents, given, updates, n_seeds, kept_in(json)), json)


@app.command()
def table(files: Annotated[list[Path], typer.Argument(metavar="FILE...", show_default=False)]) -> None:
    """Print the rows of --json files as markdown tables."""
    from experiments.bench.rows import read_rows
    from experiments.bench.tables import markdown

    typer.echo(markdown([row for file in files for row in read_rows(file)]))


@app.command()
def plot(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", show_default=False)],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where the pictures go.")] = Path("docs/images"),
) -> None:
    """Draw the time of a solve over the size of the network and over the batch, from --json files."""
    from experiments.bench.plots import draw
    from experiments.bench.rows import read_rows

    for path in draw([row for file in files for row in read_rows(file)], out):
        typer.echo(path)


def _give(rows: "Sequence[Row]", json: Path | None) -> None:
    from experiments.bench.rows import write_rows
    from experiments.bench.tables import show

    if json is not None:
        write_rows(json, rows)
    show(rows)
