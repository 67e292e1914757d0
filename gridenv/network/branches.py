"""Branches and shunts as they are switched: admittance two-ports in per unit, exact for branches open at one end."""

from dataclasses import replace

import numpy as np

from gridenv.core.units import KVA_PER_MVA, SQRT3
from gridenv.network.arrays import Complex
from gridenv.network.spec import Bools, Floats, NetworkSpec
from gridenv.network.topology import Ints, Topology
from gridenv.network.transformer import TransformerModel, TwoPort, transformer_two_port


def base_impedance_ohm(vn_kv: Floats, s_base_kva: float) -> Floats:
    """Base impedance, ohm. Source: `v^2 / s`."""
    return vn_kv**2 * KVA_PER_MVA / s_base_kva


def base_current_a(vn_kv: Floats, s_base_kva: float) -> Floats:
    """Base current, A, of a three-phase system. Source: `s / (sqrt(3) v)`."""
    return s_base_kva / (SQRT3 * vn_kv)


def line_two_port(spec: NetworkSpec, topology: Topology, s_base_kva: float) -> TwoPort:
    """Lines as pi sections, as they are switched, end a = from, end b = to; pu.

    Source: pi section, pandapower documentation, line model.
    """
    lines = spec.lines
    z_base_ohm = base_impedance_ohm(spec.buses.vn_kv[topology.line_from_bus], s_base_kva)
    z = (lines.r_ohm + 1j * lines.x_ohm) / z_base_ohm
    y_end = (lines.g_s + 1j * lines.b_s) * z_base_ohm / 2.0
    y_series = 1.0 / z
    closed = TwoPort(
        y_aa=y_series + y_end, y_ab=-y_series, y_ba=-y_series, y_bb=y_series + y_end, r=z.real, y_a=y_end, y_b=y_end
    )
    return as_switched(closed, topology.line_from_on, topology.line_to_on)


def trafo_two_port(spec: NetworkSpec, topology: Topology, model: TransformerModel) -> TwoPort:
    """Transformers at their present taps, as they are switched, end a = hv, end b = lv; pu."""
    closed = transformer_two_port(model, spec.transformers.tap_pos)
    return as_switched(closed, topology.trafo_hv_on, topology.trafo_lv_on)


def as_switched(branch: TwoPort, a_on: Bools, b_on: Bools) -> TwoPort:
    """Two-port seen from the network when ends may be open.

    A branch open at end b is the shunt `y_aa - y_ab y_ba / y_bb` at end a, and at both ends it is nothing.
    Source: elimination of the open end from the nodal equations (Kron).
    """
    both = a_on & b_on
    at_a = _seen_from(a_on & ~b_on, branch.y_a, branch.y_aa, branch.y_b, branch.y_bb)
    at_b = _seen_from(b_on & ~a_on, branch.y_b, branch.y_bb, branch.y_a, branch.y_aa)
    masked = {name: np.where(both, getattr(branch, name), 0.0) for name in ("y_ab", "y_ba", "r")}
    return replace(
        branch,
        **masked,
        y_aa=np.where(both, branch.y_aa, at_a),
        y_bb=np.where(both, branch.y_bb, at_b),
        y_a=np.where(both, branch.y_a, at_a),
        y_b=np.where(both, branch.y_b, at_b),
    )


def _seen_from(mask: Bools, y_near: Complex, y_own: Complex, y_far: Complex, y_open: Complex) -> Complex:
    """Shunt at the connected end where `mask`, else 0; infinite at a resonance, which `compile_network` reports.

    Written as near shunt plus series times far shunt, which keeps the losses of a charging current; the difference
    `y_aa - y_ab y_ba / y_bb` would drown them.
    """
    shunt = np.zeros_like(y_own)
    with np.errstate(divide="ignore", invalid="ignore"):
        shunt[mask] = y_near[mask] + (y_own[mask] - y_near[mask]) * (y_far[mask] / y_open[mask])
    return shunt


def shunt_admittance(spec: NetworkSpec, shunt_bus: Ints, s_base_kva: float) -> Complex:
    """Admittance of each in-service shunt at its bus, pu.

    Source: `y = conj(s) / v^2`; the table's power is into the network, hence the sign.
    """
    shunts = spec.shunts
    s_consumed = -(shunts.p_kw + 1j * shunts.q_kvar) / s_base_kva
    y = np.conj(s_consumed) * (spec.buses.vn_kv[shunt_bus] / shunts.v_rated_kv) ** 2
    return np.where(shunts.in_service & spec.buses.in_service[shunt_bus], y, 0.0)
