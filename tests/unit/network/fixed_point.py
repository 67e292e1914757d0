"""Oracle: plain NumPy fixed point in double precision over the arrays of a compiled network, and its results."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridenv.network import Network

TOLERANCE_PU = 1e-13
MAX_ITERATIONS = 1000


@dataclass(frozen=True)
class Solved:
    """A solved power flow."""

    v_pu: NDArray[np.complex128]
    line_loading: NDArray[np.float64]
    trafo_loading: NDArray[np.float64]
    source_kva: NDArray[np.complex128]
    loss_kw: float
    shunt_kw: float


def solve(network: Network, p_kw: NDArray[np.float64], q_kvar: NDArray[np.float64]) -> Solved:
    """Iterate `V = w + Z conj(S / V)` to the end; fails the test when it does not converge."""
    s_pu = (p_kw + 1j * q_kvar) / network.s_base_kva
    in_slot = network.injection_to_slot >= 0
    s_slot = np.zeros(network.n_slot, dtype=complex)
    np.add.at(s_slot, network.injection_to_slot[in_slot], s_pu[in_slot])
    v = network.w_bus
    for _ in range(MAX_ITERATIONS):
        i_slot = np.conj(s_slot / v[network.slot_bus])
        v, previous = network.w_bus + network.z_bus @ i_slot, v
        if np.abs(v - previous).max() <= TOLERANCE_PU:
            return _results(network, v, np.conj(s_slot / v[network.slot_bus]), s_pu)
    raise AssertionError(f"fixed point did not converge in {MAX_ITERATIONS} iterations")


def solve_default(network: Network) -> Solved:
    """Power flow with the network's own injections."""
    return solve(network, network.default_p_kw, network.default_q_kvar)


def _results(
    network: Network, v: NDArray[np.complex128], i_slot: NDArray[np.complex128], s_pu: NDArray[np.complex128]
) -> Solved:
    i_from = network.line_i0_from + network.line_f_from @ i_slot
    i_to = network.line_i0_to + network.line_f_to @ i_slot
    i_hv = network.trafo_i0_hv + network.trafo_f_hv @ i_slot
    i_lv = network.trafo_i0_lv + network.trafo_f_lv @ i_slot
    v_from, v_to = v[network.line_from_bus], v[network.line_to_bus]
    v_hv, v_lv = v[network.trafo_hv_bus], v[network.trafo_lv_bus]
    line_loss = _loss(network.line_r, network.line_y_from, network.line_y_to, i_to, v_from, v_to)
    trafo_loss = _loss(network.trafo_r, network.trafo_y_hv, network.trafo_y_lv, i_lv, v_hv, v_lv)
    terminal_sum = v_from * np.conj(i_from) + v_to * np.conj(i_to)
    np.testing.assert_allclose(terminal_sum.real, line_loss, rtol=0, atol=1e-9)
    terminal_sum = v_hv * np.conj(i_hv) + v_lv * np.conj(i_lv)
    np.testing.assert_allclose(terminal_sum.real, trafo_loss, rtol=0, atol=1e-9)
    source = network.source_v * np.conj(network.source_i0 + network.source_f @ i_slot)
    local = network.injection_to_source >= 0
    np.subtract.at(source, network.injection_to_source[local], s_pu[local])
    return Solved(
        v_pu=v,
        line_loading=np.maximum(abs(i_from), abs(i_to)) * network.line_i_base_a / network.line_i_max_a,
        trafo_loading=np.maximum(abs(i_hv) / network.trafo_rating_hv, abs(i_lv) / network.trafo_rating_lv),
        source_kva=source * network.s_base_kva,
        loss_kw=(line_loss.sum() + trafo_loss.sum()) * network.s_base_kva,
        shunt_kw=(network.shunt_y.real * abs(v[network.shunt_bus]) ** 2).sum() * network.s_base_kva,
    )


def _loss(
    r: NDArray[np.float64],
    y_a: NDArray[np.complex128],
    y_b: NDArray[np.complex128],
    i_b: NDArray[np.complex128],
    v_a: NDArray[np.complex128],
    v_b: NDArray[np.complex128],
) -> NDArray[np.float64]:
    """The cancellation-free form that `Network` documents."""
    return r * abs(i_b - y_b * v_b) ** 2 + y_a.real * abs(v_a) ** 2 + y_b.real * abs(v_b) ** 2
