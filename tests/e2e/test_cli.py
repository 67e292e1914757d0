"""The command line as a user has it: processes, files, exit codes, messages."""

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments import cli
from experiments.run import TIME_FIELDS
from gridenv.policy.bundle import read_bundle, write_bundle
from tests.unit.experiments.comparisons import check_page

ROOT = Path(__file__).parents[2]
SMOKE = "experiment=voltvar_ieee33_smoke"


def environment(cache: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "GRIDENV_CACHE_DIR": str(cache), "COLUMNS": "200"}


def start(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "gridenv", *arguments],
        cwd=folder,
        env=environment(folder.parent / "cache"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def gridenv(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    process = start(folder, *arguments)
    out, err = process.communicate(timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def train(folder: Path, *arguments: str) -> Path:
    done = gridenv(folder, "train", *arguments)
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.removeprefix("trained: ").split()[-1]


def metrics(run: Path) -> list[dict[str, object]]:
    """Rows without the fields that time decides."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{key: value for key, value in row.items() if key not in TIME_FIELDS} for row in rows]


def stop_after(folder: Path, n_row: int, number: signal.Signals) -> tuple[Path, "subprocess.CompletedProcess[str]"]:
    """Start the training of the smoke experiment and send a signal once there are some rows of metrics."""
    process = start(folder, "train", SMOKE)
    deadline = time.monotonic() + 200
    files: list[Path] = []
    while process.poll() is None and time.monotonic() < deadline:
        files = list(folder.glob("runs/*/*/metrics.jsonl"))
        if files and files[0].read_bytes().count(b"\n") >= n_row:
            process.send_signal(number)
            break
        time.sleep(0.002)
    out, err = process.communicate(timeout=60)
    return files[0].parent, subprocess.CompletedProcess(process.args, process.returncode, out, err)


def refusal(arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line with which a command in this process is refused."""
    monkeypatch.setattr(sys, "argv", ["gridenv", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of all runs, shared by parallel test workers; the cache in it is shared, as a user's is."""
    folder = tmp_path_factory.getbasetemp()
    folder = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "cli"
    folder.mkdir(exist_ok=True)
    return folder


def workplace(base: Path, name: str) -> Path:
    folder = base / name
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def trained(base: Path) -> Path:
    """A finished run, trained by the worker that comes first. Tests leave its files as they are."""
    with (base / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = list(base.glob("whole/runs/*/*"))
        return found[0] if found else train(workplace(base, "whole"), SMOKE)


@pytest.fixture(scope="module")
def bundle(trained: Path) -> Path:
    """The bundle of the finished run. Tests leave its files as they are."""
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package, reason="extra hil: training writes a bundle only with it")
    return trained / "bundle"


def test_the_same_configuration_and_seed_give_identical_metrics(base: Path, trained: Path) -> None:
    again = train(workplace(base, "again"), f"experiment={trained / 'config.yaml'}")
    assert metrics(again) == metrics(trained)
    assert (again / "config.yaml").read_text() == (trained / "config.yaml").read_text()


def test_a_run_killed_in_the_middle_resumes_to_the_same_metrics(base: Path, trained: Path) -> None:
    folder = workplace(base, "killed")
    run, killed = stop_after(folder, 15, signal.SIGKILL)
    assert killed.returncode == -signal.SIGKILL
    assert 15 <= len(metrics(run)) < len(metrics(trained))
    done = gridenv(folder, "train", "--resume", str(run))
    assert done.returncode == 0, done.stderr
    assert metrics(run) == metrics(trained)


def test_ctrl_c_saves_a_checkpoint_and_says_how_to_go_on(base: Path, trained: Path) -> None:
    folder = workplace(base, "stopped")
    run, stopped = stop_after(folder, 15, signal.SIGINT)
    assert stopped.returncode == cli.INTERRUPTED
    rows = len(metrics(run))
    assert 15 <= rows < len(metrics(trained))
    assert (run / "checkpoints" / f"update-{rows:06d}.checkpoint").is_file()
    resume = re.search(r"go on with: gridenv (train --resume \S+)", stopped.stderr)
    assert resume, stopped.stderr
    assert gridenv(folder, *resume.group(1).split()).returncode == 0
    assert metrics(run) == metrics(trained)


def test_a_report_is_one_page_that_needs_nothing_else(trained: Path) -> None:
    done = gridenv(trained.parents[2], "report", str(trained))
    assert done.returncode == 0, done.stderr
    page = check_page((trained / "report.html").read_text(encoding="utf-8"))
    images = page.all("img")
    assert len(images) >= 4
    assert all(image["alt"] and (image["src"] or "").startswith("data:image/svg+xml;base64,") for image in images)
    for text in ("voltvar_ieee33_smoke", "no control", "rule", "oracle", "PPO"):
        assert text in page.text
    (days,) = page.days()
    assert len(days["dates"]) == 65
    assert [controller["label"] for controller in days["controllers"]] == ["PPO", "rule", "oracle", "no control"]

    result = json.loads((trained / "evaluation.json").read_text(encoding="utf-8"))
    assert (result["task"], result["split"], result["warnings"]) == ("VoltVar-IEEE33-v0", "test", [])
    versions = json.loads((trained / "versions.json").read_text(encoding="utf-8"))
    assert result["episodes_hash"] == versions["episodes"]["test"]
    controllers = result["controllers"]
    assert list(controllers) == ["ppo", "rule", "oracle", "none"]
    assert controllers["rule"]["score"] == pytest.approx(0.0, abs=1e-9)
    assert controllers["oracle"]["score"] == pytest.approx(1.0)
    for entry in controllers.values():
        assert entry["return_eur"]["low"] <= entry["return_eur"]["mean"] <= entry["return_eur"]["high"]
        assert entry["cost"].keys() == {"v_band", "thermal", "pf_fail"}
        assert entry["loss_kwh"] > 0


def test_reproduce_says_that_every_number_is_the_same(trained: Path) -> None:
    done = gridenv(trained.parents[2], "reproduce", str(trained))
    assert done.returncode == 0, done.stderr + done.stdout
    assert re.match(r"identical: 100 updates of \d+ metrics", done.stdout), done.stdout
    assert ("evaluation.json" in done.stdout) == (trained / "evaluation.json").is_file()
    (again,) = trained.parents[2].glob("runs/reproduced/*/*")
    assert metrics(again) == metrics(trained)
    assert not (again / "wandb").exists()


def test_reproduce_names_the_first_metric_that_differs_and_what_may_explain_it(base: Path, trained: Path) -> None:
    edited = Path(shutil.copytree(trained, base / "tampered", ignore=shutil.ignore_patterns("evaluation*.json")))
    rows = [json.loads(line) for line in (edited / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[:9]]
    rows[6]["loss/value"] += 0.5
    (edited / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    versions = (edited / "versions.json").read_text(encoding="utf-8")
    data = json.loads(versions)["data_hash"]
    (edited / "versions.json").write_text(versions.replace(data, "0" * 64), encoding="utf-8")
    done = gridenv(workplace(base, "other"), "reproduce", str(edited))
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("differs: 1 of 9 updates (runs/reproduced/voltvar_ieee33_smoke/")
    assert lines[1] == "  first at update 7:"
    assert re.match(r"    loss/value: recorded \S+, again \S+ \(relative", lines[2])
    assert f"    data_hash: recorded {'0' * 64}, again {data}" in lines[3:]
    assert "was made with other data (00000000, here " in done.stderr


def test_evaluate_takes_another_split_and_other_references(trained: Path) -> None:
    done = gridenv(trained.parents[2], "evaluate", str(trained.parent), "--split", "validation", "--against", "none")
    assert done.returncode == 0, done.stderr
    result = json.loads((trained / "evaluation_validation.json").read_text(encoding="utf-8"))
    assert list(result["controllers"]) == ["ppo", "none"]
    assert result["controllers"]["ppo"]["score"] is None
    # The last evaluation of the training was of the same policy on the same days.
    last = metrics(trained)[-1]["validation/return_eur"]
    assert result["controllers"]["ppo"]["return_eur"]["mean"] == pytest.approx(last, rel=1e-6)


def test_a_run_has_a_bundle_that_runs_elsewhere_to_the_same_result(base: Path, trained: Path, bundle: Path) -> None:
    moved = Path(shutil.copytree(bundle, base / "bundle"))
    done = gridenv(workplace(base, "elsewhere"), "evaluate", str(moved), "--split", "validation", "--against", "none")
    assert done.returncode == 0, done.stderr
    result = json.loads((moved / "evaluation_validation.json").read_text(encoding="utf-8"))
    assert list(result["controllers"]) == ["ppo", "none"]
    assert result["config_hash"] == json.loads((trained / "versions.json").read_text())["config_hash"]
    # The last evaluation of the training was of the same policy on the same days, all of it in JAX.
    last = metrics(trained)[-1]
    assert result["episodes"] == 65
    for key, name in (("return_eur", "validation/return_eur"), ("economic_eur", "validation/economic_eur")):
        assert result["controllers"]["ppo"][key]["mean"] == pytest.approx(last[name], rel=1e-4)
    assert result["controllers"]["ppo"]["loss_kwh"] == pytest.approx(last["validation/loss_kwh"], rel=1e-4)


def test_export_makes_the_bundle_of_the_training_again(base: Path, trained: Path, bundle: Path) -> None:
    done = gridenv(workplace(base, "export"), "export", str(trained), "--out", "made/here")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "bundle: made/here\n"
    again, first = (read_bundle(folder) for folder in (base / "export" / "made" / "here", bundle))
    assert again.onnx == first.onnx
    assert again.manifest.config == first.manifest.config
    assert again.manifest.update == first.manifest.update == len(metrics(trained))
    np.testing.assert_allclose(again.golden.action, first.golden.action, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "culprit"),
    [
        (lambda folder: (folder / "policy.onnx").unlink(), "lacks policy.onnx"),
        (lambda folder: (folder / "golden.npz").write_bytes(b"PK"), "golden.npz (2 bytes) is cut off or was changed"),
        (lambda folder: (folder / "SHA256SUMS").write_text("no"), "SHA256SUMS is damaged"),
    ],
)
def test_evaluate_says_in_one_line_what_is_wrong_with_a_bundle(
    bundle: Path,
    change: Callable[[Path], object],
    culprit: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    change(broken)
    assert culprit in refusal(["evaluate", str(broken)], monkeypatch, capsys)
    assert not (broken / "evaluation.json").exists()


def test_a_bundle_beside_others_is_refused(
    trained: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refusal(["evaluate", str(trained), str(bundle)], monkeypatch, capsys)
    assert "bundle' is a bundle and not the only folder; allowed: one bundle, or runs" in line


def test_a_bundle_of_a_task_that_has_changed_is_refused(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = read_bundle(bundle)
    config = json.loads(json.dumps(whole.manifest.config))
    config["task"]["observed_buses"] = ["5", "18"]
    write_bundle(tmp_path / "b", replace(whole, manifest=replace(whole.manifest, config=config)))
    line = refusal(["evaluate", str(tmp_path / "b")], monkeypatch, capsys)
    assert "has other observation channels than task 'VoltVar-IEEE33-v0': entry 0 is 'bus.1.v_pu'" in line


def test_a_checkpoint_of_another_configuration_is_refused(base: Path, trained: Path) -> None:
    edited = Path(shutil.copytree(trained, base / "edited"))
    config = edited / "config.yaml"
    text = config.read_text(encoding="utf-8")
    config.write_text(re.sub(r"\n  clip: .*", "\n  clip: 0.123", text), encoding="utf-8")
    done = gridenv(workplace(base, "refused"), "evaluate", str(edited))
    assert done.returncode == 2
    assert "config_hash is" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        (["train", "experiment=voltvar_ieee33", "agent.totl_steps=1"], "unknown key 'agent.totl_steps'"),
        (["train", "experiment=voltvar_ieee33", "task=VoltVar-IEEE99-v0"], "unknown task 'VoltVar-IEEE99-v0'"),
        (["train", "experiment=voltvar_ieee33", "task.inverters.0.p_dc_kw=-5"], "task.inverters.0.p_dc_kw = -5"),
        (["train", "experiment=voltvar_ieee33", "agent.epochs=many"], "agent.epochs = 'many'"),
        (["train", "experiment=missing.yaml"], "experiment 'missing.yaml': no such file"),
        (["train", "experiment=voltvar_ieee33", "seed"], "override 'seed'"),
        (["train", "experiment=voltvar_ieee33", "task.network=ieee35"], "unknown network 'ieee35'"),
        (
            [
                "train",
                "experiment=voltvar_ieee33",
                "task.network=cigre_mv_all",
                "task.inverters=[{bus: '3', p_dc_kw: 1.0, profile: PV1}]",
            ],
            "generators or storage of its own",
        ),
        (["train", "--resume", "runs/none"], "run 'runs/none': no such folder"),
        (["train", "--resume", "runs/none", "seed=1"], "--resume takes the settings of the run"),
        (["evaluate", "runs/none"], "run 'runs/none': no such folder"),
        (["report", "runs/none"], "run 'runs/none': no such folder"),
        (["report", "runs/none", "--markdown", "a.md"], "--markdown is for comparisons"),
        (["report", "none.json"], "comparison 'none.json': no such file"),
        (["report", "none.json", "--split", "test"], "--split is for runs"),
        (["report", "none.json", "runs/none"], "'none.json', 'runs/none' together"),
        (["bench", "env", "--all", "--case", "VoltVar-IEEE33-v0"], "--all and --case together"),
        (["export", "runs/none"], "run 'runs/none': no such folder"),
        (["reproduce", "runs/none"], "run 'runs/none': no such folder"),
        (["train", "experiment=voltvar_ieee33", "wandb.mode=later"], "wandb.mode = 'later'; must be 'offline'"),
    ],
)
def test_bad_input_gives_one_line_that_names_the_culprit(
    arguments: list[str],
    culprit: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert culprit in refusal(arguments, monkeypatch, capsys)
    assert not list(tmp_path.iterdir())


def test_without_a_command_all_are_listed_quickly_and_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, time; start = time.perf_counter(); from gridenv._command import main\n"
        "try: main()\n"
        "except SystemExit as stop: print('code', stop.code)\n"
        "print('seconds', time.perf_counter() - start, *sorted({'jax', 'pandapower', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(Path("/nowhere")), check=True
    )
    for command in ("list", "train", "evaluate", "export", "reproduce", "compare", "report", "demo", "bench"):
        assert re.search(rf"^ +{command} +\S", done.stdout, re.MULTILINE)
    assert "code 0" in done.stdout
    last = done.stdout.splitlines()[-1].split()
    assert last[0] == "seconds"
    # It takes 0.3 s; the rest is for a busy machine.
    assert float(last[1]) < 3.0
    assert last[2:] == []


def test_unknown_commands_end_with_code_2(tmp_path: Path) -> None:
    done = gridenv(workplace(tmp_path, "w"), "trian")
    assert done.returncode == 2
    assert "trian" in done.stderr


def test_list_shows_what_can_be_chosen(tmp_path: Path) -> None:
    done = gridenv(workplace(tmp_path, "w"), "list")
    assert done.returncode == 0
    assert re.findall(r"^(\w+):$", done.stdout, re.MULTILINE)[-3:] == ["comparisons", "forecasts", "rigs"]
    for name in ("ieee33", "VoltVar-IEEE33-v0", "ppo", "oracle", "voltvar_ieee33", "all_tasks", "published"):
        assert re.search(rf"^  {re.escape(name)} +\S", done.stdout, re.MULTILINE)
