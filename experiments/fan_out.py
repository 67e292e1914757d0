"""Running many controllers over all days of their tasks in processes of Ray's, with the results of one process.

What is shared out are controllers: all days of one are one program, as rounding depends on how many run side by side.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pydantic import BaseModel

from agents import registry as agent_registry
from agents.controller import Controller
from experiments import console, processes
from experiments.references import keep, kept
from experiments.rollout import EpisodeResults, run_episodes
from gridenv.adapters.ray_settings import RaySettings, ray_session
from gridenv.core.config import read_overrides, validate
from gridenv.core.errors import GridEnvError
from gridenv.tasks import registry as task_registry
from gridenv.tasks.env import EnvParams, GridEnv

_KEY = "ray"


@dataclass(frozen=True, kw_only=True)
class Job:
    """A controller and the days that it is to run on."""

    task_id: str
    task: BaseModel
    """Settings of the task, the split among them."""
    controller: Controller | str
    """A policy, or the name of a reference controller."""

    @property
    def reference(self) -> str | None:
        """Name of the reference controller."""
        return self.controller if isinstance(self.controller, str) else None

    @property
    def split(self) -> str:
        """Name of the days."""
        split: str = self.task.split  # type: ignore[attr-defined]
        return split

    def sent(self) -> "Sent":
        """What another process needs to know of it.

        Raises:
            ConfigError: if the task is not registered.
        """
        return Sent(
            task_id=task_registry.full_task_id(self.task_id),
            # What is left to the defaults may be of a kind that only the task's own class knows.
            settings=self.task.model_dump_json(exclude_unset=True),
            controller=self.controller,
            place=str(Path.cwd()),
        )


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A job as it travels by pickle, so machines need not share a disk; classes of users stay where they are."""

    task_id: str
    """With the module or file that registers it in front."""
    settings: str
    """JSON of those that differ from the task's defaults."""
    controller: Controller | str
    place: str
    """Working directory of the driver."""


def ray_settings(arguments: Sequence[Path]) -> tuple[list[Path], RaySettings | None]:
    """Arguments of a command without `ray.KEY=VALUE`, and what those say; none if there are none.

    Raises:
        ConfigError: for unknown keys and values that are not allowed.
    """
    texts = [str(path) for path in arguments if str(path).startswith((f"{_KEY}.", f"{_KEY}=")) and "=" in str(path)]
    rest = [path for path in arguments if str(path) not in texts]
    if not texts:
        return rest, None
    return rest, validate(RaySettings, read_overrides(texts).part(_KEY), "evaluate", f"{_KEY}.")


def spread(jobs: Sequence[Job], settings: RaySettings) -> list[EpisodeResults]:
    """The results of all jobs; those of reference controllers are taken from the disk where they are kept.

    Args:
        jobs: in any order.
        settings: where Ray runs.

    Raises:
        ConfigError: if Ray cannot be reached, and for what a controller refuses.
        MissingExtraError: if Ray is not installed.
    """
    done: dict[int, EpisodeResults] = {}
    for i, job in enumerate(jobs):
        found = None if job.reference is None else kept(job.task_id, job.task, job.split, job.reference)
        if found is not None:
            done[i] = found
    left = {i: job for i, job in enumerate(jobs) if i not in done}
    if left:
        computed = _computed(left, settings)
        for i, results in computed.items():
            if (name := left[i].reference) is not None:
                keep(left[i].task_id, left[i].task, left[i].split, name, results)
        done |= computed
    return [done[i] for i in range(len(jobs))]


def _computed(jobs: Mapping[int, Job], settings: RaySettings) -> dict[int, EpisodeResults]:
    done: dict[int, EpisodeResults] = {}
    with ray_session(settings), console.counting() as bar:
        import ray

        shown = bar.add_task(f"controllers on {_cpus(ray)} processors", total=len(jobs))
        remote = ray.remote(num_cpus=1, max_retries=1)(_run_sent)
        # Planning takes longest, so it begins first.
        order = sorted(jobs, key=lambda i: jobs[i].reference is None)
        waiting = {remote.remote(jobs[i].sent()): i for i in order}
        while waiting:
            (ready, *_), _ = ray.wait(list(waiting), num_returns=1)
            try:
                done[waiting.pop(ready)] = ray.get(ready)
            except ray.exceptions.RayTaskError as error:
                if isinstance(error.cause, GridEnvError):
                    raise error.cause from None
                raise
            bar.update(shown, advance=1)
    return done


def _cpus(ray: object) -> int:
    return int(ray.cluster_resources().get("CPU", 0))  # type: ignore[attr-defined]


def _run_sent(sent: Sent) -> EpisodeResults:
    """In a process of Ray's."""
    processes.begin(sent.place)
    return _run(*_built(sent.task_id, sent.settings), sent.controller)


def _run(env: GridEnv, params: EnvParams, controller: Controller | str) -> EpisodeResults:
    if isinstance(controller, str):
        controller = agent_registry.make_reference(controller, env, params)
    return run_episodes(env, params, controller)


@lru_cache(maxsize=2)
def _built(task_id: str, settings: str) -> tuple[GridEnv, EnvParams]:
    """Built once for all controllers of a process, so that what they share compiles once."""
    return task_registry.build(task_id, task_registry.config_class(task_id).model_validate_json(settings))
