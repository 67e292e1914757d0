"""The record of a run: complete, sealed, and there after kill -9 and a full disk."""

import errno
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from gridenv.core.errors import RunError
from hardware_in_loop.control import segments
from hardware_in_loop.control.clock import MonotonicClock
from hardware_in_loop.control.events import EventLog, read_events
from hardware_in_loop.control.log import read_log
from hardware_in_loop.control.outcome import Mode
from hardware_in_loop.control.pilot import Pilot
from hardware_in_loop.control.recorder import CycleRecord, Recorder
from hardware_in_loop.control.replay import replay
from hardware_in_loop.control.segments import Layout
from tests.hil.plant import ACTIONS, BUSES, Droop, channels
from tests.hil.runs import Bench

LAYOUT = Layout(observations=BUSES, setpoints=ACTIONS, devices=("meter",))
CLOCK = MonotonicClock()


def row(cycle, t_s=0.0):
    return CycleRecord(
        cycle=cycle,
        t_s=t_s,
        wall=CLOCK.wall(),
        state="ACTIVE",
        findings="",
        interventions="ramp: pv.1.q_share",
        policy_ran=True,
        is_late=False,
        skipped=0,
        latencies_s={"read": 0.001},
        sent_s=t_s,
        age_s=0.01,
        values=np.array([1.0, 0.99, 0.98]) + cycle,
        observation=np.zeros(3, np.float32),
        requested=np.array([0.1, 0.2]),
        limited=np.array([0.1, 0.1]),
        written=np.array([0.1, np.nan]),
        in_force=np.array([0.0, 0.1]),
        problems={"meter": "slow"},
        raw={"meter.v": (1, 65535), "meter.f": (50,)},
    )


def filled(folder, rows=30, pause_s=0.0):
    recorder = Recorder(folder, LAYOUT, {"rig": "bench"})
    for cycle in range(rows):
        recorder.add(row(cycle, cycle / 10))
        time.sleep(pause_s)
    recorder.close()
    return recorder


def test_every_field_of_a_cycle_is_in_the_file(tmp_path):
    filled(tmp_path / "run")
    log = read_log(tmp_path / "run")
    assert log.problems == []
    assert log.column("cycle").tolist() == list(range(30))
    assert log.block("value")[7] == pytest.approx([8.0, 7.99, 7.98])
    assert log.block("written")[7] == pytest.approx([0.1, np.nan], nan_ok=True)
    first = log.cycles.slice(0, 1).to_pylist()[0]
    assert dict(first["raw"]) == {"meter.v": [1, 65535], "meter.f": [50]}
    assert (first["device.meter"], first["interventions"]) == ("slow", "ramp: pv.1.q_share")
    assert first["read_s"] == 0.001


def test_small_files_are_merged_and_none_is_counted_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(segments, "MERGE_SEGMENTS", 2)
    filled(tmp_path / "run", rows=30, pause_s=0.06)
    log = read_log(tmp_path / "run")
    assert log.column("cycle").tolist() == list(range(30))
    assert log.problems == []
    names = sorted(path.name for path in (tmp_path / "run" / "cycles").iterdir())
    assert names[0] == "cycles-000001-000002.parquet"
    # As if the process had died between merging and taking the small files away.
    parquet.write_table(log.cycles.slice(0, 4), tmp_path / "run" / "cycles" / "cycles-000001-000001.parquet")
    assert read_log(tmp_path / "run").column("cycle").tolist() == list(range(30))


def test_kill_loses_less_than_a_second(tmp_path):
    script = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from pathlib import Path
import importlib.util
spec = importlib.util.spec_from_file_location("recorded", {__file__!r})
recorded = importlib.util.module_from_spec(spec)
spec.loader.exec_module(recorded)
recorder = recorded.Recorder(Path({str(tmp_path / "run")!r}), recorded.LAYOUT, {{}})
recorder.event("start", 0.0, recorded.CLOCK.wall())
for cycle in range(2000):
    recorder.add(recorded.row(cycle, time.monotonic()))
    print(cycle, flush=True)
    time.sleep(0.05)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while int(process.stdout.readline()) < 40:
            pass
        killed_s = time.monotonic()
        process.send_signal(signal.SIGKILL)
        process.wait(10.0)
    log = read_log(tmp_path / "run")
    assert killed_s - log.column("t_s")[-1] < 1.0
    assert log.column("cycle").tolist() == list(range(log.cycles.num_rows))
    assert log.problems == []


def test_full_disk_is_said_and_nothing_is_lost_when_there_is_room_again(tmp_path, monkeypatch):
    recorder = Recorder(tmp_path / "run", LAYOUT, {})
    write, room = segments._write, []

    def full(path, table):
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, table)

    monkeypatch.setattr(segments, "_write", full)
    for cycle in range(20):
        recorder.add(row(cycle))
    wait_for(lambda: recorder.problem)
    assert recorder.problem == "No space left on device"
    recorder.add(row(20))
    room.append(True)
    wait_for(lambda: not recorder.problem)
    recorder.close()
    assert read_log(tmp_path / "run").column("cycle").tolist() == list(range(21))


def wait_for(condition, limit_s=5.0):
    end_s = time.monotonic() + limit_s
    while not condition() and time.monotonic() < end_s:
        time.sleep(0.02)


def test_writer_that_hangs_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("hardware_in_loop.control.recorder._STALLED_S", 1.0)
    recorder, release = Recorder(tmp_path / "run", LAYOUT, {}), threading.Event()
    write = recorder._segments.write

    def wait_and_write(rows):
        release.wait(10.0)
        return write(rows)

    recorder._segments.write = wait_and_write
    recorder.add(row(0))
    wait_for(lambda: recorder.problem)
    assert recorder.problem == "nothing was written for 1 s"
    release.set()
    wait_for(lambda: not recorder.problem)
    assert recorder.problem == ""
    recorder.close()


def test_event_log_on_a_full_device_keeps_lines_in_order(tmp_path, monkeypatch):
    log = EventLog(tmp_path / "events.jsonl")
    log.add("start", 0.0, CLOCK.wall(), {})
    import os

    real, is_full = os.write, [True]

    def write(file, line):
        if is_full[0]:
            real(file, line[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, line)

    monkeypatch.setattr(os, "write", write)
    log.add("first", 1.0, CLOCK.wall(), {"x": 1})
    log.add("second", 2.0, CLOCK.wall(), {})
    assert log.problem == "No space left on device"
    is_full[0] = False
    log.flush()
    assert log.problem == ""
    monkeypatch.undo()
    log.close()
    events, problems = read_events(tmp_path / "events.jsonl")
    assert [e.kind for e in events] == ["start", "first", "second"]
    assert problems == []


@pytest.mark.parametrize("change", ["flip", "delete", "insert"])
def test_changed_event_breaks_the_chain(tmp_path, change):
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    for n in range(4):
        log.add("order", float(n), CLOCK.wall(), {"n": n})
    log.close()
    lines = path.read_bytes().splitlines(keepends=True)
    changed = {
        "flip": [lines[0], lines[1].replace(b'"n": 1}', b'"n": 9}'), *lines[2:]],
        "delete": [lines[0], *lines[2:]],
        "insert": [lines[0], lines[0], *lines[1:]],
    }[change]
    path.write_bytes(b"".join(changed))
    events, problems = read_events(path)
    assert len(events) == 1
    assert problems == [
        f"event log '{path}': line 2 was changed, added or taken away from; do not trust it or what follows"
    ]


def test_line_cut_off_by_death_is_left_out(tmp_path):
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    log.add("start", 0.0, CLOCK.wall(), {})
    log.close()
    path.write_bytes(path.read_bytes() + b'{"n": 1, "t_')
    events, problems = read_events(path)
    assert (len(events), problems) == (1, [])


def test_changed_and_missing_cycles_are_found(tmp_path):
    folder = tmp_path / "run"
    filled(folder, rows=30, pause_s=0.04)
    (file,) = (folder / "cycles").glob("*.parquet")
    table = parquet.read_table(file)
    parquet.write_table(table.slice(1), file)
    assert "is not what the event log states" in read_log(folder).problems[0]
    file.rename(file.with_name("cycles-000001-000099.parquet"))
    assert f"'cycles/{file.name}' is missing" in read_log(folder).problems[-1]


def test_folders_that_are_no_run_or_one_already_are_refused(tmp_path):
    filled(tmp_path / "run")
    with pytest.raises(RunError, match=r"run '.*run': is there already; name a new folder"):
        Recorder(tmp_path / "run", LAYOUT, {})
    with pytest.raises(RunError, match=r"is no run of `gridenv hil run`"):
        read_log(tmp_path)
    (tmp_path / "run" / "events.jsonl").unlink()
    with pytest.raises(RunError, match=r"events.jsonl': no such file"):
        read_log(tmp_path / "run")
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"cannot be written \(Not a directory\); name another folder"):
        Recorder(tmp_path / "file" / "run", LAYOUT, {})
    empty = Recorder(tmp_path / "empty", LAYOUT, {})
    empty.close()
    with pytest.raises(RunError, match="has no cycles"):
        read_log(tmp_path / "empty")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["layout"]["setpoints"] == list(ACTIONS)


def test_replay_asks_for_the_same_and_finds_another_policy(tmp_path):
    bench = Bench(tmp_path, mode=Mode.SHADOW)
    log = bench.run(3.0)
    observation, action = channels()
    same = replay(log, Pilot(Droop(), observation, action))
    assert same.is_identical
    assert same.decisions == log.column("policy_ran").sum() > 20
    other = Droop()
    other.instead = lambda n: np.full(2, 0.1 if n > 5 else 0.0)
    differs = replay(log, Pilot(other, observation, action))
    assert not differs.is_identical
    assert differs.largest_difference > 0.01
    fewer = type(action)(action.channels[:1])
    with pytest.raises(RunError, match=r"commands 2 channels that begin with 'pv.1.q_share'; the bundle commands 1"):
        replay(log, Pilot(Droop(), observation, fewer))
