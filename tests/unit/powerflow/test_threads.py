"""Large batches are cut into parts and shared out over processors; nobody must notice."""

import jax
import numpy as np
import pytest

from gridenv.powerflow import PowerFlow, Solution, solver, threads
from tests.marks import slow

N_SAMPLE = 203


def asked(power_flow: PowerFlow) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Powers, the same reactive power for all, and states of the switches that differ."""
    rng = np.random.default_rng(5)
    n_switch = len(power_flow.switch_names)
    switches = np.tile(power_flow.default_switches.astype(float), (N_SAMPLE, 1))
    switches[np.arange(N_SAMPLE), rng.integers(0, n_switch, N_SAMPLE)] = 0.0
    p_kw = power_flow.default_p_kw * rng.uniform(0.2, 1.2, (N_SAMPLE, 1))
    return p_kw, power_flow.default_q_kvar, switches


def assert_same(one: Solution, other: Solution) -> None:
    """To rounding: how XLA orders additions depends on the size of a slice."""
    tolerance = one.power_flow.tolerance_pu
    np.testing.assert_allclose(one.v_pu, other.v_pu, rtol=0, atol=tolerance)
    np.testing.assert_allclose(one.slot_current, other.slot_current, rtol=0, atol=tolerance)
    np.testing.assert_array_equal(one.converged, other.converged)
    np.testing.assert_allclose(one.unserved_kw, other.unserved_kw, rtol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "n_cpu"),
    [
        ("float32", 2),
        ("float64", 7),
        *(slow(*pair) for pair in (("float64", 2), ("float32", 3), ("float64", 3), ("float32", 7))),
    ],
)
def test_batch_shared_out_over_processors_is_the_same(dtype: str, n_cpu: int, monkeypatch: pytest.MonkeyPatch) -> None:
    power_flow = PowerFlow("ieee33", dtype, "sparse")
    p_kw, q_kvar, switches = asked(power_flow)
    # So small a batch as a test has is shared out only if slices may be tiny; 203 is divisible by 7, not by 2 and 3.
    monkeypatch.setattr(threads, "LEAST_WORK", 1)
    for given in ({"switches": switches}, {}):
        monkeypatch.setattr(threads, "_n_cpu", lambda: 1)
        alone = power_flow.solve(p_kw, q_kvar, **given)
        monkeypatch.setattr(threads, "_n_cpu", lambda: n_cpu)
        shared = power_flow.solve(p_kw, q_kvar, **given)
        assert shared.v_pu.dtype == ("complex64" if dtype == "float32" else "complex128")
        assert np.all(alone.converged)
        assert_same(shared, alone)


def solved_in_parts(method: str, size: int) -> Solution:
    power_flow = PowerFlow("ieee33", method="sparse")
    p_kw, q_kvar, switches = asked(power_flow)
    given = {"switches": switches} if method == "switches" else {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(solver, "part_size", lambda flow: size)
        # Compiled programs do not know that the size has changed.
        jax.clear_caches()
        found = power_flow.solve(p_kw, q_kvar, **given)
    jax.clear_caches()
    return found


@pytest.fixture(scope="module")
def whole() -> dict[str, Solution]:
    """The batch in one part."""
    return {method: solved_in_parts(method, N_SAMPLE) for method in ("sparse", "switches")}


@pytest.mark.parametrize("method", ["sparse", "switches"])
@pytest.mark.parametrize("size", [slow(1), 50, slow(203), slow(400)])
def test_batch_solved_in_parts_is_the_same(method: str, size: int, whole: dict[str, Solution]) -> None:
    assert_same(whole[method], solved_in_parts(method, size))


def test_parts_of_large_networks_are_small() -> None:
    arrays = PowerFlow("european_lv").arrays
    assert solver.part_size(arrays) == solver.PART_SPAN[1]
    assert solver.part_size(PowerFlow("ieee33").arrays) is None
