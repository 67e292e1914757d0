"""Power flow against peers: the same circuit, the same samples, the same tolerance, in turns."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.bench import rows
from experiments.bench.circuit import Circuit, Complex, Samples, load_circuit, random_samples, with_infeasible_sample
from experiments.bench.contest import Bar, Contest, Contestant, Timing, progress_bar
from experiments.bench.engines import ENGINES, OWN, REFERENCES, Engine, missing_package
from experiments.bench.plan import Plan
from experiments.bench.rows import Row
from gridenv.core.errors import MissingExtraError, RunError

REFERENCE_TOLERANCE_PU = 1e-10
REFERENCE_SAMPLES = 256
"""Samples of a batch that are compared with the reference."""
HARD_BATCH = 1024
"""Batch in which one sample has no solution."""
SEED = 0
RANDOM = "random"
ONE_INFEASIBLE = "one infeasible"


@dataclass(frozen=True)
class Entry:
    """An engine on a kind of samples."""

    engine: Engine
    samples: str = RANDOM


def measure(plan: Plan, engines: Sequence[str], tolerance: float) -> list[Row]:
    """Rows of all cases, batches, engines and thread counts.

    Raises:
        WorkerError: if our own solver failed.
    """
    wanted = [engine for engine in ENGINES if engine.name in engines]
    installed = [engine for engine in wanted if missing_package(engine) is None]
    result: list[Row] = []
    rows.machine()
    with progress_bar("bench powerflow", _n_measurements(plan, installed)) as bar:
        for engine in wanted:
            if (reason := missing_package(engine)) is not None:
                bar.note(f"left out: {engine.name}: {reason}")
        for case in plan.cases:
            bar.show(f"loading {case}")
            try:
                circuit = load_circuit(case)
            except MissingExtraError as error:
                bar.note(f"left out: case {case}: {error}")
                continue
            result += _measure_case(plan, circuit, installed, tolerance, bar)
    if not result:
        raise RunError("bench powerflow: nothing was measured, see the lines above; install what is missing")
    return result


def _measure_case(plan: Plan, circuit: Circuit, engines: Sequence[Engine], tolerance: float, bar: Bar) -> Iterator[Row]:
    contestants = _contestants(plan, circuit, engines, tolerance)
    with Contest([_reference(circuit)], bar) as judge, Contest(contestants, bar) as contest:
        for batch in plan.batches:
            samples = {RANDOM: random_samples(circuit, batch, SEED)}
            if batch == _hard_batch(plan):
                samples[ONE_INFEASIBLE] = with_infeasible_sample(circuit, samples[RANDOM])
            timings = contest.measure(lambda one: _inputs(one, samples), plan.runs, plan.seconds)  # noqa: B023
            reference = _reference_voltages(judge, samples[RANDOM])
            for one, timing in timings.items():
                yield _row(one, timing, timings, circuit, samples[one.about.samples], reference, tolerance)


def _contestants(plan: Plan, circuit: Circuit, engines: Sequence[Engine], tolerance: float) -> list[Contestant]:
    result = []
    for engine in engines:
        threads = plan.threads if engine.threaded else plan.threads[:1]
        result += [_contestant(Entry(engine), circuit, tolerance, n) for n in reversed(threads)]
    if any(_takes_hard(engine) for engine in engines):
        result.append(_contestant(Entry(ENGINES[0], ONE_INFEASIBLE), circuit, tolerance, plan.threads[-1]))
    return result


def _takes_hard(engine: Engine) -> bool:
    return engine is ENGINES[0]


def _contestant(entry: Entry, circuit: Circuit, tolerance: float, threads: int) -> Contestant:
    engine = entry.engine
    return Contestant(
        label=f"{engine.name} {engine.dtype} with {threads} thread{'s' if threads > 1 else ''} on {circuit.name}",
        target=engine.subject,
        arguments={"circuit": circuit, "tolerance": tolerance, "threads": threads, **engine.options},
        threads=threads,
        is_peer=engine.name != OWN,
        about=entry,
    )


def _reference(circuit: Circuit) -> Contestant:
    engine = next(engine for engine in REFERENCES if missing_package(engine) is None)
    return _contestant(Entry(engine), circuit, REFERENCE_TOLERANCE_PU, threads=1)


def _inputs(one: Contestant, samples: dict[str, Samples]) -> dict[str, Any] | None:
    """Samples of a contestant; None where it does not take part."""
    entry: Entry = one.about
    chosen = samples.get(entry.samples)
    if chosen is None or len(chosen) > (entry.engine.max_batch or len(chosen)):
        return None
    return {"samples": chosen}


def _reference_voltages(judge: Contest, samples: Samples) -> Complex:
    timings = judge.measure(lambda one: {"samples": samples.first(REFERENCE_SAMPLES)}, runs=0, seconds=0.0)
    (timing,) = timings.values()
    voltages: Complex = timing.outcome[0]
    return voltages


def _row(
    one: Contestant,
    timing: Timing,
    timings: dict[Contestant, Timing],
    circuit: Circuit,
    samples: Samples,
    reference: Complex,
    tolerance: float,
) -> Row:
    entry: Entry = one.about
    v_pu, given_up = timing.outcome
    unsolved = circuit.drift_beyond(samples, v_pu, tolerance) | given_up
    compared = ~unsolved[: len(reference)]
    error = np.max(np.abs(v_pu[: len(reference)] - reference)[compared], initial=0.0)
    row = rows.solve_row(
        timing,
        bench="powerflow",
        case=circuit.name,
        engine=entry.engine.name,
        batch=len(samples),
        threads=one.threads,
        dtype=entry.engine.dtype,
        tolerance=tolerance,
        max_abs_dv_pu=float(f"{error:.3g}"),
        samples=entry.samples,
        failed=int(np.sum(unsolved)),
        infeasible=int(entry.samples == ONE_INFEASIBLE),
        engine_version=rows.engine_version(entry.engine.distribution),
        **rows.machine(),
    )
    if entry.samples == ONE_INFEASIBLE:
        row["slowdown"] = _slowdown(one, timing, timings)
    return row


def _slowdown(one: Contestant, timing: Timing, timings: dict[Contestant, Timing]) -> float:
    """Time with the infeasible sample over time without, of the same rounds."""
    plain = next(
        t for other, t in timings.items() if other.about == Entry(one.about.engine) and other.threads == one.threads
    )
    return round(float(np.median(timing.seconds) / np.median(plain.seconds)), 3)


def _hard_batch(plan: Plan) -> int:
    """The batch with an infeasible sample: the usual one if it is measured, else the largest."""
    return HARD_BATCH if HARD_BATCH in plan.batches else plan.batches[-1]


def _n_measurements(plan: Plan, engines: Sequence[Engine]) -> int:
    count = 0
    for engine in engines:
        batches = [b for b in plan.batches if b <= (engine.max_batch or b)]
        count += len(batches) * (len(plan.threads) if engine.threaded else 1) + _takes_hard(engine)
    return count * plan.runs * len(plan.cases)
