"""Everything that keeps the rows of a run, as one."""

import contextlib
from collections.abc import Iterator, Sequence

from experiments.run import Row, Run
from experiments.tracking import wandb_run
from experiments.tracking.event_files import EventFiles
from experiments.tracking.json_lines import JsonLines
from experiments.tracking.sink import Sink


class Tracker:
    """Hands rows to `metrics.jsonl`, TensorBoard event files and, where wanted, W&B."""

    def __init__(self, run: Run, rows: Sequence[Row]) -> None:
        """Open all sinks.

        Args:
            run: the run.
            rows: what its `metrics.jsonl` holds.

        Raises:
            RunError: if W&B is to be online and refuses.
        """
        # W&B first: it alone can refuse, and then nothing is open yet.
        self._sinks: list[Sink] = [wandb_run.WandbRun(run, rows)] if wandb_run.is_wanted(run) else []
        self._sinks += [JsonLines(run), EventFiles(run, rows)]

    def write(self, row: Row) -> None:
        """Take the row of the next update."""
        for sink in self._sinks:
            sink.write(row)

    def flush(self) -> None:
        """Bring what was written to where a crash of this program does not reach it."""
        for sink in self._sinks:
            sink.flush()

    def close(self, failed: bool) -> None:
        """Take no more rows; `failed` if the training did not get where it was going."""
        for sink in self._sinks:
            sink.close(failed)


@contextlib.contextmanager
def tracked(runs: Sequence[tuple[Run, Sequence[Row]]]) -> Iterator[list[Tracker]]:
    """Trackers of runs, closed when the block is left; each run comes with the rows it goes on from.

    Raises:
        RunError: if W&B is to be online and refuses.
    """
    trackers: list[Tracker] = []
    failed = True
    try:
        for run, rows in runs:
            trackers.append(Tracker(run, rows))
        yield trackers
        failed = False
    finally:
        for tracker in trackers:
            tracker.close(failed)


def publish(runs: Sequence[Run]) -> None:
    """Bring what is kept of runs elsewhere up to date with their evaluations, reports and bundles.

    Raises:
        RunError: if W&B is to be online and refuses.
    """
    for run in runs:
        if wandb_run.is_kept(run):
            wandb_run.WandbRun(run, run.metrics()).close(failed=False)
