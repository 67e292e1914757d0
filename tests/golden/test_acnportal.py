"""Charging in closed form against recorded results of acnportal's Linear2StageBattery."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from gridenv.exogenous.cccv import charged_kwh

FOLDER = Path(__file__).parent / "ev"
WATTS_PER_KW = 1000.0
MINUTES_PER_HOUR = 60.0


def cases() -> dict[str, np.ndarray]:
    with np.load(FOLDER / "linear_2_stage_battery.npz") as file:
        return dict(file)


def arguments(case: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    p_pilot_kw = case["pilot_a"] * case["voltage_v"] / WATTS_PER_KW
    hours = case["minutes"] / MINUTES_PER_HOUR
    return case["e_kwh"], case["battery_kwh"], case["p_cc_kw"], p_pilot_kw, case["transition_soc"], hours


def mean_current_a(case: dict[str, np.ndarray], charged: np.ndarray) -> np.ndarray:
    return charged / (case["minutes"] / MINUTES_PER_HOUR) * WATTS_PER_KW / case["voltage_v"]


def test_cccv_numpy_agrees_with_acnportal_in_10000_random_cases():
    case = cases()
    charged = charged_kwh(*arguments(case))
    assert len(charged) == 10_000
    np.testing.assert_allclose(mean_current_a(case, charged), case["rate_a"], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(case["e_kwh"] + charged, case["e_after_kwh"], rtol=0, atol=1e-6)


def test_cccv_jax_agrees_with_acnportal_in_10000_random_cases():
    case = cases()
    with jax.enable_x64(True):
        charged = np.asarray(jax.jit(charged_kwh)(*(jnp.asarray(x) for x in arguments(case))))
    assert charged.dtype == np.float64
    np.testing.assert_allclose(mean_current_a(case, charged), case["rate_a"], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(case["e_kwh"] + charged, case["e_after_kwh"], rtol=0, atol=1e-6)


def test_cccv_cases_reach_every_part_of_the_curve():
    case = cases()
    e_kwh, battery_kwh, p_cc_kw, p_pilot_kw, transition_soc, hours = arguments(case)
    pilot = np.minimum(p_pilot_kw, p_cc_kw)
    taper_from_kwh = battery_kwh * (1 - pilot / p_cc_kw * (1 - transition_soc))
    above = e_kwh > taper_from_kwh
    crossing = ~above & (e_kwh + pilot * hours > taper_from_kwh)
    assert min(above.sum(), crossing.sum(), (~above & ~crossing).sum(), (pilot == 0).sum()) > 150
    assert json.loads((FOLDER / "provenance.json").read_text())["version"].startswith("0.3.3")
