"""Power-flow engines that are compared. A new peer is one new file and one entry here.

An engine is a `Subject` of `experiments.bench.worker`, made from a circuit, a tolerance and a number of threads. Its
`outcome` is the pair (complex bus voltages [sample, bus], flags of the samples that it gave up [sample]).
"""

import importlib.util
from dataclasses import dataclass, field
from typing import Any

__all__ = ["ENGINES", "OWN", "REFERENCES", "Engine", "missing_package"]

OWN = "gridenv"


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
    threaded: bool = True
    """Whether more than one thread is of use to it."""
    max_batch: int | None = None
    """Larger batches are not measured: it solves one sample at a time."""


def _own(dtype: str, **options: Any) -> Engine:
    return Engine(
        name=OWN,
        subject="experiments.bench.engines.own:GridEnvEngine",
        distribution="gridenv",
        module="gridenv",
        dtype=dtype,
        options={"dtype": dtype, **options},
    )


def _pgm(method: str) -> Engine:
    return Engine(
        name=f"power-grid-model {method}",
        subject="experiments.bench.engines.pgm:PowerGridModelEngine",
        distribution="power-grid-model",
        module="power_grid_model",
        dtype="float64",
        options={"method": method},
    )


ENGINES: tuple[Engine, ...] = (
    _own("float32"),
    _own("float64"),
    _pgm("newton_raphson"),
    _pgm("iterative_current"),
    Engine(
        name="tensorpowerflow",
        subject="experiments.bench.engines.tpf:TensorPowerFlowEngine",
        distribution="tensorpowerflow",
        module="tensorpowerflow",
        dtype="float64",
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

REFERENCES: tuple[Engine, ...] = (_pgm("newton_raphson"), _own("float64"))
"""What voltages are compared with, run at a far smaller tolerance; the first that is installed."""


def missing_package(engine: Engine) -> str | None:
    """Why an engine cannot run here, or None."""
    if importlib.util.find_spec(engine.module) is not None:
        return None
    return f'package {engine.distribution} is not installed; pip install "gridenv[bench]"'
