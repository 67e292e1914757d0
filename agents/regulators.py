"""Tap changers and capacitor banks as the network's own controls move them."""

from jaxtyping import Array, Float

from gridenv.exogenous.scenario import sample
from gridenv.network import PhaseNetworkSpec
from gridenv.powerflow import PowerFlow
from gridenv.powerflow.controls import solve_controlled
from gridenv.sim.model import GridModel
from gridenv.sim.state import GridState
from gridenv.sim.step import inject, moved, project
from gridenv.tasks.actuator import Actuator

_MOVED = ("taps", "capacitors")


def follow_controls(
    actuator: Actuator, power_flow: PowerFlow, model: GridModel, grid: GridState, action: Float[Array, "*batch act"]
) -> Float[Array, "*batch act"]:
    """The action with equipment where line-drop compensators and capacitor controls come to rest in this step.

    They start from the present positions and see the power of everything else in the action. Without controls in the
    network, or with only one kind of equipment among the task's units, the action is kept.
    """
    is_controlled = isinstance(power_flow.spec, PhaseNetworkSpec) and len(power_flow.spec.regulators) > 0
    if not is_controlled or not set(_MOVED) <= set(model.flow.features):
        return action
    series = sample(model.scenario, grid.t)
    feasible = project(model, grid, series, actuator.command(model, grid, action))
    injections = inject(model, series, feasible)
    found = solve_controlled(
        model.flow,
        power_flow.controls_for(power_flow.arrays_for(*model.flow.features)),
        injections.p_kw,
        injections.q_kvar,
        None,
        moved(model, feasible),
        tolerance_pu=model.tolerance_pu,
        max_iterations=model.max_iterations,
    )
    parts = actuator.parts(action)
    for i, group in enumerate(model.groups):
        if group.family.moves in _MOVED and parts[i].shape[-1]:
            states: Array = getattr(found.equipment, group.family.moves)
            parts[i] = states[..., group.position, None]
    return actuator.joined(parts)
