"""Checks of a rig before control, and the file that control asks for."""

import asyncio
import json

import numpy as np
import pytest

from gridenv.core.channels import Channel, ChannelSet
from hardware_in_loop.control.check_items import WriteTest, follower_of
from hardware_in_loop.control.checklist import (
    Checklist,
    Hashes,
    Item,
    Status,
    arming_problem,
    check_path,
    write_checklist,
)
from hardware_in_loop.control.commissioning import Commissioning
from hardware_in_loop.control.pages import checklist_page
from hardware_in_loop.control.pilot import Pilot
from tests.hil.plant import ACTIONS, BUSES, FOLLOWED, Droop, Plant, SimulatedClock, channels, settings

HASHES = Hashes(rig="a" * 64, points="b" * 64, bundle="c" * 64)


def commission(change=lambda plant: None, with_writes=True, window=(-0.05, 0.05), reversion_s=5.0):
    clock = SimulatedClock()
    plant = Plant(clock, base_pu=(1.0, 0.98, 0.97))
    plant.noise = 1e-4
    change(plant)
    observation, action = channels()
    tests = {a: WriteTest(window=window, reversion_s=reversion_s) for a in ACTIONS}
    checks = Commissioning(plant, Pilot(Droop(), observation, action), settings(), tests, clock)
    items = asyncio.run(checks.check(with_writes))
    return plant, {(i.kind, i.subject): i for i in items}


def failed(items):
    return {key: item.detail for key, item in items.items() if item.status is Status.FAIL}


def test_good_rig_passes_and_is_left_safe():
    plant, items = commission()
    assert failed(items) == {}
    assert {i.status for i in items.values()} == {Status.PASS}
    assert items["write-readback", ACTIONS[0]].detail == "-0.05, 0.05, 0 read back"
    assert items["sign", ACTIONS[0]].detail.startswith("'pv.1.q_kvar' moved by +10 kvar from -0.05 to 0.05")
    assert items["reversion", ACTIONS[1]].detail.startswith("given up after 5.")
    assert plant.setpoint == dict.fromkeys(ACTIONS, 0.0)
    assert max(abs(value) for _, _, value in plant.log) <= 0.05 + 1e-12
    assert {subject for kind, subject in items if kind == "read"} == {*BUSES, *FOLLOWED}


def test_setpoints_go_along_their_ramps():
    plant, items = commission(window=(-0.6, 0.6))
    assert failed(items) == {}
    for channel in ACTIONS:
        # The last one comes after the timer has run out, when the device is at the safe set-point by itself.
        times, values = np.array([(t, v) for t, c, v in plant.log if c == channel][:-1]).T
        # Hand-worked: 2.0 per s, cycles of 0.1 s.
        assert np.abs(np.diff(values)).max() <= 0.2 + 1e-9
        moves = np.abs(np.diff(values)) > 0.0
        assert np.diff(times)[moves].min() >= 0.1 - 1e-9
        assert values.max() == pytest.approx(0.6)


def test_timer_that_runs_out_later_is_no_crossed_wiring():
    # The window ends at 0.05, where the first unit is left; its timer takes that back to 0 during the next check.
    _, items = commission(window=(0.0, 0.05))
    assert failed(items) == {}


def test_what_a_unit_could_do_at_most_is_not_what_it_does():
    names = ("ev.1.p_charge_max_kw", "ev.2.p_kw")
    observation = ChannelSet(
        tuple(Channel(name=n, unit="kW", low=0.0, high=11.0, scale=11.0, source=n.rpartition(".")[0]) for n in names)
    )
    action = ChannelSet(
        tuple(
            Channel(name=f"ev.{i}.p_kw", unit="kW", low=-11.0, high=0.0, scale=11.0, source=f"ev.{i}") for i in (1, 2)
        )
    )
    pilot = Pilot(Droop(), observation, action)
    assert follower_of("ev.1.p_kw", pilot) is None
    assert follower_of("ev.2.p_kw", pilot).name == "ev.2.p_kw"


def test_stop_input_ends_the_check_and_leaves_devices_safe_at_once():
    def stop_later(plant):
        read = plant.read

        async def read_and_stop(deadline_s):
            plant.operator_stop = any(value > 0.3 for *_, value in plant.log)
            return await read(deadline_s)

        plant.read = read_and_stop

    plant, items = commission(stop_later, window=(-0.6, 0.6))
    assert failed(items) == {("stop input", "rig"): "was set during the check, which ended there; clear it"}
    assert plant.setpoint == dict.fromkeys(ACTIONS, 0.0)
    # The second unit was never written but to make it safe.
    assert {value for _, c, value in plant.log if c == ACTIONS[1]} == {0.0}
    assert plant.log[-1][0] - max(t for t, _, v in plant.log if v > 0.3) < 0.3


def reverse_signs(plant):
    true_values = plant.true_values

    def values():
        return {n: -v if n in FOLLOWED else v for n, v in true_values().items()}

    plant.true_values = values


def cross(plant):
    write = plant.write

    async def crossed(setpoints, deadline_s):
        results = await write(setpoints, deadline_s)
        if ACTIONS[0] in setpoints:
            plant.setpoint[ACTIONS[1]] = setpoints[ACTIONS[0]] + 0.01
        return results

    plant.write = crossed


FAULTS = {
    "NaN": (
        lambda p: p.override.update({BUSES[1]: np.nan}),
        ("read", BUSES[1]),
        "the device says that it has no value",
    ),
    "swapped words": (lambda p: p.swapped.add(BUSES[2]), ("read", BUSES[2]), "plausible 0.5..1.5"),
    "local": (lambda p: p.local.add("pv.2"), ("device", "pv.2"), "is in local operation"),
    "gone": (lambda p: p.disconnected.add("pv.1"), ("device", "pv.1"), "36 of 36 exchanges missed"),
    "slow": (lambda p: setattr(p, "latency_s", 0.045), ("reading time", "rig"), "ms of 45 ms"),
    "heartbeat": (lambda p: p.frozen.add("meter"), ("device", "meter"), "heartbeat stands at 0"),
    "stop": (lambda p: setattr(p, "operator_stop", True), ("stop input", "rig"), "is set; clear it"),
    "outside": (
        lambda p: p.setpoint.update({ACTIONS[0]: 0.9}),
        ("set-point", ACTIONS[0]),
        "0.9 in force; limits -0.8..0.8",
    ),
    "stuck": (lambda p: p.stuck.add(ACTIONS[0]), ("write-readback", ACTIONS[0]), "-0.05 was written, 0 is read back"),
    "refused": (lambda p: p.refuses.add(ACTIONS[1]), ("write-readback", ACTIONS[1]), "-0.05 refused: exception 4"),
    "sign": (reverse_signs, ("sign", ACTIONS[0]), "moved by -10 kvar"),
    "crossed": (cross, ("write-readback", ACTIONS[0]), "writing it changed 'pv.2.q_share'"),
    "no timer": (lambda p: setattr(p, "reversion_s", 1e9), ("reversion", ACTIONS[0]), "still in force after 7 s"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_found_and_named(name):
    change, key, text = FAULTS[name]
    _, items = commission(change)
    assert items[key].status is Status.FAIL, items[key]
    assert text in items[key].detail


def test_device_without_timer_and_response_below_noise_are_warnings():
    _, items = commission(lambda p: p.override.update({FOLLOWED[0]: 0.0}), reversion_s=None)
    assert items["reversion", ACTIONS[0]].status is Status.WARNING
    assert items["sign", ACTIONS[0]].detail.startswith("not seen: 'pv.1.q_kvar' moved by +0 kvar")
    _, items = commission(window=(-0.05, 0.0))
    assert items["sign", ACTIONS[0]].status is Status.PASS
    _, items = commission(window=(0.0, 0.0))
    assert items["sign", ACTIONS[0]].detail == "not seen: the window is one value"


def test_read_only_check_writes_nothing_and_does_not_allow_control():
    plant, items = commission(with_writes=False)
    assert plant.log == []
    assert items["write-readback", ACTIONS[0]].status is Status.SKIPPED
    assert checklist(tuple(items.values())).problems[0] == "write-readback of 'pv.1.q_share': asked to write nothing"


def checklist(items=(), signed_by="A. Tester"):
    return Checklist(rig="bench", bundle="b", hashes=HASHES, utc="2026-06-01", signed_by=signed_by, items=items)


def test_control_needs_a_check_that_matches_is_signed_and_unchanged(tmp_path):
    path = check_path(tmp_path, "bench", HASHES)
    assert "no check of rig 'bench' with this rig file, its maps and this bundle" in arming_problem(
        path, "bench", HASHES
    )
    good = (Item(kind="read", subject="x", status=Status.PASS, detail=""),)
    write_checklist(path, checklist(good))
    assert arming_problem(path, "bench", HASHES) == ""
    for kind, meaning in (("rig", "rig file"), ("points", "registers"), ("bundle", "bundle")):
        other = Hashes(**{**vars(HASHES), kind: "d" * 64})
        assert f"is of another {meaning}" in arming_problem(path, "bench", other)
    write_checklist(path, checklist(good, signed_by=""))
    assert "nobody has signed it; give --signed-by" in arming_problem(path, "bench", HASHES)
    write_checklist(path, checklist((Item(kind="read", subject="x", status=Status.FAIL, detail="is nan"),)))
    assert "does not allow it: read of 'x': is nan" in arming_problem(path, "bench", HASHES)
    entries = json.loads(path.read_text())
    entries["items"][0]["status"] = "pass"
    path.write_text(json.dumps(entries))
    assert "is damaged (it was changed)" in arming_problem(path, "bench", HASHES)


def test_page_of_a_check_shows_the_worst_first_and_escapes():
    items = (
        Item(kind="read", subject="x", status=Status.PASS, detail="1 pu"),
        Item(kind="sign", subject="<y>", status=Status.FAIL, detail="moved the wrong way"),
    )
    page = checklist_page(checklist(items))
    assert page.index("Control is not allowed") < page.index("Sign") < page.index("<h2>Read")
    assert "&lt;y&gt;" in page
    assert "<y>" not in page
