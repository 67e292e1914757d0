"""The command line. Nothing heavy is imported before a command needs it."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from gridenv.core.errors import GridEnvError

app = typer.Typer(
    name="gridenv",
    help="Reinforcement-learning control of electric distribution grids.",
    no_args_is_help=False,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Overrides = Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE...", show_default=False)]
RunPaths = Annotated[list[Path], typer.Argument(metavar="RUN...", show_default=False)]
RunsFolder = Annotated[Path, typer.Option("--runs", help="Folder that run directories are made in.")]


@app.callback(invoke_without_command=True)
def _commands(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def train(
    overrides: Overrides = None,
    resume: Annotated[list[Path] | None, typer.Option(help="Go on with a run; may be given several times.")] = None,
    runs: RunsFolder = Path("runs"),
) -> None:
    """Train an agent: experiment=NAME [agent=NAME seed=N agent.total_steps=2e6 task.load_scale=2.5 ...]."""
    from experiments import train as training
    from experiments.config import compose
    from gridenv.core.errors import ConfigError

    if resume and overrides:
        raise ConfigError(f"train: --resume takes the settings of the run; drop {' '.join(overrides)}")
    config = None if resume else compose(overrides or [])
    _use_disk_cache()
    try:
        done = training.resume(resume) if resume else training.train(config, runs)  # type: ignore[arg-type]
    except training.Interrupted as stopped:
        typer.echo(str(stopped), err=True)
        raise typer.Exit(130) from None
    for run in done:
        typer.echo(str(run))


def _use_disk_cache() -> None:
    """Keep compiled programs on disk unless the user has chosen where."""
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    import jax

    from gridenv.core.cache import cache_dir

    jax.config.update("jax_compilation_cache_dir", str(cache_dir("jax")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def main() -> None:
    """Entry point: errors that a user can mend are one line each on stderr, exit code 2."""
    try:
        app()
    except GridEnvError as error:
        for line in str(error).splitlines():
            sys.stderr.write(f"error: {line}\n")
        sys.exit(2)
