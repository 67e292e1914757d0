"""Every bundled network, with every power-flow method."""

import pkgutil

import numpy as np
import pytest

from gridenv.network import cases, compile_network, list_networks, load_network, validate
from gridenv.powerflow import PowerFlow
from gridenv.powerflow.door import METHODS

CASES = tuple(module.name for module in pkgutil.iter_modules(cases.__path__))
every_case = pytest.mark.parametrize("name", CASES)


def test_there_are_bundled_cases() -> None:
    assert CASES


@every_case
def test_every_case_is_listed_with_a_description_and_named_as_its_file(name: str) -> None:
    assert list_networks()[name]
    assert load_network(name).name == name


@every_case
def test_every_case_is_valid_and_wholly_supplied(name: str) -> None:
    spec = load_network(name)
    validate(spec)
    network = compile_network(spec)
    assert network.energised.all()
    assert np.isfinite(network.w).all()
    assert len(network.injection_names) == len(set(network.injection_names)) > 0


@every_case
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("method", METHODS)
def test_every_case_solves_at_its_own_injections(name: str, method: str, dtype: str) -> None:
    power_flow = PowerFlow(name, dtype, method)
    solution = power_flow.solve(power_flow.default_p_kw, power_flow.default_q_kvar)
    assert bool(solution.converged)
    # In float32 a voltage is known to about 1e-6, and power with it, on the scale of the network's own power.
    scale_pu = np.abs(power_flow.default_p_kw).sum() / power_flow.network.s_base_kva
    assert float(solution.residual_pu) < max(1.0, scale_pu) * (1e-5 if dtype == "float32" else 1e-9)
    assert np.all(np.abs(np.abs(solution.v_pu) - 1.0) < 0.2)
    # Power is conserved: what the source gives is what the injections take and the network loses.
    balance_kw = float(solution.source_p_kw) + power_flow.default_p_kw.sum() - float(solution.loss_kw)
    assert abs(balance_kw) < 1e-4 * np.abs(power_flow.default_p_kw).sum()
