"""Gymnasium ids of all tasks; neither JAX nor pandapower is imported before an environment is made."""

from collections.abc import Callable

from gymnasium.envs.registration import register, registry

from gridenv.tasks import registry as tasks
from gridenv.tasks.registry import NAMESPACE, TASKS, Settings

ENTRY_POINT = "gridenv.adapters.backends:make_env"
VECTOR_ENTRY_POINT = "gridenv.adapters.vector_env:GridVectorEnv"


def register_tasks() -> None:
    """Register `gridenv/<task id>` for every task that Gymnasium does not know yet."""
    for task in TASKS:
        if NAMESPACE + task not in registry:
            _register(task)


def register_task(name: str, *, summary: str = "") -> Callable[[Settings], Settings]:
    """Register a task of your own: put this in front of the class of its settings.

    From then on the id works everywhere in this process: `gridenv.make`, `gymnasium.make("gridenv/<id>")` and all
    others. Other processes and the command line import what registers it, and need to be told what that is: name the
    task `my_tasks:<id>` there, or `path/to/my_tasks.py:<id>`.

    Args:
        name: id that ends in a version, such as `PeakShaving-IEEE33-v0`; one of your own that is registered already is
            replaced.
        summary: one line for `gridenv list`; the first line of the class's docstring if left out.

    Returns:
        Decorator of a subclass of `GridTaskConfig`, or of the settings of a task of the library.

    Raises:
        ConfigError: for an id that is malformed or one of the library's, and for a class of another kind.
    """
    into_registry = tasks.register_task(name, summary=summary)

    def registered(settings: Settings) -> Settings:
        settings = into_registry(settings)
        task = name.removeprefix(NAMESPACE)
        registry.pop(NAMESPACE + task, None)
        _register(task)
        return settings

    return registered


def _register(task: str) -> None:
    register(
        id=NAMESPACE + task,
        entry_point=ENTRY_POINT,
        vector_entry_point=VECTOR_ENTRY_POINT,
        kwargs={"task_id": tasks.full_task_id(task)},
    )
