"""What every sink looks like."""

from typing import Protocol

from experiments.run import Row


class Sink(Protocol):
    """Keeps the rows of one run. Opened for a run that goes on, it shows the rows it goes on from and no others."""

    def write(self, row: Row) -> None:
        """Take the row of the next update."""
        ...

    def flush(self) -> None:
        """Bring what was written to where a crash of this program does not reach it."""
        ...

    def close(self, failed: bool) -> None:
        """Take no more rows; `failed` if the training did not get where it was going."""
        ...
