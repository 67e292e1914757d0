"""Sensitivities, loadability, inverter curves, and controls where they are refused."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from gridenv.core.errors import ActionError, ConfigError
from gridenv.powerflow import PowerFlow, VoltageCurves
from gridenv.powerflow.droop import interpolate
from tests.unit.network.small_networks import two_bus

CATEGORY_B = ((0.92, 0.44), (0.98, 0.0), (1.02, 0.0), (1.08, -0.44))


@pytest.fixture(scope="module")
def exact() -> PowerFlow:
    return PowerFlow("ieee33", "float64")


def test_sensitivity_is_the_central_difference_of_every_sample(exact: PowerFlow) -> None:
    scale = np.array([[0.5], [2.0]])
    p_kw, q_kvar = exact.default_p_kw * scale, exact.default_q_kvar * scale
    found = exact.sensitivity(exact.solve(p_kw, q_kvar), ["load.16", "load.31"])
    assert found.dv_dp.shape == found.dv_dq.shape == (2, 33, 2)
    for k, name in enumerate(("load.16", "load.31")):
        nudge = np.zeros(32)
        nudge[exact.injection_names.index(name)] = 0.1
        for derivative, (dp, dq) in ((found.dv_dp, (nudge, 0.0)), (found.dv_dq, (0.0, nudge))):
            up, down = (exact.solve(p_kw + s * dp, q_kvar + s * dq).v_pu for s in (1.0, -1.0))
            expected = (np.abs(up) - np.abs(down)) / 0.2
            np.testing.assert_allclose(derivative[..., k], expected, rtol=1e-6, atol=1e-11)


def test_sensitivity_names_what_it_does_not_know(exact: PowerFlow) -> None:
    solution = exact.solve(exact.default_p_kw, exact.default_q_kvar)
    with pytest.raises(ConfigError, match=r"sensitivity to 'load\.99', which is no injection"):
        exact.sensitivity(solution, ["load.99"])


def test_loadability_of_ieee33_is_where_pandapower_stops_to_converge(exact: PowerFlow) -> None:
    # pandapower 3.5.6, Newton from the last solution: solved at 3.6220, not at 3.6222; published 3.63 +- 0.01.
    found = exact.loadability()
    assert 3.6219 <= float(found.scale) <= 3.6222
    assert bool(found.solution.converged)
    beyond = exact.solve(exact.default_p_kw * 3.63, exact.default_q_kvar * 3.63)
    assert not bool(beyond.converged)


def test_loadability_of_every_sample_and_of_what_has_no_limit(exact: PowerFlow) -> None:
    p_kw = np.stack([exact.default_p_kw, 2.0 * exact.default_p_kw, np.zeros(32)])
    q_kvar = np.stack([exact.default_q_kvar, 2.0 * exact.default_q_kvar, np.zeros(32)])
    scale = np.asarray(exact.loadability(p_kw, q_kvar, resolution=1e-3, largest=50.0).scale)
    assert scale[0] == pytest.approx(2.0 * scale[1], abs=5e-3)
    assert scale[2] == 50.0


def test_loadability_of_one_load_behind_one_impedance_is_the_closed_form() -> None:
    # A load of unity power factor behind z = r + jx at 1 pu draws at most 1 / (2 (|z| + r)).
    power_flow = PowerFlow(two_bus(p_kw=-100.0, q_kvar=0.0), "float64")
    expected = 1000.0 / (2.0 * (np.hypot(0.01, 0.02) + 0.01)) / 100.0
    assert float(power_flow.loadability(resolution=1e-3).scale) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("s_rated_kva", [500.0, 20000.0])
def test_inverter_curve_and_flow_agree_whatever_the_slope(dtype: str, s_rated_kva: float) -> None:
    # 20 MVA at the end of the feeder turns 0.06 pu into 8.8 Mvar: a plain fixed point diverges.
    curves = VoltageCurves(injection="load.17", s_rated_kva=s_rated_kva, volt_var=CATEGORY_B)
    with_curves, without = PowerFlow("ieee33", dtype, curves=[curves]), PowerFlow("ieee33", "float64")
    scale = np.array([[0.5], [1.0], [2.0]])
    p_kw, q_kvar = without.default_p_kw * scale, without.default_q_kvar * scale
    solution = with_curves.solve(p_kw, q_kvar)
    assert np.all(solution.converged)
    row = with_curves.injection_names.index("load.17")
    bus = with_curves.node_names.index(with_curves.spec.injections.bus[row])
    v_pu = np.abs(np.asarray(solution.v_pu)[:, bus]).astype(float)
    # The curve again, by NumPy, and the plain power flow with what it asks for.
    q_kvar = q_kvar.copy()
    q_kvar[:, row] += s_rated_kva * np.interp(v_pu, *np.array(CATEGORY_B).T)
    again = without.solve(p_kw, q_kvar)
    # The curve answers an error of the voltage with 7.3 times the rating.
    tolerance_pu = (1e-9 if dtype == "float64" else 2e-6) * max(1.0, s_rated_kva / 1000.0)
    np.testing.assert_allclose(again.v_pu, solution.v_pu, atol=tolerance_pu)


def test_volt_watt_limits_power_and_rating_limits_reactive_power() -> None:
    volt_watt = ((1.0, 1.0), (1.1, 0.0))
    curves = VoltageCurves(injection="load.17", s_rated_kva=1500.0, volt_var=CATEGORY_B, volt_watt=volt_watt)
    power_flow = PowerFlow("ieee33", "float64", curves=[curves])
    row = power_flow.injection_names.index("load.17")
    p_kw, q_kvar = np.zeros(32), np.zeros(32)
    p_kw[row] = 1500.0
    solution = power_flow.solve(p_kw, q_kvar)
    assert bool(solution.converged)
    bus = power_flow.node_names.index(power_flow.spec.injections.bus[row])
    v_pu = float(np.abs(solution.v_pu[bus]))
    p_fed_kw = 1500.0 * np.interp(v_pu, [1.0, 1.1], [1.0, 0.0])
    fed_kw = float(solution.loss_kw - solution.source_p_kw)
    assert fed_kw == pytest.approx(p_fed_kw, rel=1e-6)
    assert p_fed_kw < 1499.0


def test_interpolation_is_that_of_numpy() -> None:
    v = np.linspace(0.8, 1.2, 41)
    x, f = np.array(CATEGORY_B).T
    with jax.enable_x64(True):
        found = interpolate(jnp.asarray(v), jnp.asarray(x[:, None]), jnp.asarray(f[:, None]))
    np.testing.assert_allclose(found, np.interp(v, x, f), atol=1e-12)


def test_curves_that_make_no_sense_are_named_together() -> None:
    curves = [
        VoltageCurves(injection="load.x", s_rated_kva=1.0),
        VoltageCurves(injection="load.17", s_rated_kva=-1.0, volt_var=((1.0, 0.1), (0.9, 0.2))),
        VoltageCurves(injection="load.17", s_rated_kva=1.0),
    ]
    with pytest.raises(ConfigError) as error:
        PowerFlow("ieee33", curves=curves)
    for part in (
        "curves for 'load.x', which is no injection",
        "s_rated_kva must be > 0 and finite, got -1.0",
        "volt_var has voltages [1.0, 0.9]; allowed: finite points in ascending order",
        "injection 'load.17' has curves 2 times; allowed: once",
    ):
        assert part in str(error.value)


def test_controls_of_a_balanced_network_are_refused(exact: PowerFlow) -> None:
    with pytest.raises(ActionError, match="balanced network 'ieee33', which has no regulator"):
        exact.solve(exact.default_p_kw, exact.default_q_kvar, controls=True)


def test_states_of_wrong_length_and_scales_with_switches_are_refused(exact: PowerFlow) -> None:
    with pytest.raises(ActionError, match=r"switches has shape \(36,\); its last axis must have 37 entries"):
        exact.solve(exact.default_p_kw, exact.default_q_kvar, switches=np.ones(36))
    with pytest.raises(ActionError, match="together with switches are not supported"):
        exact.solve(exact.default_p_kw, exact.default_q_kvar, switches=np.ones(37), line_r_scale=np.ones(37))
