"""A network's constants as device arrays: the operator, the laws of its slots, and ratings."""

import dataclasses
from collections.abc import Collection
from typing import Any

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float, Int
from numpy.typing import NDArray

from gridenv.core.pytree import pytree, static
from gridenv.network.arrays import LoadSlots, Network
from gridenv.network.circuit import ChangerLaw, Ints, StepLaw
from gridenv.network.spec import Floats
from gridenv.network.transformer import TransformerModel
from gridenv.powerflow.droop import DroopCurves, HostDroop
from gridenv.powerflow.host import has_charging, reduce_network
from gridenv.powerflow.law import LoadLaw
from gridenv.powerflow.operator_arrays import block_arrays, dense_arrays, real_vector
from gridenv.powerflow.operators import Blocks, Dense
from gridenv.powerflow.partition import cut_network
from gridenv.powerflow.topology import Topology
from gridenv.powerflow.topology_build import topology_arrays

for _law_class in (ChangerLaw, StepLaw, TransformerModel):
    jax.tree_util.register_dataclass(
        _law_class, data_fields=[f.name for f in dataclasses.fields(_law_class)], meta_fields=[]
    )

TAPS, CAPACITORS, LINES, SWITCHES = "taps", "capacitors", "lines", "switches"
_LARGEST_MATRIX = 250_000
"""Entries up to which injections are spread over slots by a matrix product."""
FEATURES = (TAPS, CAPACITORS, LINES, SWITCHES)
"""What can change besides the injections; each adds its slots to the operator."""


@pytree
class FlowArrays:
    """Constants of one network; shared by every sample of a batch, never batched."""

    operator: Any
    """`Dense` or `Blocks`; where switches are data a `Topology`, of which `realised_flow` makes an `Elimination`."""
    law: LoadLaw
    member: Int[Array, "slot k"] | None
    """Injections that act in each load slot, in the order of the network; filled up with their number. None in small
    networks, where a matrix product is faster."""
    weight_p: Float[Array, "order slot k"]
    """kW to pu, by constant power, current and impedance; without `member` [order, injection, slot]."""
    weight_q: Float[Array, "order slot k"]
    split_p: Float[Array, "3 slot k"]
    """As `weight_p` for shares of what is built as constant power."""
    split_q: Float[Array, "3 slot k"]
    is_load: Float[Array, "*layout"] | None
    """1 for load slots, 0 for the others, in the layout; None where there are no others."""
    is_voltage: Float[Array, "*layout"] | None
    """1 for slots that see a voltage, 0 for those that see a current; None where all see voltages."""
    in_service: Float[Array, " injection"]
    """1 for injections in service, else 0."""
    fixed_voltage: Float[Array, " two_fixed"]
    line_i_base_a: Float[Array, " line"]
    line_i_max_a: Float[Array, " line"]
    line_shunt: Float[Array, "two line phase phase"]
    """Conductance and susceptance at the from end of the lines that connect, pu."""
    line_r: Float[Array, "line phase phase"]
    transformer_rating: Float[Array, "transformer terminal"]
    """Rated current, pu; infinite at absent terminals."""
    line_nodes: Int[Array, "line line_terminal"]
    """Named node of each terminal; absent ones point at one past the last."""
    transformer_nodes: Int[Array, "transformer terminal"]
    tap_law: Any
    """Turns at tap positions, see `TapLaw`; None without the feature."""
    tap_changer: Int[Array, " winding"]
    """Tap changer that moves each winding."""
    capacitor_y: Float[Array, "two leg"]
    """Admittance of each leg as [Re, Im], pu."""
    capacitor_bank: Int[Array, " leg"]
    capacitor_default: Float[Array, " bank"]
    n_load: int = static()
    """Number of load slots; they come first."""
    s_base_kva: float = static()
    n_phase: int = static()
    one_to_one: bool = static()
    """Injections and load slots are the same, in the same order: no summation needed."""
    one_end: bool = static()
    """No line has charging, so one end tells the current."""
    features: tuple[str, ...] = static()

    @property
    def n_slot(self) -> int:
        """Number of slots, in the order of the network."""
        return int(self.operator.slots.place.shape[0]) if isinstance(self.operator, Blocks) else self.operator.n_slot

    @property
    def slot_no_load(self) -> Float[Array, " two_slot"]:
        """What the slots see when nothing acts in them, as [Re, Im]; to start a solution from."""
        if isinstance(self.operator, Blocks):
            return self.operator.collected(self.operator.slots.base)[0]
        if isinstance(self.operator, Dense):
            return self.operator.slots.base
        if isinstance(self.operator, Topology):
            return self.operator.no_load
        reference = self.operator.ports.reference
        return (reference[:, self.operator.ports.slot_from] - reference[:, self.operator.ports.slot_to]).reshape(-1)

    @property
    def dtype(self) -> np.dtype:
        """Floating-point type of all arrays."""
        return np.dtype(self.fixed_voltage.dtype)


def chosen_slots(network: Network, features: Collection[str]) -> Ints:
    """Numbers of the load slots and of those of the features."""
    ranges = {TAPS: network.tap_slots, CAPACITORS: network.capacitor_slots, LINES: network.line_slots}
    if SWITCHES in features:
        # There a transformer is assembled at its taps.
        del ranges[TAPS]
    parts = [network.load_slots, *(ranges[name] for name in ranges if name in features)]
    return np.concatenate([np.array(part, dtype=np.int64) for part in parts])


def flow_arrays(
    network: Network, dtype: str, *, dense: bool, features: Collection[str] = (), droop: HostDroop | None = None
) -> FlowArrays:
    """Device arrays of a compiled network; everything is computed in float64 and rounded once.

    Call it inside `jax.enable_x64()` when `dtype` is float64.
    """
    chosen = chosen_slots(network, features)
    operator: Any
    if SWITCHES in features:
        operator = topology_arrays(network, chosen, dtype)
    elif dense:
        operator = dense_arrays(reduce_network(network, chosen), dtype)
    else:
        operator = block_arrays(cut_network(network, chosen), dtype)
    circuit, loads = network.circuit, network.loads
    n_load, n_other = len(loads.member), len(chosen) - len(loads.member)

    def laid_out_all(values: Any) -> Array:
        return operator.laid_out(jnp.asarray(np.asarray(values)[None], dtype))

    def laid_out(values: Any) -> Array:
        return laid_out_all(np.pad(np.asarray(values), (0, n_other)))

    order = loads.highest_order + 1
    # Where switches are data, the operator knows which slots are supplied.
    alive = loads.alive | (SWITCHES in features)
    n_injection = len(circuit.loads.names)
    as_matrix = dense and n_injection * n_load <= _LARGEST_MATRIX
    per_slot = (loads.weight_p[:order], loads.weight_q[:order], loads.split_p, loads.split_q)
    weight_p, weight_q, split_p, split_q = (
        _as_matrix(loads.member, w, n_injection) if as_matrix else w for w in (w * alive[:, None] for w in per_slot)
    )
    same = np.arange(n_injection)[:, None]
    plain = order == 1 and loads.member.shape == same.shape and np.array_equal(loads.member, same)
    equal = all(np.all(w == 1.0 / circuit.s_base_kva) for w in (loads.weight_p[0], loads.split_p, loads.split_q))
    one_to_one = bool(plain and equal and alive.all() and not n_other)
    ends = np.where(circuit.line_closed | (SWITCHES in features), 1.0, 0.0)[:, None, None]
    return FlowArrays(
        operator=operator,
        law=_law(loads, laid_out, droop),
        member=None if as_matrix else jnp.asarray(loads.member, "int32"),
        weight_p=jnp.asarray(weight_p, dtype),
        weight_q=jnp.asarray(weight_q, dtype),
        split_p=jnp.asarray(split_p, dtype),
        split_q=jnp.asarray(split_q, dtype),
        n_load=n_load,
        is_load=laid_out(alive) if n_other or isinstance(operator, Blocks) or not alive.all() else None,
        is_voltage=laid_out_all(_sees_voltage(network, chosen)) if n_other else None,
        in_service=jnp.asarray(circuit.loads.in_service, dtype),
        fixed_voltage=jnp.asarray(real_vector(circuit.fixed_v), dtype),
        line_i_base_a=jnp.asarray(circuit.line_i_base_a, dtype),
        line_i_max_a=jnp.asarray(circuit.line_i_max_a, dtype),
        line_shunt=jnp.asarray(np.stack([part * ends for part in _parts(circuit.line_series.y_end)]), dtype),
        line_r=jnp.asarray(circuit.line_series.r * ends, dtype),
        transformer_rating=jnp.asarray(circuit.transformer_rating, dtype),
        line_nodes=_terminal_nodes(circuit.lines.nodes, network.n_node),
        transformer_nodes=_terminal_nodes(circuit.transformers.nodes, network.n_node),
        tap_law=jax.tree.map(lambda a: _cast(a, dtype), circuit.tap_law) if TAPS in features else None,
        tap_changer=jnp.asarray(circuit.taps.changer, "int32"),
        capacitor_y=jnp.asarray(np.stack(_parts(circuit.capacitor_legs.y)), dtype),
        capacitor_bank=jnp.asarray(circuit.capacitor_legs.bank, "int32"),
        capacitor_default=jnp.asarray(circuit.capacitor_legs.default_closed, dtype),
        s_base_kva=circuit.s_base_kva,
        n_phase=circuit.n_phase,
        one_to_one=one_to_one,
        one_end=not has_charging(network) and SWITCHES not in features,
        features=tuple(name for name in FEATURES if name in features),
    )


def _sees_voltage(network: Network, chosen: Ints) -> NDArray[np.bool_]:
    """[chosen slot] all but the second slot of each tap winding, which sees the winding's current."""
    return ~np.isin(chosen, np.array(network.tap_slots, dtype=np.int64)[1::2])


def _as_matrix(member: Ints, weight: Floats, n_injection: int) -> Floats:
    """[order, injection, slot] from [order, slot, k]."""
    n_order, n_slot, width = weight.shape
    matrix = np.zeros((n_order, n_injection + 1, n_slot))
    for k in range(width):
        for order in range(n_order):
            np.add.at(matrix[order], (member[:, k], np.arange(n_slot)), weight[order, :, k])
    return matrix[:, :-1]


def _cast(value: Any, dtype: str) -> Array:
    return jnp.asarray(
        value,
        {"b": "bool", "c": "complex128" if dtype == "float64" else "complex64"}.get(
            np.asarray(value).dtype.kind, dtype
        ),
    )


def _parts(z: Any) -> tuple[Any, Any]:
    return z.real, z.imag


def _terminal_nodes(nodes: Ints, n_node: int) -> Int[Array, "element terminal"]:
    return jnp.asarray(np.where((nodes >= 0) & (nodes < n_node), nodes, n_node), "int32")


def _law(loads: LoadSlots, laid_out: Any, droop: HostDroop | None) -> LoadLaw:
    exponents = (loads.exponent_p, loads.exponent_q) if loads.has_exponents else (None, None)
    limits = (loads.v_rated, loads.v_min, loads.v_max, loads.v_low) if loads.has_limits else (None,) * 4
    if loads.has_limits and not loads.has_exponents:
        exponents = (np.zeros(len(loads.member)), np.zeros(len(loads.member)))
    names = ("exponent_p", "exponent_q", "v_rated", "v_min", "v_max", "v_low")
    columns = dict(zip(names, (*exponents, *limits), strict=True))
    law: dict[str, Any] = {name: None if value is None else laid_out(value) for name, value in columns.items()}
    if loads.has_limits:
        # Fillings of the layout and slots of other kinds come with zeros, which are no limits.
        law["v_rated"] = jnp.where(law["v_rated"] == 0.0, 1.0, law["v_rated"])
        law["v_max"] = jnp.where(law["v_max"] == 0.0, jnp.inf, law["v_max"])
    return LoadLaw(**law, droop=None if droop is None else _droop(droop, laid_out))


def _droop(droop: HostDroop, laid_out: Any) -> DroopCurves:
    def stacked(points: Any) -> Array:
        return jnp.stack([laid_out(row) for row in points])

    v_rated = laid_out(droop.v_rated)
    return DroopCurves(
        v_var=stacked(droop.v_var),
        q=stacked(droop.q),
        v_watt=stacked(droop.v_watt),
        p_limit=stacked(droop.p_limit),
        v_rated=jnp.where(v_rated == 0.0, 1.0, v_rated),
        s_max=laid_out(droop.s_max),
        active=laid_out(droop.active),
    )
