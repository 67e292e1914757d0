"""From the action vector of a task to requests to its devices, and back."""

from dataclasses import dataclass
from functools import cached_property

from jax import Array
from jax import numpy as jnp
from jaxtyping import Float

from gridenv.core.channels import ChannelSet
from gridenv.exogenous.scenario import sample
from gridenv.sim.model import GridModel
from gridenv.sim.state import Command, GridOutput, GridState
from gridenv.tasks.units.kind import Control, UnitGroup


@dataclass(frozen=True, eq=False)
class Actuator:
    """The entries of the action vector: group by group, unit by unit, control by control."""

    groups: tuple[UnitGroup, ...]
    """In the order of `GridModel.groups`."""

    @cached_property
    def controls(self) -> tuple[tuple[Control, ...], ...]:
        """Controls of the units of each group."""
        return tuple(
            tuple(c for unit, name in zip(g.configs, g.names, strict=True) for c in g.kind.controls(unit, name))
            for g in self.groups
        )

    @cached_property
    def entries(self) -> tuple[Control, ...]:
        """Entries of the action vector."""
        return tuple(c for group in self.controls for c in group)

    @cached_property
    def channels(self) -> ChannelSet:
        """Channels of the action vector."""
        return ChannelSet(tuple(c.channel for c in self.entries))

    @cached_property
    def units(self) -> tuple[str, ...]:
        """Unit that each entry belongs to."""
        return tuple(
            name
            for g, controls in zip(self.groups, self.controls, strict=True)
            for name in g.names
            for _ in range(len(controls) // len(g.names))
        )

    def idle(self, model: GridModel, state: GridState) -> Float[Array, "*batch act"]:
        """Action in physical units that asks for nothing."""
        inputs = model.inputs(state.t, sample(model.scenario, state.t), state.v_pu)
        zipped = zip(self.groups, model.groups, state.devices, inputs, strict=True)
        return self.joined([g.kind.idle(m.params, s, i) for g, m, s, i in zipped])

    def command(self, model: GridModel, state: GridState, action: Float[Array, "*batch act"]) -> Command:
        """Requests to the groups for an action in physical units."""
        inputs = model.inputs(state.t, sample(model.scenario, state.t), state.v_pu)
        zipped = zip(self.groups, model.groups, state.devices, self.parts(action), inputs, strict=True)
        return Command(requests=tuple(g.kind.request(m.params, s, a, i) for g, m, s, a, i in zipped))

    def applied(
        self, model: GridModel, state: GridState, output: GridOutput, asked: Float[Array, "*batch act"]
    ) -> Float[Array, "*batch act"]:
        """Action that was carried out in the step that began with `state`; both in physical units."""
        inputs = model.inputs(state.t, sample(model.scenario, state.t), state.v_pu)
        zipped = zip(self.groups, model.groups, output.feasible, inputs, self.parts(asked), strict=True)
        return self.joined([g.kind.applied(m.params, f, i, a) for g, m, f, i, a in zipped])

    def parts(self, action: Float[Array, "*batch act"]) -> list[Array]:
        """The action vector as an array for each group."""
        parts, first = [], 0
        for group, controls in zip(self.groups, self.controls, strict=True):
            n_unit = len(group.configs)
            last = first + len(controls)
            parts.append(action[..., first:last].reshape(*action.shape[:-1], n_unit, len(controls) // n_unit))
            first = last
        return parts

    def joined(self, parts: list[Array]) -> Float[Array, "*batch act"]:
        """The inverse of `parts`; what units cannot be asked, behind their controls, is left out."""
        counts = [len(c) // len(g.configs) for g, c in zip(self.groups, self.controls, strict=True)]
        cut = [part[..., :n] for part, n in zip(parts, counts, strict=True)]
        return jnp.concatenate([part.reshape(*part.shape[:-2], -1) for part in cut], axis=-1)
