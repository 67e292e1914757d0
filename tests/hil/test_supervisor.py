"""What may be written keeps limits and ramps whatever is asked for, and moves voltages with the smallest change."""

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_in_loop.control.projection import nearest
from hardware_in_loop.control.settings import (
    ControlSettings,
    Limits,
    MeasurementRule,
    SetpointRule,
    Timing,
    VoltageModel,
)
from hardware_in_loop.control.states import Trigger
from hardware_in_loop.control.supervisor import InForce, Intervention, follow, respond, supervise, towards
from hardware_in_loop.control.watch import Watch
from hardware_in_loop.errors import RigFileError
from hardware_in_loop.link import DeviceStatus, Snapshot
from tests.hil.plant import settings

PERIOD_S = 0.1
LIMITS = Limits.of(
    [
        SetpointRule(channel="pv.1.q_share", low=-1.0, high=1.0, ramp_per_s=0.5, safe=0.0, step=0.001),
        SetpointRule(channel="battery.2.p_kw", low=-50.0, high=40.0, ramp_per_s=7.3, safe=-2.0, step=2.0, origin=40.0),
        SetpointRule(channel="battery.3.p_kw", low=-0.1, high=0.7, ramp_per_s=0.013, safe=0.0),
        SetpointRule(
            channel="ev.4.p_kw",
            low=-11.0,
            high=0.0,
            ramp_per_s=20.0,
            safe=0.0,
            step=0.1,
            min_interval_s=0.35,
            deadband=0.25,
        ),
    ]
)
MODEL = VoltageModel(
    channels=("bus.1.v_pu", "bus.2.v_pu"),
    low_pu=np.array([0.95, 0.95]),
    high_pu=np.array([1.05, 1.05]),
    sensitivity=np.array([[0.03, 0.0004, 0.01, 0.0002], [0.01, 0.0008, 0.02, 0.0004]]),
)
ANY_NUMBER = st.one_of(
    st.floats(-2.0, 2.0), st.floats(allow_nan=True, allow_infinity=True), st.sampled_from([-1e300, 50.0])
)
REQUEST = st.one_of(
    st.lists(ANY_NUMBER, min_size=4, max_size=4),
    st.lists(ANY_NUMBER, max_size=5),
    st.sampled_from([None, "full", [[1.0] * 4], [1.0, None, 2.0, 3.0]]),
)
VOLTAGE = st.one_of(st.none(), st.tuples(st.floats(0.9, 1.1), st.floats(0.9, 1.1)))
STEP = st.tuples(REQUEST, VOLTAGE, st.floats(0.0, 3.0), st.booleans())


def at(values, changed_s=-1e6):
    values = np.asarray(values, float)
    return InForce(value=values, effective=values, changed_s=np.full(len(values), changed_s))


def decide(request, voltages=None, in_force=None, now_s=0.0, limits=LIMITS):
    return supervise(limits, MODEL, request, in_force or at(LIMITS.safe), voltages, now_s, PERIOD_S)


@given(st.lists(STEP, min_size=1, max_size=12))
def test_written_setpoints_keep_limits_ramps_and_registers_for_any_requests_measurements_and_times(steps):
    now_s, in_force = 0.0, at(LIMITS.safe)
    for request, voltages, dt_s, is_sent in steps:
        now_s += dt_s
        measured = None if voltages is None else np.array(voltages)
        decision = decide(request, measured, in_force, now_s)
        new, old = decision.setpoints, in_force.value
        assert (new >= LIMITS.low).all()
        assert (new <= LIMITS.high).all()
        elapsed_s = now_s - in_force.changed_s
        assert (np.abs(new - old) <= LIMITS.ramp_per_s * elapsed_s * (1 + 1e-9) + 1e-12).all()
        window_s = np.maximum(2 * PERIOD_S, LIMITS.step / LIMITS.ramp_per_s)
        assert (np.abs(new - old) <= LIMITS.ramp_per_s * window_s * (1 + 1e-6)).all()
        is_grid = LIMITS.step > 0
        counts = (new - LIMITS.origin)[is_grid] / LIMITS.step[is_grid]
        np.testing.assert_allclose(counts, np.round(counts), atol=1e-7)
        assert new[2] == np.float32(new[2])
        if is_sent:
            in_force = follow(LIMITS, in_force, new, np.ones(4, bool), now_s)
        in_force = respond(LIMITS, in_force, dt_s)


@hypothesis.settings(max_examples=20)
@given(st.lists(st.floats(-1.0, 1.0), min_size=3, max_size=3), st.integers(0, 2**31 - 1))
def test_nearest_equals_an_independent_solver(wanted, seed):
    import cvxpy as cp

    rng = np.random.default_rng(seed)
    rows, wanted = rng.uniform(-1.0, 1.0, (8, 3)), np.array(wanted)
    at_most, scale = rng.uniform(-0.4, 0.6, 8), rng.uniform(0.5, 2.0, 3)
    low, high = rng.uniform(-1.0, -0.2, 3), rng.uniform(0.2, 1.0, 3)
    found = nearest(wanted, low, high, rows, at_most, scale)
    x = cp.Variable(3)
    problem = cp.Problem(cp.Minimize(cp.sum_squares((x - wanted) / scale)), [x >= low, x <= high, rows @ x <= at_most])
    problem.solve(solver=cp.CLARABEL)
    if found is None:
        assert problem.status in ("infeasible", "infeasible_inaccurate")
    else:
        assert problem.status in ("optimal", "optimal_inaccurate")
        np.testing.assert_allclose(found, x.value, atol=2e-4)
        assert (rows @ found <= at_most + 1e-6).all()


def test_voltage_above_limit_is_brought_back_by_the_smallest_change():
    limits = Limits.of(
        [SetpointRule(channel=c, low=-1.0, high=1.0, ramp_per_s=100.0, safe=0.0) for c in ("a.q", "b.q")]
    )
    model = VoltageModel(
        channels=("bus.1.v_pu",),
        low_pu=np.array([0.95]),
        high_pu=np.array([1.05]),
        sensitivity=np.array([[0.03, 0.04]]),
    )
    decision = supervise(limits, model, [0.0, 0.0], at([0.0, 0.0]), np.array([1.06]), 1.0, PERIOD_S)
    # Hand-worked: the excess 0.01 along the gradient (0.03, 0.04) of norm 0.05 is 0.2 of its unit vector.
    np.testing.assert_allclose(decision.setpoints, [-0.12, -0.16], atol=1e-6)
    assert decision.interventions == ((Intervention.VOLTAGE, "a.q,b.q"),)


def test_voltages_out_of_reach_of_the_ramp_move_straight_towards_the_limit():
    limits = Limits.of(
        [
            SetpointRule(channel="a.q", low=-1.0, high=1.0, ramp_per_s=0.1, safe=0.0),
            SetpointRule(channel="b.q", low=-1.0, high=1.0, ramp_per_s=100.0, safe=0.0),
        ]
    )
    model = VoltageModel(
        channels=("1", "2"),
        low_pu=np.full(2, 0.95),
        high_pu=np.full(2, 1.05),
        sensitivity=np.array([[0.05, 0.02], [0.01, 0.05]]),
    )
    v_pu, in_force, now_s, worst = np.array([1.0, 0.93]) + 0.06, at([0.0, 0.0]), 0.0, []
    for _ in range(80):
        now_s += PERIOD_S
        decision = supervise(limits, model, [1.0, 1.0], in_force, v_pu, now_s, PERIOD_S)
        v_pu = v_pu + model.sensitivity @ (decision.setpoints - in_force.value)
        in_force = follow(limits, in_force, decision.setpoints, np.ones(2, bool), now_s)
        worst.append(np.maximum(v_pu - 1.05, 0.95 - v_pu).max())
    assert max(np.diff(worst)) < 1e-6
    assert worst[-1] < 1e-6


def test_infeasible_voltages_lead_to_the_safe_setpoints():
    decision = decide([1.0, 40.0, 0.7, 0.0], np.array([1.2, 0.8]), at([0.5, 0.0, 0.1, -5.0]), 0.0)
    assert not decision.is_feasible
    assert decision.setpoints == pytest.approx([0.4, -2.0, 0.0974, -1.0], abs=1e-6)
    assert decision.interventions[-1][0] is Intervention.INFEASIBLE


@pytest.mark.parametrize("request_", [[np.nan, 0, 0, 0], [0.0] * 3, None, "x", [[0.0] * 4], [np.inf] * 4])
def test_invalid_requests_lead_towards_the_safe_setpoints(request_):
    decision = decide(request_, np.array([1.0, 1.0]), at([0.5, -2.0, 0.0, 0.0]))
    assert not decision.is_valid
    assert decision.setpoints == pytest.approx([0.4, -2.0, 0.0, 0.0])


def test_deadband_and_interval_hold_setpoints_still():
    in_force = at([0.0, -2.0, 0.0, -5.0], changed_s=0.0)
    quiet = decide([0.0, -2.0, 0.0, -5.2], None, in_force, 10.0)
    assert quiet.setpoints[3] == -5.0
    assert quiet.interventions == ((Intervention.DEADBAND, "ev.4.p_kw"),)
    early = decide([0.0, -2.0, 0.0, -8.0], None, in_force, 0.3)
    assert early.setpoints[3] == -5.0
    assert (Intervention.INTERVAL, "ev.4.p_kw") in early.interventions
    assert decide([0.0, -2.0, 0.0, -8.0], None, in_force, 0.4).setpoints[3] == pytest.approx(-8.0)


def test_coarse_register_moves_one_step_once_the_ramp_has_come_that_far():
    in_force, now_s, moves = at(LIMITS.safe, changed_s=0.0), 0.0, []
    for _ in range(60):
        now_s += PERIOD_S
        decision = decide([0.0, 40.0, 0.0, 0.0], None, in_force, now_s)
        if decision.setpoints[1] != in_force.value[1]:
            moves.append(now_s)
        in_force = follow(LIMITS, in_force, decision.setpoints, np.ones(4, bool), now_s)
    # 2 kW at 7.3 kW/s take 0.274 s, which is the third cycle of 0.1 s.
    assert moves[:3] == pytest.approx([0.3, 0.6, 0.9])


def test_prediction_counts_what_slow_devices_have_yet_to_do():
    limits = Limits.of([SetpointRule(channel="a.q", low=-1.0, high=1.0, ramp_per_s=100.0, safe=0.0, response_s=5.0)])
    model = VoltageModel(
        channels=("1",), low_pu=np.array([0.9]), high_pu=np.array([1.05]), sensitivity=np.array([[0.1]])
    )
    in_force = follow(limits, at([0.0]), np.array([0.5]), np.array([True]), 0.0)
    decision = supervise(limits, model, [1.0], in_force, np.array([1.0]), 0.1, PERIOD_S)
    # All of 0.05 pu of room is already spoken for by the 0.5 that the device has not followed yet.
    assert decision.setpoints == pytest.approx([0.5], abs=1e-6)


def test_safe_setpoints_are_reached_within_the_ramp_time():
    in_force, now_s = at([1.0, 40.0, 0.7, -11.0]), 0.0
    settings = ControlSettings(
        rig="bench",
        setpoints=tuple(
            SetpointRule(channel=c, low=lo, high=hi, ramp_per_s=r, safe=s)
            for c, lo, hi, r, s in zip(
                LIMITS.channels, LIMITS.low, LIMITS.high, LIMITS.ramp_per_s, LIMITS.safe, strict=True
            )
        ),
        measurements=(),
        timing=Timing(period_s=PERIOD_S, policy_period_s=PERIOD_S),
    )
    for _ in range(int(settings.longest_ramp_s / PERIOD_S) + 2):
        now_s += PERIOD_S
        setpoints = towards(settings.limits, settings.limits.safe, in_force, now_s, PERIOD_S).setpoints
        in_force = follow(settings.limits, in_force, setpoints, np.ones(4, bool), now_s)
    assert in_force.value == pytest.approx(LIMITS.safe)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"safe": 2.0}, "set-point 'a.q': safe is 2; allowed -1..1; the safe value must be inside"),
        ({"ramp_per_s": 0.0}, "set-point 'a.q': ramp_per_s must be > 0, got 0"),
        ({"low": 1.0}, "set-point 'a.q': low must be < high, got 1..1"),
        ({"step": 0.3, "safe": 0.1}, "set-point 'a.q': safe is 0.1, which a register in steps of 0.3 cannot carry"),
        ({"high": np.inf}, "must be finite"),
        ({"deadband": -1.0}, "set-point 'a.q': deadband must be >= 0 and finite, got -1"),
    ],
)
def test_setpoint_rules_that_cannot_work_are_refused(change, message):
    rule = {"channel": "a.q", "low": -1.0, "high": 1.0, "ramp_per_s": 1.0, "safe": 0.0} | change
    with pytest.raises(RigFileError, match="rig 'bench': ") as refused:
        ControlSettings(
            rig="bench",
            setpoints=(SetpointRule(**rule),),
            measurements=(),
            timing=Timing(period_s=0.1, policy_period_s=0.1),
        )
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("measurement", "timing", "message"),
    [
        ({"low": 2.0}, {}, "measurement 'bus.1.v_pu': plausible range must have low < high, got 2..1.5"),
        ({"stale_after_s": 0.0}, {}, "measurement 'bus.1.v_pu': stale_after_s must be > 0, got 0"),
        ({}, {"policy_period_s": 0.01}, "policy_period_s is 0.01; allowed >= period_s = 0.1"),
        ({}, {"read_share": 0.9}, "read_share + write_share must be at most 1, got 0.9 + 0.35"),
        ({}, {"max_missed_cycles": 0}, "max_missed_cycles must be > 0, got 0"),
        ({"channel": "bus.2.v_pu"}, {}, "sensitivities name 'bus.1.v_pu', which no device measures"),
    ],
)
def test_measurement_rules_and_times_that_cannot_work_are_refused(measurement, timing, message):
    rule = {"channel": "bus.1.v_pu", "low": 0.5, "high": 1.5, "stale_after_s": 0.5} | measurement
    with pytest.raises(RigFileError) as refused:
        ControlSettings(
            rig="bench",
            setpoints=(SetpointRule(channel="a.q", low=-1.0, high=1.0, ramp_per_s=1.0, safe=0.0),),
            measurements=(MeasurementRule(**rule),),
            timing=Timing(**{"period_s": 0.1, "policy_period_s": 0.1} | timing),
            voltages=VoltageModel(
                channels=("bus.1.v_pu",), low_pu=np.array([0.9]), high_pu=np.array([1.1]), sensitivity=np.array([[0.1]])
            ),
        )
    assert message in str(refused.value)


def test_heartbeat_that_is_not_available_any_more_stands_still():
    watch = Watch(settings(heartbeat_s=1.0))

    def beats(count, now_s):
        snapshot = Snapshot(
            readings={}, setpoints={}, devices={"meter": DeviceStatus(is_reachable=True, heartbeat=count)}
        )
        return [f.text for f in watch.assess(snapshot, now_s) if f.trigger is Trigger.HEARTBEAT]

    assert beats(7, 10.0) == beats(8, 11.0) == beats(None, 11.9) == []
    assert beats(None, 12.1) == ["its heartbeat stands at 8 for 1.1 s"]
    assert beats(9, 12.2) == []
