"""Active power on lines and in transformers against sums over what is downstream."""

import numpy as np
import pytest

from gridenv.network import load_network
from gridenv.powerflow import PowerFlow, flows


def test_line_power_is_what_is_drawn_and_lost_downstream():
    spec = load_network("ieee33")
    power_flow = PowerFlow(spec)
    solution = power_flow.solve(power_flow.default_p_kw, power_flow.default_q_kvar)
    arrays = power_flow.arrays_for()
    power = np.asarray(flows.line_p_kw(arrays, solution.slot_current))
    lost = np.asarray(flows.line_loss_kw(arrays, solution.slot_current))
    drawn = dict.fromkeys(spec.buses.id, 0.0)
    for bus, p_kw in zip(spec.injections.bus, spec.injections.p_kw, strict=True):
        drawn[bus] -= p_kw
    # Lines are listed from the source outwards, and run that way.
    for i in reversed(range(32)):
        expected = drawn[spec.lines.to_bus[i]] + lost[i]
        assert power[i] == pytest.approx(expected, rel=1e-4, abs=0.01)
        drawn[spec.lines.from_bus[i]] += expected
    np.testing.assert_allclose(power[32:], 0.0, atol=1e-3)


def test_transformer_power_enters_at_one_side_and_leaves_at_the_other_but_for_the_losses():
    power_flow = PowerFlow(load_network("ieee13"))
    solution = power_flow.solve(power_flow.default_p_kw, power_flow.default_q_kvar)
    arrays = power_flow.arrays_for()
    power = np.asarray(flows.transformer_p_kw(arrays, solution.slot_current))
    substation = power[power_flow.network.circuit.transformers.names.index("transformer.sub")]
    assert substation[substation > 0].sum() == pytest.approx(float(solution.source_p_kw), rel=1e-4)
    loss_kw = np.asarray(flows.transformer_loss_kw(arrays, solution.slot_current))
    np.testing.assert_allclose(power.sum(axis=-1), loss_kw, atol=1e-3)
    assert np.all(loss_kw > -0.05)
