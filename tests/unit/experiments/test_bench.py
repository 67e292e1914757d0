"""The benchmarks: engines solve the same circuit, rows are complete, commands work; nothing about speed."""

import json
import os
import pickle
from dataclasses import replace
from importlib.util import find_spec
from pkgutil import resolve_name
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from experiments.bench import cached, engines, extras, plots, powerflow
from experiments.bench.branches import branches, frame
from experiments.bench.cases import CASES, default_batches, load_cases, phase_cases, without_controls
from experiments.bench.cli import app
from experiments.bench.contest import Contestant
from experiments.bench.plan import Plan
from experiments.bench.rows import write_rows
from experiments.bench.samples import Samples, random_samples, with_infeasible_sample, with_random_trees
from experiments.bench.tables import markdown, ratio
from experiments.bench.twin import three_phase_twin
from experiments.bench.worker import Worker, WorkerError
from gridenv.core.errors import ConfigError, NetworkError
from gridenv.network import list_networks, load_network
from gridenv.network.phase_tables import PhaseTransformerTable, WindingTable

# LV network with a transformer that shifts phases, and with line charging; pandapower makes it.
WITH_TRANSFORMER = "kerber_landnetz_freileitung_1"
# Delta and single-phase loads of all three models, a regulator for each phase, capacitors.
THREE_PHASE = "ieee123"
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


@pytest.fixture(params=["ieee33", WITH_TRANSFORMER, THREE_PHASE, f"{THREE_PHASE} twin"], scope="module")
def case(request):
    name, _, twin = request.param.partition(" ")
    cases, _ = load_cases(name)
    return cases[1 if twin else 0]


@pytest.fixture(scope="module")
def circuit(case):
    return case.circuit


@pytest.fixture
def cached_programs(monkeypatch):
    """Workers keep compiled programs, unlike in a real benchmark: these tests do not look at times."""
    monkeypatch.setenv("JAX_ENABLE_COMPILATION_CACHE", "true")


def made(engine, case, tolerance):
    if (reason := engines.missing_package(engine)) is not None:
        pytest.skip(reason)
    spec = {"spec": case.spec} if engine.needs_spec else {}
    return resolve_name(engine.subject)(circuit=case.circuit, tolerance=tolerance, threads=1, **spec, **engine.options)


def solved(engine, case, samples, tolerance):
    subject = made(engine, case, tolerance)
    subject.prepare(samples)
    subject.call()
    return subject.outcome()


def row(engine, batch, us, **more):
    about = {"bench": "powerflow", "case": "ieee33", "circuit": "own", "nodes": 33, "engine": engine, "batch": batch}
    fixed = {"threads": 1, "dtype": "float64", "tolerance": 1e-6, "us_per_solve": us, "max_abs_dv_pu": 1e-8}
    rest = {"compile_s": 1.0, "peak_mb": 100.0, "runs": 1, "min": us, "max": us, "samples": "random"}
    return about | fixed | rest | more


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def rows_of(tmp_path, *arguments):
    path = tmp_path / "new" / "rows.json"
    result = run(*arguments, *QUICK, "--json", path)
    assert result.exception is None, result.exception
    return json.loads(path.read_text()), result.output


@pytest.mark.parametrize("engine", engines.ENGINES, ids=lambda e: f"{e.name}-{e.dtype}")
def test_engines_find_the_voltages_of_a_plain_fixed_point(case, engine):
    engine = replace(engine, min_nodes=0)
    if engine.why_not(case.circuit) is not None:
        pytest.skip(f"{engine.name} does not solve {case.circuit.kind} circuits")
    samples = random_samples(case.circuit, BATCH, seed=1)
    reference = case.circuit.settled(samples)
    found = solved(engine, case, samples, 1e-6 if engine.dtype == "float32" else 1e-10)
    assert found.v_pu.shape == (BATCH, len(case.circuit.node_names))
    assert not found.failed.any()
    assert found.iterations is None or 1 < found.iterations < 30
    # float32 resolves 6e-8 near 1 pu and stops at a change of 1e-6; the others stop at 1e-10, OpenDSS behind 1e-9 ohm.
    assert np.max(np.abs(found.v_pu - reference)) < (1e-6 if engine.dtype == "float32" else 3e-8)


@pytest.mark.parametrize("engine", engines.ENGINES[:4], ids=lambda e: f"{e.name}-{e.dtype}")
def test_a_sample_without_solution_is_flagged_and_spoils_no_other(case, engine):
    if engine.why_not(case.circuit) is not None:
        pytest.skip(f"{engine.name} does not solve {case.circuit.kind} circuits")
    samples = random_samples(case.circuit, BATCH, seed=1)
    found = solved(engine, case, with_infeasible_sample(case.circuit, samples), 1e-6)
    assert found.failed.tolist() == [True] + [False] * (BATCH - 1)
    expected = solved(engine, case, samples, 1e-6)
    assert np.max(np.abs(found.v_pu - expected.v_pu)[1:]) < 1e-6


def test_voltages_that_are_no_solution_are_found_out(circuit):
    samples = random_samples(circuit, BATCH, seed=1)
    v_pu = circuit.settled(samples)
    assert not circuit.drift_beyond(samples, v_pu, 1e-9).any()
    v_pu[2, circuit.name_to_node == circuit.n_other - 1] += 1e-3
    v_pu[5] = np.nan
    assert np.flatnonzero(circuit.drift_beyond(samples, v_pu, 1e-6)).tolist() == [2, 5]


def test_branches_and_shunts_add_up_to_the_admittances_and_the_frame_takes_the_turns_out(circuit):
    parts = branches(circuit)
    turns = frame(circuit, parts)
    y = np.diag(parts.shunt).astype(complex)
    for a, b, series in zip(parts.start, parts.end, parts.series, strict=True):
        y[[a, b], [a, b]] += series
        y[[a, b], [b, a]] -= series
    expected = turns.conj()[:, None] * circuit.y.toarray() * turns
    np.testing.assert_allclose(y, expected, atol=1e-9 * np.abs(expected).max())
    assert circuit.n_phase > 1 or (np.ptp(np.angle(turns)) > 1.0) == (circuit.case == WITH_TRANSFORMER)


def test_a_circuit_travels_without_what_follows_from_it(circuit):
    assert circuit.factors is not None
    again = pickle.loads(pickle.dumps(circuit))
    assert "factors" not in vars(again)
    np.testing.assert_array_equal(again.no_load, circuit.no_load)


def test_a_twin_keeps_power_and_buses_and_has_all_three_phases():
    spec = without_controls(load_network(THREE_PHASE))
    twin = three_phase_twin(spec)
    np.testing.assert_array_equal(twin.injections.p_kw, spec.injections.p_kw)
    assert twin.buses.id == spec.buses.id
    assert set(twin.lines.from_phases) == {"123"}
    assert set(twin.injections.connection) == {"wye"}
    rated_pu = twin.injections.v_kv * np.sqrt(3) / twin.buses.vn_kv[0]
    np.testing.assert_allclose(rated_pu, 1.0, atol=2e-3)
    # A coupled line keeps its matrix, referred to the twin's level.
    row = spec.lines.from_phases.index("123")
    z_pu = spec.lines.z_ohm[row] / 4.16**2
    pair = {spec.lines.from_bus[row], spec.lines.to_bus[row]}
    ends = [{a, b} for a, b in zip(twin.lines.from_bus, twin.lines.to_bus, strict=True)]
    np.testing.assert_allclose(twin.lines.z_ohm[ends.index(pair)], z_pu, rtol=1e-6)


def test_a_network_with_a_transformer_between_phases_has_no_twin():
    spec = without_controls(load_network(THREE_PHASE))
    transformers = PhaseTransformerTable(id=("t",), n_phase=np.array([1.0]), x_12=np.array([0.05]))
    windings = WindingTable(
        id=("t.1", "t.2"),
        transformer=("t", "t"),
        bus=("150", "149"),
        phases=("12", "10"),
        connection=("delta", "wye"),
        v_kv=np.array([4.16, 2.4]),
        s_kva=np.array([100.0, 100.0]),
    )
    odd = spec.replace(transformers=transformers, windings=windings)
    with pytest.raises(NetworkError, match=r"transformer 't' has windings at \['12', '1'\]; allowed in a twin: two"):
        three_phase_twin(odd)
    spec = spec.replace(transformers=spec.transformers.joined(transformers), windings=spec.windings.joined(windings))
    cases, (problem,) = phase_cases(spec, "odd")
    assert [case.circuit.variant for case in cases] == ["own"]
    assert "transformer 't'" in problem


def test_default_cases_are_in_the_catalogue_and_large_ones_get_smaller_batches(circuit):
    known = list_networks()
    assert all(name in known or name.startswith("simbench:") for name in CASES)
    assert default_batches(circuit)[-1] == (8192 if circuit.n_phase == 1 else 1024)
    large = SimpleNamespace(n_phase=1, n_node=5000)
    assert default_batches(large)[-1] == 256


def test_engines_say_which_circuits_they_leave_out_and_why():
    balanced = SimpleNamespace(kind="balanced", n_node=10_000)
    by_name = {engine.name: engine for engine in engines.ENGINES}
    assert by_name["OpenDSS"].why_not(balanced) is None
    assert by_name["tensorpowerflow"].why_not(balanced) == "its matrices for 10000 nodes would take more than 4 GB"
    assert by_name["pandapower"].why_not(SimpleNamespace(kind="twin", n_node=10)) == ""
    assert [b for b in (1, 2, 64, 65) if by_name["OpenDSS"].takes(b)] == [2, 64]


def test_random_trees_are_radial_and_our_solver_finds_their_voltages():
    (case,), _ = load_cases("ieee33")
    samples = with_random_trees(case.spec, random_samples(case.circuit, BATCH, seed=1), seed=1)
    assert samples.switches.sum(axis=1).tolist() == [32] * BATCH
    assert len(np.unique(samples.switches, axis=0)) == BATCH
    assert samples.first(2).switches.shape == (2, 37)
    reference = extras.switched_reference(case, samples)
    assert (np.abs(reference) > 0.75).all()
    if not extras.takes_switches():
        pytest.skip("PowerFlow.solve takes no switches")
    found = solved(engines.ENGINES[0], case, samples, 1e-6)
    assert not found.failed.any()
    assert np.max(np.abs(found.v_pu - reference)) < 2e-6


def test_loss_and_its_gradient_are_those_of_the_solver():
    (case,), _ = load_cases("ieee33")
    samples = random_samples(case.circuit, 2, seed=1)
    loss, with_gradient = (made(engine, case, 1e-6) for engine in (engines.LOSS, engines.GRADIENT))
    for subject in (loss, with_gradient):
        subject.prepare(samples)
        subject.call()
        assert not subject.outcome().failed.any()
    (value, _), (by_p, by_q) = with_gradient._results
    assert value == pytest.approx(float(loss._results[0]), rel=1e-6)
    assert by_p.shape == by_q.shape == samples.p_kw.shape
    step_kw = np.zeros_like(samples.p_kw)
    step_kw[:, -1] = 20.0
    around = [
        solved(engines.ENGINES[1], case, replace(samples, p_kw=samples.p_kw + d), 1e-10) for d in (step_kw, -step_kw)
    ]
    assert all(not found.failed.any() for found in around)
    subject = made(engines.LOSS, case, 1e-6)
    losses = []
    for step in (step_kw, -step_kw):
        subject.prepare(replace(samples, p_kw=samples.p_kw + step))
        losses.append(float(subject.call()[0]))
    assert float(by_p[:, -1].sum()) == pytest.approx((losses[0] - losses[1]) / 40.0, rel=2e-2)


def test_first_calls_with_a_cache_are_those_of_the_second_of_two_processes_that_share_it(monkeypatch):
    environments = []

    class Stub:
        def __init__(self, name, threads, environment):
            environments.append(environment)
            self.begin_build = lambda target, **arguments: None
            self.finish_build = lambda: 0.0
            self.close = lambda: None

        def prepare(self, n):
            return SimpleNamespace(call_s=10 * len(environments) + n)

    monkeypatch.setattr(cached, "Worker", Stub)
    one = Contestant(label="stub", target="", arguments={}, threads=1)
    assert cached.first_calls_with_cache(one, [{"n": 1}, {"n": 2}]) == [21, 22]
    assert environments[0] == environments[1]
    assert environments[0]["JAX_ENABLE_COMPILATION_CACHE"] == "true"


def test_first_calls_with_a_cache_are_not_measured_where_the_user_has_set_it(monkeypatch):
    monkeypatch.delenv("JAX_ENABLE_COMPILATION_CACHE", raising=False)
    assert cached.is_worthwhile()
    monkeypatch.setenv("JAX_ENABLE_COMPILATION_CACHE", "true")
    assert not cached.is_worthwhile()


def test_cached_first_calls_go_into_the_rows_of_our_engine_with_most_threads(monkeypatch, case):
    plan = Plan(bench="powerflow", cases=(), batches=(1, 2), threads=(1, 2), runs=1, seconds=0.1)
    contestants = [powerflow.contestant(powerflow.Entry(engines.ENGINES[0]), case, 1e-6, n) for n in (1, 2)]
    rows = [row("gridenv", batch, 1.0, dtype="float32", threads=n) for batch in (1, 2) for n in (1, 2)]
    monkeypatch.setattr(powerflow, "first_calls_with_cache", lambda one, inputs: [0.5, 0.7])
    bar = SimpleNamespace(show=lambda what: None)
    powerflow._add_cached_compile_times(plan, case, contestants, rows, bar)
    assert [r.get("compile_cached_s") for r in rows] == [None, 0.5, None, 0.7]


ROWS = [
    row("gridenv", 1, 100.0, dtype="float32", iterations=5),
    row("gridenv", 64, 2.0, dtype="float32", iterations=5),
    row("gridenv", 64, 3.0, dtype="float32", iterations=5, threads=2),
    row("gridenv", 64, 4.0, iterations=6),
    row("peer", 64, 20.0),
    row("one by one", 1, 50.0, iterations=4),
    row("gridenv", 64, 9.0, dtype="float32", circuit="twin", nodes=99),
    row("peer", 64, 90.0, circuit="twin", nodes=99),
]


def test_summary_sets_each_peer_beside_our_best_of_the_same_circuit():
    lines = [line.split(" | ") for line in markdown(ROWS).splitlines()[4:7]]
    assert [cells[:7] for cells in lines] == [
        ["| ieee33, 33 nodes", "peer", "64 / 64", "20", "2", "10.0", "5.0"],
        ["| ieee33, 33 nodes", "one by one", "1 / 64", "50", "2", "25.0", "12.5"],
        ["| ieee33 (twin), 99 nodes", "peer", "64 / 64", "90", "9", "10.0", "-"],
    ]
    assert lines[1][7:] == ["1e-08 / 1e-08", "4 / 5", "100 / 100 |"]
    assert ratio(ROWS[-1], ROWS, "float32") == 10.0


def test_plots_have_a_line_for_each_engine(tmp_path):
    write_rows(tmp_path / "rows.json", ROWS)
    by_size, by_batch = plots.lines_by_size(ROWS), plots.lines_by_batch(ROWS)
    assert list(by_size) == ["three phases (twins)"]
    assert by_size["three phases (twins)"] == {"gridenv float32": [(99, 9.0)], "peer": [(99, 90.0)]}
    assert by_batch["ieee33, 33 nodes"]["gridenv float32"] == [(1, 100.0), (64, 2.0)]
    result = run("plot", tmp_path / "rows.json", "--out", tmp_path / "new")
    assert result.exception is None
    assert [(tmp_path / "new" / name).is_file() for name in (plots.BY_SIZE, plots.BY_BATCH)] == [True, True]


def test_plots_without_power_flows_are_refused(tmp_path):
    write_rows(tmp_path / "rows.json", [row("gridenv", 1, 1.0, samples="loss")])
    error = run("plot", tmp_path / "rows.json", "--out", tmp_path).exception
    assert isinstance(error, ConfigError)
    assert str(error).startswith("bench plot: no rows of power flows; make some with ")


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
    arguments = ["--case", WITH_TRANSFORMER, "--batch", "1,4", "--engine", "gridenv", "--engine", "tensorpowerflow"]
    rows, output = rows_of(tmp_path, "powerflow", *arguments)
    more = {"us_per_solve", "nodes", "circuit", "build_s", "compile_cached_s", "iterations"}
    assert all(set(row) >= DESIGN_KEYS | more for row in rows)
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
    # Two tables with a line of titles each: one line for the peer, and one for each row.
    assert len([line for line in table.splitlines() if line.startswith("| ")]) == 2 + 1 + len(rows)
    assert "one infeasible, x " in table


def test_environment_command_measures_all_ways_in(tmp_path, cached_programs):
    rows, _ = rows_of(tmp_path, "env", "--case", "gridenv/VoltVar-IEEE33-v0", "--batch", 4, "--steps", 4)
    assert all(set(row) >= DESIGN_KEYS | {"steps_per_s"} for row in rows)
    peers = [("ANM6Easy-v0", "gym-anm", 1)] if find_spec("gym_anm") else []
    assert [(r["case"], r["engine"], r["batch"]) for r in rows] == [
        ("VoltVar-IEEE33-v0", "gridenv functional", 4),
        ("VoltVar-IEEE33-v0", "gridenv compiled step", 4),
        ("VoltVar-IEEE33-v0", "gridenv VectorEnv", 4),
        ("VoltVar-IEEE33-v0", "gridenv gymnasium.make", 1),
        *peers,
    ]
    assert all(0 < r["min"] <= r["steps_per_s"] <= r["max"] for r in rows)


@pytest.mark.parametrize("seeds", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_training_command_measures_seeds_side_by_side(tmp_path, cached_programs, seeds):
    options = ["--case", "VoltVar-IEEE33-v0", "--batch", 4, "--updates", 1, "--seeds", seeds]
    (row,), output = rows_of(tmp_path, "train", "agent.epochs=2", *options)
    assert set(row) >= DESIGN_KEYS | {"steps_per_s"}
    assert (row["engine"], row["batch"], row["seeds"]) == ("gridenv", 4, seeds)
    assert row["steps_per_s"] > 0
    assert row["settings"] == "epochs=2"
    assert "epochs=2" in output


def test_training_command_measures_agents_in_turn_with_the_peer_of_sb3_beside_them(tmp_path, cached_programs):
    pytest.importorskip("stable_baselines3", reason="needs the extra gridenv[sb3]")
    arguments = ["--case", "VoltVar-IEEE33-v0", "--batch", 4, "--updates", 1, "--agent", "sb3_td3,sb3_ppo"]
    rows, _ = rows_of(tmp_path, "train", *arguments)
    peers = [("ANM6Easy-v0", "gym-anm", "sb3_ppo", 1)] if find_spec("gym_anm") else []
    assert [(r["case"], r["engine"], r["agent"], r["batch"]) for r in rows] == [
        ("VoltVar-IEEE33-v0", "gridenv", "sb3_td3", 4),
        ("VoltVar-IEEE33-v0", "gridenv", "sb3_ppo", 4),
        *peers,
    ]
    assert all("stable-baselines3" in r["engine_version"] for r in rows)
    assert all(set(row) >= DESIGN_KEYS and row["steps_per_s"] > 0 for row in rows)
    assert "| agent |" in markdown(rows)


def test_agents_that_train_one_seed_at_a_time_are_not_measured_with_several(cached_programs):
    pytest.importorskip("stable_baselines3", reason="needs the extra gridenv[sb3]")
    error = run("train", *QUICK, "--case", "VoltVar-IEEE33-v0", "--agent", "sb3_td3", "--seeds", 2).exception
    assert isinstance(error, WorkerError)
    assert "--seeds is 2; agent 'sb3_td3' trains one seed at a time; leave it out" in str(error)


@pytest.mark.slow
def test_peers_that_are_not_installed_or_fail_are_left_out_with_a_line(cached_programs, monkeypatch, capsys):
    own, peer = engines.ENGINES[0], engines.ENGINES[-1]
    missing = replace(peer, name="missing", distribution="no-such-package", module="no_such_package")
    broken = replace(peer, name="broken", options={"no_such_option": 1})
    monkeypatch.setattr(powerflow, "ENGINES", (own, missing, broken))
    plan = Plan(
        bench="powerflow", cases=(WITH_TRANSFORMER, "no_such_case"), batches=(1,), threads=(1,), runs=1, seconds=0.001
    )
    kept = []
    rows = powerflow.measure(plan, ["gridenv", "missing", "broken"], 1e-6, lambda so_far: kept.append(list(so_far)))
    assert kept == [rows]
    assert {row["engine"] for row in rows} == {"gridenv"}
    notes = capsys.readouterr().err
    assert "left out: missing: package no-such-package is not installed; pip install" in notes
    assert f"left out: broken float64 with 1 thread on {WITH_TRANSFORMER}: bench: broken" in notes
    assert "left out: case no_such_case: unknown network" in notes
    assert "TypeError" in notes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["powerflow", "--case", "iee33"], "bench powerflow: unknown case 'iee33'; did you mean 'ieee33'?"),
        (["powerflow", "--case", "simbench:"], "bench powerflow: unknown case 'simbench:'; did you mean 'simbench"),
        (["powerflow", "--batch", "0"], "bench powerflow: --batch is '0'; allowed: whole numbers from 1; correct it"),
        (["env", "--batch", "many"], "bench env: --batch is 'many'; allowed: whole numbers from 1; correct it"),
        (["env", "--threads", "5000"], "bench env: --threads is '5000'; allowed: whole numbers from 1 to "),
        (["train", "--runs", "0"], "bench train: --runs is 0; allowed: 1 or more; "),
        (["train", "--seeds", "-1"], "bench train: --seeds is '-1'; allowed: whole numbers from 1; correct it"),
        (["train", "--agent", "sb3_pp"], "bench train: unknown agent 'sb3_pp'; did you mean 'sb3_ppo'?"),
        (
            ["train", "epochs=2"],
            "bench train: override 'epochs=2': no setting of agents; allowed: agent.KEY=VALUE; correct it",
        ),
        (["train", "agent=ppo"], "bench train: override 'agent=ppo': no setting of agents; allowed: agent.KEY=VALUE; "),
        (["train", "task.split=test"], "no setting of agents"),
        (["train", "agent.epoch=2"], "bench train: ppo: unknown key 'agent.epoch'"),
        (["train", "agent.epochs=0"], "bench train: ppo: agent.epochs = 0"),
        (
            ["train", "--agent", "ppo,sb3_ppo", "agent.discrete=box"],
            "bench train: sb3_ppo: unknown key 'agent.discrete'",
        ),
        (["train", "--batch", "8", "agent.num_envs=8"], "bench train: --batch and agent.num_envs together; allowed: "),
        (["train", "--updates", "0"], "bench train: --updates is 0; allowed: 1 or more; correct it"),
        (["env", "--seconds", "0"], "bench env: --seconds is 0.0; allowed: more than 0; "),
        (["env", "--steps", "-3"], "bench env: --steps is -3; allowed: 1 or more; correct it"),
        (["env", "--case", "VoltVer-IEEE33-v0"], "did you mean 'VoltVar-IEEE33-v0'?"),
        (["powerflow", "--engine", "pandapwer"], "unknown engine 'pandapwer'; did you mean 'pandapower'?"),
        (["powerflow", "--tolerance", "2"], "bench powerflow: --tolerance is 2.0; allowed: above 0, below 1; "),
        (["powerflow", "--json", "."], "bench powerflow: --json is the folder '.'; allowed: a file; "),
        (["plot", "no_such.json"], "bench table: file 'no_such.json' cannot be read"),
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
