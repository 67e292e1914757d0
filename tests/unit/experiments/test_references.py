"""Results of references that are kept."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from agents import registry
from experiments import references
from experiments.rollout import run_episodes
from gridenv.tasks.volt_var import VoltVarConfig
from tests.environments import functional
from tests.marks import slow

NOON = 48
OBSERVED = {"observed_buses": ("18",), "forecast_steps": 4, "forecast": "noisy", "forecast_error": 0.2}


def test_what_agents_observe_is_no_part_of_what_a_reference_depends_on() -> None:
    def key(**settings) -> str:
        return references._key("VoltVar-IEEE33-v0", VoltVarConfig(**settings), "test", "oracle")

    assert key() == key(**OBSERVED)
    assert len({key(), key(load_scale=1.1), key(source_v_pu=1.02), key(cost_weights={"v_band": 123.0})}) == 4


@pytest.mark.parametrize("name", ["none", "rule", slow("oracle")])
def test_references_look_at_nothing_that_agents_observe(name: str) -> None:
    def returns(**settings) -> np.ndarray:
        env, params = functional("VoltVar-IEEE33-v0", split="test", steps_per_episode=8, **settings)
        params = replace(params, starts=params.starts[:2] + NOON)
        return run_episodes(env, params, registry.make_reference(name, env, params)).return_eur

    assert returns() == pytest.approx(returns(**OBSERVED), rel=1e-6)


def test_only_predictive_control_depends_on_its_own_sources() -> None:
    """What imports them would be left stale when they change."""
    modules = {path.removesuffix(".py").replace("/", ".") for path in references._PREDICTIVE}
    others = {e.controller.split(":")[0] for name, e in registry.REFERENCES.items() if name != "mpc"}
    asked = f"import sys, {', '.join(others)}, experiments.rollout; print(sorted({modules} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert registry.REFERENCES["mpc"].controller.split(":")[0] in modules
