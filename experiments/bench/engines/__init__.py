"""Power-flow engines that are compared. A new peer is one new file and one entry here.

An engine is a `Subject` of `experiments.bench.worker`, made from a circuit, a tolerance and a number of threads. Its
`outcome` is an `Outcome`.
"""

import importlib.util
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from experiments.bench.circuit import BALANCED, THREE_PHASE, TWIN, Circuit

__all__ = ["ENGINES", "GRADIENT", "LOSS", "OWN", "REFERENCES", "Engine", "Outcome", "missing_package"]

OWN = "gridenv"
_LARGEST_DENSE = 7000
"""Nodes for which a dense complex matrix and its making stay below 4 GB."""
_SMALLEST_SPARSE = 1000
_NO_REPETITION = 2
"""Smallest batch of engines that start from their last solution: with one sample that would be the same."""
_ONE_BY_ONE = 64
"""Largest batch of engines that solve one sample after the other: larger ones take as long for each."""


class Outcome(NamedTuple):
    """What an engine found."""

    v_pu: np.ndarray
    """Complex voltages [sample, named node]."""
    failed: np.ndarray
    """[sample] that it gave up."""
    iterations: int | None = None
    """Of the sample that took most; None where it does not tell."""


@dataclass(frozen=True, kw_only=True)
class Engine:
    """One solver with one setting."""

    name: str
    subject: str
    """`module:class`, imported in the worker only."""
    distribution: str
    """Package whose version a row states."""
    module: str
    """Import name that shows whether it is installed."""
    dtype: str
    options: dict[str, Any] = field(default_factory=dict)
    kinds: tuple[str, ...] = (BALANCED,)
    """Kinds of circuits that it can solve."""
    min_nodes: int = 0
    max_nodes: int | None = None
    """Larger circuits are left out: they would take more than 4 GB."""
    threaded: bool = True
    """Whether more than one thread is of use to it."""
    min_batch: int = 1
    """Smaller batches are not measured."""
    max_batch: int | None = None
    """Larger batches are not measured: it solves one sample at a time."""
    needs_spec: bool = False
    """Whether it is given the tables of the network, too."""

    def takes(self, batch: int) -> bool:
        """Whether it is measured with a batch of this size."""
        return self.min_batch <= batch and (self.max_batch is None or batch <= self.max_batch)

    def why_not(self, circuit: Circuit) -> str | None:
        """Why it does not solve a circuit, worth a remark or empty; None if it does."""
        if circuit.kind not in self.kinds or circuit.n_node < self.min_nodes:
            return ""
        if self.max_nodes is not None and circuit.n_node > self.max_nodes:
            return f"its matrices for {circuit.n_node} nodes would take more than 4 GB"
        return None


def _own(dtype: str, subject: str = "GridEnvEngine", **options: Any) -> Engine:
    return Engine(
        name=OWN,
        subject=f"experiments.bench.engines.own:{subject}",
        distribution="gridenv",
        module="gridenv",
        dtype=dtype,
        options={"dtype": dtype, **options},
        kinds=(BALANCED, THREE_PHASE, TWIN),
        needs_spec=True,
    )


def _pgm(method: str) -> Engine:
    return Engine(
        name=f"power-grid-model {method}",
        subject="experiments.bench.engines.pgm:PowerGridModelEngine",
        distribution="power-grid-model",
        module="power_grid_model",
        dtype="float64",
        options={"method": method},
        kinds=(BALANCED, TWIN),
    )


def _tensor(name: str, algorithm: str, min_nodes: int = 0, max_nodes: int | None = None) -> Engine:
    return Engine(
        name=name,
        subject="experiments.bench.engines.tpf:TensorPowerFlowEngine",
        distribution="tensorpowerflow",
        module="tensorpowerflow",
        dtype="float64",
        options={"algorithm": algorithm},
        min_nodes=min_nodes,
        max_nodes=max_nodes,
    )


ENGINES: tuple[Engine, ...] = (
    _own("float32"),
    _own("float64"),
    _pgm("newton_raphson"),
    _pgm("iterative_current"),
    _tensor("tensorpowerflow", "tensor", max_nodes=_LARGEST_DENSE),
    _tensor("tensorpowerflow hp", "hp-tensor", min_nodes=_SMALLEST_SPARSE),
    Engine(
        name="lightsim2grid",
        subject="experiments.bench.engines.ls2g:LightSimEngine",
        distribution="lightsim2grid",
        module="lightsim2grid",
        dtype="float64",
    ),
    Engine(
        name="OpenDSS",
        subject="experiments.bench.engines.dss:OpenDssEngine",
        distribution="OpenDSSDirect.py",
        module="opendssdirect",
        dtype="float64",
        kinds=(BALANCED, THREE_PHASE, TWIN),
        threaded=False,
        min_batch=_NO_REPETITION,
        max_batch=_ONE_BY_ONE,
    ),
    Engine(
        name="pandapower",
        subject="experiments.bench.engines.pp:PandapowerEngine",
        distribution="pandapower",
        module="pandapower",
        dtype="float64",
        threaded=False,
        max_batch=1,
    ),
)

LOSS, GRADIENT = _own("float32", "LossEngine"), _own("float32", "LossEngine", gradient=True)
"""Forward pass of a loss, and the same with its gradient."""

REFERENCES: tuple[Engine, ...] = (_pgm("newton_raphson"),)
"""What voltages are compared with, run at a far smaller tolerance; where none can be, `Circuit.settled`."""


def missing_package(engine: Engine) -> str | None:
    """Why an engine cannot run here, or None."""
    if importlib.util.find_spec(engine.module) is not None:
        return None
    return f'package {engine.distribution} is not installed; pip install "gridenv[bench]"'
