"""Commands for rigs: the virtual rig."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Hardware in the loop: rigs over Modbus, real and virtual.", no_args_is_help=True, rich_markup_mode=None
)
RIGS = Path(__file__).parents[1] / "configs" / "rig"

RigName = Annotated[str, typer.Argument(metavar="RIG", help="Name of a file in configs/rig, or a path.")]


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
