"""First calls of a second process, when the first one has left its compiled programs on disk."""

import os
import tempfile
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from experiments.bench.contest import Contestant
from experiments.bench.worker import Worker

_SWITCH = "JAX_ENABLE_COMPILATION_CACHE"


def is_worthwhile() -> bool:
    """Not if the user has switched the cache on or off for all: then first calls are measured that way already."""
    return _SWITCH not in os.environ


def first_calls_with_cache(one: Contestant, inputs: Sequence[dict[str, Any]]) -> list[float]:
    """Seconds of the first call with each of the inputs, in the second of two processes that share a new cache.

    Raises:
        WorkerError: if the subject failed.
    """
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(2):
            seconds = _first_calls(one, inputs, folder)
    return seconds


def _first_calls(one: Contestant, inputs: Sequence[dict[str, Any]], folder: str) -> list[float]:
    environment = {
        _SWITCH: "true",
        "JAX_COMPILATION_CACHE_DIR": folder,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    with closing(Worker(one.label, one.threads, environment)) as worker:
        worker.begin_build(one.target, **one.arguments)
        worker.finish_build()
        return [worker.prepare(**given).call_s for given in inputs]
