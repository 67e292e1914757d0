"""Upper reference of every task: the optimum of each step where steps do not reach into each other, else of the day."""

from dataclasses import dataclass

from agents.controller import Controller
from agents.optimal_dispatch import OptimalDispatch
from agents.optimal_schedule import OptimalSchedule
from gridenv.devices import inverter
from gridenv.tasks.env import EnvParams, GridEnv


@dataclass(frozen=True)
class Oracle:
    """Plans with perfect foresight; scored by exact simulation like any other controller."""

    env: GridEnv

    def plan(self, params: EnvParams) -> Controller:
        """Controller for the episodes that begin at `params.starts`, in that order."""
        if has_memory(params):
            return OptimalSchedule(self.env).plan(params)
        return OptimalDispatch(self.env)


def has_memory(params: EnvParams) -> bool:
    """Whether an action changes what later steps can earn: all units but plain inverters remember."""
    return any(group.family is not inverter.FAMILY for group in params.model.groups)
