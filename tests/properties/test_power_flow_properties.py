"""The power flow on random networks: Kirchhoff's law, one answer from every method, batch and order of the samples."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridenv.network import BusTable, InjectionTable, LineTable, NetworkSpec, SourceTable
from gridenv.powerflow import PowerFlow, layout

N_BUS, N_LINE, N_SAMPLE = 9, 12, 4
S_BASE_KVA = 1000.0
TIGHT_PU = 1e-12

# One seed draws the network, so that all have the same array shapes and are compiled once; shrinking keeps few of them.
seeds = st.integers(0, 2**32 - 1)
meshes = st.integers(0, N_LINE - (N_BUS - 1))


GRAPH = 5
"""Of the tests with switches as data: there every graph is a program of its own."""


def random_network(seed: int, n_loop: int, graph: int | None = None) -> NetworkSpec:
    """A random tree over 9 buses of 10 kV and `n_loop` closed lines more; the other lines are open. One load a bus.

    The graph is drawn by itself where `graph` is given.
    """
    rng = np.random.default_rng(seed if graph is None else graph)
    order = rng.permutation(N_BUS)
    pairs = [(order[rng.integers(0, k)], order[k]) for k in range(1, N_BUS)]
    taken = {frozenset(map(int, pair)) for pair in pairs}
    while len(pairs) < N_LINE:
        a, b = rng.choice(N_BUS, 2, replace=False)
        if frozenset((int(a), int(b))) not in taken:
            taken.add(frozenset((int(a), int(b))))
            pairs.append((a, b))
    rng = np.random.default_rng(seed)
    buses = tuple(f"b{i}" for i in range(N_BUS))
    closed = np.arange(N_LINE) < N_BUS - 1 + n_loop
    return NetworkSpec(
        name="random",
        buses=BusTable(id=buses, vn_kv=np.full(N_BUS, 10.0)),
        sources=SourceTable(id=("grid",), bus=(buses[int(order[0])],), v_pu=rng.uniform(0.98, 1.05, 1)),
        lines=LineTable(
            id=tuple(f"line.{i}" for i in range(N_LINE)),
            from_bus=tuple(buses[int(a)] for a, _ in pairs),
            to_bus=tuple(buses[int(b)] for _, b in pairs),
            r_ohm=10.0 ** rng.uniform(-2.0, 0.0, N_LINE),
            x_ohm=10.0 ** rng.uniform(-2.0, 0.0, N_LINE),
            b_s=rng.uniform(0.0, 1e-5, N_LINE),
            i_max_a=np.full(N_LINE, 200.0),
            from_closed=closed,
            to_closed=closed,
        ),
        injections=InjectionTable(
            id=tuple(f"load.{i}" for i in range(N_BUS)),
            bus=buses,
            kind=("load",) * N_BUS,
            p_kw=rng.uniform(-800.0, 300.0, N_BUS),
            q_kvar=rng.uniform(-300.0, 200.0, N_BUS),
        ),
    )


def random_powers(power_flow: PowerFlow, seed: int) -> tuple[Any, Any]:
    scale = np.random.default_rng(seed + 1).uniform(0.0, 1.0, (N_SAMPLE, N_BUS))
    return power_flow.default_p_kw * scale, power_flow.default_q_kvar * scale


@settings(max_examples=25)
@given(seed=seeds, n_loop=meshes)
def test_returned_voltages_obey_kirchhoffs_law_and_power_is_conserved(seed: int, n_loop: int) -> None:
    power_flow = PowerFlow(random_network(seed, n_loop), "float64", "dense")
    p_kw, q_kvar = random_powers(power_flow, seed)
    solution = power_flow.solve(p_kw, q_kvar)
    network = power_flow.network
    # With 10 MVA over at most 8 ohm some of these have no solution; all that are called solved must be solutions.
    good = np.asarray(solution.converged)
    v = np.asarray(solution.v_pu)[good]
    s_kva = v * np.conj(v @ network.y_full.toarray().T) * S_BASE_KVA
    source = int(network.circuit.fixed_node[0])
    others = np.arange(N_BUS) != source
    asked_kva = (p_kw + 1j * q_kvar)[good]
    assert np.all(np.abs(s_kva - asked_kva)[:, others] < 1e-4)
    given_kva = (np.asarray(solution.source_p_kw) + 1j * np.asarray(solution.source_q_kvar))[good]
    assert np.all(np.abs(s_kva[:, source] - asked_kva[:, source] - given_kva) < 1e-4)
    balance_kw = given_kva.real + asked_kva.real.sum(axis=1) - np.asarray(solution.loss_kw)[good]
    assert np.all(np.abs(balance_kw) < 1e-4)
    np.testing.assert_allclose(
        np.asarray(solution.line_loss_kw)[good].sum(axis=1), np.asarray(solution.loss_kw)[good], rtol=1e-6, atol=1e-5
    )
    assert np.all(np.asarray(solution.residual_pu)[good] < 1e-7)


@pytest.mark.slow
@settings(max_examples=6)
@given(seed=seeds, n_loop=meshes)
def test_every_method_gives_the_same_voltages(seed: int, n_loop: int) -> None:
    spec = random_network(seed, n_loop)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "SLOTS_A_BLOCK", (3,))
        power_flows = [PowerFlow(spec, "float64", m, tolerance_pu=TIGHT_PU) for m in ("dense", "sparse", "newton")]
    p_kw, q_kvar = (0.5 * power for power in random_powers(power_flows[0], seed))
    dense, *others = [power_flow.solve(p_kw, q_kvar) for power_flow in power_flows]
    for other in others:
        np.testing.assert_array_equal(other.converged, dense.converged)
        good = np.asarray(dense.converged)
        difference = np.abs(np.asarray(other.v_pu) - np.asarray(dense.v_pu))[good]
        assert difference.max(initial=0.0) <= 1e-10


@settings(max_examples=15)
@given(seed=seeds, n_loop=meshes)
def test_switches_as_data_give_the_network_built_so(seed: int, n_loop: int) -> None:
    """Whatever is closed: what lies without supply is dark, the rest as if built so."""
    built = PowerFlow(random_network(seed, n_loop, GRAPH), "float64", "dense", tolerance_pu=TIGHT_PU)
    p_kw, q_kvar = (0.5 * power for power in random_powers(built, seed))
    expected = built.solve(p_kw, q_kvar)
    start = PowerFlow(random_network(seed, 0, GRAPH), "float64", "dense", tolerance_pu=TIGHT_PU)
    solution = start.solve(p_kw, q_kvar, switches=built.default_switches)
    good = np.asarray(expected.converged)
    np.testing.assert_array_equal(solution.converged, good)
    for name, tolerance in (("v_pu", 1e-10), ("line_current_a", 1e-7), ("loss_kw", 1e-6), ("source_p_kw", 1e-6)):
        ours, theirs = (np.asarray(getattr(s, name))[good] for s in (solution, expected))
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=tolerance, err_msg=name)


@settings(max_examples=15)
@given(seed=seeds)
def test_a_line_out_leaves_exactly_the_connected_part_alive(seed: int) -> None:
    spec = random_network(seed, 0, GRAPH)
    power_flow = PowerFlow(spec, "float64", "dense")
    p_kw, q_kvar = (0.3 * power for power in random_powers(power_flow, seed))
    tree = N_BUS - 1
    closed = np.tile(power_flow.default_switches.astype(float), (N_SAMPLE, 1))
    out = np.random.default_rng(seed).choice(tree, N_SAMPLE, replace=False)
    closed[np.arange(N_SAMPLE), out] = 0.0
    solution = power_flow.solve(p_kw, q_kvar, switches=closed)
    alive = np.asarray(solution.energised)
    for row in range(N_SAMPLE):
        np.testing.assert_array_equal(alive[row], _reached(spec, closed[row]))
    v = np.asarray(solution.v_pu)
    assert np.all(v[~alive] == 0.0)
    assert np.all(np.abs(v[alive]) > 0.1)
    good = np.asarray(solution.converged)
    served_kw = np.where(alive, p_kw, 0.0).sum(axis=1)
    balance_kw = np.asarray(solution.source_p_kw) + served_kw - np.asarray(solution.loss_kw)
    assert np.all(np.abs(balance_kw)[good] < 1e-4)


def _reached(spec: NetworkSpec, closed: np.ndarray) -> np.ndarray:
    place = {name: i for i, name in enumerate(spec.buses.id)}
    alive = np.zeros(N_BUS, dtype=bool)
    alive[place[spec.sources.bus[0]]] = True
    for _ in range(N_BUS):
        for a, b, on in zip(spec.lines.from_bus, spec.lines.to_bus, closed, strict=True):
            if on and (alive[place[a]] or alive[place[b]]):
                alive[[place[a], place[b]]] = True
    return alive
