"""Controllers without learning: do nothing, and the usual rule of each kind of unit."""

from dataclasses import dataclass

from jax import Array
from jaxtyping import Bool, Float

from agents import droop, regulators
from gridenv.exogenous.scenario import sample
from gridenv.tasks.env import EnvParams, EnvState, GridEnv
from gridenv.tasks.outlook import look_ahead


@dataclass(frozen=True)
class DoNothing:
    """Ask for nothing: unity power factor, batteries at rest, equipment where it is."""

    env: GridEnv
    name: str = "none"

    def act(
        self, params: EnvParams, state: EnvState, observation: Float[Array, "*batch obs"]
    ) -> Float[Array, "*batch act"]:
        """The idle action of every unit."""
        del observation
        return self.env.idle(params, state)


@dataclass(frozen=True)
class UnitRules:
    """The usual rule of every kind of unit: regulators and capacitor banks follow the network's own controls, inverters
    the volt-var curve of IEEE 1547-2018 in equilibrium with the grid, all others the rule of their kind.
    """

    env: GridEnv
    name: str = "rule"

    def act(
        self, params: EnvParams, state: EnvState, observation: Float[Array, "*batch obs"]
    ) -> Float[Array, "*batch act"]:
        """Normalised action; `settled` says whether the curve and the grid agree."""
        del observation
        action, _ = self._action(params, state)
        encoded: Array = self.env.encode_action(action)
        return encoded

    def settled(self, params: EnvParams, state: EnvState) -> Bool[Array, "*batch"]:
        """Whether `act` is the equilibrium of curve and grid in this state, or only where the search for it stopped."""
        return self._action(params, state)[1]

    def _action(self, params: EnvParams, state: EnvState) -> tuple[Float[Array, "*batch act"], Bool[Array, "*batch"]]:
        model, grid, actuator = params.model, state.grid, self.env.task.actuator
        parts = actuator.parts(actuator.idle(model, grid))
        inputs = model.inputs(grid.t, sample(model.scenario, grid.t), grid.v_pu)
        outlook = look_ahead(model.scenario, grid.t)
        for i, (unit_group, group) in enumerate(zip(actuator.groups, model.groups, strict=True)):
            rule = unit_group.kind.rule
            if rule is not None and parts[i].shape[-1]:
                parts[i] = rule(group.params, grid.devices[i], inputs[i], outlook)
        action = actuator.joined(parts)
        action = regulators.follow_controls(actuator, self.env.task.power_flow, model, grid, action)
        return droop.follow_curves(actuator, model, grid, action)
