"""The networks that power flow is measured on, and with how many samples."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.bench.circuit import OWN_CIRCUIT, TWIN, Circuit, circuit_of

CASES = (
    "ieee33",
    "simbench:1-LV-rural3--0-sw",
    "simbench:1-MVLV-rural-all-0-sw",
    "simbench:1-MVLV-urban-all-0-sw",
    "ieee123",
    "european_lv",
)
SWITCHED_CASE = "ieee33"
"""Where samples with topologies of their own and gradients are measured too."""
LARGE_NODES = 2000
"""Balanced networks of this size get smaller batches."""
SMALL_BATCHES, LARGE_BATCHES, PHASE_BATCHES = (1, 64, 1024, 8192), (1, 64, 256), (1, 64, 1024)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network to measure, as tables for our own engine and as a circuit for all."""

    spec: Any
    circuit: Circuit


def load_cases(name: str) -> tuple[list[Case], list[str]]:
    """The network of the catalogue, three-phase ones also as their twin; and why there is no twin.

    Raises:
        NetworkError: if there is no such network.
        MissingExtraError: if it needs a package that is not installed.
    """
    from gridenv.network import load_network
    from gridenv.network.phase_tables import PhaseNetworkSpec

    spec: Any = load_network(name)
    if isinstance(spec, PhaseNetworkSpec):
        return phase_cases(spec, name)
    return [_case(spec, name, OWN_CIRCUIT)], []


def phase_cases(spec: Any, name: str) -> tuple[list[Case], list[str]]:
    """A three-phase network as it is, without controls, and its twin, or why there is none."""
    from experiments.bench.twin import three_phase_twin, twin_problems

    plain = without_controls(spec)
    problems = list(twin_problems(plain))
    twins = [] if problems else [_case(three_phase_twin(plain), name, TWIN)]
    return [_case(plain, name, OWN_CIRCUIT), *twins], problems


def without_controls(spec: Any) -> Any:
    """Taps and capacitors as built, and load models that hold at every voltage."""
    from gridenv.network.phase_tables import CapacitorControlTable, PhaseInjectionTable, RegulatorTable

    loads, n = spec.injections, len(spec.injections)
    unlimited = PhaseInjectionTable(**(vars(loads) | _no_limits(n)))
    return spec.replace(regulators=RegulatorTable(), capacitor_controls=CapacitorControlTable(), injections=unlimited)


def default_batches(circuit: Circuit) -> tuple[int, ...]:
    """Batch sizes for a kind and size of network."""
    if circuit.n_phase > 1:
        return PHASE_BATCHES
    return LARGE_BATCHES if circuit.n_node >= LARGE_NODES else SMALL_BATCHES


def _no_limits(n: int) -> dict[str, Any]:
    return {"v_min_pu": np.zeros(n), "v_max_pu": np.full(n, np.inf), "v_low_pu": np.zeros(n)}


def _case(spec: Any, name: str, variant: str) -> Case:
    return Case(spec=spec, circuit=circuit_of(spec, name, variant))
