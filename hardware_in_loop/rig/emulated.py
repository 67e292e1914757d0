"""Schema of the part of rig files that only the virtual rig reads."""

from pathlib import Path
from typing import Literal

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat

from hardware_in_loop.rig.settings import Port, Settings


class ServerTls(Settings):
    """What the virtual rig shows to controllers on ports with TLS. Paths are relative to the rig file."""

    ca: Path
    """Certificates of the authorities that controllers are trusted by."""
    certificate: Path
    key: Path


class Emulated(Settings):
    """How the virtual rig behaves."""

    control_port: Port | None = None
    """Port on loopback over which faults are injected; None = none."""
    tls: ServerTls | None = None
    """Needed where devices have TLS."""

    speed: PositiveFloat = 900.0
    """Seconds of the task's time in a second; 900 = a step of a quarter of an hour every second."""
    split: Literal["train", "validation", "test"] = "test"
    start: NonNegativeInt = 0
    """Which day of the split the rig begins at; others follow."""
    update_s: PositiveFloat = 0.1
    """Time between two power flows; measurements change as often."""
    within_step: Literal["solve", "hold"] = "solve"
    """`solve`: measurements follow set-points within a step of the task. `hold`: they change when a step ends, as an
    agent sees them in training."""
    response_s: NonNegativeFloat = 0.3
    """Time constant with which devices follow a set-point, in real time."""
    ramp_share_per_s: PositiveFloat = 2.0
    """Fastest change of a device's output, share of its range."""
    noise_counts: NonNegativeFloat = 0.0
    """Standard deviation of what is added to measurements, in counts of the point."""
    uncommanded: Literal["volt_var", "idle"] = "volt_var"
    """What devices do without a set-point in force: follow the default volt-var curve of IEEE Std 1547-2018, category
    B, or ask for nothing."""
    seed: NonNegativeInt = 0
