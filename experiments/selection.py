"""Which days and moments of an evaluation a report shows."""

from collections.abc import Sequence
from enum import StrEnum

import numpy as np

from experiments.dates import date_of
from experiments.evaluate import Evaluation
from experiments.plots import Curve, Day, Voltages
from experiments.rollout import EpisodeResults
from experiments.run import Run
from gridenv.exogenous.timebase import DAYS_PER_WEEK, STEPS_PER_DAY
from gridenv.tasks.terms import V_BAND_HIGH_PU, V_BAND_LOW_PU

V_BAND = "v_band"


def shown_controllers(evaluation: Evaluation, names: Sequence[str]) -> dict[str, EpisodeResults]:
    """Results by controller in the given order, those that were run; of the agent those of its middle seed."""
    results = {**evaluation.references, evaluation.agent_name: evaluation.seeds[middle_seed(evaluation)]}
    return {name: results[name] for name in names if name in results}


def middle_seed(evaluation: Evaluation) -> int:
    """The seed with the median return (the lower one of two)."""
    ranked = sorted(evaluation.seeds, key=lambda seed: float(evaluation.seeds[seed].return_eur.mean()))
    return ranked[(len(ranked) - 1) // 2]


def worst_day(evaluation: Evaluation, name: str, results: EpisodeResults) -> Day:
    """The episode with the most voltage violation; where there is none, the one with the worst return."""
    violation = results.cost_of(evaluation.cost_names, V_BAND)
    episode = int(np.lexsort((results.return_eur, -violation))[0])
    return Day(
        controller=name,
        date=date_of(int(results.start[episode])),
        v_pu=results.v_pu[episode],
        note=f"{violation[episode]:.3f} pu h outside",
    )


class Side(StrEnum):
    """A limit of the voltage band."""

    UNDER = "under"
    OVER = "over"


def beyond_pu(v_pu: Voltages, side: Side) -> Voltages:
    """How far voltages are beyond a limit of the band; 0 inside it and where there is no solution."""
    distance = V_BAND_LOW_PU - v_pu if side is Side.UNDER else v_pu - V_BAND_HIGH_PU
    return np.nan_to_num(np.maximum(distance, 0.0))


def worst_week(results: EpisodeResults, side: Side) -> list[int]:
    """Episodes day after day, seven or as many as there are in a row, with the most voltage beyond a limit."""
    start = results.start
    weeks: list[list[int]] = []
    for episode in range(len(start)):
        if weeks and len(weeks[-1]) < DAYS_PER_WEEK and start[episode] == start[weeks[-1][-1]] + STEPS_PER_DAY:
            weeks[-1].append(episode)
        else:
            weeks.append([episode])
    longest = max(len(week) for week in weeks)
    beyond = beyond_pu(results.v_pu, side).sum(axis=(1, 2))
    return max((week for week in weeks if len(week) == longest), key=lambda week: float(beyond[week].sum()))


def joined(results: EpisodeResults, episodes: Sequence[int]) -> Voltages:
    """[step, bus] voltages of episodes one after the other."""
    return np.concatenate([results.v_pu[episode] for episode in episodes])


def worst_moment(results: EpisodeResults, side: Side) -> tuple[int, int]:
    """Episode and step with the most voltage beyond a limit, summed over the buses."""
    beyond = beyond_pu(results.v_pu, side).sum(axis=2)
    episode, step = np.unravel_index(int(np.argmax(beyond)), beyond.shape)
    return int(episode), int(step)


def curve_of(run: Run, split: str, steps_per_episode: int) -> Curve:
    """Learning curve of a run from its metrics."""
    rows = run.metrics()
    validation_steps, validation_eur = evaluations_of(run, f"{split}/return_eur")
    return Curve(
        seed=run.seed,
        steps=[row["steps"] for row in rows],
        training_eur=[row["train/reward_eur"] * steps_per_episode for row in rows],
        validation_steps=validation_steps,
        validation_eur=validation_eur,
    )


def evaluations_of(run: Run, metric: str) -> tuple[list[int], list[float]]:
    """Environment steps and values of a metric at the evaluations of a run."""
    measured = [row for row in run.metrics() if metric in row]
    return [row["steps"] for row in measured], [row[metric] for row in measured]
