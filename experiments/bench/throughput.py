"""Speed of environments and of training, in environment steps per second."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from experiments.bench import rows
from experiments.bench.contest import Contest, Contestant, Timing, progress_bar
from experiments.bench.engines import OWN, Engine, missing_package
from experiments.bench.plan import Plan
from experiments.bench.rows import Row

ENGINES = {
    "gridenv functional": "FunctionalEnvironment",
    "gridenv compiled step": "CompiledStep",
    "gridenv VectorEnv": "VectorEnvironment",
    "gridenv gymnasium.make": "SingleEnvironment",
}
"""Engine of a row -> class in `experiments.bench.environments`."""
_SINGLE = "gridenv gymnasium.make"
_PEER = Engine(
    name="gym-anm",
    subject="experiments.bench.peer_environments:AnmEnvironment",
    distribution="gym-anm",
    module="gym_anm",
    dtype="float64",
)
_PEER_TASK = "ANM6Easy-v0"
_ONE_AT_A_TIME = (_SINGLE, _PEER.name)
_PEER_LEARNER = replace(_PEER, subject="experiments.bench.peer_environments:AnmTraining")
BESIDE_PEER = "sb3_ppo"
"""Agent whose algorithm can be run on the peer's environment as well, and is if this agent is measured."""
_DTYPE = "float32"


def measure_environments(plan: Plan, steps: int, keep: rows.Keep) -> list[Row]:
    """Rows of all tasks, batches and thread counts.

    Args:
        plan: what to measure.
        steps: steps of every environment in one call; an episode's length makes each call contain a reset.
        keep: is given all rows so far after each task.

    Raises:
        WorkerError: if an environment failed.
    """
    result = []
    rows.machine()
    lacking = missing_package(_PEER)
    n_contestants = (len(plan.batches) * (len(ENGINES) - 1) + 1) * len(plan.threads) + (lacking is None)
    with progress_bar("bench env", n_contestants * plan.runs * len(plan.cases)) as bar:
        if lacking:
            bar.note(f"left out: {_PEER.name}: {lacking}")
        for case in plan.cases:
            contestants = _environments(plan, case) + ([] if lacking else [_peer(plan, _PEER)])
            with Contest(contestants, bar) as contest:
                for i, batch in enumerate(plan.batches):

                    def inputs(one: Contestant, batch: int = batch, is_first: bool = i == 0) -> dict[str, Any] | None:
                        if one.about in _ONE_AT_A_TIME:
                            return {"batch": 1, "steps": steps} if is_first else None
                        return {"batch": batch, "steps": steps}

                    for one, timing in contest.measure(inputs, plan.runs, plan.seconds).items():
                        result.append(_environment_row(plan, case, one, timing, batch, steps))
            keep(result)
    return result


def _environment_row(plan: Plan, case: str, one: Contestant, timing: Timing, batch: int, steps: int) -> Row:
    if one.is_peer:
        about = _about(plan, _PEER_TASK, one, 1) | {"dtype": _PEER.dtype, "beside": case}
        return rows.rate_row(timing, **about, engine_version=rows.engine_version(_PEER.distribution), **rows.machine())
    size = 1 if one.about == _SINGLE else batch
    return rows.rate_row(timing, **_about(plan, case, one, size), steps_per_call=steps, **_versions())


def measure_training(
    plan: Plan, agents: Sequence[str], settings: Mapping[str, Any], updates: int, seeds: Sequence[int], keep: rows.Keep
) -> list[Row]:
    """Rows of all tasks, numbers of environments, numbers of seeds, agents and thread counts.

    Args:
        plan: what to measure; its batches are numbers of environments, none = as in the settings.
        agents: agents that can be trained; they take turns.
        settings: of all of them, the others at their defaults.
        updates: updates in one call.
        seeds: numbers of seeds that train side by side.
        keep: is given all rows so far after each task.

    Raises:
        WorkerError: if training failed.
    """
    result = []
    rows.machine()
    inputs = [(batch, n_seed) for batch in plan.batches or (None,) for n_seed in seeds]
    lacking = missing_package(_PEER)
    with_peer = BESIDE_PEER in agents and lacking is None
    n_contestants = len(inputs) * len(agents) * len(plan.threads) + with_peer
    with progress_bar("bench train", n_contestants * plan.runs * len(plan.cases)) as bar:
        if BESIDE_PEER in agents and lacking:
            bar.note(f"left out: {_PEER.name}: {lacking}")
        for case in plan.cases:
            contestants = _learners(plan, case, agents, settings) + ([_peer(plan, _PEER_LEARNER)] if with_peer else [])
            with Contest(contestants, bar) as contest:
                for batch, n_seed in inputs:

                    def given(
                        one: Contestant, batch: int | None = batch, n_seed: int = n_seed
                    ) -> dict[str, Any] | None:
                        if one.is_peer and (batch, n_seed) != inputs[0]:
                            return None
                        return {"updates": updates, "seeds": n_seed, "num_envs": batch}

                    for one, timing in contest.measure(given, plan.runs, plan.seconds).items():
                        result.append(_training_row(plan, case, one, timing, settings, n_seed, updates))
            keep(result)
    return result


def _training_row(
    plan: Plan, case: str, one: Contestant, timing: Timing, settings: Mapping[str, Any], n_seed: int, updates: int
) -> Row:
    if one.is_peer:
        about = _about(plan, _PEER_TASK, one, 1) | {"dtype": _PEER.dtype, "agent": BESIDE_PEER, "beside": case}
        version = f"{rows.engine_version(_PEER.distribution)}, {_library_version()}"
        return rows.rate_row(timing, **about, seeds=1, updates_per_call=1, engine_version=version, **rows.machine())
    about = _about(plan, case, one, timing.outcome) | {"engine": OWN, "agent": one.about}
    versions = _versions()
    if one.about.startswith("sb3_"):
        versions["engine_version"] += f", {_library_version()}"
    own = " ".join(f"{key}={value}" for key, value in settings.items())
    return rows.rate_row(timing, **about, settings=own, seeds=n_seed, updates_per_call=updates, **versions)


def _library_version() -> str:
    return f"stable-baselines3 {rows.engine_version('stable-baselines3')}"


def _environments(plan: Plan, case: str) -> list[Contestant]:
    return [
        Contestant(
            label=f"{name} of {case}",
            target=f"experiments.bench.environments:{subject}",
            arguments={"task": case},
            threads=threads,
            about=name,
        )
        for threads in reversed(plan.threads)
        for name, subject in ENGINES.items()
    ]


def _peer(plan: Plan, engine: Engine) -> Contestant:
    return Contestant(
        label=f"{engine.name} {_PEER_TASK}",
        target=engine.subject,
        arguments={},
        threads=max(plan.threads),
        is_peer=True,
        about=_PEER.name,
    )


def _learners(plan: Plan, case: str, agents: Sequence[str], settings: Mapping[str, Any]) -> list[Contestant]:
    return [
        Contestant(
            label=f"{agent} on {case}",
            target="experiments.bench.learners:Training",
            arguments={"task": case, "agent": agent, "settings": dict(settings)},
            threads=threads,
            about=agent,
        )
        for threads in reversed(plan.threads)
        for agent in agents
    ]


def _about(plan: Plan, case: str, one: Contestant, batch: int) -> Row:
    return {
        "bench": plan.bench,
        "case": case,
        "engine": one.about,
        "batch": batch,
        "threads": one.threads,
        "dtype": _DTYPE,
    }


def _versions() -> Row:
    return {"engine_version": rows.engine_version("gridenv"), **rows.machine()}
