"""Run directories: what they hold and how they are found again."""

import json
from pathlib import Path

import numpy as np
import pytest

from experiments.config import compose
from experiments.provenance import episodes_hash
from experiments.run import Run, create_run, find_runs, open_run
from experiments.train import build_split
from gridenv.core.errors import RunError


def make_run(folder: Path, seed: int = 0, *extra: str, finished: bool = True) -> Run:
    run = create_run(compose(["experiment=voltvar_ieee33_smoke", *extra]), seed, folder)
    total = run.config.agent.total_updates  # type: ignore[attr-defined]
    if finished:
        run.checkpoint_path(total).touch()
    return run


def test_a_new_run_records_configuration_and_versions(tmp_path: Path) -> None:
    run = make_run(tmp_path, 5)
    assert run.folder.parent == tmp_path / "voltvar_ieee33_smoke"
    assert run.folder.name.endswith("-seed5")
    assert run.seed == 5
    assert run.config_hash == run.config.hash == run.versions["config_hash"]
    assert {"data_hash", "episodes", "git", "python", "packages", "platform", "command"} <= run.versions.keys()
    assert {"jax", "numpy", "tensorboardX"} <= run.versions["packages"].keys()


def test_the_recorded_episodes_are_those_of_the_environment(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    for split in ("validation", "test"):
        _, params = build_split(run.config, split)
        assert run.versions["episodes"][split] == episodes_hash(np.asarray(params.starts), params.steps_per_episode)


def test_another_list_of_episodes_has_another_hash() -> None:
    hashes = {episodes_hash(starts, n) for starts, n in (([0, 96], 96), ([0, 192], 96), ([96, 0], 96), ([0, 96], 24))}
    assert len(hashes) == 4


def test_a_run_keeps_its_id_when_its_folder_is_moved(tmp_path: Path) -> None:
    run, other = make_run(tmp_path), make_run(tmp_path)
    assert run.id != other.id
    assert Run(run.folder.rename(tmp_path / "elsewhere")).id == run.id


def test_two_runs_in_one_second_get_folders_of_their_own(tmp_path: Path) -> None:
    assert len({make_run(tmp_path).folder for _ in range(3)}) == 3


def test_metrics_after_the_checkpoint_are_cut_off_with_a_torn_last_line(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    rows = [{"update": n, "x": n * 0.1} for n in range(1, 6)]
    run.metrics_path.write_text("".join(json.dumps(r) + "\n" for r in rows) + '{"update": 6, "x"')
    assert run.metrics() == rows
    assert run.cut_metrics(3) == rows[:3]
    assert run.metrics() == rows[:3]
    with pytest.raises(RunError, match=r"metrics.jsonl lacks rows up to update 4 of the checkpoint"):
        run.cut_metrics(4)


def test_a_damaged_row_is_named(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    run.metrics_path.write_text('{"update": 1}\nnonsense\n')
    with pytest.raises(RunError, match=r"metrics.jsonl:2 is damaged"):
        run.metrics()


def test_only_the_newest_two_checkpoints_are_kept(tmp_path: Path) -> None:
    run = make_run(tmp_path, finished=False)
    for update in (2, 10, 4):
        run.checkpoint_path(update).touch()
    run.drop_old_checkpoints()
    assert [update for update, _ in run.checkpoints()] == [4, 10]


def test_a_folder_of_runs_gives_the_newest_configuration_once_a_seed(tmp_path: Path) -> None:
    make_run(tmp_path, 0, "task.load_scale=2")
    kept = [make_run(tmp_path, seed) for seed in (1, 0)]
    again = make_run(tmp_path, 1)
    make_run(tmp_path, 2, finished=False)
    found = find_runs([tmp_path / "voltvar_ieee33_smoke"])
    assert [run.folder for run in found] == [kept[1].folder, again.folder]


def test_runs_of_different_configurations_are_not_mixed(tmp_path: Path) -> None:
    first, second = make_run(tmp_path, 0), make_run(tmp_path, 1, "task.load_scale=2")
    with pytest.raises(RunError, match="runs differ in their configuration"):
        find_runs([first.folder, second.folder])


def test_what_is_no_finished_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"run '.*nowhere': no such folder"):
        open_run(tmp_path / "nowhere")
    with pytest.raises(RunError, match=r"holds no config.yaml and versions.json"):
        open_run(tmp_path)
    with pytest.raises(RunError, match=r"holds no finished run"):
        find_runs([tmp_path])
    unfinished = make_run(tmp_path, finished=False)
    with pytest.raises(RunError, match=r"training is not finished; go on with `gridenv train --resume"):
        find_runs([unfinished.folder])
