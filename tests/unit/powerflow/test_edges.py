"""Edges of what the power flow takes: loads at sources, features together, parts without supply, nothing at all."""

from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from gridenv.network import (
    BusTable,
    InjectionTable,
    LineTable,
    NetworkSpec,
    SourceTable,
    SwitchTable,
    TransformerTable,
    load_network,
)
from gridenv.network.phase_tables import CapacitorTable, PhaseInjectionTable, PhaseNetworkSpec
from gridenv.powerflow import PowerFlow, VoltageCurves, layout, threads
from tests.marks import slow
from tests.unit.network.small_networks import everything, flags, floats, two_bus

TIGHT_PU = 1e-12


def random_tree(n_bus: int, seed: int) -> NetworkSpec:
    """A load at every bus, the source's own included, written from the far end to the source."""
    rng = np.random.default_rng(seed)
    names = tuple(f"b{i}" for i in range(n_bus))
    parent = [int(rng.integers(max(0, i - 6), i)) for i in range(1, n_bus)]
    order = range(n_bus - 1, -1, -1)
    return NetworkSpec(
        name="tree",
        buses=BusTable(id=names, vn_kv=np.full(n_bus, 20.0)),
        sources=SourceTable(id=("grid",), bus=("b0",), v_pu=floats(1.0)),
        lines=LineTable(
            id=tuple(f"l{i}" for i in range(1, n_bus)),
            from_bus=tuple(f"b{p}" for p in parent),
            to_bus=names[1:],
            r_ohm=np.full(n_bus - 1, 0.05),
            x_ohm=np.full(n_bus - 1, 0.04),
        ),
        injections=InjectionTable(
            id=tuple(f"load.{i}" for i in order),
            bus=tuple(f"b{i}" for i in order),
            kind=("load",) * n_bus,
            p_kw=-rng.uniform(0.0, 10.0, n_bus),
            q_kvar=-rng.uniform(0.0, 3.0, n_bus),
        ),
    )


@pytest.mark.parametrize("size", [8, 48])
@pytest.mark.parametrize("n_bus", [150, slow(300)])
def test_source_power_in_blocks_counts_the_load_at_the_source(
    n_bus: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "SLOTS_A_BLOCK", (size,))
    spec = random_tree(n_bus, seed=n_bus)
    power_flow = PowerFlow(spec, "float64", "sparse")
    solution = power_flow.solve(power_flow.default_p_kw, power_flow.default_q_kvar)
    # Every kilowatt that enters is drawn or lost in a line.
    lost_kw = float(np.asarray(solution.line_loss_kw).sum())
    assert float(solution.source_p_kw) == pytest.approx(-spec.injections.p_kw.sum() + lost_kw, rel=1e-9)
    assert float(solution.loss_kw) == pytest.approx(lost_kw, rel=1e-6)
    dense = PowerFlow(spec, "float64", "dense")
    expected = dense.solve(dense.default_p_kw, dense.default_q_kvar)
    np.testing.assert_allclose(solution.source_q_kvar, expected.source_q_kvar, rtol=1e-9)


def test_shares_of_constant_power_leave_other_laws_alone() -> None:
    # IEEE-13 has loads of constant current and of constant impedance.
    power_flow = PowerFlow("ieee13", "float64", tolerance_pu=TIGHT_PU)
    p_kw, q_kvar = power_flow.default_p_kw, power_flow.default_q_kvar
    built = power_flow.solve(p_kw, q_kvar)
    nothing_shared = power_flow.solve(p_kw, q_kvar, z_share=np.zeros(len(p_kw)))
    np.testing.assert_allclose(nothing_shared.v_pu, built.v_pu, rtol=0, atol=1e-11)
    assert float(nothing_shared.source_p_kw) == pytest.approx(float(built.source_p_kw), rel=1e-9)
    # All constant power turned into constant impedance is the network with exponents of two in these rows.
    table = power_flow.spec.injections
    is_power = (table.exponent_p == 0.0) & (table.exponent_q == 0.0)
    assert 0 < is_power.sum() < len(table)
    two = {name: np.where(is_power, 2.0, getattr(table, name)) for name in ("exponent_p", "exponent_q")}
    rebuilt = PowerFlow(power_flow.spec.replace(injections=replace(table, **two)), "float64", tolerance_pu=TIGHT_PU)
    shared = power_flow.solve(p_kw, q_kvar, z_share=np.ones(len(p_kw)))
    np.testing.assert_allclose(shared.v_pu, rebuilt.solve(p_kw, q_kvar).v_pu, rtol=0, atol=1e-9)


def test_losses_of_lines_follow_the_scale_of_their_resistance() -> None:
    power_flow = PowerFlow("ieee33", "float64")
    scale = np.random.default_rng(0).uniform(0.5, 2.0, (3, 37))
    solution = power_flow.solve(power_flow.default_p_kw, power_flow.default_q_kvar, line_r_scale=scale)
    np.testing.assert_allclose(np.asarray(solution.line_loss_kw).sum(-1), solution.loss_kw, rtol=1e-7)


def test_taps_settle_where_nothing_is_loaded() -> None:
    """The closed form: a transformer without load divides the voltage by its turns."""
    spec = two_bus(p_kw=-1.0)
    spec = spec.replace(
        buses=BusTable(id=("a", "b", "c"), vn_kv=floats(10.0, 10.0, 0.4)),
        transformers=TransformerTable(
            id=("t",), hv_bus=("a",), lv_bus=("c",), s_kva=floats(400), vn_hv_kv=floats(10), vn_lv_kv=floats(0.4),
            vk=floats(0.04), vkr=floats(0.01), tap_on_hv=flags(False), tap_step=floats(0.01), tap_min=floats(-20),
            tap_max=floats(20), loading_base_kva=floats(400),
        ),
    )  # fmt: skip
    power_flow = PowerFlow(spec, "float64")
    taps = np.array([[-10.0], [0.0], [10.0]])
    solution = power_flow.solve(power_flow.default_p_kw, power_flow.default_q_kvar, taps=taps)
    assert np.all(solution.converged)
    np.testing.assert_allclose(np.abs(solution.v_pu[:, 2]), [0.9, 1.0, 1.1], rtol=0, atol=1e-9)
    empty = PowerFlow(spec.replace(injections=InjectionTable()), "float64")
    unloaded = empty.solve(np.zeros(0), np.zeros(0), taps=taps)
    np.testing.assert_allclose(np.abs(unloaded.v_pu[:, 2]), [0.9, 1.0, 1.1], rtol=0, atol=1e-9)


@pytest.mark.parametrize("mode", [pytest.param(jax.jacfwd, marks=pytest.mark.slow), jax.jacrev])
def test_derivatives_hold_where_only_newton_finds_the_solution(mode: Any) -> None:
    curve = ((0.92, 0.44), (0.98, 0.0), (1.02, 0.0), (1.08, -0.44))
    steep = VoltageCurves(injection="load.17", s_rated_kva=20000.0, volt_var=curve)
    power_flow = PowerFlow("ieee33", "float64", curves=[steep], tolerance_pu=TIGHT_PU)
    with jax.enable_x64(True):
        p_kw, q_kvar = (jnp.asarray(a) for a in (power_flow.default_p_kw, power_flow.default_q_kvar))

        def voltages(p_kw: Any) -> Any:
            solution = power_flow.solve(p_kw, q_kvar)
            return jnp.abs(solution.v_pu[jnp.array([5, 17, 32])])

        assert int(power_flow.solve(p_kw, q_kvar).iterations) > 60, "the fixed point alone finds it"
        derivative = np.asarray(mode(voltages)(p_kw))
        for element in (4, 16, 31):
            nudge = jnp.zeros(32).at[element].set(1.0)
            difference = (voltages(p_kw + nudge) - voltages(p_kw - nudge)) / 2.0
            np.testing.assert_allclose(derivative[:, element], difference, rtol=1e-4, atol=1e-10)


def test_sensitivity_near_the_limit_is_the_difference() -> None:
    power_flow = PowerFlow("ieee33", "float64", tolerance_pu=TIGHT_PU)
    p_kw, q_kvar = 3.6 * power_flow.default_p_kw, 3.6 * power_flow.default_q_kvar
    found = power_flow.sensitivity(power_flow.solve(p_kw, q_kvar), ["load.17"])
    nudge = np.zeros(32)
    nudge[power_flow.injection_names.index("load.17")] = 0.02
    up, down = (np.abs(power_flow.solve(p_kw + s * nudge, q_kvar).v_pu) for s in (1.0, -1.0))
    np.testing.assert_allclose(found.dv_dp[:, 0], (up - down) / 0.04, rtol=1e-4, atol=1e-10)


@pytest.mark.slow
def test_controls_act_in_every_topology() -> None:
    power_flow = PowerFlow("ieee13", "float64")
    closed = power_flow.default_switches.astype(float)
    opened = closed.copy()
    opened[power_flow.switch_names.index("line.632645")] = 0.0
    p_kw, q_kvar = power_flow.default_p_kw, power_flow.default_q_kvar
    both = power_flow.solve(p_kw, q_kvar, switches=np.stack([closed, opened]), controls=True)
    assert np.all(both.settled)
    plain = power_flow.solve(p_kw, q_kvar, controls=True)
    np.testing.assert_array_equal(both.taps[0], plain.taps)
    np.testing.assert_allclose(both.v_pu[0], plain.v_pu, rtol=0, atol=1e-7)
    table = power_flow.spec.lines
    without = replace(table, closed=table.closed & (np.array(table.id) != "line.632645"))
    recompiled = PowerFlow(power_flow.spec.replace(lines=without), "float64").solve(p_kw, q_kvar, controls=True)
    np.testing.assert_array_equal(both.taps[1], recompiled.taps)
    assert float(both.unserved_kw[1]) == pytest.approx(float(recompiled.unserved_kw)) == 400.0


@pytest.mark.parametrize("method", ["dense", "sparse"])
@pytest.mark.parametrize("n_cpu", [1, 2])
def test_no_samples_are_no_error(method: str, n_cpu: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_n_cpu", lambda: n_cpu)
    power_flow = PowerFlow("ieee33", method=method)
    nothing = np.zeros((0, 32))
    assert power_flow.solve(nothing, nothing).v_pu.shape == (0, 33)
    solution = power_flow.solve(nothing, nothing, switches=power_flow.default_switches.astype(float))
    assert solution.v_pu.shape == (0, 33)
    assert solution.loss_kw.shape == (0,)


@pytest.mark.parametrize("method", ["dense", "sparse", "newton"])
def test_network_of_its_source_alone_is_solved(method: str) -> None:
    spec = two_bus()
    spec = NetworkSpec(
        name="one",
        buses=BusTable(id=("a",), vn_kv=floats(10.0)),
        sources=spec.sources,
        injections=replace(spec.injections, bus=("a",)),
    )
    power_flow = PowerFlow(spec, "float64", method)
    solution = power_flow.solve(power_flow.default_p_kw, power_flow.default_q_kvar)
    assert bool(solution.converged)
    assert float(solution.source_p_kw) == pytest.approx(1000.0)
    assert float(solution.loss_kw) == pytest.approx(0.0, abs=1e-9)


def test_part_that_nothing_can_supply_stays_dead_whatever_is_switched() -> None:
    spec = two_bus()
    lines = spec.lines.joined(
        LineTable(id=("spare",), from_bus=("c",), to_bus=("d",), r_ohm=floats(1.0), x_ohm=floats(1.0))
    )
    spec = spec.replace(buses=BusTable(id=("a", "b", "c", "d"), vn_kv=np.full(4, 10.0)), lines=lines)
    power_flow = PowerFlow(spec, "float64")
    solution = power_flow.solve(power_flow.default_p_kw, power_flow.default_q_kvar, switches=np.ones((1, 2)))
    np.testing.assert_array_equal(solution.energised[0], [True, True, False, False])
    built = power_flow.solve(power_flow.default_p_kw, power_flow.default_q_kvar)
    np.testing.assert_allclose(solution.v_pu[0], built.v_pu, rtol=0, atol=1e-12)


def test_switches_do_not_reach_through_a_bus_out_of_service() -> None:
    spec = two_bus()
    spec = spec.replace(
        buses=BusTable(id=("a", "b", "x", "c"), vn_kv=np.full(4, 10.0), in_service=flags(True, True, False, True)),
        switches=SwitchTable(id=("bx", "xc"), bus_a=("b", "x"), bus_b=("x", "c"), closed=flags(True, True)),
    )
    power_flow = PowerFlow(spec, "float64")
    built = power_flow.solve(power_flow.default_p_kw, power_flow.default_q_kvar)
    switched = power_flow.solve(power_flow.default_p_kw, power_flow.default_q_kvar, switches=np.ones((1, 3)))
    np.testing.assert_array_equal(built.energised, [True, True, False, False])
    np.testing.assert_array_equal(switched.energised[0], built.energised)


@pytest.mark.slow
def test_two_sources_that_a_switch_parts_supply_each_its_own_side() -> None:
    spec = two_bus()
    spec = spec.replace(
        buses=BusTable(id=("a", "b", "a2", "b2"), vn_kv=np.full(4, 10.0)),
        sources=SourceTable(id=("one", "two"), bus=("a", "a2"), v_pu=floats(1.0, 1.0)),
        lines=spec.lines.joined(
            LineTable(id=("ab2",), from_bus=("a2",), to_bus=("b2",), r_ohm=floats(1.0), x_ohm=floats(2.0))
        ),
        injections=spec.injections.joined(
            InjectionTable(id=("load.b2",), bus=("b2",), kind=("load",), p_kw=floats(-500.0), q_kvar=floats(0.0))
        ),
        switches=SwitchTable(id=("coupler",), bus_a=("a",), bus_b=("a2",), closed=flags(True)),
    )
    power_flow = PowerFlow(spec, "float64")
    built = power_flow.solve(power_flow.default_p_kw, power_flow.default_q_kvar)
    states = np.array([[1.0, 1.0, 1.0], [0.0, 1.0, 1.0]])
    assert power_flow.switch_names[0] == "coupler"
    switched = power_flow.solve(power_flow.default_p_kw, power_flow.default_q_kvar, switches=states)
    assert np.all(switched.energised)
    np.testing.assert_allclose(switched.unserved_kw, 0.0)
    for sample in range(2):
        np.testing.assert_allclose(switched.v_pu[sample], built.v_pu, rtol=0, atol=1e-10)
        assert float(switched.source_p_kw[sample]) == pytest.approx(float(built.source_p_kw), rel=1e-9)


@pytest.mark.slow
def test_capacitor_behind_an_open_line_acts_when_the_line_closes() -> None:
    spec = load_network("ieee13")
    assert isinstance(spec, PhaseNetworkSpec)
    table = spec.lines
    at_680 = CapacitorTable(
        id=("bank",), bus=("680",), phases=("123",), connection=("wye",), q_kvar=floats(300.0), v_kv=floats(4.16)
    )
    line = "line.671680"
    built = spec.replace(capacitors=at_680)
    opened = built.replace(lines=replace(table, closed=table.closed & (np.array(table.id) != line)))
    power_flow, closed = PowerFlow(opened, "float64"), PowerFlow(built, "float64")
    states = closed.default_switches.astype(float)
    capacitors = np.array([[0.0], [1.0]])
    p_kw, q_kvar = closed.default_p_kw, closed.default_q_kvar
    found = power_flow.solve(p_kw, q_kvar, switches=states, capacitors=capacitors)
    expected = closed.solve(p_kw, q_kvar, capacitors=capacitors)
    np.testing.assert_allclose(found.v_pu, expected.v_pu, rtol=0, atol=1e-7)
    assert np.abs(expected.v_pu[0] - expected.v_pu[1]).max() > 1e-3


def test_loadability_gives_a_solution_and_takes_equipment() -> None:
    power_flow = PowerFlow(everything(), "float64")
    taps = np.array([[-1.0, 0.0], [1.0, 0.0]])
    found = power_flow.loadability(taps=taps, resolution=1e-2)
    assert found.scale.shape == found.solution.loss_kw.shape == (2,)
    p_kw = power_flow.default_p_kw * np.asarray(found.scale)[:, None]
    q_kvar = power_flow.default_q_kvar * np.asarray(found.scale)[:, None]
    again = power_flow.solve(p_kw, q_kvar, taps=taps, start=found.solution)
    np.testing.assert_allclose(again.loss_kw, found.solution.loss_kw, rtol=1e-4)


@pytest.mark.slow
def test_line_scales_of_a_large_feeder_do_not_make_one_large_matrix() -> None:
    power_flow = PowerFlow("ieee123")
    assert power_flow.method == "dense"
    n_line = len(power_flow.line_names)
    operator = power_flow.arrays_for("lines").operator
    assert operator.sample_axis == 2, "held in blocks"
    plain = power_flow.solve(power_flow.default_p_kw, power_flow.default_q_kvar)
    scaled = power_flow.solve(power_flow.default_p_kw, power_flow.default_q_kvar, line_r_scale=np.ones(n_line))
    np.testing.assert_allclose(scaled.v_pu, plain.v_pu, rtol=0, atol=2e-6)


def test_only_the_legs_that_are_cut_off_are_unserved() -> None:
    """One phase of the line to a three-phase load in wye is missing: a third of its power is not served."""
    spec = load_network("ieee13")
    assert isinstance(spec, PhaseNetworkSpec)
    lines = spec.lines
    is_last = np.array(lines.id) == "line.671680"
    narrow = tuple("12" if last else phases for last, phases in zip(is_last, lines.from_phases, strict=True))
    z_ohm, y_s = lines.z_ohm.copy(), lines.y_s.copy()
    for matrix in (z_ohm, y_s):
        matrix[is_last, 2, :] = 0.0
        matrix[is_last, :, 2] = 0.0
    spec = spec.replace(lines=replace(lines, from_phases=narrow, to_phases=narrow, z_ohm=z_ohm, y_s=y_s))
    load = PhaseInjectionTable(
        id=("load.test",),
        bus=("680",),
        phases=("123",),
        connection=("wye",),
        kind=("load",),
        p_kw=floats(-300.0),
        q_kvar=floats(0.0),
        v_kv=floats(4.16 / np.sqrt(3.0)),
    )
    power_flow = PowerFlow(spec.replace(injections=load, capacitors=CapacitorTable()), "float64")
    solution = power_flow.solve(power_flow.default_p_kw, power_flow.default_q_kvar)
    assert bool(solution.converged)
    assert float(solution.unserved_kw) == pytest.approx(100.0)
    assert float(solution.source_p_kw - solution.loss_kw) == pytest.approx(200.0)


def test_network_without_transformers_loses_nothing_in_them() -> None:
    power_flow = PowerFlow("ieee33")
    solution = power_flow.solve(power_flow.default_p_kw, power_flow.default_q_kvar)
    assert solution.transformer_loss_kw.shape == (0,)
    np.testing.assert_allclose(np.sum(solution.line_loss_kw), solution.loss_kw, rtol=1e-4)
