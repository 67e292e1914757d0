"""Curves of inverters as columns of the load slots."""

import numpy as np

from gridenv.network import compile_network
from gridenv.powerflow.droop import VoltageCurves, curve_problems, host_droop
from tests.unit.network.small_phase_networks import S_BASE_KVA, every_kind

VOLT_VAR = ((0.9, 0.5), (1.1, -0.5))
VOLT_WATT = ((1.0, 1.0), (1.05, 0.5), (1.1, 0.0))


def test_every_leg_has_its_share_of_the_curves_whatever_their_order():
    names = ("between", "wye")
    network = compile_network(every_kind(), apart=names)
    curves = [
        VoltageCurves(injection="between", s_rated_kva=8.0, volt_watt=VOLT_WATT),
        VoltageCurves(injection="wye", s_rated_kva=30.0, volt_var=VOLT_VAR),
    ]
    droop = host_droop(network, curves)
    again = host_droop(network, curves[::-1])
    assert droop is not None
    # Injections of the network: wye (three legs), delta, one, between (one leg).
    wye, between = ((network.loads.member == number).any(axis=1) for number in (0, 3))
    assert (wye.sum(), between.sum()) == (3, 1)
    np.testing.assert_array_equal(droop.active, np.where(wye | between, 1.0, 0.0))
    np.testing.assert_allclose(droop.s_max[wye], 10.0 / S_BASE_KVA)
    np.testing.assert_allclose(droop.q[:, wye], np.tile([[5.0], [-5.0], [-5.0]], 3) / S_BASE_KVA)
    np.testing.assert_allclose(droop.v_var[:, wye], np.tile([[0.9], [1.1], [1.1]], 3))
    np.testing.assert_allclose(droop.p_limit[:, between], np.array([[8.0], [4.0], [0.0]]) / S_BASE_KVA)
    # Between conductors of 1 kV to ground, the rated voltage of this storage unit.
    np.testing.assert_allclose(droop.v_rated[between], np.sqrt(3.0))
    for name in vars(droop):
        np.testing.assert_array_equal(getattr(droop, name), getattr(again, name))


def test_curves_of_one_injection_that_come_twice_are_named_once():
    twice = [VoltageCurves(injection="a", s_rated_kva=1.0)] * 3
    assert curve_problems(twice, ("a", "b")) == [
        "power flow: injection 'a' has curves 3 times; allowed: once",
    ]
