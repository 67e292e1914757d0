"""Measuring trained policies and reference controllers on all episodes of a split."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agents import registry as agent_registry
from agents.controller import Controller
from experiments import console
from experiments.provenance import episodes_hash
from experiments.references import ORACLE, RULE, reference_results
from experiments.rollout import EpisodeResults, run_episodes
from experiments.run import Run
from experiments.train import build_split
from gridenv.core.errors import ConfigError, RunError, did_you_mean, raise_collected
from gridenv.exogenous.splits import SPLIT_NAMES
from gridenv.tasks.env import EnvParams, GridEnv


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """Results of one agent with one or more seeds, and of reference controllers, on the same episodes."""

    runs: tuple[Run, ...]
    split: str
    env: GridEnv
    params: EnvParams
    seeds: dict[int, EpisodeResults]
    references: dict[str, EpisodeResults]

    @property
    def agent_name(self) -> str:
        """Key of the agent in tables."""
        return self.runs[0].config.agent_name

    @property
    def cost_names(self) -> tuple[str, ...]:
        """Order of `EpisodeResults.cost`."""
        return self.env.cost_names

    @property
    def starts(self) -> NDArray[np.int64]:
        """[episode] first scenario steps, the same for everything that is compared."""
        return next(iter(self.seeds.values())).start

    @property
    def episodes_hash(self) -> str:
        """Hash of the list of episodes."""
        return episodes_hash(self.starts, self.params.steps_per_episode)

    @property
    def has_score(self) -> bool:
        """Whether both ends of the scale of scores are there."""
        return RULE in self.references and ORACLE in self.references


def evaluate(runs: Sequence[Run], split: str | None = None, against: Sequence[str] | None = None) -> Evaluation:
    """Run the policies of finished runs and reference controllers over every episode of a split.

    Args:
        runs: runs that differ in their seed only.
        split: days to run on; the configuration's final split if left out.
        against: reference controllers; those of the configuration if left out.

    Raises:
        RunError: if there is no run or a checkpoint is damaged.
        ConfigError: for an unknown split or reference controller.
    """
    if not runs:
        raise RunError("evaluate: no run is named; name a run folder")
    config = runs[0].config
    split = config.run.evaluation.final_split if split is None else split
    against = config.run.evaluation.against if against is None else against
    check_choices(split, against)
    env, params = build_split(config, split)
    with console.working(f"running {config.agent_name} on the {split} days"):
        seeds = {run.seed: run_episodes(env, params, load_policy(run, env, params)) for run in runs}
    references = reference_results(config.task, split, against, env, params)
    return Evaluation(runs=tuple(runs), split=split, env=env, params=params, seeds=seeds, references=references)


def load_policy(run: Run, env: GridEnv, params: EnvParams) -> Controller:
    """The policy of a run's newest checkpoint.

    Raises:
        RunError: if there is none, or it is damaged or of another configuration.
    """
    learner = agent_registry.make_learner(run.config.agent_name, env, run.config.agent)
    return learner.policy(learner.load(run.last_checkpoint()[1], run.seed, params, run.identity))


def check_choices(split: str, against: Sequence[str]) -> None:
    """Refuse splits and reference controllers that do not exist.

    Raises:
        ConfigError: for all of them at once.
    """
    known = agent_registry.REFERENCES
    problems = [f"unknown reference controller '{n}'{did_you_mean(n, known)}" for n in against if n not in known]
    if split not in SPLIT_NAMES:
        problems.append(f"unknown split '{split}'{did_you_mean(split, SPLIT_NAMES)}")
    raise_collected(problems, ConfigError)
