"""Upper reference of every task: the optimum of each step where steps do not reach into each other, else of the day."""

import warnings
from dataclasses import dataclass
from importlib.util import find_spec

from jaxtyping import Array, Float

from agents import schedule
from agents.controller import Controller
from agents.optimal_dispatch import OptimalDispatch
from agents.optimal_power.planner import OptimalPower
from agents.optimal_power.quantities import Quantities, quantities_of
from agents.optimal_schedule import OptimalSchedule
from gridenv.tasks.env import EnvParams, GridEnv


@dataclass(frozen=True)
class Oracle:
    """Plans with perfect foresight; scored by exact simulation like any other controller."""

    env: GridEnv

    def plan(self, params: EnvParams) -> Controller:
        """Controller for the episodes that begin at `params.starts`, in that order."""
        quantities, search = quantities_of(self.env, params), OptimalSchedule(self.env)
        if not schedule.has_memory(params.model.groups):
            dispatch = OptimalDispatch(self.env)
            # Reactive power alone leaves the programs nothing that the optimum of each step misses.
            given = None if all(q.is_q for q in quantities.entries) else self._programmed(params, quantities)
            if given is None:
                return dispatch
            return search.best_of(params, schedule.recorded(self.env, dispatch, params), given)
        given = self._programmed(params, quantities)
        if given is not None and not any(quantities.is_held):
            return search.polished(params, given)
        return search.plan(params, given)

    def _programmed(self, params: EnvParams, quantities: Quantities) -> Float[Array, "step episode act"] | None:
        """The plan of convex programs; None where the task's units do not fit them, or the solver is missing."""
        if not quantities.entries:
            return None
        if find_spec("clarabel") is None:
            warnings.warn(
                f"oracle: package 'clarabel' is not installed, so {self.env.id} is searched without convex programs "
                'and the oracle may be lower; install it with pip install "gridenv[opt]"',
                stacklevel=2,
            )
            return None
        return OptimalPower(self.env).plan(params).actions
