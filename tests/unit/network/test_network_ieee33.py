"""The bundled 33-bus feeder against the publication and against pandapower's copy of the data."""

import numpy as np
import pytest

from gridenv.network import compile_network, load_network
from gridenv.network.cases.ieee33 import build
from tests.unit.network.fixed_point import solve_default


def test_totals_and_losses_are_the_published_ones() -> None:
    spec = build()
    assert spec.injections.p_kw.sum() == -3715.0
    assert spec.injections.q_kvar.sum() == -2300.0
    solved = solve_default(compile_network(spec))
    # Commonly reported for this feeder: 202.67 kW, lowest voltage 0.9131 pu at bus 18.
    assert abs(solved.loss_kw - 202.68) < 0.02
    assert abs(np.abs(solved.v_pu).min() - 0.9131) < 1e-4
    assert spec.buses.id[int(np.abs(solved.v_pu).argmin())] == "18"


def test_names_follow_the_usual_numbering() -> None:
    spec = build()
    assert spec.buses.id == tuple(str(n) for n in range(1, 34))
    assert spec.switch_names == tuple(f"line.{n}" for n in range(1, 38))
    assert spec.injections.id == tuple(f"load.{n}" for n in range(2, 34))
    np.testing.assert_array_equal(spec.default_switches, [True] * 32 + [False] * 5)
    ties = [(spec.lines.from_bus[i], spec.lines.to_bus[i]) for i in range(32, 37)]
    assert ties == [("21", "8"), ("9", "15"), ("12", "22"), ("18", "33"), ("25", "29")]


def test_published_reconfiguration_has_the_known_losses() -> None:
    """Open 7, 9, 14, 32, 37: 139.55 kW, the optimum commonly reported for this feeder."""
    spec = build()
    opened = {f"line.{n}": n not in {7, 9, 14, 32, 37} for n in range(1, 38)}
    solved = solve_default(compile_network(spec.with_switches(opened)))
    assert abs(solved.loss_kw - 139.55) < 0.01


def test_injections_are_slots_in_order() -> None:
    network = compile_network(build())
    np.testing.assert_array_equal(network.loads.member, np.arange(32)[:, None])
    assert network.load_slots == range(32)
    assert network.served.all()


def test_data_are_those_of_pandapower() -> None:
    pytest.importorskip("pandapower")
    ours, theirs = build(), load_network("case33bw")
    assert tuple(str(int(b) + 1) for b in theirs.lines.from_bus) == ours.lines.from_bus
    assert tuple(str(int(b) + 1) for b in theirs.lines.to_bus) == ours.lines.to_bus
    np.testing.assert_allclose(theirs.lines.r_ohm, ours.lines.r_ohm, rtol=1e-12)
    np.testing.assert_allclose(theirs.lines.x_ohm, ours.lines.x_ohm, rtol=1e-12)
    np.testing.assert_allclose(theirs.injections.p_kw, ours.injections.p_kw, rtol=1e-12)
    np.testing.assert_allclose(theirs.injections.q_kvar, ours.injections.q_kvar, rtol=1e-12)
    np.testing.assert_array_equal(theirs.default_switches, ours.default_switches)
