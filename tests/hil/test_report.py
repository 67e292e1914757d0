"""Numbers, conditions and pages of a run; the live view; orders by signal."""

import io
import os
import signal
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from hardware_in_loop.control.audit import audit_writes
from hardware_in_loop.control.gap import gaps, write_gaps
from hardware_in_loop.control.live import LiveView
from hardware_in_loop.control.log import read_log
from hardware_in_loop.control.operator import Operator
from hardware_in_loop.control.report import report_page
from hardware_in_loop.control.states import State, Trigger
from hardware_in_loop.control.summary import summarise
from tests.hil.plant import BUSES, settings
from tests.hil.runs import Bench


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return Bench(tmp_path_factory.mktemp("good")).run(5.0)


def test_good_run_is_a_go(good):
    summary = summarise(good)
    assert summary.is_go, summary.criteria
    assert summary.cycles == good.cycles.num_rows
    assert summary.times_s["read"]["p50"] == pytest.approx(0.004)
    assert summary.state_cycles[State.ACTIVE] > 40


def test_run_with_a_fault_is_no_go_and_says_why(tmp_path):
    bench = Bench(tmp_path).at(20, lambda: bench.plant.disconnected.add("pv.1"))
    summary = summarise(bench.run(5.0))
    unmet = {c.name: c.detail for c in summary.criteria if not c.is_met}
    assert set(unmet) == {"the run ended in order", "no unplanned fallback or stop", "few missed exchanges"}
    assert unmet["no unplanned fallback or stop"].startswith("2.3 s: HOLD to FALLBACK, rig: 3 cycles in a row")
    assert summary.findings[Trigger.MISSED] > 10


def test_audit_finds_writes_beyond_limits_and_ramps(good):
    log = read_log(good.folder)
    rows = np.flatnonzero(np.isfinite(log.column("written.pv.1.q_share")))
    for value, text in ((0.9, "is beyond -0.8..0.8"), (-0.75, "away from what was in force; the ramp allows 0.2")):
        written = log.column("written.pv.1.q_share").copy()
        written[rows[10]] = value
        columns = {
            n: written if n == "written.pv.1.q_share" else log.column(n) for n in log.cycles.column_names if n != "raw"
        }
        changed = SimpleNamespace(header=log.header, layout=log.layout, states=log.states, column=columns.__getitem__)
        assert text in audit_writes(changed)[0]
    assert audit_writes(log) == []


def test_report_is_self_contained_and_shows_gaps(good):
    measured = good.block("value")[:, :3]
    found = gaps(measured, measured - 0.001, [(b, "pu") for b in BUSES])
    write_gaps(good.folder, found, {"simulated": "test"})
    page = report_page(read_log(good.folder))
    assert '<div class="verdict">Go</div>' in page
    assert page.count("data:image/svg+xml;base64,") == 2
    assert "http" not in page.replace("http-equiv", "")
    assert "+0.001" in page
    assert found[0].rms == pytest.approx(0.001)


def test_live_view_shows_state_setpoints_devices_and_problems(tmp_path):
    console = Console(file=io.StringIO(), width=140, force_terminal=True)
    bench = Bench(tmp_path)
    view = LiveView(settings(), console)
    bench.loop._watchers.append(view.show)
    bench.at(20, lambda: bench.plant.local.add("pv.2"))
    with view:
        bench.run(4.0)
    shown = console.file.getvalue()
    for text in ("FALLBACK", "pv.1.q_share", "LOCAL", "deadline misses", "is in local operation", "ramp"):
        assert text in shown
    plain = Console(file=io.StringIO(), width=140)
    other = LiveView(settings(), plain)
    for each in bench.views:
        other.show(each)
    assert [line.split()[2] for line in plain.file.getvalue().splitlines()] == list(
        dict.fromkeys(v.record.state for v in bench.views)
    )


def test_first_signal_stops_and_a_second_one_stops_at_once():
    operator = Operator()
    before = signal.getsignal(signal.SIGTERM)
    with operator.signals():
        os.kill(os.getpid(), signal.SIGTERM)
        assert [(o.trigger, o.source) for o in operator.take()] == [(Trigger.STOP, "SIGTERM")]
        os.kill(os.getpid(), signal.SIGINT)
        assert [o.trigger for o in operator.take()] == [Trigger.ESTOP, Trigger.STOP]
    assert signal.getsignal(signal.SIGTERM) is before


def test_signal_during_a_run_leaves_safe_setpoints(tmp_path):
    bench = Bench(tmp_path).at(20, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with bench.operator.signals():
        log = bench.run(60.0)
    assert len(log.states) < 40
    assert log.states[-1] == State.FALLBACK
    assert bench.outcome.text == "safe set-points are confirmed on all channels"


def test_stop_file_of_the_rig_is_an_emergency_stop(tmp_path):
    file = tmp_path / "STOP"
    bench = Bench(tmp_path)
    bench.operator._stop_file = file
    log = bench.at(20, file.touch).run(4.0)
    assert log.states[21] == State.ESTOP
    assert log.states[-1] == State.ESTOP
