"""What a benchmark is asked to measure, checked before anything is started."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.registry import LEARNERS, config_class
from experiments.bench.engines import ENGINES
from experiments.bench.worker import available_cpus
from gridenv.core.config import check, read_overrides
from gridenv.core.errors import ConfigError, did_you_mean, raise_collected
from gridenv.tasks.registry import NAMESPACE, TASKS

POWER_FLOW_THREADS = (1, 2)
ENVIRONMENT_BATCHES = (4096,)
DEFAULT_AGENT = "ppo"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Settings that all benchmarks share."""

    bench: str
    cases: tuple[str, ...]
    batches: tuple[int, ...]
    """Ascending; empty = the default of what is measured."""
    threads: tuple[int, ...]
    runs: int
    seconds: float
    """How long each measurement lasts at least."""


def make_plan(
    bench: str,
    *,
    cases: Sequence[str],
    default_cases: Sequence[str],
    known_cases: Sequence[str],
    prefixes: Sequence[str] = (),
    batches: Sequence[str],
    default_batches: Sequence[int],
    threads: Sequence[str],
    default_threads: Sequence[int],
    runs: int,
    seconds: float,
    json: Path | None,
) -> Plan:
    """Check the options of a benchmark; lists may be given as repeated options or separated by commas.

    Raises:
        ConfigError: all problems at once.
    """
    problems: list[str] = []
    asked_cases = tuple(dict.fromkeys(_split(cases))) or tuple(default_cases)
    # A prefix alone is no name.
    unknown = [n for n in asked_cases if n not in known_cases and (n in prefixes or not n.startswith(tuple(prefixes)))]
    problems += [f"bench {bench}: unknown case '{name}'{did_you_mean(name, known_cases)}" for name in unknown]
    n_cpu = len(available_cpus())
    asked_batches = _whole_numbers(bench, "--batch", batches, problems)
    asked_threads = _whole_numbers(bench, "--threads", threads, problems, most=n_cpu)
    if runs < 1:
        problems.append(f"bench {bench}: --runs is {runs}; allowed: 1 or more; give the number of rounds")
    if not 0 < seconds < float("inf"):
        problems.append(f"bench {bench}: --seconds is {seconds}; allowed: more than 0; give the length of a turn")
    if json is not None and json.is_dir():
        problems.append(f"bench {bench}: --json is the folder '{json}'; allowed: a file; add a file name")
    raise_collected(problems, ConfigError)
    return Plan(
        bench=bench,
        cases=asked_cases,
        batches=asked_batches or tuple(default_batches),
        threads=asked_threads or tuple(n for n in default_threads if n <= n_cpu),
        runs=runs,
        seconds=seconds,
    )


def task_plan(
    bench: str,
    cases: Sequence[str] | None,
    batches: Sequence[str] | None,
    default_batches: Sequence[int],
    threads: Sequence[str] | None,
    runs: int,
    seconds: float,
    json: Path | None,
) -> Plan:
    """The plan of a benchmark of tasks, by default of all tasks on all processors.

    Raises:
        ConfigError: all problems at once.
    """
    return make_plan(
        bench,
        cases=[case.removeprefix(NAMESPACE) for case in cases or ()],
        default_cases=tuple(TASKS),
        known_cases=tuple(TASKS),
        batches=batches or (),
        default_batches=default_batches,
        threads=threads or (),
        default_threads=[len(available_cpus())],
        runs=runs,
        seconds=seconds,
        json=json,
    )


def checked_engines(names: Sequence[str]) -> tuple[str, ...]:
    """Engines asked for by name; none = all.

    Raises:
        ConfigError: for names that are not in the list.
    """
    known = tuple(dict.fromkeys(engine.name for engine in ENGINES))
    asked = tuple(dict.fromkeys(_split(names)))
    unknown = [name for name in asked if name not in known]
    raise_collected(
        [f"bench powerflow: unknown engine '{name}'{did_you_mean(name, known)}" for name in unknown], ConfigError
    )
    return asked or known


def checked_agents(names: Sequence[str]) -> tuple[str, ...]:
    """Agents that can be trained, asked for by name; none = our own PPO.

    Raises:
        ConfigError: for names that are not in the list.
    """
    asked = tuple(dict.fromkeys(_split(names))) or (DEFAULT_AGENT,)
    raise_collected(
        [
            f"bench train: unknown agent '{name}'{did_you_mean(name, LEARNERS)}"
            for name in asked
            if name not in LEARNERS
        ],
        ConfigError,
    )
    return asked


def checked_settings(agents: Sequence[str], texts: Sequence[str], batches: Sequence[int]) -> dict[str, Any]:
    """Settings that all measured agents share, from `agent.key=value` texts.

    Raises:
        ConfigError: all problems at once, such as a setting that one of the agents does not have.
    """
    layer = read_overrides(texts)
    problems = [
        f"bench train: {text}: no setting of agents; allowed: agent.KEY=VALUE; correct it"
        for key, text in layer.origin.items()
        if not key.startswith("agent.")
    ]
    raise_collected(problems, ConfigError)
    settings = layer.part("agent")
    if batches and "num_envs" in settings.values:
        problems.append("bench train: --batch and agent.num_envs together; allowed: one of them; drop the other")
    for agent in agents:
        problems += check(config_class(agent), settings, f"bench train: {agent}", "agent.")[1]
    raise_collected(problems, ConfigError)
    return settings.values


def checked_tolerance(tolerance: float) -> float:
    """A voltage tolerance in pu.

    Raises:
        ConfigError: if it is not between 0 and 1.
    """
    if not 0 < tolerance < 1:
        raise ConfigError(f"bench powerflow: --tolerance is {tolerance}; allowed: above 0, below 1; give it in pu")
    return tolerance


def checked_count(bench: str, option: str, value: int) -> int:
    """A whole number of at least one.

    Raises:
        ConfigError: if it is not.
    """
    if value < 1:
        raise ConfigError(f"bench {bench}: {option} is {value}; allowed: 1 or more; correct it")
    return value


def checked_numbers(bench: str, option: str, texts: Sequence[str]) -> tuple[int, ...]:
    """Whole numbers of at least one, ascending.

    Raises:
        ConfigError: if one is not.
    """
    problems: list[str] = []
    numbers = _whole_numbers(bench, option, texts, problems)
    raise_collected(problems, ConfigError)
    return numbers


def _split(texts: Sequence[str]) -> list[str]:
    return [part.strip() for text in texts for part in text.split(",") if part.strip()]


def _whole_numbers(
    bench: str, option: str, texts: Sequence[str], problems: list[str], most: int | None = None
) -> tuple[int, ...]:
    allowed = "whole numbers from 1" if most is None else f"whole numbers from 1 to {most}, the processors here"
    numbers = set()
    for text in _split(texts):
        number = int(text) if text.isascii() and text.isdigit() else 0
        if number < 1 or (most is not None and number > most):
            problems.append(f"bench {bench}: {option} is '{text}'; allowed: {allowed}; correct it")
        numbers.add(number)
    return tuple(sorted(numbers))
