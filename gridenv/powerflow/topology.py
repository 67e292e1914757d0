"""From switch states and taps to the equations of every sample: what `Elimination` factorises."""

from jax import Array
from jax import numpy as jnp
from jaxtyping import Bool, Float, Int

from gridenv.core.pytree import pytree, static
from gridenv.powerflow.elimination import Elimination, Ports
from gridenv.powerflow.star_mesh import Pair, Steps, factorise, reached, substitute


@pytree
class Terms:
    """Numbers that are added to rows, each times a state."""

    row: Int[Array, " term"]
    state: Int[Array, " term"]
    value: Pair
    """[term]"""


@pytree
class Topology:
    """Constants of a network whose switches are data; `realised` makes an operator of it for given states."""

    steps: Steps
    ports: Ports
    constant_coupling: Pair
    """[entry + 2] of what has no switch."""
    constant_ground: Pair
    """[node + 1]"""
    constant_current: Pair
    """[node + 1] current into these elements at the reference voltages."""
    coupling: Terms
    ground: Terms
    current: Terms
    joined: Terms
    """Couplings as truth: which entries a state connects."""
    constant_joined: Float[Array, " entry"]
    line_switch: Int[Array, " line"]
    """Switch of each line."""
    can_close: Float[Array, " switch"]
    """0 for switches at buses out of service."""
    bus_switch: Int[Array, " bus_switch"]
    """Those switches that are not lines."""
    line_y: Pair
    """[line, terminal, terminal] when closed."""
    line_i0: Pair
    """[line, terminal] at the reference voltages."""
    line_open_y: Pair
    """[line, terminal] what charging an open line still draws at its terminals."""
    line_open_i0: Pair
    line_nodes: Int[Array, "line terminal"]
    trafo_y: Pair
    trafo_i0: Pair
    trafo_nodes: Int[Array, "transformer terminal"]
    trafo_entry: Int[Array, "transformer terminal terminal"]
    """Entry of each pair of terminals; the one that nothing reads on the diagonal and at ground."""
    tap_trafo: Int[Array, " winding"]
    tap_terminals: Float[Array, "winding terminal"]
    tap_source: Pair
    tap_measure: Pair
    tap_direct: Pair
    fixed_node: Int[Array, " fixed"]
    fixed_near: Int[Array, "fixed near"]
    fixed_entry: Int[Array, "fixed near"]
    source_terminal: Int[Array, " fixed"]
    sample_axis: int = static(default=1)
    slot_axis: int = static(default=0)

    @property
    def n_slot(self) -> int:
        """Number of slots."""
        return int(self.ports.slot_from.shape[0])

    @property
    def no_load(self) -> Float[Array, " two_slot"]:
        """What the slots see at the reference voltages."""
        reference = self.ports.reference
        seen = reference[:, self.ports.slot_from] - reference[:, self.ports.slot_to]
        return seen.reshape(-1)

    def laid_out(self, values: Float[Array, "sample slot"]) -> Float[Array, "slot sample"]:
        """As `Elimination.laid_out`."""
        return values.T


def realised(topology: Topology, switches: Float[Array, "sample switch"], tap_change: Pair | None) -> Elimination:
    """The operator for switch states and taps of every sample.

    Args:
        topology: constants.
        switches: 1 = closed.
        tap_change: [sample, winding] by how much the voltage that each inner winding sees differs, see `TapWindings`.
    """
    steps, n_sample = topology.steps, switches.shape[0]
    n_node = topology.ports.reference.shape[1] - 1
    states = _states(topology, switches)
    closed = states[: topology.line_switch.shape[0]]
    coupling = _summed(topology.constant_coupling, topology.coupling, states)
    ground = _summed(topology.constant_ground, topology.ground, states)
    current = _summed(topology.constant_current, topology.current, states)
    trafo_y = Pair(*(jnp.broadcast_to(part[..., None], (*part.shape, n_sample)) for part in topology.trafo_y))
    trafo_i0 = Pair(*(jnp.broadcast_to(part[..., None], (*part.shape, n_sample)) for part in topology.trafo_i0))
    if tap_change is not None:
        change = _tapped(topology, tap_change)
        trafo_y = trafo_y + change
        off, rows, drawn = _tap_terms(topology, change)
        coupling = coupling.add_at(topology.trafo_entry.reshape(-1), off)
        ground = ground.add_at(topology.trafo_nodes.reshape(-1), rows)
        current = current.add_at(topology.trafo_nodes.reshape(-1), drawn)
        trafo_i0 = trafo_i0 + Pair(*(part.reshape(trafo_i0.re.shape) for part in drawn))
    live = supplied_nodes(topology, switches)
    factors = factorise(steps, coupling, ground, live)
    load_free = Pair(*(jnp.where(live, -part, 0.0).at[n_node].set(0.0) for part in current))
    return Elimination(
        steps=steps,
        ports=topology.ports,
        factors=factors,
        live=live,
        drift=substitute(steps, factors, load_free),
        line_y=_lines(topology.line_y, topology.line_open_y, closed),
        line_i0=Pair(
            *(
                part[..., None] * closed[:, None] + idle[..., None] * (1.0 - closed[:, None])
                for part, idle in zip(topology.line_i0, topology.line_open_i0, strict=True)
            )
        ),
        line_nodes=topology.line_nodes,
        trafo_y=trafo_y,
        trafo_i0=trafo_i0,
        trafo_nodes=topology.trafo_nodes,
        fixed_y=Pair(*(-part[topology.fixed_entry] for part in coupling)),
        fixed_near=topology.fixed_near,
        fixed_i0=current.at_rows(topology.fixed_node),
        fixed_node=topology.fixed_node,
        source_terminal=topology.source_terminal,
    )


def supplied_nodes(topology: Topology, switches: Float[Array, "sample switch"]) -> Bool[Array, "node sample"]:
    """Which nodes a source reaches; ground, the last, counts as reached. Needs no factors."""
    states, n_node = _states(topology, switches), topology.ports.reference.shape[1] - 1
    joined = topology.constant_joined[:, None] + jnp.zeros((1, switches.shape[0]), switches.dtype)
    joined = joined.at[topology.joined.row].add(states[topology.joined.state])
    return reached(topology.steps, joined > 0.0, topology.fixed_node, n_node)


def _states(topology: Topology, switches: Float[Array, "sample switch"]) -> Float[Array, "state sample"]:
    """Lines closed, lines open, and bus-bus switches closed: what `Terms.state` counts."""
    possible = switches.T * topology.can_close[:, None]
    closed = possible[topology.line_switch]
    return jnp.concatenate([closed, 1.0 - closed, possible[topology.bus_switch]])


def _summed(constant: Pair, terms: Terms, states: Float[Array, "state sample"]) -> Pair:
    """[row, sample]"""
    parts = []
    for base, value in zip(constant, terms.value, strict=True):
        wide = base[:, None] + jnp.zeros((1, states.shape[-1]), states.dtype)
        parts.append(wide.at[terms.row].add(value[:, None] * states[terms.state]))
    return Pair(*parts)


def _lines(closed_y: Pair, open_y: Pair, closed: Float[Array, "line sample"]) -> Pair:
    """[line, terminal, terminal, sample] admittances of the lines as switched."""
    eye = jnp.eye(closed_y.re.shape[-1], dtype=closed.dtype)
    is_on = closed[:, None, None]
    return Pair(
        *(
            part[..., None] * is_on + (eye * idle[:, :, None])[..., None] * (1.0 - is_on)
            for part, idle in zip(closed_y, open_y, strict=True)
        )
    )


def _tapped(topology: Topology, d: Pair) -> Pair:
    """Change of the transformers' admittances [transformer, terminal, terminal, sample] at changed turns.

    Source: `Y' = N^T (1 + d)^H Yw (1 + d) N` minus the same without d.
    """
    conj = Pair(d.re.T, -d.im.T)
    plain = Pair(d.re.T, d.im.T)
    n = topology.tap_terminals
    change = Pair(*(jnp.zeros((*part.shape, d.re.shape[0]), d.re.dtype) for part in topology.trafo_y))

    def outer(a: Pair, b: Array) -> Pair:
        return Pair(*(part[:, :, None] * b[:, None, :] for part in a))

    source = outer(topology.tap_source, n)
    measure = Pair(*(n[:, :, None] * part[:, None, :] for part in topology.tap_measure))
    for matrix, factor in ((source, plain), (measure, conj)):
        wide = Pair(*(part[..., None] for part in matrix)) * Pair(*(part[:, None, None] for part in factor))
        change = change.add_at(topology.tap_trafo, wide)
    both = Pair(conj.re[:, None], conj.im[:, None]) * Pair(plain.re[None], plain.im[None])
    weight = both * Pair(*(part[..., None] for part in topology.tap_direct))
    folded = Pair(*(jnp.einsum("wt,wvs,vu->wtus", n, part, n) for part in weight))
    return change.add_at(topology.tap_trafo, folded)


def _tap_terms(topology: Topology, change: Pair) -> tuple[Pair, Pair, Pair]:
    """Negative off-diagonals, row sums, and currents at the reference voltages, all of changed transformers."""
    n_sample = change.re.shape[-1]
    real = (topology.trafo_nodes < topology.ports.reference.shape[1] - 1)[:, None, :, None]
    inner = Pair(*(jnp.where(real, part, 0.0) for part in change))
    off = Pair(*(-part.reshape(-1, n_sample) for part in change))
    rows = Pair(*(jnp.sum(part, axis=2).reshape(-1, n_sample) for part in inner))
    v = topology.ports.reference[:, topology.trafo_nodes]
    drawn = inner * Pair(v[0][:, None, :, None], v[1][:, None, :, None])
    return off, rows, Pair(*(jnp.sum(part, axis=2).reshape(-1, n_sample) for part in drawn))
