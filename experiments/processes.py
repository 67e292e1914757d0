"""How a process of Ray's begins its work."""

import os
from pathlib import Path

from experiments.compiled import keep_programs


def begin(place: str) -> None:
    """Keep compiled programs, and work where the driver does, as paths of networks and tasks may be relative.

    Args:
        place: working directory of the driver; on machines that have no such folder nothing changes.
    """
    keep_programs()
    if Path(place).is_dir():
        os.chdir(place)
