"""What only our own engine does: topologies of each sample's own, and gradients."""

import inspect

import numpy as np

from experiments.bench.cases import SWITCHED_CASE, Case
from experiments.bench.circuit import OWN_CIRCUIT, Complex, circuit_of
from experiments.bench.contest import Bar, Contest
from experiments.bench.engines import ENGINES, GRADIENT, LOSS
from experiments.bench.plan import Plan
from experiments.bench.powerflow import SEED, Entry, contestant, ratio_of_medians, solve_row
from experiments.bench.rows import Row
from experiments.bench.samples import Samples, random_samples, with_random_trees

SWITCHES = "random topologies"
FORWARD = "loss"
WITH_GRADIENT = "loss and gradient"
SWITCHES_BATCH = 4096
GRADIENT_BATCH = 96
"""A day of quarter hours."""
_REFERENCES = 16
"""Samples with topologies of their own that are compared with their own circuits."""


def measure_extras(plan: Plan, case: Case, tolerance: float, bar: Bar) -> list[Row]:
    """Rows for random radial topologies, and for a loss over a day without and with its gradient.

    Batches are no larger than the largest of the plan.

    Raises:
        WorkerError: if our own solver failed.
    """
    if (case.circuit.case, case.circuit.variant) != (SWITCHED_CASE, OWN_CIRCUIT):
        return []
    result = _measure_gradient(plan, case, tolerance, bar)
    if takes_switches():
        return [*_measure_switches(plan, case, tolerance, bar), *result]
    bar.note("left out: topologies of each sample's own: PowerFlow.solve takes no switches yet")
    return result


def takes_switches() -> bool:
    """Whether switch states are an input of our solver."""
    from gridenv.powerflow import PowerFlow

    return "switches" in inspect.signature(PowerFlow.solve).parameters


def switched_reference(case: Case, samples: Samples) -> Complex:
    """Voltages [sample, named node], each sample solved on a circuit of its own."""
    assert samples.switches is not None
    result = []
    for k in range(len(samples)):
        spec = case.spec.with_switches(dict(zip(case.spec.switch_names, samples.switches[k].tolist(), strict=True)))
        alone = Samples(p_kw=samples.p_kw[[k]], q_kvar=samples.q_kvar[[k]])
        result.append(circuit_of(spec, case.circuit.case).settled(alone)[0])
    return np.stack(result)


def _measure_switches(plan: Plan, case: Case, tolerance: float, bar: Bar) -> list[Row]:
    batch = min(SWITCHES_BATCH, plan.batches[-1])
    samples = with_random_trees(case.spec, random_samples(case.circuit, batch, SEED), SEED)
    reference = switched_reference(case, samples.first(_REFERENCES))
    entry = Entry(ENGINES[0], SWITCHES)
    contestants = [contestant(entry, case, tolerance, threads) for threads in reversed(plan.threads)]
    bar.expect(len(contestants) * plan.runs)
    with Contest(contestants, bar) as contest:
        timings = contest.measure(lambda one: {"samples": samples}, plan.runs, plan.seconds)
    return [solve_row(one, timing, case, samples, reference, tolerance) for one, timing in timings.items()]


def _measure_gradient(plan: Plan, case: Case, tolerance: float, bar: Bar) -> list[Row]:
    samples = random_samples(case.circuit, min(GRADIENT_BATCH, plan.batches[-1]), SEED)
    reference = case.circuit.settled(samples)
    entries = [Entry(LOSS, FORWARD), Entry(GRADIENT, WITH_GRADIENT)]
    contestants = [contestant(entry, case, tolerance, plan.threads[-1]) for entry in entries]
    bar.expect(len(contestants) * plan.runs)
    with Contest(contestants, bar) as contest:
        timings = contest.measure(lambda one: {"samples": samples}, plan.runs, plan.seconds)
    result = [solve_row(one, timing, case, samples, reference, tolerance) for one, timing in timings.items()]
    forward, with_gradient = (timings[one] for one in contestants)
    result[1]["slowdown"] = ratio_of_medians(with_gradient, forward)
    return result
