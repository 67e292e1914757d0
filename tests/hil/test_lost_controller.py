"""A controller that is killed in control: the devices take themselves back, and its record can be read."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments.virtual_rig import virtual_rig
from hardware_in_loop.control.log import read_log
from hardware_in_loop.virtual_rig.control import ask
from tests.e2e.test_stacks import TINY, gridenv
from tests.hil.quiet_rig import quiet_rig

ROOT = Path(__file__).parents[2]
BUSY_S = 120.0
"""For what takes a second or two on an idle machine."""
TICK_S = 1.0
"""Allowance for the ticks of the rig and for this test's own questions."""


def status(port: int) -> dict[str, Any]:
    return asyncio.run(ask(port, {"ask": "status"}))


def wait_until(is_true: Callable[[], bool], limit_s: float) -> float:
    """Seconds until it was."""
    begun_s = time.monotonic()
    while not is_true():
        assert time.monotonic() - begun_s < limit_s
        time.sleep(0.05)
    return time.monotonic() - begun_s


@pytest.mark.slow
def test_devices_take_themselves_back_within_their_timers_when_the_controller_is_killed(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra gridenv[hil]")
    gridenv(tmp_path, "train", *TINY, "seeds=[0]", "agent.minibatches=2", "agent.epochs=2")
    [bundle] = tmp_path.glob("runs/*/*/bundle")
    rig = quiet_rig(tmp_path)
    reversion_s = yaml.safe_load(rig.read_text(encoding="utf-8"))["safety"]["reversion_s"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GRIDENV_CACHE_DIR": str(tmp_path / "cache")}
    run = [sys.executable, "-m", "gridenv", "hil", "run", "--mode", "active", "--out", "run"]
    with virtual_rig(str(rig), 900.0) as port:
        gridenv(tmp_path, "hil", "check", "--bundle", str(bundle), "--rig", str(rig), "--signed-by", "test")
        # What the check left in force ends too.
        wait_until(lambda: set(status(port)["setpoints"].values()) == {None}, BUSY_S)
        before = status(port)["reversions"]
        controller = subprocess.Popen([*run, "--bundle", bundle, "--rig", rig], cwd=tmp_path, env=environment)
        try:
            wait_until(lambda: None not in status(port)["setpoints"].values(), BUSY_S)
            # Timers are renewed by more than the first writes alone.
            time.sleep(reversion_s)
            assert None not in status(port)["setpoints"].values()
        finally:
            controller.send_signal(signal.SIGKILL)
            controller.wait()
        taken_back_s = wait_until(lambda: set(status(port)["setpoints"].values()) == {None}, BUSY_S)
        assert taken_back_s < reversion_s + TICK_S
        assert status(port)["reversions"] - before == len(status(port)["setpoints"])
    log = read_log(tmp_path / "run")
    assert log.problems == []
    assert "ACTIVE" in log.states
