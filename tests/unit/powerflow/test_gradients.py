"""Derivatives through the solution against central differences of fourth order, in float64."""

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from gridenv.network import load_network
from gridenv.powerflow import PowerFlow
from tests.marks import slow
from tests.unit.network.small_networks import everything
from tests.unit.network.small_phase_networks import every_kind

# The difference of fourth order leaves 1e-12 of curvature, and the solver 1e-12 pu over a step of 1e-3.
RELATIVE = 1e-6
STEP = 2e-3
SIZE = {"taps": 0.3}
"""Share of the step that an input moves; a step of a tap is a large change."""
CASES: dict[str, Callable[[], Any]] = {
    "everything": everything,
    "cigre_mv": lambda: load_network("cigre_mv"),
    "every_kind": every_kind,
    "ieee13": lambda: load_network("ieee13"),
    "ieee34": lambda: load_network("ieee34"),
}
QUICK = ("every_kind", "ieee13")
"""Balanced and three-phase; the others are larger."""
INPUTS = ("p_kw", "q_kvar", "taps", "line_r_scale", "line_x_scale", "z_share", "i_share")
SHARES_ON_CONSTANT_POWER_ONLY = ("z_share", "i_share")


@cache
def power_flow_of(name: str, method: str = "auto") -> PowerFlow:
    return PowerFlow(CASES[name](), "float64", method, tolerance_pu=1e-12)


def inputs(power_flow: PowerFlow) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    n, n_line = len(power_flow.injection_names), len(power_flow.line_names)
    return {
        "p_kw": power_flow.default_p_kw * rng.uniform(0.7, 1.0, n),
        "q_kvar": power_flow.default_q_kvar * rng.uniform(0.7, 1.0, n),
        "taps": power_flow.default_taps + rng.uniform(-1.0, 1.0, len(power_flow.tap_names)),
        "line_r_scale": rng.uniform(0.9, 1.1, n_line),
        "line_x_scale": rng.uniform(0.9, 1.1, n_line),
        "z_share": rng.uniform(0.1, 0.4, n),
        "i_share": rng.uniform(0.1, 0.4, n),
    }


def directions(point: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A random direction for every input, of the size by which it may move."""
    rng = np.random.default_rng(2)
    sizes = {name: np.maximum(np.abs(value), 1.0) if "k" in name else 1.0 for name, value in point.items()}
    return {name: rng.normal(size=value.shape) * sizes[name] for name, value in point.items()}


def quantities(power_flow: PowerFlow, given: dict[str, Any]) -> Any:
    """[3] weighted voltage magnitudes, currents, and powers; differentiable in all inputs."""
    solution = power_flow.solve(**given)
    rng = np.random.default_rng(3)
    v, current = jnp.abs(solution.v_pu), solution.line_current_a
    weight_v, weight_i = rng.uniform(-1, 1, v.shape), rng.uniform(0.1, 1, current.shape)
    # Only those that carry something: the magnitude of a current has a kink at zero.
    power = solution.loss_kw + 0.1 * solution.source_q_kvar + jnp.sum(solution.transformer_loading)
    return jnp.stack([jnp.sum(weight_v * v), jnp.sum(weight_i * jnp.where(current > 0.05, current, 0.0)), power])


def chosen_inputs(name: str) -> tuple[str, ...]:
    """The shares are for networks whose injections are given as constant power, as the balanced ones are."""
    three_phase = name in ("every_kind", "ieee13", "ieee34")
    return tuple(i for i in INPUTS if not (three_phase and i in SHARES_ON_CONSTANT_POWER_ONLY))


def fourth_order(function: Callable[[float], Any]) -> np.ndarray:
    one, two = (np.asarray(function(k * STEP)) - np.asarray(function(-k * STEP)) for k in (1, 2))
    return (8.0 * one - two) / (12.0 * STEP)


@pytest.mark.parametrize("name", [n if n in QUICK else slow(n) for n in CASES])
def test_forward_and_reverse_derivatives_are_the_central_differences(name: str) -> None:
    power_flow = power_flow_of(name)
    everything_given = inputs(power_flow)
    point = {i: everything_given[i] for i in chosen_inputs(name) if everything_given[i].size}
    along = directions(point)
    with jax.enable_x64(True):
        point, along = (jax.tree.map(jnp.asarray, tree) for tree in (point, along))
        function = jax.jit(lambda given: quantities(power_flow, given))
        _, pull = jax.vjp(function, point)
        rows = [pull(jnp.eye(3)[k])[0] for k in range(3)]
        for one in point:
            moved = {other: along[one] if other == one else jnp.zeros_like(along[other]) for other in point}
            forward = np.asarray(jax.jvp(function, (point,), (moved,))[1])
            reverse = np.array([float(jnp.sum(row[one] * along[one])) for row in rows])
            difference = fourth_order(
                lambda t, one=one: function({**point, one: point[one] + t * SIZE.get(one, 1.0) * along[one]})
            ) / SIZE.get(one, 1.0)
            scale = np.abs(difference) + 1e-3 * np.abs(np.asarray(function(point)))
            assert np.all(np.abs(forward - difference) <= RELATIVE * scale), (one, forward, difference)
            assert np.all(np.abs(reverse - forward) <= 1e-8 * scale), (one, forward, reverse)
            assert np.all(difference != 0.0), one


@pytest.mark.parametrize("name", [slow("everything"), "ieee34"])
def test_gradient_of_a_cut_network_is_that_of_one_matrix(name: str) -> None:
    with jax.enable_x64(True):
        gradients = []
        for method in ("dense", "sparse", "newton"):
            power_flow = power_flow_of(name, method)
            point = {i: jnp.asarray(inputs(power_flow)[i]) for i in ("p_kw", "q_kvar", "taps", "line_r_scale")}
            gradients.append(jax.grad(lambda given, pf=power_flow: jnp.sum(quantities(pf, given)))(point))
    for other in gradients[1:]:
        for one, expected in gradients[0].items():
            size = np.abs(expected).max()
            np.testing.assert_allclose(other[one], expected, rtol=1e-6, atol=1e-7 * size, err_msg=one)


def test_batched_jitted_and_mapped_gradients_are_those_of_single_samples() -> None:
    power_flow = power_flow_of("everything")
    rng = np.random.default_rng(5)
    with jax.enable_x64(True):
        taps = jnp.asarray(rng.uniform(-2.0, 2.0, (4, 2)))
        p_kw = jnp.asarray(power_flow.default_p_kw * rng.uniform(0.2, 1.0, (4, 6)))

        def loss_kw(taps: Any, p_kw: Any) -> Any:
            return power_flow.solve(p_kw, jnp.asarray(power_flow.default_q_kvar), taps=taps).loss_kw

        single = [jax.grad(loss_kw, (0, 1))(t, p) for t, p in zip(taps, p_kw, strict=True)]
        mapped = jax.jit(jax.vmap(jax.grad(loss_kw, (0, 1))))(taps, p_kw)
        batched = jax.grad(lambda t, p: jnp.sum(loss_kw(t, p)), (0, 1))(taps, p_kw)
    for k in range(2):
        expected = np.stack([g[k] for g in single])
        np.testing.assert_allclose(mapped[k], expected, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(batched[k], expected, rtol=1e-8, atol=1e-10)


@pytest.mark.slow
def test_gradient_with_switches_as_data_is_that_of_the_network_as_built() -> None:
    power_flow = power_flow_of("everything")
    with jax.enable_x64(True):
        point = {i: jnp.asarray(inputs(power_flow)[i]) for i in ("p_kw", "q_kvar", "taps")}
        switches = jnp.asarray(power_flow.default_switches, float)
        built = jax.grad(lambda given: power_flow.solve(**given).loss_kw)(point)
        switched = jax.grad(lambda given: power_flow.solve(**given, switches=switches).loss_kw)(point)
    for one, expected in built.items():
        np.testing.assert_allclose(switched[one], expected, rtol=1e-6, atol=1e-8, err_msg=one)
