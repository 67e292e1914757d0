"""Tasks that tests register, forgotten afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager

from gymnasium.envs.registration import registry

from gridenv.tasks.registry import NAMESPACE, TASKS


@contextmanager
def forgotten() -> Iterator[None]:
    """Tasks registered inside of a `with` are not there after it."""
    before = dict(TASKS)
    try:
        yield
    finally:
        for task in set(TASKS) - set(before):
            registry.pop(NAMESPACE + task, None)
        TASKS.clear()
        TASKS.update(before)
