"""The benchmarks: engines solve the same circuit, rows are complete, commands work; nothing about speed."""

import json
import os
from dataclasses import replace
from pkgutil import resolve_name

import numpy as np
import pytest
from typer.testing import CliRunner

from experiments.bench import engines, powerflow
from experiments.bench.circuit import Samples, load_circuit, random_samples, with_infeasible_sample
from experiments.bench.cli import app
from experiments.bench.plan import Plan
from experiments.bench.tables import ratio
from experiments.bench.worker import Worker, WorkerError
from gridenv.core.errors import ConfigError

# LV network with a transformer that shifts phases, and with line charging; pandapower makes it.
WITH_TRANSFORMER = "kerber_landnetz_freileitung_1"
DESIGN_KEYS = {
    "bench",
    "case",
    "engine",
    "batch",
    "threads",
    "dtype",
    "tolerance",
    "max_abs_dv_pu",
    "compile_s",
    "peak_mb",
    "runs",
    "min",
    "max",
}
QUICK = ["--threads", "1", "--runs", "1", "--seconds", "0.001"]
BATCH = 8


@pytest.fixture(params=["ieee33", WITH_TRANSFORMER], scope="module")
def circuit(request):
    return load_circuit(request.param)


@pytest.fixture
def cached_programs(monkeypatch):
    """Workers keep compiled programs, unlike in a real benchmark: these tests do not look at times."""
    monkeypatch.setenv("JAX_ENABLE_COMPILATION_CACHE", "true")


def made(engine, circuit, tolerance):
    if (reason := engines.missing_package(engine)) is not None:
        pytest.skip(reason)
    return resolve_name(engine.subject)(circuit=circuit, tolerance=tolerance, threads=1, **engine.options)


def solved(engine, circuit, samples, tolerance):
    subject = made(engine, circuit, tolerance)
    subject.prepare(samples)
    subject.call()
    return subject.outcome()


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def rows_of(tmp_path, *arguments):
    path = tmp_path / "new" / "rows.json"
    result = run(*arguments, *QUICK, "--json", path)
    assert result.exception is None, result.exception
    return json.loads(path.read_text()), result.output


@pytest.mark.parametrize("engine", engines.ENGINES, ids=lambda e: f"{e.name}-{e.dtype}")
def test_engines_find_the_voltages_of_an_independent_solver(circuit, engine):
    samples = random_samples(circuit, BATCH, seed=1)
    reference, _ = solved(engines.REFERENCES[0], circuit, samples, 1e-12)
    v_pu, failed = solved(engine, circuit, samples, 1e-6 if engine.dtype == "float32" else 1e-10)
    assert v_pu.shape == (BATCH, len(circuit.node_names))
    assert not failed.any()
    # float32 resolves 6e-8 near 1 pu and stops at a change of 1e-6; the others stop at 1e-10.
    assert np.max(np.abs(v_pu - reference)) < (1e-6 if engine.dtype == "float32" else 1e-8)


@pytest.mark.parametrize("engine", engines.ENGINES[:4], ids=lambda e: f"{e.name}-{e.dtype}")
def test_a_sample_without_solution_is_flagged_and_spoils_no_other(circuit, engine):
    samples = random_samples(circuit, BATCH, seed=1)
    v_pu, failed = solved(engine, circuit, with_infeasible_sample(circuit, samples), 1e-6)
    assert failed.tolist() == [True] + [False] * (BATCH - 1)
    expected, _ = solved(engine, circuit, samples, 1e-6)
    assert np.max(np.abs(v_pu - expected)[1:]) < 1e-6


def test_voltages_that_are_no_solution_are_found_out(circuit):
    samples = random_samples(circuit, BATCH, seed=1)
    v_pu, _ = solved(engines.ENGINES[1], circuit, samples, 1e-10)
    assert not circuit.drift_beyond(samples, v_pu, 1e-6).any()
    v_pu = v_pu.copy()
    v_pu[2, circuit.bus_to_node == circuit.other_node[-1]] += 1e-3
    v_pu[5] = np.nan
    assert np.flatnonzero(circuit.drift_beyond(samples, v_pu, 1e-6)).tolist() == [2, 5]


def test_random_samples_are_the_same_for_a_seed_and_reverse_every_fourth(circuit):
    first, again, other = (random_samples(circuit, BATCH, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.p_kw, again.p_kw)
    assert not np.array_equal(first.p_kw, other.p_kw)
    assert (np.sign(first.p_kw @ np.sign(circuit.p_kw)) == [1, 1, 1, -1] * 2).all()
    acts = circuit.p_kw != 0
    scale = first.p_kw[0, acts] / circuit.p_kw[acts]
    assert scale.min() >= 0.3 * 0.7
    assert scale.max() <= 1.2 * 1.3
    assert len(first.first(3)) == 3


def test_a_worker_has_the_processors_it_was_given_and_leaves_ours_alone():
    before, threads = os.sched_getaffinity(0), os.environ.get("OMP_NUM_THREADS")
    worker = Worker("nothing", 1)
    worker.begin_build("types:SimpleNamespace", work=1)
    worker.finish_build()
    assert len(os.sched_getaffinity(worker.pid)) == 1
    assert os.sched_getaffinity(0) == before
    assert os.environ.get("OMP_NUM_THREADS") == threads
    with pytest.raises(WorkerError, match=r"^bench: nothing: AttributeError: .*prepare"):
        worker.prepare(samples=None)
    worker.close()
    with pytest.raises(WorkerError, match="process has ended"):
        worker.measure(0.1)


def test_power_flow_command_writes_complete_rows_of_our_engine_and_a_peer(tmp_path, cached_programs):
    pytest.importorskip("tensorpowerflow", reason="tensorpowerflow is not installed: pip install 'gridenv[bench]'")
    arguments = ["--case", "ieee33", "--batch", "1,4", "--engine", "gridenv", "--engine", "tensorpowerflow"]
    rows, output = rows_of(tmp_path, "powerflow", *arguments)
    assert all(set(row) >= DESIGN_KEYS | {"us_per_solve"} for row in rows)
    found = [(r["engine"], r["dtype"], r["batch"], r["samples"], r["failed"]) for r in rows]
    assert found == [
        ("gridenv", "float32", 1, "random", 0),
        ("gridenv", "float64", 1, "random", 0),
        ("tensorpowerflow", "float64", 1, "random", 0),
        ("gridenv", "float32", 4, "random", 0),
        ("gridenv", "float64", 4, "random", 0),
        ("tensorpowerflow", "float64", 4, "random", 0),
        ("gridenv", "float32", 4, "one infeasible", 1),
    ]
    for row in rows:
        assert row["max_abs_dv_pu"] < 1e-6
        assert row["threads"] == row["runs"] == 1
        assert 0 < row["min"] <= row["us_per_solve"] <= row["max"]
        assert row["peak_mb"] > 10
        assert row["cpu"]
    assert rows[-1]["slowdown"] > 0
    assert ratio(rows[2], rows, "float32") == rows[2]["us_per_solve"] / rows[0]["us_per_solve"]
    assert "tensorpowerflow" in output
    table = run("table", tmp_path / "new" / "rows.json").output
    assert len([line for line in table.splitlines() if line.startswith("| ")]) == 1 + len(rows)
    assert "one infeasible, x " in table


def test_environment_command_measures_all_three_ways_in(tmp_path, cached_programs):
    rows, _ = rows_of(tmp_path, "env", "--case", "gridenv/VoltVar-IEEE33-v0", "--batch", 4, "--steps", 4)
    assert all(set(row) >= DESIGN_KEYS | {"steps_per_s"} for row in rows)
    assert [(r["engine"], r["batch"]) for r in rows] == [
        ("gridenv functional", 4),
        ("gridenv VectorEnv", 4),
        ("gridenv gymnasium.make", 1),
    ]
    assert {r["case"] for r in rows} == {"VoltVar-IEEE33-v0"}
    assert all(0 < r["min"] <= r["steps_per_s"] <= r["max"] for r in rows)


@pytest.mark.parametrize("seeds", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_training_command_measures_seeds_side_by_side(tmp_path, cached_programs, seeds):
    (row,), _ = rows_of(tmp_path, "train", "--batch", 4, "--updates", 1, "--seeds", seeds)
    assert set(row) >= DESIGN_KEYS | {"steps_per_s"}
    assert (row["engine"], row["batch"], row["seeds"]) == ("gridenv", 4, seeds)
    assert row["steps_per_s"] > 0


def test_peers_that_are_not_installed_or_fail_are_left_out_with_a_line(cached_programs, monkeypatch, capsys):
    own, peer = engines.ENGINES[0], engines.ENGINES[-1]
    missing = replace(peer, name="missing", distribution="no-such-package", module="no_such_package")
    broken = replace(peer, name="broken", options={"no_such_option": 1})
    monkeypatch.setattr(powerflow, "ENGINES", (own, missing, broken))
    plan = Plan(bench="powerflow", cases=("ieee33",), batches=(1,), threads=(1,), runs=1, seconds=0.001)
    rows = powerflow.measure(plan, ["gridenv", "missing", "broken"], 1e-6)
    assert {row["engine"] for row in rows} == {"gridenv"}
    notes = capsys.readouterr().err
    assert "left out: missing: package no-such-package is not installed; pip install" in notes
    assert "left out: broken float64 with 1 thread on ieee33: bench: broken" in notes
    assert "TypeError" in notes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["powerflow", "--case", "iee33"], "bench powerflow: unknown case 'iee33'; did you mean 'ieee33'?"),
        (["powerflow", "--case", "simbench:"], "bench powerflow: unknown case 'simbench:'; known: "),
        (["powerflow", "--batch", "0"], "bench powerflow: --batch is '0'; allowed: whole numbers from 1; correct it"),
        (["env", "--batch", "many"], "bench env: --batch is 'many'; allowed: whole numbers from 1; correct it"),
        (["env", "--threads", "5000"], "bench env: --threads is '5000'; allowed: whole numbers from 1 to "),
        (["train", "--runs", "0"], "bench train: --runs is 0; allowed: 1 or more; "),
        (["train", "--seeds", "-1"], "bench train: --seeds is '-1'; allowed: whole numbers from 1; correct it"),
        (["train", "--updates", "0"], "bench train: --updates is 0; allowed: 1 or more; correct it"),
        (["env", "--seconds", "0"], "bench env: --seconds is 0.0; allowed: more than 0; "),
        (["env", "--steps", "-3"], "bench env: --steps is -3; allowed: 1 or more; correct it"),
        (["env", "--case", "VoltVer-IEEE33-v0"], "did you mean 'VoltVar-IEEE33-v0'?"),
        (["powerflow", "--engine", "pandapwer"], "unknown engine 'pandapwer'; did you mean 'pandapower'?"),
        (["powerflow", "--tolerance", "2"], "bench powerflow: --tolerance is 2.0; allowed: above 0, below 1; "),
        (["powerflow", "--json", "."], "bench powerflow: --json is the folder '.'; allowed: a file; "),
        (["table", "no_such.json"], "bench table: file 'no_such.json' cannot be read"),
        (["table", "pyproject.toml"], "bench table: file 'pyproject.toml' cannot be read"),
    ],
)
def test_wrong_options_are_refused_with_a_line_that_names_them(arguments, message):
    error = run(*arguments).exception
    assert isinstance(error, ConfigError)
    assert message in str(error)
    assert "\n" not in str(error)


def test_a_file_without_rows_is_refused(tmp_path):
    path = tmp_path / "other.json"
    path.write_text("[1]")
    error = run("table", path).exception
    assert isinstance(error, ConfigError)
    assert f"file '{path}' holds no list of benchmark rows" in str(error)


def test_samples_know_their_number():
    assert len(Samples(p_kw=np.zeros((3, 2)), q_kvar=np.zeros((3, 2)))) == 3
