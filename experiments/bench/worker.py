"""Each contestant in a process of its own: its own threads, its own memory, timed when its turn comes."""

import contextlib
import multiprocessing
import os
from collections.abc import Iterator, Mapping
from typing import Any

from experiments.bench.process import FirstCall, serve
from gridenv.core.errors import RunError

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
_ENVIRONMENT = {"JAX_ENABLE_COMPILATION_CACHE": "false", "TQDM_DISABLE": "1"}
"""Unless the user has set them: compile times are real ones, and no engine spends time on a progress bar of its own."""
_PATIENCE_S = 5.0


class WorkerError(RunError):
    """A contestant failed."""


class Worker:
    """A process that holds one subject."""

    def __init__(self, name: str, threads: int, environment: Mapping[str, str] | None = None) -> None:
        """Start a process.

        Args:
            name: for messages.
            threads: processors that it may use.
            environment: variables that it gets, whatever the user has set.
        """
        self.name = name
        self.threads = threads
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs,), daemon=True)
        with _limited(threads, environment or {}):
            self._process.start()
        theirs.close()

    def begin_build(self, target: str, **arguments: Any) -> None:
        """Have the subject made by `module:callable`; `finish_build` waits for it."""
        self._send("build", target=target, arguments=arguments)

    def finish_build(self) -> float:
        """Wait for the subject; seconds that making it took, imports included.

        Raises:
            WorkerError: if it could not be made.
        """
        result: float = self._receive()
        return result

    def prepare(self, **inputs: Any) -> FirstCall:
        """Take new inputs and do the first call.

        Raises:
            WorkerError: if the subject failed.
        """
        result: FirstCall = self._ask("prepare", inputs=inputs)
        return result

    def measure(self, seconds: float) -> float:
        """Seconds for one unit of work, from calls that last at least `seconds` together.

        Raises:
            WorkerError: if the subject failed.
        """
        result: float = self._ask("measure", seconds=seconds)
        return result

    def outcome(self) -> Any:
        """What the subject's last call found.

        Raises:
            WorkerError: if the subject failed.
        """
        return self._ask("outcome")

    @property
    def pid(self) -> int:
        """Id of the process."""
        assert self._process.pid is not None
        return self._process.pid

    def ask_to_end(self) -> None:
        """Have the process end once it is done with what it does."""
        with contextlib.suppress(OSError):
            self._pipe.send(None)

    def close(self) -> None:
        """End the process."""
        self.ask_to_end()
        self._process.join(_PATIENCE_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._pipe.close()

    def _ask(self, command: str, **arguments: Any) -> Any:
        self._send(command, **arguments)
        return self._receive()

    def _send(self, command: str, **arguments: Any) -> None:
        try:
            self._pipe.send((command, arguments))
        except OSError as error:
            raise WorkerError(f"bench: {self.name}: its process has ended ({error}); run it again") from error

    def _receive(self) -> Any:
        try:
            good, value = self._pipe.recv()
        except (EOFError, OSError) as error:
            self._process.join(_PATIENCE_S)
            code = self._process.exitcode
            raise WorkerError(
                f"bench: {self.name}: its process ended with exit code {code}; a negative one may mean too little "
                "memory, try a smaller --batch"
            ) from error
        if not good:
            raise WorkerError(f"bench: {self.name}: {value}")
        return value


def available_cpus() -> list[int]:
    """Processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


@contextlib.contextmanager
def _limited(threads: int, environment: Mapping[str, str]) -> Iterator[None]:
    """Processors and variables that a process started meanwhile inherits."""
    defaults = {name: value for name, value in _ENVIRONMENT.items() if name not in os.environ}
    changed = defaults | dict.fromkeys(_THREAD_VARIABLES, str(threads)) | dict(environment)
    before = {name: os.environ.get(name) for name in changed}
    cpus = available_cpus()
    os.environ.update(changed)
    _set_cpus(cpus[:threads])
    try:
        yield
    finally:
        _set_cpus(cpus)
        _restore(before)


def _set_cpus(cpus: list[int]) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)


def _restore(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
