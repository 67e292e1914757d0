"""What is kept for W&B: every update once, what an evaluation adds, and no connection to anybody."""

import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from experiments.config import compose
from experiments.run import Run, create_run
from experiments.tracking import wandb_run
from gridenv.core.errors import RunError

wandb = pytest.importorskip("wandb", reason="needs the extra gridenv[wandb]")
ROOT = Path(__file__).parents[3]
BLOCK = 32_768
"""Size of a block of the log format of LevelDB, which `.wandb` files have after a header of 7 bytes."""


def records(path: Path) -> Iterator[Any]:
    """Records of a `.wandb` file."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, parts = path.read_bytes(), 7, b""
    assert data[:4] == b":W&B"
    while at + 7 <= len(data):
        if BLOCK - at % BLOCK < 7:
            at += BLOCK - at % BLOCK
            continue
        length, kind = struct.unpack("<HB", data[at + 4 : at + 7])
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, last part
            yield Record.FromString(parts)
            parts = b""


def offline_file(folder: Path) -> Path:
    (found,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    return found


def history(path: Path) -> list[dict[str, Any]]:
    rows = []
    for record in records(path):
        if record.HasField("history"):
            items = {i.key or ".".join(i.nested_key): json.loads(i.value_json) for i in record.history.item}
            rows.append({key: value for key, value in items.items() if not key.startswith("_")})
    return rows


@dataclass(frozen=True)
class Session:
    run: Run
    first: Path
    """Copy of the run folder after the first five updates."""
    asked: list[str]
    """What was asked of the proxy that all processes were told to use."""
    connected: str | None
    """Log of all connections; None where they could not be traced."""
    err: str


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    asked: list[str] = []

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        do_CONNECT = do_POST = do_GET  # noqa: N815

        def log_message(self, *args: Any) -> None:
            pass

    folder = tmp_path_factory.mktemp("wandb")
    trace = folder / "trace"
    tracer = ["strace", "-f", "-A", "-e", "trace=connect", "-o", str(trace)] if shutil.which("strace") else []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    Thread(target=server.serve_forever, daemon=True).start()
    proxy = f"http://127.0.0.1:{server.server_port}"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("WANDB_")},
        **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), proxy),
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT),
    }

    def program(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [*tracer, sys.executable, str(Path(__file__).with_name("wandb_session.py")), str(folder), *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done

    begun = program()
    run = Run(Path(begun.stdout))
    shutil.copytree(run.folder, folder / "first")
    gone_on = program(str(run.folder))
    server.shutdown()
    server.server_close()
    return Session(run, folder / "first", asked, trace.read_text() if tracer else None, begun.stderr + gone_on.stderr)


def test_no_connection_is_attempted_offline(session: Session) -> None:
    assert session.asked == []
    if session.connected is not None:
        # The program speaks with wandb's own process through a local socket, and with nobody else.
        assert "wandb-" in session.connected
        assert "sa_family=AF_INET" not in session.connected
    assert session.err == ""


def test_every_update_is_kept_once_on_the_axis_of_environment_steps(session: Session) -> None:
    file = offline_file(session.first)
    rows = history(file)
    assert [row["update"] for row in rows] == [1, 2, 3, 4, 5]
    assert rows[3] == {"update": 4, "steps": 384, "loss/policy": 0.125, "time_s": pytest.approx(0.4)}
    metrics = {r.metric.glob_name: r.metric.step_metric for r in records(file) if r.HasField("metric")}
    assert metrics["*"] == "steps"
    (begun,) = [r.run for r in records(file) if r.HasField("run")]
    assert begun.run_id == session.run.id
    assert begun.run_group == "voltvar_ieee33_smoke"
    config = {item.key: json.loads(item.value_json) for item in begun.config.update}
    assert config["seed"] == 3
    assert config["versions"]["config_hash"] == session.run.config_hash


def test_a_run_that_goes_on_has_the_same_id_and_no_update_twice(session: Session) -> None:
    file = offline_file(session.run.folder)
    assert file.name == offline_file(session.first).name == f"run-{session.run.id}.wandb"
    assert [row["update"] for row in history(file) if "update" in row] == [1, 2, 3, 4, 5, 6]


def test_evaluation_report_and_bundle_are_added(session: Session) -> None:
    found = list(records(offline_file(session.run.folder)))
    summary = {i.key or i.nested_key[0]: i.value_json for r in found if r.HasField("summary") for i in r.summary.update}
    assert float(summary["test/ppo/score"]) == 0.75
    assert float(summary["test/ppo/return_eur"]) == -9.5
    assert float(summary["test/ppo/cost_v_band"]) == 0.25
    last = history(offline_file(session.run.folder))[-1]
    assert "html-file" in str({key: value for key, value in last.items() if key.startswith("report")})
    artifacts = [r.request.log_artifact.artifact for r in found if r.request.HasField("log_artifact")]
    artifacts += [r.artifact for r in found if r.HasField("artifact")]
    (bundle,) = artifacts
    assert (bundle.name, bundle.type) == (f"bundle-{session.run.id}", "policy")


def test_online_without_a_login_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    config = compose(["experiment=voltvar_ieee33_smoke", "wandb.mode=online"])
    with pytest.raises(RunError, match=r"wandb.mode = 'online': No API key.*or choose wandb.mode=offline") as refused:
        wandb_run.prepare(config)
    assert "\n" not in str(refused.value)


def test_a_run_without_anything_kept_is_left_alone(tmp_path: Path) -> None:
    run = create_run(compose(["experiment=voltvar_ieee33_smoke"]), 0, tmp_path)
    assert not wandb_run.is_kept(run)
    (run.folder / "wandb").mkdir()
    assert wandb_run.is_kept(run)
