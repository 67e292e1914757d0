"""The loop on a plant in memory: states, faults and their time bounds, recorded writes."""

import asyncio
import errno
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hardware_in_loop.control.audit import audit_writes
from hardware_in_loop.control.commands import Commands
from hardware_in_loop.control.log import read_log
from hardware_in_loop.control.outcome import Mode
from hardware_in_loop.control.states import TRANSITIONS, State, Trigger, next_state, table
from hardware_in_loop.errors import RigError
from hardware_in_loop.link import Reading, Snapshot, WriteResult
from tests.hil.plant import ACTIONS, Plant, SimulatedClock, settings
from tests.hil.runs import Bench

FAULT_CYCLE = 20
SAFETY = Path(__file__).parents[2] / "docs" / "hil" / "safety.md"


def check_writes(bench, log):
    """Limits, registers and ramps hold on every recorded write, and the record has all that the plant has seen."""
    written = log.block("written")
    for i, channel in enumerate(ACTIONS):
        values = written[np.isfinite(written[:, i]), i]
        assert [value for _, c, value in bench.plant.log if c == channel] == pytest.approx(values.tolist())
    assert audit_writes(log) == []
    return written


def first(log, state):
    return log.states.index(state) if state in log.states else None


def test_shadow_is_the_default_and_writes_nothing(tmp_path):
    bench = Bench(tmp_path, mode=Mode.SHADOW).at(10, lambda: bench.operator.ask(Trigger.ARM, "test"))
    log = bench.run(3.0)
    assert bench.plant.log == []
    assert set(log.states[3:]) == {State.SHADOW}
    assert bench.outcome.text == "nothing was written"
    assert np.isfinite(log.block("limited")[3:]).all()
    assert np.isnan(log.block("written")).all()
    assert "mode shadow" in log.of_kind("refused")[0].data["why"][0]


def test_active_takes_over_from_the_setpoints_in_force_and_leaves_safe_ones(tmp_path):
    bench = Bench(tmp_path)
    bench.plant.setpoint[ACTIONS[0]] = -0.3
    log = bench.run(6.0)
    names = list(dict.fromkeys(log.states))
    assert names == [State.SHADOW, State.ARMED, State.ACTIVE, State.FALLBACK]
    written = log.block("written")
    first_written = written[first(log, State.ACTIVE)]
    # 2.0 per s and two periods of 0.1 s allow 0.4 from -0.3.
    assert first_written == pytest.approx([0.1, 0.4])
    assert bench.outcome.text == "safe set-points are confirmed on all channels"
    assert bench.plant.setpoint == dict.fromkeys(ACTIONS, 0.0)
    active = [i for i, s in enumerate(log.states) if s == State.ACTIVE]
    voltages = log.block("value")[:, :3]
    assert np.abs(voltages[active[-1]] - 1.0).max() < np.abs(voltages[0] - 1.0).max()
    assert log.problems == []


def fill_disk(bench):
    """No room for cycles any more; goes on when the recorder, whose time is real, has noticed."""

    def write(rows):
        raise OSError(errno.ENOSPC, "No space left on device")

    bench.recorder._segments.write = write
    end_s = time.monotonic() + 5.0
    while not bench.recorder.problem and time.monotonic() < end_s:
        time.sleep(0.02)


FAULTS = {
    "a device is disconnected": (lambda b: b.plant.disconnected.add("pv.1"), 2, "missed"),
    "the rig answers 2 s late": (lambda b: setattr(b.plant, "latency_s", 2.0), 2, "missed"),
    "a measurement is NaN": (lambda b: b.plant.override.update({"bus.2.v_pu": np.nan}), 2, "implausible"),
    "a measurement is out of range": (lambda b: b.plant.override.update({"bus.2.v_pu": 1.7}), 2, "implausible"),
    "words are swapped": (lambda b: b.plant.swapped.add("bus.3.v_pu"), 2, "implausible"),
    "a measurement is stuck": (lambda b: b.plant.override.update({"bus.2.v_pu": 0.99}), 8, "implausible"),
    "a set-point register is stuck": (lambda b: b.plant.stuck.update(ACTIONS), 5, "mismatch"),
    "acknowledged writes are lost": (lambda b: b.plant.dropped.update(ACTIONS), 5, "mismatch"),
    "writes are refused": (lambda b: b.plant.refuses.add(ACTIONS[1]), 15, "refused"),
    "another controller writes": (
        lambda b: b.plant.setpoint.update({ACTIONS[0]: 0.7}) or b.plant.stuck.update(ACTIONS),
        5,
        "mismatch",
    ),
    "a device goes local": (lambda b: b.plant.local.add("pv.2"), 1, "local"),
    "a heartbeat stands still": (lambda b: b.plant.frozen.add("meter"), 8, "heartbeat"),
    "the policy gives NaN": (lambda b: setattr(b.policy, "instead", lambda _: np.full(2, np.nan)), 1, "policy_invalid"),
    "the policy gives a wrong shape": (
        lambda b: setattr(b.policy, "instead", lambda _: np.zeros(3)),
        1,
        "policy_invalid",
    ),
    "the policy raises": (lambda b: setattr(b.policy, "instead", lambda _: 1 / 0), 1, "policy_invalid"),
    "the policy swings": (lambda b: setattr(b.policy, "instead", lambda n: np.full(2, (-1.0) ** n)), 6, "policy_swing"),
    "the disk is full": (lambda b: fill_disk(b), 1, "recorder"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_fault_leads_to_fallback_in_its_time_and_writes_stay_inside_limits(tmp_path, name):
    inject, within_cycles, trigger = FAULTS[name]
    stuck_after_s = 0.6 if name == "a measurement is stuck" else np.inf
    bench = Bench(tmp_path, rules=settings(heartbeat_s=0.5, stuck_after_s=stuck_after_s))
    bench.plant.reversion_s = 600.0
    # Set-points that move in every cycle, so that read-back has something to see.
    bench.policy.instead = lambda n: np.array([0.3 * np.sin(n / 3.0), 0.2 * np.cos(n / 4.0)])
    bench.at(FAULT_CYCLE, lambda: inject(bench))
    if name == "the disk is full":
        bench.at(40, lambda: delattr(bench.recorder._segments, "write"))
    log = bench.run(6.0)
    assert log.states[FAULT_CYCLE] == State.ACTIVE
    seen = next(i for i in range(FAULT_CYCLE + 1, len(log.states)) if trigger in log.column("findings")[i])
    assert seen - FAULT_CYCLE <= within_cycles
    fallback = first(log, State.FALLBACK)
    if name == "writes are refused":
        # Every other cycle holds, so three refusals in a row take five cycles.
        assert fallback - seen <= 1
    else:
        assert fallback - seen <= 2
    assert State.ACTIVE not in log.states[fallback:]
    check_writes(bench, log)
    assert log.cycles.num_rows == len(bench.views)
    assert log.problems == []
    expected = {"a device is disconnected", "the rig answers 2 s late", "a set-point register is stuck"}
    expected |= {"acknowledged writes are lost", "writes are refused", "another controller writes"}
    if name in expected:
        assert "NOT confirmed: " in bench.outcome.text
    else:
        assert bench.outcome.text == "safe set-points are confirmed on all channels"
        assert bench.plant.setpoint == dict.fromkeys(ACTIONS, 0.0)


def test_isolated_fault_makes_other_devices_safe(tmp_path):
    bench = Bench(tmp_path).at(FAULT_CYCLE, lambda: bench.plant.disconnected.add("pv.1"))
    bench.run(5.0)
    assert bench.outcome.unconfirmed == (ACTIONS[0],)
    assert bench.plant.setpoint[ACTIONS[1]] == 0.0


def test_single_missed_exchange_holds_and_goes_on(tmp_path):
    bench = Bench(tmp_path)
    bench.at(20, lambda: bench.plant.disconnected.add("meter")).at(21, bench.plant.disconnected.clear)
    log = bench.run(5.0)
    assert log.states[20:24] == [State.ACTIVE, State.HOLD, State.ACTIVE, State.ACTIVE]
    assert np.isnan(log.block("written")[21]).all()
    assert bench.outcome.statistics.missed == 1


def test_full_swing_of_the_policy_never_leaves_limits_and_ramps(tmp_path):
    bench = Bench(tmp_path, rules=settings(max_swings=10_000, with_voltages=False))
    bench.policy.instead = lambda n: np.full(2, 1e6 * (-1.0) ** n)
    log = bench.run(6.0)
    written = check_writes(bench, log)
    assert np.nanmax(np.abs(written)) <= 0.4 + 1e-9
    assert "limit: pv.1.q_share,pv.2.q_share" in log.column("interventions")[-10]


def test_voltages_stay_inside_limits_against_a_policy_that_pushes_them_out(tmp_path):
    bench = Bench(tmp_path, plant=Plant(None, base_pu=(1.04, 1.06, 1.065)))
    bench.policy.instead = lambda _: np.ones(2)
    log = bench.run(6.0)
    check_writes(bench, log)
    assert log.block("value")[:, :3].max() <= 1.08 + 1e-4
    assert "voltage" in log.column("interventions")[-20]


def test_infeasible_voltages_end_in_fallback(tmp_path):
    bench = Bench(tmp_path).at(20, lambda: setattr(bench.plant, "base_pu", np.array([1.15, 1.15, 0.85])))
    log = bench.run(6.0)
    reason = next(e.data for e in log.of_kind("state") if e.data["after"] == State.FALLBACK)
    assert reason["trigger"] == Trigger.INFEASIBLE
    assert first(log, State.FALLBACK) == 20 + 1 + 10


def test_stop_input_is_latched_until_an_operator_resets(tmp_path):
    bench = Bench(tmp_path)
    bench.at(20, lambda: setattr(bench.plant, "operator_stop", True))
    bench.at(25, lambda: bench.operator.ask(Trigger.RESET, "test"))
    bench.at(30, lambda: setattr(bench.plant, "operator_stop", False))
    bench.at(35, lambda: bench.operator.ask(Trigger.ARM, "test"))
    bench.at(40, lambda: bench.operator.ask(Trigger.RESET, "test"))
    log = bench.run(6.0)
    assert log.states[20] == State.ACTIVE
    assert set(log.states[21:41]) == {State.ESTOP}
    assert log.states[41] == State.SHADOW
    assert log.block("written")[21] == pytest.approx([0.0, 0.0])
    assert [e.data["why"] for e in log.of_kind("refused")] == [["the stop input is set"]]


def test_files_and_stop_file_are_orders(tmp_path):
    bench = Bench(tmp_path)
    control = bench.folder / "control"
    bench.at(20, (control / "disarm").touch).at(30, (control / "arm").touch).at(45, (control / "stop").touch)
    log = bench.run(60.0)
    assert log.states[21] == State.FALLBACK
    assert log.states[31] == State.ARMED
    assert State.ACTIVE in log.states[32:]
    assert len(log.states) < 60
    assert list(control.iterdir()) == []
    sources = [e.data["source"] for e in log.of_kind("order")]
    assert sources == ["file control/disarm", "file control/arm", "file control/stop"]


def test_fallback_is_left_only_by_an_operator_and_only_when_safe(tmp_path):
    bench = Bench(tmp_path).at(20, lambda: bench.plant.disconnected.add("pv.1"))
    bench.at(30, lambda: bench.operator.ask(Trigger.ARM, "test"))
    bench.at(35, lambda: bench.plant.disconnected.clear())
    bench.at(45, lambda: bench.operator.ask(Trigger.ARM, "test"))
    log = bench.run(7.0)
    assert "pv.1: no answer in time" in log.of_kind("refused")[0].data["why"]
    assert set(log.states[24:45]) == {State.FALLBACK}
    assert log.states[46] == State.ARMED
    assert log.states[-1] == State.FALLBACK
    assert bench.outcome.unconfirmed == ()


def test_setpoint_outside_limits_is_not_taken_over(tmp_path):
    bench = Bench(tmp_path, rules=settings(armed_s=1.0))
    bench.plant.setpoint[ACTIONS[1]] = 0.95
    log = bench.run(14.0)
    assert set(log.states[3:]) == {State.SHADOW}
    assert bench.plant.log == []
    assert log.of_kind("refused")[0].data["why"] == [
        "'pv.2.q_share': 0.95 is in force; allowed -0.8..0.8; set it inside by hand"
    ]


def test_control_without_a_check_is_refused(tmp_path):
    bench = Bench(tmp_path, arming_problem="no check", rules=settings(armed_s=1.0))
    log = bench.run(14.0)
    assert bench.plant.log == []
    assert log.of_kind("refused")[0].data["why"] == ["no check"]


def test_wall_clock_step_changes_nothing_but_is_noted(tmp_path):
    bench = Bench(tmp_path).at(20, lambda: setattr(bench.clock, "wall_shift_s", -7200.0))
    log = bench.run(4.0)
    assert log.of_kind("wall_clock_step")[0].data["by_s"] == pytest.approx(-7200.0)
    assert set(log.states[20:40]) == {State.ACTIVE}
    assert np.diff(log.column("t_s")) == pytest.approx(0.1)


def test_late_cycles_are_left_out_and_never_caught_up(tmp_path):
    bench = Bench(tmp_path)
    bench.at(20, lambda: setattr(bench.clock, "time_s", bench.clock.time_s + 0.37))
    log = bench.run(5.0)
    gaps = np.diff(log.column("t_s"))
    assert gaps[20] == pytest.approx(0.4)
    assert gaps.min() == pytest.approx(0.1)
    assert log.column("skipped")[21] == 3
    assert bench.outcome.statistics.deadline_misses == 3


def test_deadline_misses_in_a_row_end_in_fallback(tmp_path):
    bench = Bench(tmp_path)
    for cycle in range(20, 40):
        bench.at(cycle, lambda: setattr(bench.clock, "time_s", bench.clock.time_s + 0.15))
    log = bench.run(6.0)
    reason = next(e.data for e in log.of_kind("state") if e.data["after"] == State.FALLBACK)
    assert reason["trigger"] == Trigger.LATE


def test_policy_is_asked_at_its_own_period_and_its_request_held(tmp_path):
    bench = Bench(tmp_path, rules=settings(policy_period_s=1.0))
    log = bench.run(5.0)
    asked = np.flatnonzero(log.column("policy_ran") & np.array([s == State.ACTIVE for s in log.states]))
    assert set(np.diff(asked)) == {10}
    between = log.block("requested")[asked[0] : asked[1]]
    assert (between == between[0]).all()


def test_link_that_hangs_or_raises_is_a_missed_exchange(tmp_path):
    bench = Bench(tmp_path)

    async def hang(deadline_s):
        await asyncio.sleep(30.0)

    async def fail(deadline_s):
        raise ConnectionResetError("peer is gone")

    read = bench.plant.read
    bench.at(20, lambda: setattr(bench.plant, "read", hang)).at(21, lambda: setattr(bench.plant, "read", fail))
    bench.at(22, lambda: setattr(bench.plant, "read", read))
    log = bench.run(5.0)
    assert log.states[20:24] == [State.ACTIVE, State.HOLD, State.HOLD, State.ACTIVE]
    assert "peer is gone" in log.column("device.pv.1")[22]


def test_failure_of_the_loop_itself_makes_the_devices_safe_at_once(tmp_path):
    bench = Bench(tmp_path).at(20, lambda: setattr(bench.loop, "_pilot", None))
    write, failures = bench.plant.write, iter([OSError("first"), ValueError("second")])

    async def fail_twice(setpoints, deadline_s):
        for error in failures:
            raise error
        return await write(setpoints, deadline_s)

    bench.at(20, lambda: setattr(bench.plant, "write", fail_twice))
    with pytest.raises(AttributeError):
        bench.run(5.0)
    assert bench.plant.setpoint == dict.fromkeys(ACTIONS, 0.0)
    assert not bench.plant.is_open
    assert "failed" in [e.kind for e in read_log(bench.folder).events]


def test_display_that_fails_is_left_out_and_control_goes_on(tmp_path):
    bench = Bench(tmp_path)

    def gone(view):
        if view.record.cycle == 20:
            raise SystemExit(1)
        assert view.record.cycle < 20

    bench.loop._watchers.append(gone)
    log = bench.run(5.0)
    assert set(log.states[20:45]) == {State.ACTIVE}
    assert [e.data["error"] for e in log.of_kind("watcher_failed")] == ["SystemExit: 1"]
    assert bench.outcome.unconfirmed == ()


@pytest.mark.parametrize("cycle", range(1, 12))
def test_stop_while_settling_never_ends_in_control(tmp_path, cycle):
    bench = Bench(tmp_path).at(cycle, lambda: bench.operator.ask(Trigger.STOP, "test"))
    log = bench.run(60.0)
    assert State.ACTIVE not in log.states[cycle + 1 :]
    assert len(log.states) < 30
    assert bench.plant.setpoint == dict.fromkeys(ACTIONS, 0.0)


def test_stop_after_control_was_taken_away_moves_nothing(tmp_path):
    bench = Bench(tmp_path, rules=settings(settle_cycles=20))
    bench.at(40, lambda: bench.operator.ask(Trigger.DISARM, "test"))
    bench.at(60, lambda: bench.operator.ask(Trigger.ARM, "test"))
    bench.at(70, lambda: bench.operator.ask(Trigger.STOP, "test"))
    log = bench.run(60.0)
    assert log.states[69] == State.ARMED
    # What the policy would have done meanwhile was never sent, so nothing is to be taken back.
    assert np.abs(log.block("limited")[69]).max() > 0.1
    assert np.nan_to_num(log.block("written")[60:]).tolist() == np.zeros_like(log.block("written")[60:]).tolist()
    assert bench.outcome.unconfirmed == ()


def test_emergency_stop_is_left_only_when_safe_setpoints_are_confirmed(tmp_path):
    bench = Bench(tmp_path).at(20, lambda: bench.plant.stuck.add(ACTIONS[0]))
    for cycle, order in ((20, Trigger.ESTOP), (20, Trigger.RESET), (30, Trigger.RESET), (45, Trigger.RESET)):
        bench.at(cycle, lambda order=order: bench.operator.ask(order, "test"))
    bench.at(40, bench.plant.stuck.clear)
    log = bench.run(6.0)
    assert set(log.states[21:46]) == {State.ESTOP}
    assert log.states[46] == State.SHADOW
    both, one = [e.data["why"] for e in log.of_kind("refused")]
    assert both == [f"'{c}': safe set-point not confirmed" for c in ACTIONS]
    assert one == both[:1]


def test_old_reading_of_a_safe_setpoint_confirms_nothing():
    rules = settings()
    commands = Commands(rules)

    def show(values, now_s):
        snapshot = Snapshot(
            readings={},
            setpoints={c: Reading(value=v, acquired_s=now_s) for c, v in zip(ACTIONS, values, strict=True)},
            devices={},
        )
        commands.see(snapshot, now_s, is_own=True)
        commands.confirm_safe(now_s)

    show([0.0, 0.0], 1.0)
    commands.begin(1.0)
    commands.sent({ACTIONS[0]: WriteResult(value=0.3), ACTIONS[1]: WriteResult(value=0.0)}, 1.0)
    # The device still shows what was in force before, and takes 0.3 in a moment.
    show([0.0, 0.0], 1.1)
    assert commands.unconfirmed == [ACTIONS[0]]
    commands.sent({ACTIONS[0]: WriteResult(value=0.0)}, 1.2)
    show([0.0, 0.0], 1.3)
    assert commands.unconfirmed == []


def test_devices_without_a_setpoint_in_force_start_from_the_safe_one(tmp_path):
    bench = Bench(tmp_path)
    read, is_idle = bench.plant.read, [True]

    async def read_idle(deadline_s):
        snapshot = await read(deadline_s)
        if not is_idle[0] or bench.plant.log:
            return snapshot
        shown = {c: replace(r, value=np.nan) for c, r in snapshot.setpoints.items()}
        return replace(snapshot, setpoints=shown)

    bench.plant.read = read_idle
    log = bench.run(5.0)
    start = first(log, State.ACTIVE)
    assert np.isnan(log.block("in_force")[: start + 1]).all()
    assert log.block("written")[start] == pytest.approx([0.4, 0.4])
    assert log.states[start + 10] == State.ACTIVE
    assert bench.outcome.unconfirmed == ()


def test_reverted_setpoint_is_another_one_than_written(tmp_path):
    bench = Bench(tmp_path)
    read = bench.plant.read

    async def read_reverted(deadline_s):
        snapshot = await read(deadline_s)
        return replace(snapshot, setpoints={c: replace(r, value=np.nan) for c, r in snapshot.setpoints.items()})

    bench.at(20, lambda: setattr(bench.plant, "read", read_reverted)).at(30, lambda: setattr(bench.plant, "read", read))
    log = bench.run(5.0)
    assert first(log, State.FALLBACK) in (22, 23)
    assert bench.outcome.unconfirmed == ()


def test_channel_that_never_comes_is_refused_before_anything_is_written(tmp_path):
    bench = Bench(tmp_path)
    bench.plant.override["bus.2.v_pu"] = np.nan
    with pytest.raises(RigError, match=r"bus.2.v_pu: is nan; the device says that it has no value"):
        bench.run(15.0)
    assert bench.plant.log == []


def test_policy_of_other_channels_is_refused(tmp_path):
    rules = settings()
    with pytest.raises(RigError, match=r"no rule for 'bus.1.v_pu', which the policy observes"):
        Bench(
            tmp_path,
            rules=type(rules)(
                rig="bench", setpoints=rules.setpoints, measurements=rules.measurements[1:], timing=rules.timing
            ),
        )


def test_stop_is_possible_from_every_state_and_nothing_but_arming_leads_to_control():
    for state in State:
        assert next_state(state, Trigger.STOP_INPUT) is State.ESTOP
        assert next_state(state, Trigger.ESTOP) is State.ESTOP
    into_active = {(s, t.trigger) for t in TRANSITIONS if t.target is State.ACTIVE for s in t.sources}
    assert into_active == {(State.ARMED, Trigger.SETTLED), (State.HOLD, Trigger.HEALTHY)}
    assert {t.trigger for t in TRANSITIONS if t.target is State.ARMED} == {Trigger.ARM}
    assert {s for t in TRANSITIONS if t.target is State.HOLD for s in t.sources} == {State.ACTIVE}
    assert {t.trigger for t in TRANSITIONS if State.ESTOP in t.sources and t.target is not State.ESTOP} == {
        Trigger.RESET
    }
    pairs = [(s, t.trigger) for t in TRANSITIONS for s in t.sources]
    assert len(pairs) == len(set(pairs))


def test_table_of_the_safety_page_is_that_of_the_code():
    assert table() in SAFETY.read_text(encoding="utf-8")
    assert re.search(r"no substitute for", SAFETY.read_text(encoding="utf-8"))


def test_simulated_clock_only_goes_on_by_waiting():
    clock = SimulatedClock()
    asyncio.run(clock.sleep_until(clock.now() + 5.0))
    assert clock.now() == 1005.0
