"""Tap-changer and capacitor controls as part of the solution: the flow and the controls settle together.

The iteration, for every sample by itself: solve the flow from the last one; look at every control; of those out of band
act the ones with the shortest delay, all at once; go on until no control wants to act. A regulator moves by as many
steps as its relay is away from the set voltage (at least one, at most `max_steps`).

Source: OpenDSS, static control mode, RegControl and CapControl reference; line-drop compensator: W. H. Kersting,
"Distribution System Modeling and Analysis", 3rd ed., CRC Press, 2012, chapter 7.
"""

from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from jax import Array, lax
from jax import numpy as jnp
from jaxtyping import Bool, Float, Int

from gridenv.core.pytree import pytree
from gridenv.core.units import SQRT3, VOLTS_PER_KV
from gridenv.network.arrays import Network
from gridenv.network.phase_tables import PhaseNetworkSpec
from gridenv.powerflow import flows, solver
from gridenv.powerflow.arrays import SWITCHES, FlowArrays
from gridenv.powerflow.solver import Equipment, FlowSolution

MAX_ROUNDS = 100
"""Rounds after which controls that still act count as not settled: they hunt."""
_MODES = ("voltage", "current", "kvar")
_NEVER = 1e9
"""Delay of a control that does not act, s."""


@pytree
class Regulators:
    """Tap-changer controls; [regulator]."""

    changer: Int[Array, " regulator"]
    """Which tap changer each one moves."""
    node: Int[Array, "two regulator"]
    """Nodes between which it measures; one past the last = ground."""
    terminal: Int[Array, " regulator"]
    """Transformer terminal whose current it measures, counted through all transformers."""
    volt: Float[Array, " regulator"]
    """Relay volts of 1 pu."""
    drop: Float[Array, "two regulator"]
    """Line-drop compensation as [Re, Im]: relay volts of a current of 1 pu into the transformer."""
    target: Float[Array, " regulator"]
    half_band: Float[Array, " regulator"]
    step_volt: Float[Array, " regulator"]
    """Relay volts that one step is worth."""
    lowest: Float[Array, " regulator"]
    """Range of positions."""
    highest: Float[Array, " regulator"]
    delay_s: Float[Array, " regulator"]
    max_steps: Float[Array, " regulator"]


@pytree
class CapacitorControls:
    """Controls of capacitor banks; [control]."""

    bank: Int[Array, " control"]
    terminal: Int[Array, "control phase"]
    """Line terminals at the monitored end, counted through all that are computed; one past the last = absent."""
    node: Int[Array, "control phase"]
    mode: Int[Array, " control"]
    volt: Float[Array, " control"]
    """Relay volts of 1 pu."""
    ampere: Float[Array, " control"]
    """Relay amperes of 1 pu."""
    on: Float[Array, " control"]
    off: Float[Array, " control"]
    delay_s: Float[Array, " control"]


@pytree
class Controls:
    """All controls of a network."""

    regulators: Regulators
    capacitors: CapacitorControls


class Controlled(NamedTuple):
    """Flow and equipment that fit together."""

    solution: FlowSolution
    equipment: Equipment
    settled: Bool[Array, "*batch"]
    """Whether no control wants to act any more."""
    rounds: Array


class _Search(NamedTuple):
    solution: FlowSolution
    taps: Array
    capacitors: Array
    acting: Array
    rounds: Array


@partial(jax.jit, static_argnames=("tolerance_pu", "max_iterations", "newton_only"))
def solve_controlled(
    flow: FlowArrays,
    controls: Controls,
    p_kw: Float[Array, "... injection"],
    q_kvar: Float[Array, "... injection"],
    start: Float[Array, "... two_slot"] | None,
    equipment: Equipment,
    *,
    tolerance_pu: float,
    max_iterations: int,
    newton_only: bool = False,
) -> Controlled:
    """Power flow with the controls at work, from the positions in `equipment`.

    Differentiable at the positions found: they do not move with a small change of the inputs.
    """
    batch = solver.batch_shape(p_kw, q_kvar, equipment)
    run = partial(solver.solve, tolerance_pu=tolerance_pu, max_iterations=max_iterations, newton_only=newton_only)

    def with_states(taps: Array, capacitors: Array) -> Equipment:
        fields = {**vars(equipment), "taps": taps, "capacitors": capacitors}
        return Equipment(**fields)

    def attempt(taps: Array, capacitors: Array, start: Array | None) -> tuple[FlowSolution, Equipment]:
        states = with_states(taps, capacitors)
        return run(flow, p_kw, q_kvar, start, states), states

    def body(search: _Search) -> _Search:
        states = with_states(search.taps, search.capacitors)
        taps, capacitors, acting = _act(flow, controls, search.solution, states)
        acting &= search.solution.converged
        taps = jnp.where(acting[..., None], taps, search.taps)
        capacitors = jnp.where(acting[..., None], capacitors, search.capacitors)
        solution = attempt(taps, capacitors, search.solution.slot_voltage)[0]
        return _Search(solution, taps, capacitors, acting, search.rounds + acting)

    def unfinished(search: _Search) -> Array:
        return jnp.any(search.acting) & (jnp.max(search.rounds, initial=0) < MAX_ROUNDS)

    assert equipment.taps is not None
    assert equipment.capacitors is not None
    taps = jnp.broadcast_to(equipment.taps, (*batch, equipment.taps.shape[-1]))
    capacitors = jnp.broadcast_to(equipment.capacitors, (*batch, equipment.capacitors.shape[-1]))
    first = _Search(
        attempt(taps, capacitors, start)[0], taps, capacitors, jnp.ones(batch, bool), jnp.zeros(batch, jnp.int32)
    )
    found = lax.stop_gradient(lax.while_loop(unfinished, body, lax.stop_gradient(first)))
    solution, states = attempt(found.taps, found.capacitors, found.solution.slot_voltage)
    return Controlled(solution, states, ~found.acting & solution.converged, found.rounds)


def _act(flow: FlowArrays, controls: Controls, solution: FlowSolution, states: Equipment) -> tuple[Array, Array, Array]:
    """Positions after one round, and which samples had a control that acted."""
    if SWITCHES in flow.features:
        flow = solver.realised_flow(flow, solver.flattened(states, solution.converged.shape))
    v = jnp.concatenate([solution.v_pu, jnp.zeros_like(solution.v_pu[..., :1])], axis=-1)
    move, wait_taps = _regulate(flow, controls.regulators, solution, v, states)
    switch, wait_banks = _switch(flow, controls.capacitors, solution, v, states)
    soonest = jnp.min(jnp.concatenate([wait_taps, wait_banks], axis=-1), axis=-1, initial=_NEVER, keepdims=True)
    assert states.taps is not None
    assert states.capacitors is not None
    moved = jnp.where(wait_taps <= soonest, move, 0.0)
    turns = wait_banks <= soonest
    taps = states.taps.at[..., controls.regulators.changer].add(moved)
    bank = controls.capacitors.bank
    state = jnp.where(turns, jnp.where(switch > 0.0, 1.0, 0.0), states.capacitors[..., bank])
    capacitors = states.capacitors.at[..., bank].set(state.astype(flow.dtype))
    return taps, capacitors, soonest[..., 0] < _NEVER


def _regulate(
    flow: FlowArrays, regulators: Regulators, solution: FlowSolution, v: Array, states: Equipment
) -> tuple[Array, Array]:
    """Steps that every regulator wants, and its delay; `_NEVER` where it wants none."""
    current = flows.transformer_current(flow, solution.slot_current)[..., regulators.terminal]
    seen = v[..., regulators.node[0]] - v[..., regulators.node[1]]
    relay = jnp.abs(seen * regulators.volt + lax.complex(*regulators.drop) * current)
    short = regulators.target - relay
    assert states.taps is not None
    position = states.taps[..., regulators.changer]
    steps = jnp.clip(jnp.floor(jnp.abs(short) / regulators.step_volt), 1.0, regulators.max_steps)
    wanted = jnp.clip(position + jnp.sign(short) * steps, regulators.lowest, regulators.highest) - position
    # A regulator without supply sees nothing and rests.
    wants = (relay > 0.0) & (jnp.abs(short) > regulators.half_band) & (wanted != 0.0)
    return jnp.where(wants, wanted, 0.0), jnp.where(wants, regulators.delay_s, _NEVER)


def _switch(
    flow: FlowArrays, controls: CapacitorControls, solution: FlowSolution, v: Array, states: Equipment
) -> tuple[Array, Array]:
    """+1 for banks to close and -1 for banks to open, and the delays."""
    current = flows.line_terminal_current(flow, solution.slot_current)
    current = jnp.concatenate([current, jnp.zeros_like(current[..., :1])], axis=-1)[..., controls.terminal]
    voltage = v[..., controls.node]
    kvar = jnp.sum((voltage * current.conj()).imag, axis=-1) * flow.s_base_kva
    volt, ampere = jnp.abs(voltage[..., 0]) * controls.volt, jnp.abs(current[..., 0]) * controls.ampere
    seen = jnp.where(controls.mode == 0, volt, jnp.where(controls.mode == 1, ampere, kvar))
    by_voltage = controls.mode == 0
    assert states.capacitors is not None
    closed = states.capacitors[..., controls.bank] > 0.0
    close = jnp.where(by_voltage, seen < controls.on, seen > controls.on) & ~closed
    trip = jnp.where(by_voltage, seen > controls.off, seen < controls.off) & closed
    change = jnp.where(close, 1.0, jnp.where(trip, -1.0, 0.0)).astype(flow.dtype)
    return change, jnp.where(change != 0.0, controls.delay_s, _NEVER)


def control_arrays(spec: PhaseNetworkSpec, network: Network, flow: FlowArrays) -> Controls:
    """The controls of a network's tables, for jit."""
    return Controls(
        regulators=_regulator_arrays(spec, network, str(flow.dtype)),
        capacitors=_capacitor_arrays(spec, network, flow),
    )


def _regulator_arrays(spec: PhaseNetworkSpec, network: Network, dtype: str) -> Regulators:
    circuit, table = network.circuit, spec.regulators
    use = np.flatnonzero(table.in_service)
    windings = [_winding_looked_at(circuit.taps.changer, int(r), int(table.monitored_phase[r])) for r in use]
    w = np.array(windings, dtype=np.int64)
    ends = circuit.taps.terminals[w].real
    plus, minus = ends.argmax(axis=1) if len(w) else w, ends.argmin(axis=1) if len(w) else w
    grounded = (ends.min(axis=1) >= 0.0) if len(w) else np.zeros(0, dtype=bool)
    trafo = circuit.taps.transformer[w]
    nodes = circuit.transformers.nodes
    node_a = nodes[trafo, plus]
    node_b = np.where(grounded, network.n_node, nodes[trafo, minus])
    base_v = circuit.v_base_kv[node_a] * VOLTS_PER_KV
    base_a = circuit.s_base_kva / circuit.v_base_kv[node_a]
    pt, ct = table.pt_ratio[use], table.ct_primary_a[use]
    drop = (table.ldc_r_v[use] + 1j * table.ldc_x_v[use]) * base_a / ct
    step = (table.tap_max - table.tap_min)[use] / table.n_step[use]
    rated_v = _rated_v(spec)[use]
    half = table.n_step[use] / 2.0

    def cast(values: np.ndarray) -> Array:
        return jnp.asarray(values, dtype)

    return Regulators(
        changer=jnp.asarray(use, "int32"),
        node=jnp.asarray(np.stack([node_a, node_b]), "int32"),
        terminal=jnp.asarray(trafo * circuit.transformers.n_terminal + plus, "int32"),
        volt=cast(base_v / pt),
        drop=cast(np.stack([drop.real, drop.imag])),
        target=cast(table.v_target_v[use]),
        half_band=cast(table.band_v[use] / 2.0),
        step_volt=cast(step * rated_v / pt),
        lowest=cast(-half),
        highest=cast(half),
        delay_s=cast(table.delay_s[use]),
        max_steps=cast(table.max_steps[use]),
    )


def _winding_looked_at(changer: np.ndarray, regulator: int, monitored: int) -> int:
    """Which of a changer's windings its control looks at."""
    own = np.flatnonzero(changer == regulator)
    return int(own[min(monitored, len(own)) - 1])


def _rated_v(spec: PhaseNetworkSpec) -> np.ndarray:
    """[regulator] rated voltage of the regulated winding's phase, V."""
    phases = dict(zip(spec.transformers.id, spec.transformers.n_phase, strict=True))
    seen: dict[str, int] = {}
    rated: dict[tuple[str, int], float] = {}
    table = spec.windings
    for transformer, connection, v_kv in zip(table.transformer, table.connection, table.v_kv, strict=True):
        seen[transformer] = seen.get(transformer, 0) + 1
        between = 1.0 if phases[transformer] == 1 or connection == "delta" else SQRT3
        rated[transformer, seen[transformer]] = v_kv * VOLTS_PER_KV / between
    return np.array(
        [rated[t, int(w)] for t, w in zip(spec.regulators.transformer, spec.regulators.winding, strict=True)]
    ).reshape(len(spec.regulators))


def _capacitor_arrays(spec: PhaseNetworkSpec, network: Network, flow: FlowArrays) -> CapacitorControls:
    circuit, table = network.circuit, spec.capacitor_controls
    use = np.flatnonzero(table.in_service)
    line = np.array([circuit.lines.names.index(table.line[c]) for c in use], dtype=np.int64)
    n_phase = circuit.lines.n_terminal // 2
    seen = n_phase * (1 if flow.one_end else 2)
    nodes = circuit.lines.nodes[line][:, :n_phase]
    terminal = line[:, None] * seen + np.arange(n_phase)
    n_line_terminal = len(circuit.lines.names) * seen
    base_kv = circuit.v_base_kv[nodes.max(axis=1)] if len(line) else np.zeros(0)

    def cast(values: np.ndarray) -> Array:
        return jnp.asarray(values, str(flow.dtype))

    return CapacitorControls(
        bank=jnp.asarray([circuit.capacitor_names.index(table.capacitor[c]) for c in use], "int32"),
        terminal=jnp.asarray(np.where(nodes >= 0, terminal, n_line_terminal).reshape(len(use), n_phase), "int32"),
        node=jnp.asarray(np.where(nodes >= 0, nodes, network.n_node).reshape(len(use), n_phase), "int32"),
        mode=jnp.asarray([_MODES.index(table.mode[c]) for c in use], "int32"),
        volt=cast(base_kv * VOLTS_PER_KV / table.pt_ratio[use]),
        ampere=cast(circuit.s_base_kva / np.maximum(base_kv, 1e-9) / table.ct_ratio[use]),
        on=cast(table.switch_on[use]),
        off=cast(table.switch_off[use]),
        delay_s=cast(table.delay_s[use]),
    )
