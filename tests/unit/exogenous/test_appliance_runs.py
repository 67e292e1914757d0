from dataclasses import replace

import numpy as np
import pytest

from gridenv.core.errors import ConfigError
from gridenv.exogenous.appliance_runs import KINDS, ApplianceKind, draw_runs, run_problems

NAMES = ("appliance.1", "appliance.2", "appliance.3")
ALL_KINDS = ("washing_machine", "dishwasher", "tumble_dryer")


def test_programmes_take_the_energy_of_their_source():
    kwh = {name: sum(kind.program_kw) / 4 for name, kind in KINDS.items()}
    assert kwh == pytest.approx({"washing_machine": 0.8875, "dishwasher": 1.1925, "tumble_dryer": 2.46})


def test_drawn_windows_lie_within_the_day_and_leave_room_for_the_run():
    runs = draw_runs(NAMES, ALL_KINDS, 3)
    assert run_problems(NAMES, runs) == []
    assert runs.earliest_step.shape == (366, 3)
    assert runs.earliest_step.min(axis=0).tolist() == [28, 32, 36]  # 7, 8 and 9 o'clock
    latest_end = np.where(runs.is_present, runs.latest_end_step, 0)
    assert latest_end.max() == 96
    slack = runs.latest_start_step - runs.earliest_step
    assert np.all(slack <= [32, 40, 24])
    assert np.all(slack[runs.is_present & (latest_end < 96)] >= 4)


def test_number_of_runs_is_near_the_mean_of_the_kind():
    names = [f"appliance.{i}" for i in range(60)]
    runs = draw_runs(names, ALL_KINDS * 20, 0)
    per_year = runs.is_present.sum(axis=0).reshape(20, 3).mean(axis=0)
    # Binomial: the standard error of the mean of 20 years of 366 days is below 9.6 / sqrt(20) = 2.1.
    np.testing.assert_allclose(per_year, [196, 241, 122], atol=4 * 2.1)


def test_draw_is_the_same_for_a_seed_and_not_shifted_by_other_appliances():
    runs = draw_runs(NAMES, ALL_KINDS, 7)
    alone = draw_runs(NAMES[1:2], ALL_KINDS[1:2], 7)
    for table in ("earliest_step", "latest_start_step", "is_present"):
        np.testing.assert_array_equal(getattr(alone, table)[:, 0], getattr(runs, table)[:, 1])
    other = draw_runs(NAMES, ALL_KINDS, 8)
    assert np.any(other.earliest_step != runs.earliest_step)


def test_draw_reports_all_problems_at_once():
    late = ApplianceKind(program_kw=(1.0,) * 8, runs_per_year=400.0, loaded_h=(9.0, 23.0), slack_h=(2.0, 1.0))
    with pytest.raises(ConfigError) as caught:
        draw_runs(["a", "a"], ["late", "laet"], -1, catalogue={"late": late})
    text = str(caught.value)
    assert "appliance 'a' appears 2 times" in text
    assert "a: kind is 'laet'; did you mean 'late'?" in text
    assert "appliances: seed is -1; allowed: 0 or more; choose another" in text
    assert "kind 'late': runs_per_year is 400; allowed: 0..366; correct it" in text
    assert "kind 'late': slack_h is 2..1; allowed: 0 <= first <= second" in text
    assert "kind 'late': loaded at 23 h it ends in step 100; allowed: at most 96" in text


def test_draw_refuses_no_appliances():
    with pytest.raises(ConfigError, match="there are 0 names; allowed: 1 or more"):
        draw_runs([], [], 0)


def test_run_problems_name_appliance_field_day_and_limit():
    runs = draw_runs(NAMES, ALL_KINDS, 3)
    present = np.ones_like(runs.is_present)
    latest = runs.latest_start_step.copy()
    latest[5, 1], latest[6, 2] = 90, 1
    found = run_problems(NAMES, replace(runs, latest_start_step=latest, is_present=present))
    earliest = runs.earliest_step[6, 2]
    assert found == [
        f"appliance.3: earliest_step on day 6 is {earliest}; allowed: 0..latest_start_step; correct it or drop the run",
        "appliance.2: latest_start_step on day 5 is 90; allowed: 0..96 less the duration; correct it or drop the run",
    ]
    assert (
        "program on day 0 is 9; allowed: 0..2"
        in run_problems(NAMES, replace(runs, program=np.full((366, 3), 9), is_present=present))[0]
    )
    bad = replace(runs, program=runs.program[:2], programs_kw=(np.array([1.0, -1.0]),))
    assert [p.split(";")[0] for p in run_problems(NAMES, bad)] == [
        "appliance runs: program has shape (2, 3)",
        "appliance runs: program 0 is [ 1. -1.]",
    ]
    assert "there are 0 programs" in run_problems(NAMES, replace(runs, programs_kw=()))[0]
