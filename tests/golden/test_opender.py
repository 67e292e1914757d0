"""Inverters against EPRI's OpenDER: 10,000 settings settled, and two dozen inverters over time.

`opender/generate.py` made the recorded results; it needs OpenDER, these tests do not.
"""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from gridenv.core.units import SECONDS_PER_HOUR
from gridenv.devices import inverter
from gridenv.devices.family import Inputs
from gridenv.devices.inverter import InverterRequest
from gridenv.devices.inverter_spec import InverterSpec

FOLDER = Path(__file__).parent / "opender"
PROVENANCE = json.loads((FOLDER / "provenance.json").read_text())
MODES = ("constant_pf", "constant_q", "volt_var", "watt_var")
RESULTS = ("p_out", "q_out", "p_wanted")
S_KVA = 100.0
TOLERANCE = 1e-3
"""Share of the rating."""
KEPT_S = (0.475, 0.975)
"""Times within a second of OpenDER's kept results. Its filter takes an input that jumps between two samples
as a ramp between them, so to second order as a jump half-way: its samples lie at 0.025 s, 0.075 s and so on."""


def recorded(name):
    unit = PROVENANCE["unit_of_settings"]
    with np.load(FOLDER / name) as data:
        columns = {key: data[key] for key in data.files}
    is_plain = {key: key in RESULTS or value.dtype == np.int8 for key, value in columns.items()}
    return {key: value.astype(float) * (1 if is_plain[key] else unit) for key, value in columns.items()}


def specs_of(data, series, p_dc_kw):
    """The recorded inverters; default curves are left to the category, so that they are compared too."""

    def spec(i):
        numbers = {key: values[i].tolist() for key, values in data.items()}
        curves = {"volt_var_v_pu": "qv_v", "volt_var_q_share": "qv_q", "watt_var_p_share": "qp_p"}
        curves |= {"watt_var_q_share": "qp_q", "volt_watt_v_pu": "pv_v", "volt_watt_p_share": "pv_p"}
        times = {"q_response_s": "q_response_s", "volt_watt_response_s": "pv_response_s"}
        given = {} if numbers["is_default"] else {ours: tuple(numbers[theirs]) for ours, theirs in curves.items()}
        given |= {ours: numbers[theirs] for ours, theirs in times.items() if theirs in numbers}
        return InverterSpec(
            id=str(i),
            series=series[i],
            p_dc_kw=p_dc_kw[i],
            s_rated_kva=S_KVA,
            p_rated_kw=S_KVA * numbers["p_rated"],
            category="B" if numbers["is_b"] else "A",
            q_inject_max_kvar=S_KVA * numbers["q_inject_max"],
            q_absorb_max_kvar=S_KVA * numbers["q_absorb_max"],
            has_q_priority=bool(numbers["has_q_priority"]),
            has_q_at_night=bool(numbers["has_q_at_night"]),
            q_mode=MODES[int(numbers["mode"])],
            power_factor=numbers["power_factor"],
            is_absorbing=bool(numbers["is_absorbing"]),
            q_set_kvar=S_KVA * numbers["q_set"],
            has_volt_watt=bool(numbers["has_volt_watt"]),
            **given,
        )

    return [spec(i) for i in range(len(data["mode"]))]


@pytest.fixture(scope="module")
def steady():
    return recorded("steady.npz")


@pytest.fixture(scope="module")
def params(steady):
    p_dc_kw = S_KVA * steady["p_rated"] * steady["p_dc"]
    return inverter.inverter_params(specs_of(steady, ["available"] * len(p_dc_kw), p_dc_kw), ["available"])


@pytest.fixture(scope="module")
def ours(steady, params):
    """Our inverters in the recorded operating points, after a quarter of an hour."""
    p_limit = np.where(steady["has_p_limit"], steady["p_limit"], 1.0) * S_KVA * steady["p_rated"]
    inputs = Inputs(t=jnp.array(0), series=jnp.ones(1), v_pu=jnp.asarray(steady["v"], "float32"), dt_h=0.25)
    request = InverterRequest(p_limit_kw=jnp.asarray(p_limit, "float32"))
    return inverter.project(params, inverter.init(params, inputs.t), request, inputs)


def is_impossible(data):
    """Where OpenDER delivers what the inverter cannot: more than the available power or the rated apparent power.

    With active priority its eq. 3.9.1-7 sets active power to what the circle leaves beside the required reactive power,
    also where less is wanted; and its search for the point of a steep watt-var curve on the circle does not always end.
    """
    p, q = data["p_out"], data["q_out"]
    return (p > data["p_wanted"] * data["p_rated"] + 1e-4) | (np.hypot(p, q) > 1 + 1e-4)


def test_inverter_delivers_what_opender_does_for_ten_thousand_settings(steady, ours):
    is_compared = ~is_impossible(steady)
    assert is_compared.sum() >= 10_000
    assert (~is_compared).sum() <= 50
    d_p = np.abs(ours.p_kw / S_KVA - steady["p_out"])[is_compared]
    d_q = np.abs(ours.q_kvar / S_KVA - steady["q_out"])[is_compared]
    assert d_p.max() <= TOLERANCE
    assert d_q.max() <= TOLERANCE


def test_inverter_keeps_its_limits_where_opender_does_not(steady, ours):
    odd = is_impossible(steady)
    is_watt_var = steady["mode"] == MODES.index("watt_var")
    assert np.all(is_watt_var[odd] | (steady["has_q_priority"][odd] == 0))
    p_wanted_kw = S_KVA * steady["p_rated"] * steady["p_wanted"]
    np.testing.assert_array_less(ours.p_kw[odd], p_wanted_kw[odd] + 1e-3)
    # Nothing is given away either: the apparent power is used in full.
    np.testing.assert_allclose(np.hypot(ours.p_kw, ours.q_kvar)[odd], S_KVA, rtol=1e-5)


def test_inverter_defaults_are_those_of_opender_for_both_categories(steady, params):
    is_default = steady["is_default"] == 1
    assert {0.0, 1.0} == set(steady["is_b"][is_default].tolist())
    pairs = (("volt_var_v_pu", "qv_v"), ("volt_var_q_share", "qv_q"), ("watt_var_p_share", "qp_p"))
    pairs += (("watt_var_q_share", "qp_q"), ("volt_watt_v_pu", "pv_v"), ("volt_watt_p_share", "pv_p"))
    for mine, theirs in pairs:
        np.testing.assert_allclose(getattr(params, mine)[is_default], steady[theirs][is_default], atol=1e-6)


def over_time(data, n_parts):
    """Our powers [unit, moment] at the kept moments; each second is three stretches of `n_parts` equal steps."""
    series = [f"available.{i}" for i in range(len(data["mode"]))]
    params = inverter.inverter_params(specs_of(data, series, S_KVA * data["p_rated"]), series)
    p_dc, v_pu = (jnp.asarray(data[key].T, "float32") for key in ("p_dc", "v"))

    def go(state, second, dt_s):
        p_dc, v_pu = second
        inputs = Inputs(t=jnp.array(0), series=p_dc, v_pu=v_pu, dt_h=dt_s / SECONDS_PER_HOUR)
        feasible = inverter.project(params, state, InverterRequest(), inputs)
        return inverter.step(params, state, feasible, inputs), (feasible.p_kw, feasible.q_kvar)

    def one_second(state, second):
        kept = []
        for length_s, n in zip(np.diff((0.0, *KEPT_S, 1.0)).tolist(), n_parts, strict=True):
            state, powers = jax.lax.scan(lambda s, _, dt_s=length_s / n: go(s, second, dt_s), state, length=n)
            kept.append([power[-1] for power in powers])
        return state, [jnp.stack(power) for power in zip(*kept[:-1], strict=True)]

    # OpenDER starts settled in its first inputs.
    start, _ = go(inverter.init(params, jnp.array(0)), (p_dc[0], v_pu[0]), SECONDS_PER_HOUR)
    _, powers = jax.jit(lambda: jax.lax.scan(one_second, start, (p_dc, v_pu)))()
    return [np.asarray(power).reshape(-1, len(series)).T / S_KVA for power in powers]


def test_inverter_responds_over_time_as_opender_does():
    data = recorded("response.npz")
    p, q = over_time(data, (76, 80, 4))
    assert np.abs(p - data["p_out"]).max() <= TOLERANCE
    assert np.abs(q - data["q_out"]).max() <= TOLERANCE


def test_inverter_responds_as_opender_does_in_long_steps_unless_one_response_follows_another():
    data = recorded("response.npz")
    p, q = over_time(data, (1, 1, 1))
    follows_p = np.isin(data["mode"], [MODES.index("constant_pf"), MODES.index("watt_var")])
    is_single = ~(follows_p & (data["has_volt_watt"] == 1))
    assert np.abs(p - data["p_out"])[is_single].max() <= TOLERANCE
    assert np.abs(q - data["q_out"])[is_single].max() <= TOLERANCE
    # The response is what is tested: powers move between the moments of a second, in which nothing else changes.
    assert np.abs(data["q_out"][:, 1::2] - data["q_out"][:, ::2]).max() > 0.05
