"""Power flow against peers: the same circuit, the same samples, the same tolerance, in turns."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from experiments.bench import rows
from experiments.bench.cached import first_calls_with_cache, is_worthwhile
from experiments.bench.cases import Case, default_batches, load_cases
from experiments.bench.circuit import Complex
from experiments.bench.contest import Bar, Contest, Contestant, Timing, progress_bar
from experiments.bench.engines import ENGINES, OWN, REFERENCES, Engine, missing_package
from experiments.bench.plan import Plan
from experiments.bench.rows import Row
from experiments.bench.samples import Samples, random_samples, with_infeasible_sample
from gridenv.core.errors import MissingExtraError, NetworkError, RunError

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


def measure(plan: Plan, engines: Sequence[str], tolerance: float, keep: rows.Keep) -> list[Row]:
    """Rows of all cases, batches, engines and thread counts; `keep` is given all rows so far after each circuit.

    Raises:
        WorkerError: if our own solver failed.
        RunError: if nothing could be measured.
    """
    wanted = [engine for engine in ENGINES if engine.name in engines]
    installed = [engine for engine in wanted if missing_package(engine) is None]
    result: list[Row] = []
    rows.machine()
    with progress_bar("bench powerflow") as bar:
        for engine in wanted:
            if (reason := missing_package(engine)) is not None:
                bar.note(f"left out: {engine.name}: {reason}")
        for name in plan.cases:
            bar.show(f"loading {name}")
            try:
                cases, remarks = load_cases(name)
            except (MissingExtraError, NetworkError) as error:
                bar.note(f"left out: case {name}: {error}")
                continue
            for remark in remarks:
                bar.note(f"left out: twin of {name}: {remark}")
            for case in cases:
                result += measure_case(plan, case, installed, tolerance, bar)
                keep(result)
    if not result:
        raise RunError("bench powerflow: nothing was measured, see the lines above; install what is missing")
    return result


def measure_case(plan: Plan, case: Case, engines: Sequence[Engine], tolerance: float, bar: Bar) -> list[Row]:
    """Rows of one circuit.

    Raises:
        WorkerError: if our own solver failed.
    """
    from experiments.bench.extras import measure_extras

    plan = replace(plan, batches=plan.batches or default_batches(case.circuit))
    taking_part = []
    for engine in engines:
        if (reason := engine.why_not(case.circuit)) is None:
            taking_part.append(engine)
        elif reason:
            bar.note(f"left out: {engine.name} on {case.circuit.title}: {reason}")
    bar.expect(_n_measurements(plan, taking_part))
    contestants = _contestants(plan, case, taking_part, tolerance)
    result = list(_measure_batches(plan, case, contestants, tolerance, bar))
    if is_worthwhile():
        _add_cached_compile_times(plan, case, contestants, result, bar)
    if any(engine.name == OWN for engine in taking_part):
        result += measure_extras(plan, case, tolerance, bar)
    return result


def contestant(entry: Entry, case: Case, tolerance: float, threads: int) -> Contestant:
    """An engine in a process of its own."""
    engine, circuit = entry.engine, case.circuit
    given = {"spec": case.spec} if engine.needs_spec else {}
    return Contestant(
        label=f"{engine.name} {engine.dtype} with {threads} thread{'s' if threads > 1 else ''} on {circuit.title}",
        target=engine.subject,
        arguments={"circuit": circuit, "tolerance": tolerance, "threads": threads, **given, **engine.options},
        threads=threads,
        is_peer=engine.name != OWN,
        about=entry,
    )


def solve_row(
    one: Contestant, timing: Timing, case: Case, samples: Samples, reference: Complex, tolerance: float, **more: Any
) -> Row:
    """A row with how far the first samples are from the reference, and how many are no solution."""
    entry: Entry = one.about
    found, circuit = timing.outcome, case.circuit
    unsolved = found.failed
    if samples.switches is None:
        unsolved = unsolved | circuit.drift_beyond(samples, found.v_pu, tolerance)
    compared = ~unsolved[: len(reference)]
    error = np.max(np.abs(found.v_pu[: len(reference)] - reference)[compared], initial=0.0)
    about = {
        "bench": "powerflow",
        "case": circuit.case,
        "circuit": circuit.variant,
        "nodes": circuit.n_node,
        "engine": entry.engine.name,
        "batch": len(samples),
        "threads": one.threads,
        "dtype": entry.engine.dtype,
        "tolerance": tolerance,
        "max_abs_dv_pu": float(f"{error:.3g}"),
        "compile_cached_s": None,
        "iterations": found.iterations,
        "samples": entry.samples,
        "failed": int(np.sum(unsolved)),
        "infeasible": 0,
        "engine_version": rows.engine_version(entry.engine.distribution),
    }
    return rows.solve_row(timing, **(about | more | rows.machine()))


def ratio_of_medians(timing: Timing, base: Timing) -> float:
    """Time over time, of the same rounds."""
    return round(float(np.median(timing.seconds) / np.median(base.seconds)), 3)


def _measure_batches(
    plan: Plan, case: Case, contestants: Sequence[Contestant], tolerance: float, bar: Bar
) -> Iterator[Row]:
    circuit = case.circuit
    with Contest(_judges(case), bar) as judges, Contest(contestants, bar) as contest:
        for batch in plan.batches:
            samples = {RANDOM: random_samples(circuit, batch, SEED)}
            if batch == _hard_batch(plan):
                samples[ONE_INFEASIBLE] = with_infeasible_sample(circuit, samples[RANDOM])
            timings = contest.measure(partial(_inputs, samples=samples), plan.runs, plan.seconds)
            reference = _reference(judges, case, samples[RANDOM].first(REFERENCE_SAMPLES))
            for one, timing in timings.items():
                chosen = samples[one.about.samples]
                row = solve_row(one, timing, case, chosen, reference, tolerance)
                if one.about.samples == ONE_INFEASIBLE:
                    plain = next(t for o, t in timings.items() if o.about == Entry(one.about.engine))
                    row |= {"infeasible": 1, "slowdown": ratio_of_medians(timing, plain)}
                yield row


def _contestants(plan: Plan, case: Case, engines: Sequence[Engine], tolerance: float) -> list[Contestant]:
    result = []
    for engine in engines:
        threads = plan.threads if engine.threaded else plan.threads[:1]
        result += [contestant(Entry(engine), case, tolerance, n) for n in reversed(threads)]
    if any(_takes_hard(engine) for engine in engines):
        result.append(contestant(Entry(ENGINES[0], ONE_INFEASIBLE), case, tolerance, plan.threads[-1]))
    return result


def _takes_hard(engine: Engine) -> bool:
    return engine is ENGINES[0]


def _judges(case: Case) -> list[Contestant]:
    able = [e for e in REFERENCES if missing_package(e) is None and e.why_not(case.circuit) is None]
    return [contestant(Entry(engine), case, REFERENCE_TOLERANCE_PU, threads=1) for engine in able[:1]]


def _inputs(one: Contestant, samples: dict[str, Samples]) -> dict[str, Any] | None:
    """Samples of a contestant; None where it does not take part."""
    entry: Entry = one.about
    chosen = samples.get(entry.samples)
    if chosen is None or not entry.engine.takes(len(chosen)):
        return None
    return {"samples": chosen}


def _reference(judges: Contest, case: Case, samples: Samples) -> Complex:
    timings = judges.measure(lambda one: {"samples": samples}, runs=0, seconds=0.0)
    for timing in timings.values():
        voltages: Complex = timing.outcome.v_pu
        return voltages
    return case.circuit.settled(samples)


def _add_cached_compile_times(
    plan: Plan, case: Case, contestants: Sequence[Contestant], result: Sequence[Row], bar: Bar
) -> None:
    """First calls of our own engine in a second process, with the most threads."""
    for one in contestants:
        entry: Entry = one.about
        if entry.engine.name != OWN or entry.samples != RANDOM or one.threads != plan.threads[-1]:
            continue
        bar.show(f"first calls with a cache of {one.label}")
        inputs = [{"samples": random_samples(case.circuit, batch, SEED)} for batch in plan.batches]
        seconds = dict(zip(plan.batches, first_calls_with_cache(one, inputs), strict=True))
        key = (entry.engine.name, entry.engine.dtype, RANDOM, one.threads)
        for row in result:
            if (row["engine"], row["dtype"], row["samples"], row["threads"]) == key:
                row["compile_cached_s"] = rows.rounded(seconds[row["batch"]])


def _hard_batch(plan: Plan) -> int:
    """The batch with an infeasible sample: the usual one if it is measured, else the largest."""
    return HARD_BATCH if HARD_BATCH in plan.batches else plan.batches[-1]


def _n_measurements(plan: Plan, engines: Sequence[Engine]) -> int:
    count = 0
    for engine in engines:
        count += sum(map(engine.takes, plan.batches)) * (len(plan.threads) if engine.threaded else 1) + _takes_hard(
            engine
        )
    return count * plan.runs
