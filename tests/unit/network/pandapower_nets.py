"""A pandapower network with every feature that is converted, and changes of it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandapower as pp
import pandas as pd


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
        values = net.trafo[name].astype(object) if name in net.trafo else pd.Series(np.nan, net.trafo.index, object)
        values.loc[rows] = value
        net.trafo[name] = values if isinstance(value, str) else values.astype(float)


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
