"""Import from pandapower against `pandapower.runpp` on networks with every feature that is converted."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandapower as pp
import pytest

from gridenv.core.errors import NetworkError, UnsupportedElementError
from gridenv.network import compile_network, from_pandapower
from tests.unit.network.fixed_point import solve_default

# pandapower iterates to 1e-11 MVA; the network's smallest impedances turn that into less than 1e-9 pu.
TOLERANCE_PU = 1e-8
POWER_TOLERANCE_KVA = 1e-5
PERCENT = 100.0
KW_PER_MW = 1000.0


def make_net() -> Any:
    """A 110/20/0.4 kV network: sparse indices, parallel transformers, shunt, storage, scaling, meshed 20 kV."""
    net = pp.create_empty_network(name="mixed", f_hz=60.0)
    for index, vn_kv in ((7, 110.0), (1, 20.0), (2, 20.0), (3, 20.0), (9, 20.0), (11, 20.0), (4, 0.4), (5, 0.4)):
        pp.create_bus(net, vn_kv, index=index)
    pp.create_ext_grid(net, 7, vm_pu=1.02, va_degree=5.0)
    for _ in range(2):
        _trafo(net, 7, 1, sn_mva=25.0, vn=(110.0, 21.0), vk=(12.0, 0.4), shift_degree=150.0, parallel=1)
    _trafo(net, 3, 4, sn_mva=0.63, vn=(20.0, 0.4), vk=(6.0, 1.2), shift_degree=-30.0, parallel=2, df=0.9)
    for index, (a, b) in enumerate(((1, 2), (2, 3), (3, 9), (9, 1)), start=20):
        _line(net, a, b, index=index, r_ohm_per_km=0.2, x_ohm_per_km=0.12, c_nf_per_km=273.0, max_i_ka=0.3)
    _line(net, 4, 5, r_ohm_per_km=0.3, x_ohm_per_km=0.08, c_nf_per_km=210.0, max_i_ka=0.2, parallel=2, df=0.8)
    pp.create_switch(net, 9, 11, et="b", closed=True)
    pp.create_load(net, 2, 3.0, 1.1, scaling=1.3)
    pp.create_load(net, 5, 0.12, 0.05)
    pp.create_load(net, 11, 1.5, 0.3)
    pp.create_load(net, 7, 4.0, 2.0)
    pp.create_load(net, 3, 9.0, 2.0, in_service=False)
    pp.create_sgen(net, 9, 2.5, -0.4, scaling=0.7)
    pp.create_storage(net, 3, 0.4, 1.0, q_mvar=0.1, scaling=0.5)
    pp.create_shunt(net, 2, q_mvar=-0.4, p_mw=0.02, step=2, max_step=3, vn_kv=21.0)
    return net


def _trafo(
    net: Any, hv: int, lv: int, *, sn_mva: float, vn: tuple[float, float], vk: tuple[float, float], **more: Any
) -> None:
    pp.create_transformer_from_parameters(
        net, hv, lv, sn_mva, *vn, vkr_percent=vk[1], vk_percent=vk[0], pfe_kw=sn_mva, i0_percent=0.3, **more
    )


def _line(net: Any, a: int, b: int, **more: Any) -> None:
    pp.create_line_from_parameters(net, a, b, length_km=1.7, g_us_per_km=2.0, **more)


def open_line_end(net: Any) -> None:
    pp.create_switch(net, 2, 21, et="l", closed=False)


def open_line_start_and_closed_end(net: Any) -> None:
    pp.create_switch(net, 9, 22, et="l", closed=True)
    pp.create_switch(net, 3, 22, et="l", closed=False)


def open_line_both_ends(net: Any) -> None:
    for bus in (2, 3):
        pp.create_switch(net, bus, 21, et="l", closed=False)


def line_out_of_service(net: Any) -> None:
    net.line.loc[20, "in_service"] = False


def line_to_dead_bus(net: Any) -> None:
    pp.create_bus(net, 20.0, index=30, in_service=False)
    _line(net, 2, 30, r_ohm_per_km=0.2, x_ohm_per_km=0.1, c_nf_per_km=300.0, max_i_ka=0.3)
    pp.create_switch(net, 2, 30, et="b", closed=True)
    pp.create_load(net, 30, 5.0, 1.0)


def open_bus_switch(net: Any) -> None:
    net.switch.closed = False
    net.load.loc[2, "in_service"] = False


def open_trafo_switch(net: Any) -> None:
    pp.create_switch(net, 1, 1, et="t", closed=False)


def open_trafo_switch_hv(net: Any) -> None:
    pp.create_switch(net, 7, 1, et="t", closed=False)


def trafo_out_of_service(net: Any) -> None:
    net.trafo.loc[0, "in_service"] = False


def trafo_to_dead_bus(net: Any) -> None:
    pp.create_bus(net, 0.4, index=31, in_service=False)
    _trafo(net, 3, 31, sn_mva=0.4, vn=(20.0, 0.4), vk=(4.0, 1.0), shift_degree=150.0)


def island(net: Any) -> None:
    for index in (40, 41):
        pp.create_bus(net, 20.0, index=index)
    _line(net, 40, 41, r_ohm_per_km=0.2, x_ohm_per_km=0.1, c_nf_per_km=300.0, max_i_ka=0.3)


def two_sources(net: Any) -> None:
    pp.create_bus(net, 20.0, index=50)
    _line(net, 50, 11, r_ohm_per_km=0.3, x_ohm_per_km=0.3, c_nf_per_km=10.0, max_i_ka=0.4)
    pp.create_ext_grid(net, 50, vm_pu=1.01, va_degree=-146.0)
    pp.create_sgen(net, 50, 1.0, 0.2)
    pp.create_ext_grid(net, 2, vm_pu=0.5, in_service=False)


def shunt_without_rated_voltage(net: Any) -> None:
    net.shunt.loc[0, "vn_kv"] = np.nan


def leakage_ratios(net: Any) -> None:
    net.trafo["leakage_resistance_ratio_hv"] = 0.2
    net.trafo["leakage_reactance_ratio_hv"] = 0.7


def no_magnetising_branch(net: Any) -> None:
    net.trafo[["pfe_kw", "i0_percent"]] = 0.0


def iron_loss_above_no_load_current(net: Any) -> None:
    net.trafo["i0_percent"] = 0.01


def _taps(net: Any, rows: list[int], **columns: Any) -> None:
    for name, value in ({"tap_neutral": 1, "tap_min": -8, "tap_max": 10} | columns).items():
        if name not in net.trafo or isinstance(value, str):
            net.trafo[name] = net.trafo.get(name, np.nan).astype(object) if name in net.trafo else None
        net.trafo.loc[rows, name] = value


def ratio_tap_hv(net: Any) -> None:
    _taps(net, [0, 1], tap_side="hv", tap_changer_type="Ratio", tap_step_percent=1.5, tap_pos=4)


def ratio_tap_lv(net: Any) -> None:
    _taps(net, [0, 1, 2], tap_side="lv", tap_changer_type="Ratio", tap_step_percent=1.25, tap_pos=-3)


def unequal_taps_circulate_current(net: Any) -> None:
    _taps(net, [0], tap_side="hv", tap_changer_type="Ratio", tap_step_percent=1.5, tap_pos=4)


def cross_regulator_hv(net: Any) -> None:
    _taps(net, [0, 1], tap_side="hv", tap_changer_type="Ratio", tap_step_percent=1.5, tap_step_degree=60.0, tap_pos=5)


def symmetrical_lv(net: Any) -> None:
    _taps(
        net, [2], tap_side="lv", tap_changer_type="Symmetrical", tap_step_percent=2.0, tap_step_degree=90.0, tap_pos=3
    )


def ideal_phase_shifter_degrees(net: Any) -> None:
    _taps(net, [0], tap_side="hv", tap_changer_type="Ideal", tap_step_degree=0.3, tap_step_percent=np.nan, tap_pos=4)


def ideal_phase_shifter_percent_lv(net: Any) -> None:
    _taps(net, [0], tap_side="lv", tap_changer_type="Ideal", tap_step_percent=0.4, tap_step_degree=np.nan, tap_pos=-2)


def tap_position_without_changer(net: Any) -> None:
    _taps(net, [0, 1], tap_side="hv", tap_step_percent=1.5, tap_pos=4)


def tap_position_unknown(net: Any) -> None:
    _taps(net, [0, 1], tap_side="hv", tap_changer_type="Ratio", tap_step_percent=1.5, tap_pos=np.nan)


CHANGES: tuple[Callable[[Any], None], ...] = (
    lambda net: None,
    open_line_end,
    open_line_start_and_closed_end,
    open_line_both_ends,
    line_out_of_service,
    line_to_dead_bus,
    open_bus_switch,
    open_trafo_switch,
    open_trafo_switch_hv,
    trafo_out_of_service,
    trafo_to_dead_bus,
    island,
    two_sources,
    shunt_without_rated_voltage,
    leakage_ratios,
    no_magnetising_branch,
    iron_loss_above_no_load_current,
    ratio_tap_hv,
    ratio_tap_lv,
    unequal_taps_circulate_current,
    cross_regulator_hv,
    symmetrical_lv,
    ideal_phase_shifter_degrees,
    ideal_phase_shifter_percent_lv,
    tap_position_without_changer,
    tap_position_unknown,
)


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
    s_source_kva = (net.res_ext_grid.p_mw + 1j * net.res_ext_grid.q_mvar).to_numpy()[
        net.ext_grid.in_service
    ] * KW_PER_MW
    np.testing.assert_allclose(solved.source_kva, s_source_kva, rtol=0, atol=POWER_TOLERANCE_KVA)
    loss_kw = (np.nansum(net.res_line.pl_mw) + np.nansum(net.res_trafo.pl_mw)) * KW_PER_MW
    assert abs(solved.loss_kw - loss_kw) <= POWER_TOLERANCE_KVA
    assert abs(solved.shunt_kw - net.res_shunt.p_mw.sum() * KW_PER_MW) <= POWER_TOLERANCE_KVA


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
