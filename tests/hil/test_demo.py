"""`gridenv hil demo` as a user runs it: a bundle on the virtual rig, in processes of their own."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.hil_demo import compare_band, newest_bundle
from experiments.virtual_rig import virtual_rig
from hardware_in_loop.control.log import read_log
from hardware_in_loop.errors import RigError
from tests.e2e.test_stacks import TINY, gridenv
from tests.hil.quiet_rig import quiet_rig

ROOT = Path(__file__).parents[2]
LIMIT_S = 900
COUNT_PU = 0.00005
"""Of the voltages in the register map."""


@pytest.mark.slow
def test_demo_goes_from_check_to_report_and_leaves_nothing_behind(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra gridenv[hil]")
    gridenv(tmp_path, "train", *TINY, "seeds=[0]", "agent.minibatches=2", "agent.epochs=2")
    rig = quiet_rig(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GRIDENV_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "gridenv", "hil", "demo", "--seconds", "12", "--rig", str(rig)]
    done = subprocess.run(
        command, cwd=tmp_path, env={**environment, "COLUMNS": "160"}, capture_output=True, text=True, timeout=LIMIT_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"v_band, policy +\d+\.\d{4} pu h", done.stdout), done.stdout
    assert int(re.search(r"over (\d+) steps in control", done.stdout)[1]) >= 3
    gap_pu = float(re.search(r"rig - simulation +(\S+) pu", done.stdout)[1])
    assert gap_pu < 0.5 * COUNT_PU + 2e-6
    [folder] = (tmp_path / "runs" / "hil" / "demo").iterdir()
    for name in ("shadow", "active"):
        assert (folder / name / "report.html").stat().st_size > 20_000
    log = read_log(folder / "active")
    assert log.problems == []
    assert "ACTIVE" in log.states
    assert len(log.gaps) == 33
    assert "ACTIVE" not in read_log(folder / "shadow").states
    # The rig is gone, and its ports with it.
    for port in re.findall(r"port: (\d+)", rig.read_text(encoding="utf-8")):
        socket.create_server(("127.0.0.1", int(port))).close()


def test_rig_that_cannot_serve_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "rig.yaml"
    path.write_text("schema: gridenv.rig/1\n", encoding="utf-8")
    message = r"virtual rig '.*rig.yaml': ended with code 2 before it was ready; see above"
    with pytest.raises(RigError, match=message), virtual_rig(str(path), 60.0):
        pass


def test_band_is_compared_over_the_steps_in_control_that_both_have() -> None:
    def step(t: int, v_band: float, is_commanded: bool) -> dict[str, object]:
        return {"scenario_step": t, "cost": {"v_band": v_band}, "is_commanded": is_commanded}

    droop = [step(t, 1.0, False) for t in range(5)]
    band = compare_band(droop, [step(1, 0.9, False), step(2, 0.5, True), step(3, 0.25, True), step(9, 7.0, True)])
    assert (band.steps, band.droop_pu_h, band.controlled_pu_h) == (2, 2.0, 0.75)
    with pytest.raises(RigError, match="demo: the task of the rig file has no cost 'v_band'; use a rig file of"):
        compare_band([{"scenario_step": 0, "cost": {"soc": 0.0}}], [])


def test_bundle_of_the_newest_finished_run_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from experiments.run import Run

    monkeypatch.setattr(Run, "is_recorded", property(lambda run: True))
    monkeypatch.setattr(Run, "is_finished", property(lambda run: not run.folder.name.startswith("3")))
    monkeypatch.setattr("experiments.hil_demo.is_bundle", lambda path: True)
    for name in ("1", "2", "3"):
        (tmp_path / "voltvar_ieee33" / name).mkdir(parents=True)
    assert newest_bundle(tmp_path) == tmp_path / "voltvar_ieee33" / "2" / "bundle"
