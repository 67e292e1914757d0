"""The power flow against published results, closed forms and its own promises about batches and failures."""

import pickle

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from gridenv.core.errors import ActionError, ConfigError, NetworkError
from gridenv.network import BusTable, InjectionTable, LineTable, NetworkSpec, SourceTable, load_network
from gridenv.powerflow import PowerFlow
from tests.marks import slow

KW_PER_MW = 1000.0


@pytest.fixture(scope="module")
def exact() -> PowerFlow:
    return PowerFlow("ieee33", dtype="float64")


@pytest.fixture(scope="module")
def fast() -> PowerFlow:
    return PowerFlow("ieee33")


def _scaled(power_flow: PowerFlow, *scales: float):
    factors = np.array(scales)[:, None]
    return power_flow.solve(power_flow.default_p_kw * factors, power_flow.default_q_kvar * factors)


def test_ieee33_base_case_has_the_published_losses_and_lowest_voltage(exact: PowerFlow) -> None:
    solution = exact.solve(exact.default_p_kw, exact.default_q_kvar)
    v_pu = np.abs(solution.v_pu)
    assert float(solution.loss_kw) == pytest.approx(202.677, abs=1e-3)
    assert v_pu.min() == pytest.approx(0.91309, abs=1e-5)
    assert exact.node_names[int(v_pu.argmin())] == "18"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_heavy_load_is_solved_and_impossible_load_is_reported_in_the_same_batch(dtype: str) -> None:
    # Continuation finds the limit at 3.63 times the base load; 3.8, 5 and 8 have no solution.
    power_flow = PowerFlow("ieee33", dtype=dtype)
    solution = _scaled(power_flow, 1.0, 3.8, 2.0, 3.0, 5.0, 3.6, 8.0)
    np.testing.assert_array_equal(solution.converged, [True, False, True, True, False, True, False])
    feasible = np.array([0, 2, 3, 5])
    np.testing.assert_allclose(np.asarray(solution.loss_kw)[feasible], [202.677, 975.7, 2955.5, 6941.0], rtol=1e-3)
    # The tolerance of 1e-6 pu of voltage times the 3 MVA that the largest load draws at half of its voltage.
    assert np.all(np.asarray(solution.residual_pu)[feasible] < 1e-5)
    assert np.all(np.asarray(solution.residual_pu)[[1, 4, 6]] > 1e-2)


def test_a_sample_without_solution_does_not_change_the_others(fast: PowerFlow) -> None:
    rng = np.random.default_rng(3)
    scale = rng.uniform(0.2, 1.5, (300, 1))
    p_kw, q_kvar = fast.default_p_kw * scale, fast.default_q_kvar * scale
    alone = fast.solve(p_kw, q_kvar)
    p_kw[17] *= 20.0
    together = fast.solve(p_kw, q_kvar)
    others = np.arange(300) != 17
    assert not together.converged[17]
    assert np.all(together.converged[others])
    np.testing.assert_array_equal(together.v_pu[others], alone.v_pu[others])
    assert np.all(np.isfinite(together.v_pu))


def test_hard_samples_are_iterated_by_themselves_to_the_right_solution(fast: PowerFlow) -> None:
    scale = np.where(np.arange(200) % 20 == 0, 3.6, 0.5)[:, None]
    solution = fast.solve(fast.default_p_kw * scale, fast.default_q_kvar * scale)
    assert np.all(solution.converged)
    np.testing.assert_allclose(solution.loss_kw[::20], 6941.0, rtol=1e-3)
    iterations = np.asarray(solution.iterations)
    assert iterations[::20].min() > 24
    assert iterations[1] < 10


def test_two_buses_agree_with_the_closed_form() -> None:
    # |V|^4 + (2 (r p + x q) - 1) |V|^2 + (r^2 + x^2)(p^2 + q^2) = 0 for a demand p + jq behind r + jx.
    r, x, p, q = 0.02, 0.05, 1.5, 0.5
    spec = NetworkSpec(
        name="two buses",
        buses=BusTable(id=("a", "b"), vn_kv=np.array([10.0, 10.0])),
        sources=SourceTable(id=("grid",), bus=("a",), v_pu=np.array([1.0])),
        lines=LineTable(
            id=("line.0",), from_bus=("a",), to_bus=("b",), r_ohm=np.array([r * 100.0]), x_ohm=np.array([x * 100.0])
        ),
        injections=InjectionTable(
            id=("load.0",),
            bus=("b",),
            kind=("load",),
            p_kw=np.array([-p * KW_PER_MW]),
            q_kvar=np.array([-q * KW_PER_MW]),
        ),
    )
    power_flow = PowerFlow(spec, dtype="float64")
    solution = power_flow.solve(power_flow.default_p_kw, power_flow.default_q_kvar)
    b = 2 * (r * p + x * q) - 1
    v_squared = (-b + np.sqrt(b * b - 4 * (r * r + x * x) * (p * p + q * q))) / 2
    assert float(np.abs(solution.v_pu[1])) == pytest.approx(np.sqrt(v_squared), abs=1e-9)
    assert float(solution.loss_kw) == pytest.approx(r * (p * p + q * q) / v_squared * KW_PER_MW, rel=1e-7)
    np.testing.assert_allclose(solution.source_q_kvar, q * KW_PER_MW + float(solution.loss_kw) * x / r, rtol=1e-7)


def test_residual_is_the_power_mismatch_at_the_returned_voltages(exact: PowerFlow) -> None:
    loose = PowerFlow("ieee33", dtype="float64", tolerance_pu=1e-3)
    solution = _scaled(loose, 2.5)
    network = exact.network
    v_node = np.asarray(solution.v_pu)[0]
    s_pu = v_node * np.conj(network.y_full @ v_node)
    asked = (2.5 * (exact.default_p_kw + 1j * exact.default_q_kvar)) / network.s_base_kva
    mismatch = np.abs(s_pu[1:] - asked).max()
    assert 1e-6 < mismatch < 1e-2
    assert float(solution.residual_pu[0]) == pytest.approx(mismatch, rel=1e-6)


def test_reverse_flow_raises_voltages_and_feeds_the_grid(exact: PowerFlow) -> None:
    solution = exact.solve(-exact.default_p_kw, np.zeros(32))
    assert float(solution.source_p_kw) < -3000.0
    assert np.abs(solution.v_pu).max() > 1.0
    assert float(solution.loss_kw) > 0.0


def test_any_leading_axes_and_jit_and_vmap_give_the_same_voltages(fast: PowerFlow) -> None:
    rng = np.random.default_rng(0)
    p_kw = (fast.default_p_kw * rng.uniform(0, 2, (2, 3, 32))).astype(np.float32)
    q_kvar = fast.default_q_kvar.astype(np.float32)
    expected = np.stack([[fast.solve(row, q_kvar).v_pu for row in block] for block in p_kw])
    np.testing.assert_allclose(fast.solve(p_kw, q_kvar).v_pu, expected, atol=3e-7)
    np.testing.assert_allclose(jax.jit(fast.solve)(p_kw, q_kvar).v_pu, expected, atol=3e-7)
    mapped = jax.vmap(lambda p: fast.solve(p, jnp.asarray(q_kvar)).v_pu)(jnp.asarray(p_kw[0]))
    np.testing.assert_allclose(mapped, expected[0], atol=3e-7)


def test_start_from_a_near_solution_needs_fewer_iterations(exact: PowerFlow) -> None:
    cold = _scaled(exact, 1.0)
    factors = np.array([[1.0]])
    warm = exact.solve(exact.default_p_kw * factors, exact.default_q_kvar * factors, start=cold)
    assert int(warm.iterations[0]) < int(cold.iterations[0])
    np.testing.assert_allclose(warm.v_pu, cold.v_pu, atol=1e-9)


@pytest.mark.parametrize("mode", [jax.jacfwd, jax.jacrev])
def test_derivatives_by_the_implicit_function_agree_with_finite_differences(exact: PowerFlow, mode) -> None:
    scale = 2.5
    with jax.enable_x64(True):
        q_kvar = jnp.asarray(exact.default_q_kvar * scale)
        p_kw = jnp.asarray(exact.default_p_kw * scale)

        def quantities(p_kw):
            solution = exact.solve(p_kw, q_kvar)
            return jnp.stack([jnp.abs(solution.v_pu[17]), jnp.abs(solution.v_pu[32]), solution.loss_kw])

        derivative = np.asarray(mode(quantities)(p_kw))
        step_kw = 1e-2
        for element in (0, 16, 31):
            nudge = jnp.zeros(32).at[element].set(step_kw)
            difference = (quantities(p_kw + nudge) - quantities(p_kw - nudge)) / (2 * step_kw)
            np.testing.assert_allclose(derivative[:, element], difference, rtol=1e-5, atol=1e-12)


def test_float64_leaves_jax_configuration_alone(exact: PowerFlow) -> None:
    solution = _scaled(exact, 1.0)
    assert solution.v_pu.dtype == np.complex128
    assert jnp.asarray(1.0).dtype == np.float32


def test_wrong_length_nan_and_infinity_are_refused_by_name(fast: PowerFlow) -> None:
    p_kw, q_kvar = fast.default_p_kw.copy(), fast.default_q_kvar.copy()
    with pytest.raises(ActionError, match=r"p_kw has shape \(31,\); its last axis must have 32 entries"):
        fast.solve(p_kw[:-1], q_kvar)
    p_kw[4] = np.nan
    q_kvar[7] = np.inf
    with pytest.raises(ActionError, match=r"p_kw of 'load.6' is nan; it must be finite") as error:
        fast.solve(p_kw, q_kvar)
    assert "q_kvar of 'load.9' is inf" in str(error.value)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch", [1, slow(3), slow(65), 200, slow(1024)])
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_a_sample_that_is_not_a_number_is_the_only_one_not_converged(dtype: str, batch: int, bad: float) -> None:
    power_flow = PowerFlow("ieee33", dtype)
    with power_flow.precision():
        p_kw = jnp.tile(jnp.asarray(power_flow.default_p_kw, dtype), (batch, 1)).at[batch // 2, 5].set(bad)
        solution = power_flow.solve(p_kw, power_flow.default_q_kvar)
    expected = np.arange(batch) != batch // 2
    np.testing.assert_array_equal(solution.converged, expected)
    assert np.all(np.isfinite(solution.v_pu))
    assert np.all(np.asarray(solution.residual_pu)[expected] < 1e-5)
    assert not np.any(np.asarray(solution.residual_pu)[~expected] < 1e-5)


def test_gradients_are_right_next_to_a_sample_that_is_not_a_number(exact: PowerFlow) -> None:
    with jax.enable_x64(True):
        p_kw = jnp.tile(jnp.asarray(exact.default_p_kw), (2, 1))
        gradient = jax.grad(lambda p: exact.solve(p, exact.default_q_kvar).loss_kw[0])
        alone, together = gradient(p_kw), gradient(p_kw.at[1, 5].set(jnp.nan))
    np.testing.assert_allclose(together[0], alone[0], rtol=1e-7)


def test_quantities_asked_for_inside_jit_leave_the_solution_usable(fast: PowerFlow) -> None:
    solution = _scaled(fast, 1.0)
    jax.jit(lambda x: x + solution.loss_kw)(1.0)
    assert float(solution.loss_kw[0]) == pytest.approx(202.677, rel=1e-4)


def test_power_flow_and_solution_survive_pickling(fast: PowerFlow) -> None:
    solution = pickle.loads(pickle.dumps(_scaled(fast, 1.0)))
    np.testing.assert_array_equal(solution.v_pu, _scaled(fast, 1.0).v_pu)
    np.testing.assert_array_equal(_scaled(solution.power_flow, 2.0).loss_kw, _scaled(fast, 2.0).loss_kw)


def test_no_samples_and_no_loads_are_no_error(fast: PowerFlow) -> None:
    assert fast.solve(np.zeros((0, 32)), np.zeros((0, 32))).v_pu.shape == (0, 33)
    spec = load_network("ieee33")
    empty = PowerFlow(spec.replace(injections=InjectionTable()))
    solution = empty.solve(np.zeros((2, 0)), np.zeros((2, 0)))
    assert np.all(solution.converged)
    np.testing.assert_allclose(np.abs(solution.v_pu), 1.0, atol=1e-6)
    np.testing.assert_allclose(solution.loss_kw, 0.0, atol=1e-3)


def test_what_is_no_network_no_start_and_no_power_is_refused(fast: PowerFlow, exact: PowerFlow) -> None:
    with pytest.raises(NetworkError, match=r"network is a dict; allowed: a catalogue name, a NetworkSpec or a Phase"):
        PowerFlow({})
    with pytest.raises(ActionError, match=r"start has 32 injection nodes in float64, this network 32 in float32"):
        fast.solve(fast.default_p_kw, fast.default_q_kvar, start=exact.solve(exact.default_p_kw, exact.default_q_kvar))
    with pytest.raises(ActionError, match=r"p_kw is not made of real numbers \(dtype kind 'c'\)"):
        fast.solve(fast.default_p_kw + 0j, fast.default_q_kvar)


def test_batches_that_do_not_fit_together_are_refused(fast: PowerFlow) -> None:
    one, three, four = (np.tile(fast.default_p_kw, (n, 1)) for n in (1, 3, 4))
    with pytest.raises(ActionError, match=r"batches do not fit together: p_kw \(3,\), q_kvar \(4,\); allowed: equal"):
        fast.solve(three, four)
    with pytest.raises(ActionError, match=r"p_kw \(3,\), q_kvar \(1,\), z_share \(4,\)"):
        fast.solve(three, one, z_share=np.zeros_like(four))
    start = fast.solve(three, one)
    with pytest.raises(ActionError, match=r"p_kw \(1,\), q_kvar \(1,\), start \(3,\)"):
        fast.solve(one, one, start=start)
    np.testing.assert_allclose(fast.solve(three, one, start=start).v_pu, start.v_pu, rtol=0, atol=1e-6)
    np.testing.assert_allclose(fast.solve(three, one, start=fast.solve(one, one)).v_pu, start.v_pu, rtol=0, atol=1e-6)


def test_float64_inside_a_float32_trace_says_what_to_do(exact: PowerFlow) -> None:
    with pytest.raises(ConfigError, match=r"put jit, vmap or grad inside `with jax.enable_x64\(True\):`"):
        jax.jit(lambda p: exact.solve(p, exact.default_q_kvar).loss_kw)(exact.default_p_kw)


def test_dtype_may_be_a_numpy_type() -> None:
    assert PowerFlow("ieee33", np.float64).dtype == "float64"


def test_settings_are_checked_together() -> None:
    with pytest.raises(ConfigError) as error:
        PowerFlow("ieee33", dtype="float16", method="newtom", tolerance_pu=-1.0, max_iterations=0)
    for part in ("unknown dtype 'float16'", "unknown method 'newtom'", "tolerance_pu must be > 0", "max_iterations"):
        assert part in str(error.value)


def test_a_network_can_be_given_as_tables_or_by_name(fast: PowerFlow) -> None:
    assert PowerFlow(load_network("ieee33")).injection_names == fast.injection_names
    assert fast.switch_names == tuple(f"line.{i}" for i in range(1, 38))
    assert fast.default_switches.sum() == 32
