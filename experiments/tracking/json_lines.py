"""`metrics.jsonl`: one JSON object a line, what every other part of the software reads."""

import json
import os

from experiments.run import Row, Run


class JsonLines:
    """Appends to the file; `Run.cut_metrics` has made it hold the rows that a run goes on from."""

    def __init__(self, run: Run) -> None:
        self._file = run.metrics_path.open("a", encoding="utf-8")

    def write(self, row: Row) -> None:
        """Append a row; others may read it at once."""
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()

    def flush(self) -> None:
        """Bring the file to the disk."""
        os.fsync(self._file.fileno())

    def close(self, failed: bool) -> None:
        """Close the file."""
        del failed
        self._file.close()
