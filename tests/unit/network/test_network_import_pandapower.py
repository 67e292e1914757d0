"""Import from pandapower against `pandapower.runpp` on networks with every feature that is converted."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandapower as pp
import pytest

from gridenv.core.errors import NetworkError, UnsupportedElementError
from gridenv.network import compile_network, from_pandapower
from tests.unit.network.fixed_point import solve_default
from tests.unit.network.pandapower_nets import CHANGES, ideal_phase_shifter_degrees, make_net

# pandapower iterates to 1e-11 MVA; the network's smallest impedances turn that into less than 1e-9 pu.
TOLERANCE_PU = 1e-8
POWER_TOLERANCE_KVA = 1e-5
PERCENT = 100.0
KW_PER_MW = 1000.0


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.strip("<>"))
def test_imported_network_agrees_with_runpp(change: Callable[[Any], None]) -> None:
    net = make_net()
    change(net)
    network = compile_network(from_pandapower(net))
    solved = solve_default(network)
    pp.runpp(net, tolerance_mva=1e-11, numba=False)
    v = (net.res_bus.vm_pu * np.exp(1j * np.deg2rad(net.res_bus.va_degree))).to_numpy()
    np.testing.assert_array_equal(network.energised, ~np.isnan(v))
    assert np.abs(solved.v_pu - v)[network.energised].max() <= TOLERANCE_PU
    for ours, theirs in ((solved.line_loading, net.res_line), (solved.trafo_loading, net.res_trafo)):
        expected = np.nan_to_num(theirs.loading_percent.to_numpy(dtype=float)) / PERCENT
        np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-8)
    source = net.res_ext_grid[net.ext_grid.in_service]
    s_source_kva = (source.p_mw + 1j * source.q_mvar).to_numpy() * KW_PER_MW
    np.testing.assert_allclose(solved.source_kva, s_source_kva, rtol=0, atol=POWER_TOLERANCE_KVA)
    loss_kw = (np.nansum(net.res_line.pl_mw) + np.nansum(net.res_trafo.pl_mw)) * KW_PER_MW
    assert abs(solved.loss_kw - loss_kw) <= POWER_TOLERANCE_KVA
    assert abs(solved.shunt_kw - net.res_shunt.p_mw.sum() * KW_PER_MW) <= POWER_TOLERANCE_KVA


@pytest.mark.slow
def test_changes_of_network_change_its_solution() -> None:
    """Guards the comparison above against changes that do nothing."""
    idle = {"<lambda>", "island", "trafo_to_dead_bus", "tap_position_without_changer", "tap_position_unknown"}
    reference = solve_default(compile_network(from_pandapower(make_net()))).v_pu
    for change in CHANGES:
        net = make_net()
        change(net)
        v = solve_default(compile_network(from_pandapower(net))).v_pu[: len(reference)]
        assert (np.abs(v - reference).max() < 1e-7) == (change.__name__ in idle), change.__name__


def test_names_and_signs_of_imported_elements() -> None:
    spec = from_pandapower(make_net())
    assert spec.buses.id == ("7", "1", "2", "3", "9", "11", "4", "5")
    assert spec.lines.id == ("line.20", "line.21", "line.22", "line.23", "line.24")
    assert spec.transformers.id == ("trafo.0", "trafo.1", "trafo.2")
    assert spec.injections.id == ("load.0", "load.1", "load.2", "load.3", "load.4", "sgen.0", "storage.0")
    assert spec.injections.kind == ("load",) * 5 + ("sgen", "storage")
    np.testing.assert_allclose(spec.injections.p_kw, [-3900, -120, -1500, -4000, -9000, 1750, -200])
    np.testing.assert_allclose(spec.injections.q_kvar, [-1430, -50, -300, -2000, -2000, -280, -50])
    assert (spec.shunts.id, spec.switches.id, spec.sources.id) == (("shunt.0",), ("switch.0",), ("ext_grid.0",))
    np.testing.assert_allclose(spec.lines.i_max_a, [300.0] * 4 + [320.0])


def test_networks_of_before_pandapower_3_use_tap_phase_shifter() -> None:
    net = make_net()
    ideal_phase_shifter_degrees(net)
    expected = solve_default(compile_network(from_pandapower(net))).v_pu
    net.trafo["tap_phase_shifter"] = [True, False, False]
    del net.trafo["tap_changer_type"]
    np.testing.assert_array_equal(solve_default(compile_network(from_pandapower(net))).v_pu, expected)
    del net.trafo["tap_phase_shifter"]
    assert from_pandapower(net).tap_names == ()


def test_rating_absent_in_pandapower_is_infinite() -> None:
    net = make_net()
    net.line.loc[20, "max_i_ka"] = np.nan
    assert from_pandapower(net).lines.i_max_a[0] == np.inf


def test_what_is_out_of_service_and_incomplete_is_left_out() -> None:
    net = make_net()
    expected = solve_default(compile_network(from_pandapower(net))).v_pu
    pp.create_line_from_parameters(net, 1, 9, np.nan, np.nan, np.nan, np.nan, np.nan, in_service=False)
    pp.create_switch(net, 9, net.line.index[-1], et="l", closed=False)
    net.trafo.loc[3] = net.trafo.loc[2]
    net.trafo.loc[3, ["vk_percent", "in_service"]] = [np.nan, False]
    pp.create_load(net, 2, p_mw=np.nan, in_service=False)
    pp.create_shunt(net, 2, q_mvar=np.nan, in_service=False)
    pp.create_ext_grid(net, 2, vm_pu=np.nan, in_service=False)
    pp.create_bus(net, np.nan, index=60, in_service=False)
    pp.create_switch(net, 2, 60, et="b", closed=False)
    spec = from_pandapower(net)
    whole = from_pandapower(make_net())
    for name in ("buses", "sources", "lines", "transformers", "injections", "shunts", "switches"):
        assert getattr(spec, name).id == getattr(whole, name).id
    np.testing.assert_array_equal(solve_default(compile_network(spec)).v_pu, expected)


def add_gen(net: Any) -> None:
    pp.create_gen(net, 2, p_mw=1.0, vm_pu=1.0)
    pp.create_gen(net, 3, p_mw=1.0, vm_pu=1.0, in_service=False)


def add_impedance(net: Any) -> None:
    pp.create_impedance(net, 1, 3, rft_pu=0.1, xft_pu=0.1, sn_mva=1.0)


def set_constant_impedance(net: Any) -> None:
    net.load.loc[1, "const_z_p_percent"] = 20.0


def use_tap_table(net: Any) -> None:
    net.trafo["tap_dependency_table"] = [False, True, False]


def use_second_tap(net: Any) -> None:
    net.trafo["tap2_pos"], net.trafo["tap2_neutral"] = [0, 0, 2], 0


def use_shunt_table(net: Any) -> None:
    net.shunt["step_dependency_table"] = True


def use_switch_impedance(net: Any) -> None:
    net.switch.loc[0, "z_ohm"] = 0.1


def add_unknown_table(net: Any) -> None:
    net["flux_capacitor"] = net.load.rename(index=lambda i: i + 100)[["bus", "in_service"]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (add_gen, "table 'gen', indices 0: elements that are not modelled; not supported; replace it by an sgen"),
        (
            add_impedance,
            "table 'impedance', indices 0: elements that are not modelled; not supported; replace it by a line",
        ),
        (set_constant_impedance, "table 'load', indices 1: const_z_p_percent != 0; not supported; set it to 0"),
        (use_tap_table, "table 'trafo', indices 1: tap_dependency_table = True; not supported; set it to False"),
        (use_second_tap, "table 'trafo', indices 2: a second tap changer off neutral; not supported; fold it into"),
        (use_shunt_table, "table 'shunt', indices 0: step_dependency_table = True; not supported; set it to False"),
        (
            use_switch_impedance,
            "table 'switch', indices 0: bus-bus switches with z_ohm > 0; not supported; set it to 0",
        ),
        (add_unknown_table, "table 'flux_capacitor', indices 100, 101, 102, 103: elements that are not modelled"),
    ],
)
def test_unsupported_data_are_named(change: Callable[[Any], None], message: str) -> None:
    net = make_net()
    change(net)
    with pytest.raises(UnsupportedElementError) as error:
        from_pandapower(net)
    assert str(error.value).startswith(f"pandapower network 'mixed': {message}")


def test_unsupported_data_are_collected() -> None:
    net = make_net()
    add_gen(net)
    use_switch_impedance(net)
    with pytest.raises(UnsupportedElementError) as error:
        from_pandapower(net)
    assert len(str(error.value).splitlines()) == 2


def test_unsupported_elements_out_of_service_are_left_out() -> None:
    net = make_net()
    add_gen(net)
    net.gen.in_service = False
    assert "gen.0" not in from_pandapower(net).injections.id


def test_inconsistent_data_are_reported_by_the_import() -> None:
    net = make_net()
    net.line.loc[20, "r_ohm_per_km"] = np.nan
    with pytest.raises(NetworkError, match=r"network 'mixed': line 'line\.20': r_ohm = nan; allowed: a finite number"):
        from_pandapower(net)


@pytest.mark.parametrize(
    ("kind", "table", "element"),
    [("l", "line", 21), ("t", "trafo", 1)],
)
def test_open_switch_at_a_deleted_element_is_named(kind: str, table: str, element: int) -> None:
    net = make_net()
    bus = net[table].loc[element, "from_bus" if kind == "l" else "hv_bus"]
    switch = pp.create_switch(net, bus, element, et=kind, closed=False)
    net[table] = net[table].drop(index=element)
    with pytest.raises(NetworkError) as error:
        from_pandapower(net)
    assert str(error.value) == (
        f"pandapower network 'mixed': switch {switch} is at {table} {element}, which is not in table '{table}'; remove "
        "the switch, or correct its element"
    )


@pytest.mark.parametrize(("net", "kind"), [(None, "NoneType"), ({}, "dict"), ("net.json", "str")])
def test_what_is_no_pandapower_network_is_refused(net: object, kind: str) -> None:
    with pytest.raises(NetworkError) as error:
        from_pandapower(net)
    assert str(error.value) == (
        f"from_pandapower: got {kind} without the tables bus, ext_grid, line, trafo, load, sgen, storage, shunt, "
        "switch; allowed: a network as pandapower.create_empty_network() or pandapower.networks make it; pass that"
    )
