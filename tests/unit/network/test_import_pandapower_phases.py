"""Three-phase networks of pandapower against its own three-phase power flow."""

import warnings
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pandapower as pp
import pytest

from gridenv.core.errors import NetworkError, UnsupportedElementError
from gridenv.network import PhaseNetworkSpec, from_pandapower
from gridenv.network.circuit import Circuit
from gridenv.network.phase_circuit import phase_circuit
from tests.shared_data import shared_file
from tests.unit.network.phase_fixed_point import solved

TOLERANCE_PU = 5e-8
"""runpp_3ph stops at a power mismatch of 3e-8 pu."""


def feeder(vector_group: str = "Dyn", shift_degree: float = 150.0, *, sn_mva: float = 1.0, **trafo: Any) -> Any:
    """Two lines below a transformer, loads of every kind."""
    net = pp.create_empty_network(name="feeder", sn_mva=sn_mva)
    buses = [pp.create_bus(net, 10.0), *(pp.create_bus(net, 0.4) for _ in range(4))]
    pp.create_ext_grid(net, buses[0], vm_pu=1.01, va_degree=10, s_sc_max_mva=100, rx_max=0.2, x0x_max=1.5, r0x0_max=0.3)
    given = {"sn_mva": 0.25, "vkr_percent": 1.2, "vk_percent": 4.0, "pfe_kw": 0.6, "i0_percent": 0.3, "parallel": 1}
    pp.create_transformer_from_parameters(
        net, buses[0], buses[1], vn_hv_kv=10.0, vn_lv_kv=0.41, shift_degree=shift_degree, vector_group=vector_group,
        vk0_percent=3.5, vkr0_percent=1.0, mag0_percent=150, mag0_rx=0.3, si0_hv_partial=0.8,
        tap_neutral=0, tap_pos=2, tap_min=-2, tap_max=2, tap_step_percent=2.5, tap_changer_type="Ratio",
        **({"tap_side": "hv"} | given | trafo),
    )  # fmt: skip
    for a, b in ((1, 2), (2, 3)):
        pp.create_line_from_parameters(
            net, buses[a], buses[b], 0.15, 0.2, 0.08, 260, 0.27, r0_ohm_per_km=0.83, x0_ohm_per_km=0.28,
            c0_nf_per_km=120, g_us_per_km=5,
        )  # fmt: skip
    pp.create_switch(net, buses[3], buses[4], "b")
    pp.create_asymmetric_load(net, buses[2], 0.012, 0.004, 0.002, 0.003, 0.001, 0.0)
    pp.create_asymmetric_load(net, buses[3], 0.002, 0.010, 0.002, 0.003, 0.001, 0.0, type="delta")
    pp.create_asymmetric_load(net, buses[0], 0.2, 0.04, 0.02, 0.03, 0.01, 0.0)
    pp.create_asymmetric_sgen(net, buses[4], 0.003, 0.0, 0.01, 0.001)
    pp.create_load(net, buses[4], 0.01, 0.002)
    pp.create_load(net, buses[4], 0.01, 0.002, type="delta", scaling=0.7)
    pp.create_sgen(net, buses[2], 0.006, 0.001, type="wye")
    pp.create_shunt(net, buses[2], q_mvar=-0.02, p_mw=0)
    return net


def at_buses(circuit: Circuit, v: np.ndarray, buses: Any) -> np.ndarray:
    node = {name: i for i, name in enumerate(circuit.node_names)}
    return np.array([[v[node[f"{bus}.{phase}"]] for phase in (1, 2, 3)] for bus in buses])


def assert_as_runpp_3ph(net: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandapower divides by the voltage of buses out of service
        pp.runpp_3ph(net, tolerance_mva=1e-10, numba=False)
    assert_voltages_of(net, net)


def assert_voltages_of(net: Any, solved_net: Any) -> None:
    """A network has the voltages that runpp_3ph found for another one, at the buses in service."""
    buses = solved_net.bus.index[solved_net.bus.in_service]
    result = solved_net.res_bus_3ph.loc[buses]
    assert result.vm_a_pu.notna().all()
    expected = np.stack(
        [result[f"vm_{p}_pu"] * np.exp(1j * np.deg2rad(result[f"va_{p}_degree"])) for p in "abc"], axis=1
    )
    circuit = phase_circuit(from_pandapower(net, phases=3))
    np.testing.assert_allclose(at_buses(circuit, solved(circuit), buses), expected, rtol=0, atol=TOLERANCE_PU)


@pytest.mark.parametrize(
    ("vector_group", "shift_degree"),
    [*(("Dyn", shift) for shift in (-30, 30, 90, 150, 210, 330)), ("YNyn", 0), ("Yzn", 30), ("Yzn", 150)],
)
def test_vector_groups_agree_with_runpp_3ph(vector_group: str, shift_degree: float) -> None:
    assert_as_runpp_3ph(feeder(vector_group, shift_degree))


@pytest.mark.parametrize("vector_group", ["Dyn", "YNyn", "Yzn"])
@pytest.mark.parametrize(
    "changes", [{"pfe_kw": 0.0, "i0_percent": 0.0}, {"tap_side": "lv", "parallel": 2}, {"sn_mva": 0.4}]
)
def test_transformer_data_agree_with_runpp_3ph(vector_group: str, changes: dict[str, Any]) -> None:
    assert_as_runpp_3ph(feeder(vector_group, 0.0 if vector_group == "YNyn" else 30.0, **changes))


@pytest.mark.parametrize(
    ("name", "tolerance_pu"), [("3ph_small_dyn_lv", 2e-7), ("3ph_ieee_european_lv_on_peak_566", 5e-6)]
)
def test_stored_scenarios_agree(name: str, tolerance_pu: float) -> None:
    """The tolerance is runpp_3ph's: a mismatch of 3e-8 of a base of 1 MVA, and of 100 MVA in the larger network."""
    with np.load(shared_file(f"pandapower/{name}.npz"), allow_pickle=False) as file:
        golden = dict(file)
    net = pp.from_json_string(str(golden["network_json"]))
    circuit = phase_circuit(from_pandapower(net, phases=3))
    rows = np.array(
        [[circuit.loads.names.index(f"asymmetric_load.{i}.{p}") for i in net.asymmetric_load.index] for p in "abc"]
    )
    for scenario in (0, 1, 10, 20):
        powers = [circuit.loads.default_p_kw.copy(), circuit.loads.default_q_kvar.copy()]
        for power, quantity in zip(powers, ("p_{}_mw", "q_{}_mvar"), strict=True):
            for phase, row in zip("abc", rows, strict=True):
                power[row] = -golden["load_" + quantity.format(phase)][scenario] * 1e3
        expected = golden["vm_pu"][scenario] * np.exp(1j * np.deg2rad(golden["va_deg"][scenario]))
        v = at_buses(circuit, solved(circuit, *powers), golden["bus_id"])
        np.testing.assert_allclose(v, expected, rtol=0, atol=tolerance_pu)


def test_ids_connections_and_signs() -> None:
    spec = from_pandapower(feeder(), phases=3)
    assert isinstance(spec, PhaseNetworkSpec)
    rows = {i: k for k, i in enumerate(spec.injections.id)}
    assert list(rows) == [
        "load.0", "load.1", "sgen.0",
        *(f"asymmetric_load.{i}.{p}" for i in range(3) for p in "abc"),
        *(f"asymmetric_sgen.0.{p}" for p in "abc"),
    ]  # fmt: skip
    b = rows["asymmetric_load.0.b"]
    assert (spec.injections.phases[b], spec.injections.connection[b]) == ("2", "wye")
    np.testing.assert_allclose([spec.injections.p_kw[b], spec.injections.q_kvar[b]], [-4.0, -1.0])
    np.testing.assert_allclose(spec.injections.v_kv[b], 0.4 / np.sqrt(3))
    delta = rows["asymmetric_load.1.c"]
    assert (spec.injections.phases[delta], spec.injections.connection[delta]) == ("31", "delta")
    np.testing.assert_allclose(spec.injections.p_kw[rows["load.1"]], -7.0)
    np.testing.assert_allclose(spec.injections.p_kw[rows["asymmetric_sgen.0.c"]], 10.0)
    assert spec.lines.id == ("line.0", "line.1", "switch.0")
    assert spec.buses.id[-1] == "trafo.0.core"


def test_sequence_values_become_phase_matrices() -> None:
    spec = from_pandapower(feeder(), phases=3)
    z_0, z_1 = (0.83 + 0.28j) * 0.15, (0.2 + 0.08j) * 0.15
    np.testing.assert_allclose(spec.lines.z_ohm[0, 0, :2], [(z_0 + 2 * z_1) / 3, (z_0 - z_1) / 3])
    b_0, b_1 = (2 * np.pi * 50 * c * 1e-9 * 0.15 for c in (120, 260))
    np.testing.assert_allclose(spec.lines.y_s[0, 0, 1].imag, (b_0 - b_1) / 3)


def test_lossless_delta_wye_has_no_core_bus() -> None:
    spec = from_pandapower(feeder(pfe_kw=0.0, i0_percent=0.0), phases=3)
    assert spec.buses.id == ("0", "1", "2", "3", "4")


def test_storage_and_elements_out_of_service() -> None:
    net = feeder()
    pp.create_storage(net, 3, 0.004, 0.01, q_mvar=0.001)
    net.line.loc[1, "in_service"] = False
    pp.create_switch(net, 1, 0, "l", closed=False)
    net.asymmetric_load.loc[0, "in_service"] = False
    spec = from_pandapower(net, phases=3)
    np.testing.assert_allclose(spec.injections.p_kw[spec.injections.id.index("storage.0")], -4.0)
    assert not spec.lines.closed[:2].any()
    assert not spec.injections.in_service[spec.injections.id.index("asymmetric_load.0.a")]


def idle_line(net: Any) -> None:
    pp.create_line_from_parameters(net, 1, 3, 0.1, 0.2, 0.08, 200, 0.2, in_service=False)
    pp.create_switch(net, 3, net.line.index[-1], "l", closed=False)


def idle_line_without_any_data(net: Any) -> None:
    pp.create_line_from_parameters(net, 1, 3, np.nan, np.nan, np.nan, np.nan, np.nan, in_service=False)


def idle_transformer(net: Any) -> None:
    pp.create_transformer_from_parameters(
        net, 0, 1, sn_mva=0.25, vn_hv_kv=10, vn_lv_kv=0.4, vkr_percent=1, vk_percent=4, pfe_kw=0.5, i0_percent=0.3,
        in_service=False,
    )  # fmt: skip
    pp.create_switch(net, 1, net.trafo.index[-1], "t", closed=False)


def idle_transformer_of_another_group(net: Any) -> None:
    idle_transformer(net)
    columns = ("vector_group", "vk0_percent", "vkr0_percent", "mag0_percent", "mag0_rx", "si0_hv_partial")
    net.trafo.loc[net.trafo.index[-1], list(columns)] = ["Dd", 4.0, 1.0, 100.0, 0.3, 0.5]


def idle_source(net: Any) -> None:
    pp.create_ext_grid(net, 2, vm_pu=0.9, in_service=False)


def lossy_idle_shunt(net: Any) -> None:
    pp.create_shunt(net, 2, q_mvar=0.01, p_mw=0.1, in_service=False)


def idle_buses(vn_kv: float) -> Callable[[Any], None]:
    def change(net: Any) -> None:
        a, b = (pp.create_bus(net, vn_kv, in_service=False) for _ in range(2))
        pp.create_switch(net, a, b, "b")
        pp.create_switch(net, 4, a, "b")

    return change


IDLE = {
    "line.2": idle_line,
    "line.2 ": idle_line_without_any_data,
    "trafo.1": idle_transformer,
    "trafo.1 ": idle_transformer_of_another_group,
    "ext_grid.1": idle_source,
    "shunt.1": lossy_idle_shunt,
    "switch.2": idle_buses(20.0),
    "switch.1": idle_buses(np.nan),
}


@pytest.mark.parametrize("left_out", IDLE)
@pytest.mark.parametrize(("vector_group", "shift_degree"), [("Dyn", 150.0), ("YNyn", 0.0)])
def test_what_is_out_of_service_and_incomplete_is_left_out(
    vector_group: str, shift_degree: float, left_out: str
) -> None:
    net = feeder(vector_group, shift_degree)
    IDLE[left_out](net)
    rows = {name: len(net[name]) for name in ("line", "trafo", "ext_grid", "shunt", "switch", "bus")}
    assert_as_runpp_3ph(net)
    spec = from_pandapower(net, phases=3)
    tables = [getattr(spec, f.name) for f in fields(spec) if f.name != "name"]
    assert left_out.strip() not in {name for table in tables for name in table.id}
    numbers = [getattr(t, f.name) for t in tables for f in fields(t) if f.metadata.get("dtype") in (float, complex)]
    assert not any(np.isnan(column).any() for column in numbers)
    assert rows == {name: len(net[name]) for name in rows}


def test_idle_loads_and_shunts_without_powers_are_left_out() -> None:
    net, whole = feeder(), feeder()
    pp.runpp_3ph(whole, tolerance_mva=1e-10, numba=False)
    # pandapower multiplies these by 0, which gives no number, so the network without them is the reference.
    pp.create_shunt(net, 2, q_mvar=np.nan, p_mw=np.nan, in_service=False)
    pp.create_load(net, 2, p_mw=np.nan, in_service=False)
    pp.create_asymmetric_load(net, 2, p_a_mw=np.nan, in_service=False)
    assert_voltages_of(net, whole)
    assert "load.2" not in from_pandapower(net, phases=3).injections.id


def test_elements_at_a_bus_out_of_service_need_no_data() -> None:
    net, whole = feeder(), feeder()
    pp.runpp_3ph(whole, tolerance_mva=1e-10, numba=False)
    dead = pp.create_bus(net, 0.4, in_service=False)
    pp.create_line_from_parameters(net, 2, dead, 0.1, 0.2, 0.08, 200, 0.2)
    pp.create_ext_grid(net, dead)
    pp.create_shunt(net, dead, q_mvar=0.01, p_mw=0.1)
    assert_voltages_of(net, whole)
    pp.create_load(net, dead, 0.01)
    spec = from_pandapower(net, phases=3)
    assert (len(spec.sources), len(spec.lines), len(spec.capacitors)) == (1, 3, 1)
    assert not spec.injections.in_service[spec.injections.id.index("load.2")]


def test_complete_elements_out_of_service_stay_and_can_be_closed() -> None:
    net = feeder()
    net.line.loc[1, "in_service"] = False
    pp.create_shunt(net, 2, q_mvar=0.01, in_service=False)
    spec = from_pandapower(net, phases=3)
    assert (spec.lines.id, spec.capacitors.id) == (("line.0", "line.1", "switch.0"), ("shunt.0", "shunt.1"))
    assert (spec.lines.closed.tolist(), spec.capacitors.closed.tolist()) == ([True, False, True], [True, False])


def _drop(table: str, column: str) -> Any:
    return lambda net: net[table].drop(columns=column, inplace=True)


def _set(table: str, column: str, value: Any) -> Any:
    return lambda net: net[table].__setitem__(column, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_drop("line", "r0_ohm_per_km"), r"table 'line' lacks values in r0_ohm_per_km; allowed: zero-sequence data"),
        (_set("ext_grid", "s_sc_max_mva", np.nan), r"table 'ext_grid' lacks values in s_sc_max_mva"),
        (_set("trafo", "vk0_percent", np.nan), r"table 'trafo' lacks values in vk0_percent"),
    ],
)
def test_missing_zero_sequence_data_are_named(change: Any, message: str) -> None:
    net = feeder()
    change(net)
    with pytest.raises(NetworkError, match=f"pandapower network 'feeder': {message}"):
        from_pandapower(net, phases=3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("trafo", "vector_group", "Dd"), r"'trafo.0' has vector_group = dd; allowed: Dyn, YNyn, Yzn"),
        (_set("trafo", "shift_degree", 0.0), r"'trafo.0' has a shift of 0 degrees with its tap; allowed for dyn: odd"),
        (_set("trafo", "xn_ohm", 2.0), r"'trafo.0' has xn_ohm = 2; allowed: 0"),
        (_set("shunt", "p_mw", 0.01), r"table 'shunt', indices 0: p_mw != 0"),
        (lambda net: pp.create_ward(net, 2, 0, 0, 0, 0), r"table 'ward', indices 0: elements that are not modelled"),
    ],
)
def test_what_is_not_modelled_is_refused(change: Any, message: str) -> None:
    net = feeder()
    change(net)
    with pytest.raises(UnsupportedElementError, match=message):
        from_pandapower(net, phases=3)


def test_shift_of_a_star_star_transformer_is_refused() -> None:
    with pytest.raises(UnsupportedElementError, match=r"shift of 120 degrees with its tap; allowed for ynyn: 0"):
        from_pandapower(feeder("YNyn", 120.0), phases=3)


def test_other_numbers_of_phases_and_other_objects_are_refused() -> None:
    with pytest.raises(NetworkError, match=r"from_pandapower: phases = 2; allowed: 1 \(balanced\) or 3"):
        from_pandapower(feeder(), phases=2)  # type: ignore[call-overload]
    with pytest.raises(NetworkError, match=r"from_pandapower: got dict without the tables"):
        from_pandapower({}, phases=3)
