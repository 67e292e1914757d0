"""The commands for rigs as a user meets them."""

import shutil

import pytest
from typer.testing import CliRunner

from experiments.cli import app
from experiments.cli_hil import RIGS
from gridenv.core.errors import BundleError, ConfigError, RunError
from tests.hil.runs import Bench


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    bench = Bench(tmp_path_factory.mktemp("bench"))
    bench.run(3.0)
    return bench.folder


def call(*words):
    return CliRunner().invoke(app, ["hil", *map(str, words)])


def test_commands_are_listed():
    shown = call("--help").output
    for name in ("emulate", "run", "check", "replay", "report", "sensitivities"):
        assert name in shown


def test_report_is_written_into_the_run(run_folder):
    result = call("report", run_folder)
    assert result.exit_code == 0, result.output
    assert (run_folder / "report.html").stat().st_size > 20_000


def test_replay_needs_the_bundle_of_the_run(run_folder):
    result = call("replay", run_folder)
    assert isinstance(result.exception, RunError)
    assert "its bundle 'bundle' is not there or another one by now; name it by --bundle" in str(result.exception)


def test_changed_record_is_named(run_folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run_folder, copy)
    events = copy / "events.jsonl"
    events.write_text(events.read_text().replace('"kind": "start"', '"kind": "begun"', 1))
    result = call("replay", copy)
    assert "line 1 was changed, added or taken away from" in result.output


def test_wrong_bundle_rig_and_run_are_one_line_each(tmp_path):
    result = call("run", "--bundle", tmp_path / "none", "--rig", "voltvar_ieee33")
    assert isinstance(result.exception, BundleError)
    assert "no such folder; name a folder that `gridenv export` made" in str(result.exception)
    result = call("report", tmp_path)
    assert isinstance(result.exception, RunError)
    assert "is no run of `gridenv hil run`" in str(result.exception)
    result = call("sensitivities", "VoltVar-IEEE34-v0", "--out", tmp_path / "s.csv")
    assert isinstance(result.exception, ConfigError)
    assert RIGS.is_dir()
