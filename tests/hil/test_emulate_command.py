"""`gridenv hil emulate` as a process of its own: ready, answering, stopped by a signal."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gridenv.core.channels import ChannelSet
from hardware_in_loop.modbus.link import ModbusLink
from hardware_in_loop.rig.files import load_rig
from hardware_in_loop.virtual_rig.control import ask
from tests.hil.wire import run

ROOT = Path(__file__).parents[2]
READY_LIMIT_S = 240


@pytest.mark.slow
def test_emulator_in_another_process_serves_the_demonstration_rig_until_a_signal():
    from gridenv.tasks.registry import make

    manifest = json.loads(json.dumps(make("VoltVar-IEEE33-v0")[0].manifest))
    channels = [ChannelSet.from_json(manifest[kind]) for kind in ("observation", "action")]
    file = load_rig("voltvar_ieee33", ROOT / "configs" / "rig", *channels)
    command = [sys.executable, "-m", "gridenv", "hil", "emulate", "voltvar_ieee33", "--seconds", str(READY_LIMIT_S)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        line = process.stdout.readline()
        assert line.startswith("ready: voltvar_ieee33 at 1440 x: scada 127.0.0.1:15020, pv_10 127.0.0.1:15021")
        control = int(re.search(r"control 127\.0\.0\.1:(\d+)", line)[1])

        async def check():
            link = ModbusLink(file, *channels)
            await link.open()
            snapshot = await link.read(1.0)
            assert set(snapshot.readings) == set(channels[0].names)
            results = await link.write(dict.fromkeys(channels[1].names, 0.25), 1.0)
            assert all(r.problem == "" for r in results.values())
            assert set((await ask(control, {"ask": "status"}))["setpoints"].values()) == {0.25}
            await link.close()

        run(check())
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert re.fullmatch(r"stopped after \d+ steps of the task\n", process.stdout.read())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
