"""Settings of the loop from rig files."""

from pathlib import Path

import numpy as np
import pytest

from gridenv.core.channels import Channel, ChannelSet
from hardware_in_loop.control.rules import Register, control_settings
from hardware_in_loop.errors import RigFileError
from hardware_in_loop.rig.files import RigFile, read_rig

RIGS = Path(__file__).parents[2] / "configs" / "rig"


class Manifest:
    """As much of a manifest as the settings need."""

    def __init__(self, file: RigFile):
        self.step_s = 900.0
        self.observation = ChannelSet(
            tuple(Channel(name=n, unit="", low=-5.0, high=5.0, scale=1.0) for n in file.rig.observations)
        )
        self.action = ChannelSet(
            tuple(Channel(name=n, unit="", low=-1.0, high=1.0, scale=1.0) for n in file.rig.actions)
        )


@pytest.fixture
def rig(tmp_path):
    for file in (*RIGS.glob("voltvar_ieee33*"), *(RIGS.parent / "register_map").iterdir()):
        folder = tmp_path / file.parent.name
        folder.mkdir(exist_ok=True)
        (folder / file.name).write_text(file.read_text())
    return tmp_path / "rig" / "voltvar_ieee33.yaml"


def load(path, *changes, step=0.0001, origin=0.0):
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text)
    file = read_rig(str(path), path.parent)
    return control_settings(file, Manifest(file), dict.fromkeys(file.rig.actions, Register(step=step, origin=origin)))


def test_settings_are_those_of_the_rig_file(rig):
    settings = load(
        rig, ("pv.10.p_kw: {", "pv.10.p_kw: {max_change_per_s: 7.0, stuck_after_s: 9.0, stale_after_s: 0.3, ")
    )
    timing = settings.timing
    assert (timing.period_s, timing.policy_period_s, timing.max_missed_cycles) == (0.1, 0.6, 3)
    assert (timing.refresh_s, timing.armed_s, timing.heartbeat_s) == (0.5, 60.0, 3.0)
    rule, sink = settings.setpoints[0], read_rig(str(rig), rig.parent).rig.actions["pv.10.q_share"]
    assert (rule.low, rule.high, rule.ramp_per_s) == (sink.low, sink.high, sink.ramp_per_s)
    assert (rule.safe, rule.readback_within_s) == (sink.safe_value, sink.readback_within_s)
    assert rule.readback_tolerance == pytest.approx(1.5e-4)
    measured = {m.channel: m for m in settings.measurements}
    plant = measured["pv.10.p_kw"]
    assert (plant.max_rate_per_s, plant.stuck_after_s, plant.stale_after_s) == (7.0, 9.0, 0.3)
    assert (measured["bus.2.v_pu"].low, measured["bus.2.v_pu"].stale_after_s) == (-5.0, 0.5)
    assert settings.voltages.sensitivity.shape == (33, 6)
    assert (settings.voltages.sensitivity >= 0).all()
    assert np.unique(settings.voltages.low_pu).tolist() == [0.9]
    assert settings.longest_ramp_s == pytest.approx(1.0 / sink.ramp_per_s)


def test_setpoints_are_renewed_well_before_timers_run_out(rig):
    timing = load(rig, ("  reversion_s: 5", "  reversion_s: 1\n  refresh_share: 0.9")).timing
    # Hand-worked: due after 0.9 s, asked at most 0.05 s later, before the timer of 1 s.
    assert timing.refresh_s == pytest.approx(0.05)


def test_policy_period_is_the_step_of_training_if_left_out(rig):
    assert load(rig, ("policy_period_s: 0.6\n", "")).timing.policy_period_s == 900.0


def test_safe_value_between_two_counts_is_refused(rig):
    with pytest.raises(RigFileError, match=r"safe is 0, which a register in steps of 0.3 cannot carry"):
        load(rig, step=0.3, origin=0.1)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("channel,", "name,", "must begin with the column `channel`"),
        ("pv.10.q_share,", "pv.11.q_share,", "has no column 'pv.10.q_share'; add it, 0 where it acts on nothing"),
        ("bus.2.v_pu,", "bus.99.v_pu,", "row 3: 'bus.99.v_pu' is no observation; did you mean 'bus.9.v_pu'?"),
        ("bus.1.v_pu,0", "bus.1.v_pu,nan", "row 2: must have 6 finite numbers, got nan, 0, 0, 0, 0, 0"),
    ],
)
def test_wrong_sensitivities_are_named(rig, old, new, message):
    table = rig.parent / "voltvar_ieee33_sensitivities.csv"
    assert old in table.read_text()
    table.write_text(table.read_text().replace(old, new, 1))
    with pytest.raises(
        RigFileError, match=r"rig 'voltvar_ieee33': sensitivities '.*voltvar_ieee33_sensitivities.csv'"
    ) as e:
        load(rig)
    assert message in str(e.value)


def test_missing_sensitivities_are_named(rig):
    (rig.parent / "voltvar_ieee33_sensitivities.csv").unlink()
    with pytest.raises(RigFileError, match=r"cannot be read \(.*\); make them with `gridenv hil sensitivities`"):
        load(rig)
