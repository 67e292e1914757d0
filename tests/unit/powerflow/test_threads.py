"""Large batches with switches of their own are cut into parts; nobody must notice."""

import numpy as np
import pytest

from gridenv.powerflow import PowerFlow, threads
from gridenv.powerflow.solver import PART


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_batch_shared_out_over_processors_is_the_same_bit_for_bit(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    power_flow = PowerFlow("ieee33", dtype)
    n_sample = 2 * PART
    rng = np.random.default_rng(5)
    switches = np.tile(power_flow.default_switches.astype(float), (n_sample, 1))
    switches[np.arange(n_sample), rng.integers(0, 37, n_sample)] = 0.0
    p_kw = power_flow.default_p_kw * rng.uniform(0.2, 1.2, (n_sample, 1))
    solutions = []
    for n_cpu in (1, 2):
        monkeypatch.setattr(threads, "_n_cpu", lambda n_cpu=n_cpu: n_cpu)
        solutions.append(power_flow.solve(p_kw, power_flow.default_q_kvar, switches=switches))
    one, two = solutions
    assert one.v_pu.dtype == two.v_pu.dtype == ("complex64" if dtype == "float32" else "complex128")
    np.testing.assert_array_equal(one.v_pu, two.v_pu)
    np.testing.assert_array_equal(one.iterations, two.iterations)
    assert np.all(one.converged)
    np.testing.assert_allclose(one.unserved_kw, two.unserved_kw)
