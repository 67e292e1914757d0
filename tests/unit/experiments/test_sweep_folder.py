"""Folders of sweeps, how their trainings ended, and which trials are best; nothing is trained."""

import json
from pathlib import Path

import pytest

from experiments.sweep.config import compose_sweep
from experiments.sweep.folder import Ending, Job, SweepFolder, create_sweep, open_sweep
from gridenv.core.errors import RunError

pytest.importorskip("ray.tune", reason="extra ray: values are drawn by Ray Tune")

from experiments.sweep.plan import make_trials
from experiments.sweep.results import collect, evaluations, table, write_results
from experiments.sweep.schedule import make_scheduler
from experiments.sweep.worker import tune_parameters

METRIC = "validation/return_eur"
GRID = ["sweep=voltvar_smoke", "search.agent.learning_rate.log_uniform=[1e-4, 1e-3]", "samples=2"]


class TuneTrial:
    """What a scheduler looks at in a trial of Ray Tune."""

    def __init__(self, sweep: SweepFolder, job: Job) -> None:
        self.trial_id, self.config = f"id-{job}", tune_parameters(sweep, job)


def make_sweep(folder: Path, *changes: str) -> SweepFolder:
    config = compose_sweep([*GRID, *changes])
    return create_sweep(config, make_trials(config), folder)


def put(sweep: SweepFolder, job: Job, status: str, *values: float, error: str = "") -> None:
    """A training that was looked at every 2,400 steps."""
    run = sweep.begin_run(job)
    rows = [{"update": n, "steps": 2400 * n, METRIC: value} for n, value in enumerate(values, 1)]
    run.metrics_path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    if status != "unfinished":
        sweep.end(job, Ending(status, error))  # type: ignore[arg-type]


def test_a_sweep_is_read_back_with_its_trials(tmp_path: Path) -> None:
    made = make_sweep(tmp_path, "seeds=[0, 4]")
    assert made.folder.parent == tmp_path / "sweeps" / "voltvar_smoke"
    opened = open_sweep(made.folder)
    assert opened.config == made.config
    assert opened.trials == make_trials(made.config)
    assert opened.jobs[:3] == [Job("trial-01", 0), Job("trial-01", 4), Job("trial-02", 0)]
    with pytest.raises(RunError, match=r"sweep '.*': exists; wait a second"):
        while True:
            make_sweep(tmp_path)


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"holds no sweep.yaml; `ls -d runs/sweeps/\*/\*` shows the sweeps"):
        open_sweep(tmp_path)
    with pytest.raises(RunError, match=r"no such folder"):
        open_sweep(tmp_path / "x")


def test_a_training_has_one_run_folder_and_a_half_made_one_is_made_anew(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, "seeds=[1, 11]")
    one, eleven = Job("trial-03", 1), Job("trial-03", 11)
    assert sweep.run(one) is None
    run = sweep.begin_run(one)
    assert sweep.begin_run(one) == sweep.run(one) == run
    assert run.config.seeds == (1,)
    assert run.folder.parent == sweep.folder / "trial-03"
    assert sweep.run(eleven) is None
    (run.folder / "versions.json").unlink()
    assert sweep.run(one) is None
    assert sweep.begin_run(one).folder.is_dir()
    assert len(list((sweep.folder / "trial-03").glob("*-seed1*"))) == 1


def test_nobody_trains_or_drives_the_same_at_a_time(tmp_path: Path) -> None:
    sweep, job = make_sweep(tmp_path), Job("trial-01", 0)
    with (
        sweep.training(job),
        sweep.training(Job("trial-02", 0)),
        sweep.driving(),
        pytest.raises(RunError, match=r"training '.*/trial-01-seed0': another process is at work on it; wait for it"),
        sweep.training(job, wait_s=0.6),
    ):
        raise AssertionError("not reached")
    with sweep.driving(), pytest.raises(RunError, match=r"sweep '.*': another process is at work"), sweep.driving():
        raise AssertionError("not reached")
    with sweep.driving(), sweep.training(job):
        pass


def test_trials_stand_in_the_order_of_their_mean_and_behind_them_those_without_an_end(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, "seeds=[0, 1]")
    put(sweep, Job("trial-01", 0), "finished", -9.0, -5.0)
    put(sweep, Job("trial-01", 1), "finished", -9.0, -3.0)
    put(sweep, Job("trial-02", 0), "finished", -1.0)
    put(sweep, Job("trial-02", 1), "stopped", -1.0)
    put(sweep, Job("trial-03", 0), "finished", -9.0, -2.0)
    put(sweep, Job("trial-03", 1), "finished", -9.0, -1.0)
    put(sweep, Job("trial-04", 0), "failed", 7.0, error="run 'x': training has diverged")
    results = collect(sweep)
    assert [r.trial.name for r in results] == ["trial-03", "trial-01", "trial-02", "trial-04"]
    assert [r.value for r in results] == [-1.5, -4.0, -1.0, 7.0]
    assert [r.status for r in results] == ["finished", "finished", "stopped", "unfinished"]
    assert table(sweep, results).row_count == 4
    written = json.loads(write_results(sweep, results).read_text())
    assert (written["metric"], written["mode"], written["seeds"]) == (METRIC, "max", [0, 1])
    best, worst = written["trials"][0], written["trials"][-1]
    assert best["parameters"] == results[0].trial.parameters
    assert (best["value"], best["status"]) == (-1.5, "finished")
    assert (sweep.folder / best["runs"][0]["folder"] / "config.yaml").is_file()
    assert best["runs"][1]["metrics"][METRIC] == -1.0
    assert (worst["runs"][0]["error"], worst["runs"][1]["folder"]) == ("run 'x': training has diverged", None)


def test_less_is_better_where_the_sweep_says_so(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, "mode=min")
    for n in range(1, 5):
        put(sweep, Job(f"trial-0{n}", 0), "finished", abs(n - 2.9))
    assert [r.trial.name for r in collect(sweep)] == ["trial-03", "trial-02", "trial-04", "trial-01"]


@pytest.mark.parametrize("is_cut", [False, True])
def test_the_scheduler_decides_the_same_after_an_interruption(tmp_path: Path, is_cut: bool) -> None:
    sweep = make_sweep(tmp_path, "scheduler=asha", "scheduler.grace_steps=2400", "scheduler.reduction_factor=2")
    first, second, third, late = (Job(f"trial-0{n}", 0) for n in (1, 2, 3, 4))
    seen = {first: [-1.0, -1.0], second: [-2.0], third: [-3.0]}
    scheduler = make_scheduler(sweep.config, 9600, {}, [])
    assert scheduler is not None
    for job, values in seen.items():
        trial = TuneTrial(sweep, job)
        scheduler.on_trial_add(None, trial)  # type: ignore[arg-type]
        for n, value in enumerate(values, 1):
            scheduler.on_trial_result(None, trial, {"steps": 2400 * n, METRIC: value})  # type: ignore[arg-type]
    if is_cut:
        put(sweep, first, "finished", *seen[first])
        put(sweep, second, "stopped", *seen[second])
        put(sweep, third, "unfinished", *seen[third])
        past = {job: evaluations(sweep, job) for job in sweep.jobs}
        scheduler = make_scheduler(sweep.config, 9600, past, [first, second])
        assert scheduler is not None
        scheduler.on_trial_add(None, TuneTrial(sweep, third))  # type: ignore[arg-type]
    trial = TuneTrial(sweep, late)
    scheduler.on_trial_add(None, trial)  # type: ignore[arg-type]
    # Half of -1, -2, -3 and the newcomer go on: better than -2 does, worse does not.
    assert scheduler.on_trial_result(None, trial, {"steps": 2400, METRIC: -1.9}) == "CONTINUE"  # type: ignore[arg-type]
    assert scheduler.on_trial_result(None, trial, {"steps": 4800, METRIC: -1.1}) == "STOP"  # type: ignore[arg-type]
