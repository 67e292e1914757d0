"""Measuring trained policies and reference controllers on all episodes of a split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from agents import registry as agent_registry
from agents.controller import Controller
from experiments import console
from experiments.config import ExperimentConfig, experiment_from
from experiments.fan_out import Job, spread
from experiments.provenance import episodes_hash
from experiments.references import reference_results
from experiments.rollout import EpisodeResults, run_episodes, run_episodes_on_host
from experiments.run import Run
from experiments.statistics import ORACLE, RULE
from experiments.train import SPLIT_KEY, build_split
from gridenv.adapters.ray_settings import RaySettings
from gridenv.core.errors import ConfigError, RunError, did_you_mean, raise_collected
from gridenv.exogenous.splits import SPLIT_NAMES
from gridenv.policy.runtime import Policy
from gridenv.tasks.env import EnvParams, GridEnv


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """Results of one agent with one or more seeds, and of reference controllers, on the same episodes."""

    config: ExperimentConfig
    """What the agent was trained with; its seeds do not matter."""
    config_hash: str
    runs: tuple[Run, ...]
    """Where the agent was trained, a run a seed; none where it came as a bundle."""
    split: str
    env: GridEnv
    params: EnvParams
    seeds: dict[int, EpisodeResults]
    references: dict[str, EpisodeResults]

    @property
    def agent_name(self) -> str:
        """Key of the agent in tables."""
        return self.config.agent_name

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


def evaluate(
    runs: Sequence[Run],
    split: str | None = None,
    against: Sequence[str] | None = None,
    ray: RaySettings | None = None,
) -> Evaluation:
    """Run the policies of finished runs and reference controllers over every episode of a split.

    Args:
        runs: runs that differ in their seed only.
        split: days to run on; the configuration's final split if left out.
        against: reference controllers; those of the configuration if left out.
        ray: where policies and reference controllers run side by side; one after the other here if left out.

    Raises:
        RunError: if there is no run or a checkpoint is damaged.
        ConfigError: for an unknown split or reference controller.
    """
    if not runs:
        raise RunError("evaluate: no run is named; name a run folder")
    evaluation = _without_results(runs[0].config, runs[0].config_hash, split, against)
    env, params = evaluation.env, evaluation.params
    evaluation = replace(evaluation, runs=tuple(runs))
    policies = {run.seed: load_policy(run, env, params) for run in runs}
    if ray is not None:
        return _spread(evaluation, policies, {}, against, ray)
    with console.working(f"running {evaluation.agent_name} on the {evaluation.split} days"):
        seeds = {seed: run_episodes(env, params, policy) for seed, policy in policies.items()}
    return _with_results(evaluation, seeds, against)


def evaluate_bundle(
    policy: Policy,
    split: str | None = None,
    against: Sequence[str] | None = None,
    ray: RaySettings | None = None,
) -> Evaluation:
    """The same for the policy of a bundle, run as a rig runs it.

    Args:
        policy: of the bundle.
        split: days to run on; the configuration's final split if left out.
        against: reference controllers; those of the configuration if left out.
        ray: where reference controllers run side by side; the policy always runs here.

    Raises:
        BundleError: if the task no longer has the channels that the policy was trained with.
        ConfigError: for an unknown split or reference controller, or settings that this version does not know.
    """
    manifest, where = policy.manifest, f"bundle '{policy.bundle.name}'"
    config = experiment_from(manifest.config, f"{where}: config")
    evaluation = _without_results(config, manifest.config_hash, split, against)
    env, params = evaluation.env, evaluation.params
    manifest.check_channels(env.task.observation, env.task.action, f"task '{env.id}'", where)
    with console.working(f"running {where} on the {evaluation.split} days"):
        results = run_episodes_on_host(env, params, policy.act_normalised)
    seeds = {manifest.seed: results}
    return _with_results(evaluation, seeds, against) if ray is None else _spread(evaluation, {}, seeds, against, ray)


def load_policy(run: Run, env: GridEnv, params: EnvParams) -> Controller:
    """The policy of a run's newest checkpoint.

    Raises:
        RunError: if there is none, or it is damaged or of another configuration.
    """
    learner = agent_registry.make_learner(run.config.agent_name, env, run.config.agent)
    return learner.policy(learner.load(run.last_checkpoint()[1], run.seed, params, run.identity))


def _without_results(
    config: ExperimentConfig, config_hash: str, split: str | None, against: Sequence[str] | None
) -> Evaluation:
    """An evaluation before anything is run."""
    split = config.run.evaluation.final_split if split is None else split
    check_choices(split, config.run.evaluation.against if against is None else against)
    env, params = build_split(config, split)
    return Evaluation(
        config=config,
        config_hash=config_hash,
        runs=(),
        split=split,
        env=env,
        params=params,
        seeds={},
        references={},
    )


def _with_results(
    evaluation: Evaluation, seeds: dict[int, EpisodeResults], against: Sequence[str] | None
) -> Evaluation:
    """The agent's results, with those of the reference controllers."""
    config = evaluation.config
    names = config.run.evaluation.against if against is None else against
    references = reference_results(config.task, evaluation.split, names, evaluation.env, evaluation.params)
    return replace(evaluation, seeds=seeds, references=references)


def _spread(
    evaluation: Evaluation,
    policies: Mapping[int, Controller],
    seeds: Mapping[int, EpisodeResults],
    against: Sequence[str] | None,
    ray: RaySettings,
) -> Evaluation:
    """As `_with_results`, with policies that have yet to run; they and the reference controllers run side by side."""
    config = evaluation.config
    names = config.run.evaluation.against if against is None else against
    task = config.task.model_copy(update={SPLIT_KEY: evaluation.split})
    controllers: list[Controller | str] = [*policies.values(), *names]
    jobs = [Job(task_id=config.task_id, task=task, controller=controller) for controller in controllers]
    results = dict(zip((*policies, *names), spread(jobs, ray), strict=True))
    return replace(
        evaluation,
        seeds={**seeds, **{seed: results[seed] for seed in policies}},
        references={name: results[name] for name in names},
    )


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
