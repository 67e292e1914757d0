"""Search for schedules that pay more than they should: a task whose reward can be gamed shows here.

Random schedules and CMA-ES look for the highest return of a day through the exact simulation. None may come out above
the upper reference, and none whose power flow failed may come out above doing nothing.
"""

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jax import numpy as jnp
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.progress import Progress
from rich.table import Table

from agents import registry as agent_registry
from agents import schedule
from experiments import console, tables
from experiments.evaluate import check_choices
from gridenv.adapters.program import program
from gridenv.core.errors import ConfigError
from gridenv.tasks import registry
from gridenv.tasks.env import EnvParams, GridEnv

BATCH = 500
"""Random schedules simulated side by side."""
POPULATION = 100
"""Schedules of a generation of CMA-ES."""
BLOCK_STEPS = 4
"""Steps for which a variable of CMA-ES holds."""
MAX_TRACKS = 12
"""Actions with variables of their own in CMA-ES; with more, those of the same kind of unit share theirs."""
ROUNDING = 1e-6
"""Share of the return that sums of a day's rewards in float32 may be off; tested against float64."""
REFERENCES = ("none", "rule", "oracle")

Schedules = NDArray[np.float32]
"""[step, schedule, act] normalised."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The best of one search on one day."""

    search: str
    evaluations: int
    best_eur: float
    failed: int
    """Schedules with a step without a power-flow solution."""
    best_failed_eur: float
    """Highest return among these; -inf without any."""
    residual_pu: float
    """Largest residual of a step that counted as solved."""


@dataclass(frozen=True, kw_only=True)
class DayAudit:
    """All searches on one day of a task, beside the reference controllers."""

    task: str
    start: int
    references: Mapping[str, float]
    """Return in EUR by controller."""
    findings: tuple[Finding, ...]

    @property
    def problems(self) -> list[str]:
        """What an honest task would not show; empty is good."""
        oracle, none = self.references["oracle"], self.references["none"]
        lines = []
        for found in self.findings:
            where = f"{self.task}, day at step {self.start}, {found.search}"
            if found.best_eur > oracle + ROUNDING * abs(oracle):
                lines.append(f"{where}: {found.best_eur:,.3f} EUR is above the oracle's {oracle:,.3f}")
            if found.best_failed_eur > none:
                lines.append(f"{where}: {found.best_failed_eur:,.3f} EUR with a failed power flow, above doing nothing")
        return lines

    def to_json(self) -> dict[str, Any]:
        """For a file; -inf becomes null."""
        found = [{k: None if v == -np.inf else v for k, v in vars(f).items()} for f in self.findings]
        return {
            "task": self.task,
            "start": self.start,
            "references": dict(self.references),
            "findings": found,
            "problems": self.problems,
        }


def audit(task: str, split: str, days: int, evaluations: int, seed: int) -> list[DayAudit]:
    """Search on some days of a split.

    Args:
        task: id.
        split: train, validation or test.
        days: number of days, spread over the split.
        evaluations: schedules simulated, over all days and searches.
        seed: of the searches.

    Raises:
        ConfigError: for unknown names, for too few or too many days, too few evaluations, and without the package cma.
    """
    check_choices(split, REFERENCES)
    if importlib.util.find_spec("cma") is None:
        raise ConfigError("audit: the package cma is missing; allowed: installed; pip install 'gridenv[bench]'")
    name = registry.task_id(task)
    made = program(name, {"split": split})
    env, n_day = made.env, len(made.params.starts)
    if not 1 <= days <= n_day:
        raise ConfigError(f"audit: days is {days}; allowed: 1 to {n_day}, the days of '{split}'; correct it")
    if evaluations < 4 * BATCH * days:
        raise ConfigError(
            f"audit: evaluations is {evaluations}; allowed: at least {4 * BATCH * days} for {days} days; give more"
        )
    chosen = np.linspace(0, n_day - 1, days).round().astype(int)
    params = replace(made.params, starts=made.params.starts[chosen])
    with console.working(f"planning {days} days of {name} with foresight"):
        plans = {
            key: np.asarray(schedule.recorded(env, agent_registry.make_reference(key, env, params), params))
            for key in REFERENCES
        }
        returns = {
            key: np.asarray(schedule.outcome(env, params, jnp.asarray(p)).return_eur) for key, p in plans.items()
        }
    audits = []
    with console.counting() as bar:
        for i, start in enumerate(np.asarray(params.starts).tolist()):
            day = _Day(env, params, start)
            findings = _search(day, plans["rule"][:, i], evaluations // days, seed + i, bar, f"{name} {i + 1}/{days}")
            audits.append(
                DayAudit(
                    task=name,
                    start=start,
                    references={key: float(value[i]) for key, value in returns.items()},
                    findings=findings,
                )
            )
    return audits


@dataclass(frozen=True)
class _Day:
    """Simulates schedules of one day."""

    env: GridEnv
    params: EnvParams
    start: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.params.steps_per_episode, self.env.n_action

    def __call__(self, schedules: Schedules) -> schedule.Outcome:
        starts = jnp.full(schedules.shape[1], self.start, self.params.starts.dtype)
        params = replace(self.params, starts=starts)
        outcome: schedule.Outcome = schedule.outcome(self.env, params, jnp.asarray(schedules))
        return outcome


def _search(day: _Day, rule: Schedules, evaluations: int, seed: int, bar: Progress, label: str) -> tuple[Finding, ...]:
    """Half of the evaluations at random, a quarter each with CMA-ES around the middle of the ranges and the rule."""
    generator = np.random.default_rng(seed)
    generations = -(-evaluations // (4 * POPULATION))
    searches = {
        "random": (day(_random_schedules(generator, *day.shape)) for _ in range(-(-evaluations // (2 * BATCH)))),
        "CMA-ES from the middle": _evolve(day, np.zeros_like(rule), generations, seed),
        "CMA-ES from the rule": _evolve(day, rule, generations, seed),
    }
    shown = bar.add_task(label, total=evaluations)
    findings = []
    for name, outcomes in searches.items():
        parts = []
        for outcome in outcomes:
            parts.append(outcome)
            bar.advance(shown, len(outcome.return_eur))
        findings.append(_finding(name, parts))
    return tuple(findings)


def _finding(name: str, parts: Sequence[schedule.Outcome]) -> Finding:
    returns = np.concatenate([np.asarray(p.return_eur) for p in parts])
    solved = np.concatenate([np.asarray(p.is_solved) for p in parts])
    return Finding(
        search=name,
        evaluations=len(returns),
        best_eur=float(np.max(returns)),
        failed=int(np.sum(~solved)),
        best_failed_eur=float(np.max(returns[~solved], initial=-np.inf)),
        residual_pu=max(float(np.max(p.residual_pu)) for p in parts),
    )


def _random_schedules(generator: np.random.Generator, n_step: int, n_action: int) -> Schedules:
    """Schedules of every kind: values drawn anew after 1, 4, 16 or all steps, uniform or at the ends of the range."""
    holds = generator.choice([1, 4, 16, n_step], BATCH)
    values = generator.uniform(-1.0, 1.0, (n_step, BATCH, n_action))
    is_extreme = generator.random(BATCH) < 0.5
    values = np.where(is_extreme[:, None], np.sign(values), values)
    held = np.arange(n_step)[:, None] // holds * holds
    return values[held, np.arange(BATCH)].astype(np.float32)


def _evolve(day: _Day, around: Schedules, generations: int, seed: int) -> Iterator[schedule.Outcome]:
    """CMA-ES over blocks of steps, added to a schedule."""
    import cma

    tracks = _tracks(day.env)
    n_step = day.shape[0]
    n_block = -(-n_step // BLOCK_STEPS)
    n_track = int(tracks.max()) + 1
    options = {"popsize": POPULATION, "seed": seed + 1, "verbose": -9, "CMA_diagonal": True}
    strategy = cma.CMAEvolutionStrategy(np.zeros(n_block * n_track), 0.3, options)
    for _ in range(generations):
        asked = np.asarray(strategy.ask())
        blocks = asked.reshape(POPULATION, n_block, n_track)
        change = np.repeat(blocks, BLOCK_STEPS, axis=1)[:, :n_step, tracks]
        schedules = np.clip(around[:, None] + np.moveaxis(change, 1, 0), -1.0, 1.0)
        outcome = day(schedules.astype(np.float32))
        strategy.tell(list(asked), (-np.asarray(outcome.return_eur, np.float64)).tolist())
        yield outcome


def _tracks(env: GridEnv) -> NDArray[np.int64]:
    """[act] which variables of CMA-ES move each action."""
    names = env.task.action.names
    if len(names) <= MAX_TRACKS:
        return np.arange(len(names))
    return schedule.kinds(names)


def columns(audits: Sequence[DayAudit]) -> tuple[str, ...]:
    """Heads of the table."""
    searches = (f"best of {found.search}" for found in audits[0].findings)
    return ("task", "from step", *REFERENCES, *searches, "schedules", "failed flows")


def rows(audits: Sequence[DayAudit]) -> list[tuple[str, ...]]:
    """Cells of the table, a day a row."""
    return [
        (
            day.task,
            f"{day.start}",
            *(f"{day.references[name]:,.2f}" for name in REFERENCES),
            *(f"{found.best_eur:,.2f}" for found in day.findings),
            f"{sum(found.evaluations for found in day.findings):,}",
            f"{sum(found.failed for found in day.findings):,}",
        )
        for day in audits
    ]


def table(audits: Sequence[DayAudit]) -> Table:
    """Returns of days in EUR."""
    shown = Table(box=SIMPLE_HEAD, title="return of a day, EUR", padding=(0, 0, 0, 1))
    for i, column in enumerate(columns(audits)):
        shown.add_column(column, justify="left" if i == 0 else "right")
    for row in rows(audits):
        shown.add_row(*row)
    return shown


def markdown(audits: Sequence[DayAudit]) -> str:
    """The same as a table for documents."""
    heads = columns(audits)
    return tables.markdown(heads, rows(audits), heads[1:])
