"""Gymnasium ids of all tasks; neither JAX nor pandapower is imported before an environment is made."""

from gymnasium.envs.registration import register, registry

from gridenv.tasks.registry import NAMESPACE, TASKS

ENTRY_POINT = "gridenv.adapters.backends:make_env"
VECTOR_ENTRY_POINT = "gridenv.adapters.vector_env:GridVectorEnv"


def register_tasks() -> None:
    """Register `gridenv/<task id>` for every task that Gymnasium does not know yet."""
    for task in TASKS:
        name = NAMESPACE + task
        if name not in registry:
            register(
                id=name,
                entry_point=ENTRY_POINT,
                vector_entry_point=VECTOR_ENTRY_POINT,
                kwargs={"task_id": task},
            )
