from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from gridenv.core.errors import ConfigError, DataError
from gridenv.exogenous.dr_baseline import (
    CAISO_10_OF_10,
    CAISO_10_OF_10_ADJUSTED,
    NYISO_5_OF_10,
    BaselineMethod,
    baseline_kw,
    like_days,
)
from gridenv.exogenous.dr_events import (
    DR_NAMES,
    DrEvent,
    event_columns,
    event_problems,
    generate_events,
    load_events,
    save_events,
)

DAY = 96
HEADER = "date,start,end,notice_h,target_kw,target_share,payment_eur_kwh,penalty_eur_kwh"


def event(day, first=64, end=72, **changes):
    """16 to 18 o'clock; two hours' notice; 20 kW."""
    fields = {"notice_h": 2.0, "target_kw": 20.0, "payment_eur_kwh": 0.5, "penalty_eur_kwh": 0.1} | changes
    return DrEvent(start_step=day * DAY + first, end_step=day * DAY + end, **fields)


def random_demand(seed=0):
    return np.random.default_rng(seed).uniform(50, 150, 366 * DAY)


def day_numbers(n_days):
    """A demand that is the number of its day, in kW."""
    return np.repeat(np.arange(n_days, dtype=float), DAY)


# 1 January 2016 is a Friday: days 0, 3, 4, 5, 6, 7, 10, ... are weekdays, 1, 2, 8, 9, ... weekend.


def test_like_days_skip_the_other_type_and_event_days():
    assert like_days(10, frozenset(), CAISO_10_OF_10) == [7, 6, 5, 4, 3, 0]
    assert like_days(9, frozenset({1}), CAISO_10_OF_10) == [8, 2]
    assert like_days(10, frozenset({6, 10, 11}), CAISO_10_OF_10) == [7, 5, 4, 3, 0]
    assert len(like_days(40, frozenset(), CAISO_10_OF_10)) == 10
    assert like_days(40, frozenset(), BaselineMethod(lookback_days=5)) == [39, 38, 35]


def test_baseline_is_the_mean_of_the_last_ten_like_days():
    base = baseline_kw(day_numbers(28), [])
    assert base[0] == 0.0  # no day before
    assert base[10 * DAY] == np.mean([7, 6, 5, 4, 3, 0])
    assert base[27 * DAY] == np.mean([26, 25, 24, 21, 20, 19, 18, 17, 14, 13])
    assert base[9 * DAY] == np.mean([8, 2, 1])


def test_baseline_of_high_five_of_ten_ranks_days_by_the_hours_of_the_event():
    demand = np.ones((28, DAY))
    demand[:, 64:72] = 100 - np.arange(28)[:, None]  # in the event's hours the earlier days are the higher ones
    demand[:, :10] = 50 * np.arange(28)[:, None]  # over the whole day it is the later ones
    base = baseline_kw(demand.reshape(-1), [(27 * DAY + 64, 27 * DAY + 72)], NYISO_5_OF_10)
    # Ten days before day 27: 26, 25, 24, 21, 20, 19, 18, 17, 14, 13.
    assert base[27 * DAY + 64] == 100 - np.mean([19, 18, 17, 14, 13])
    assert base[26 * DAY + 64] == 100 - np.mean([25, 24, 21, 20, 19])  # no event that day: all hours count


def test_day_of_adjustment_is_the_ratio_before_the_event_and_is_capped():
    demand = np.full((28, DAY), 100.0)
    demand[27, 48:60] = 110.0  # second to fourth hour before 16:00
    demand[27, 60:64] = 500.0  # the hour before does not count
    window = (27 * DAY + 64, 27 * DAY + 72)
    base = baseline_kw(demand.reshape(-1), [window], CAISO_10_OF_10_ADJUSTED)
    np.testing.assert_allclose(base[slice(*window)], 110.0)
    assert base[window[0] - 1] == base[window[1]] == 100.0
    for level, expected in ((200.0, 120.0), (10.0, 80.0)):
        demand[27, 48:60] = level
        base = baseline_kw(demand.reshape(-1), [window], CAISO_10_OF_10_ADJUSTED)
        np.testing.assert_allclose(base[slice(*window)], expected)
    # The hours before an event soon after midnight lie in the day before and do not count.
    early = (27 * DAY + 2, 27 * DAY + 6)
    assert baseline_kw(demand.reshape(-1), [early], CAISO_10_OF_10_ADJUSTED)[early[0]] == 100.0


@pytest.mark.parametrize("method", [CAISO_10_OF_10, NYISO_5_OF_10])
def test_baseline_of_a_day_does_not_change_with_that_day_nor_the_future(method):
    demand = random_demand()
    events = [event(24), event(31), event(38, target_kw=None, target_share=0.2)]
    before = event_columns(events, demand, method)
    changed = demand.copy()
    changed[31 * DAY :] = random_demand(1)[31 * DAY :] * 7
    after = event_columns(events, changed, method)
    for name in DR_NAMES:
        np.testing.assert_array_equal(after[name][: 32 * DAY], before[name][: 32 * DAY])
    assert np.any(after["dr.baseline_kw"][32 * DAY :] != before["dr.baseline_kw"][32 * DAY :])


def test_adjusted_baseline_does_not_change_with_the_hour_before_the_event_nor_the_future():
    demand = random_demand()
    events = [event(24), event(31)]
    before = event_columns(events, demand, CAISO_10_OF_10_ADJUSTED)["dr.baseline_kw"]
    changed = demand.copy()
    changed[31 * DAY + 60 :] = random_demand(1)[31 * DAY + 60 :] * 7
    after = event_columns(events, changed, CAISO_10_OF_10_ADJUSTED)["dr.baseline_kw"]
    np.testing.assert_array_equal(after[: 32 * DAY], before[: 32 * DAY])


def test_later_events_change_no_baseline_of_earlier_days_and_event_days_are_left_out():
    demand = day_numbers(366)
    one, two = (event_columns(e, demand)["dr.baseline_kw"] for e in ([event(24)], [event(24), event(31)]))
    np.testing.assert_array_equal(one[: 32 * DAY], two[: 32 * DAY])
    # Ten weekdays before day 25 without the event day 24; then without 31 as well.
    assert one[25 * DAY] == np.float32(np.mean([21, 20, 19, 18, 17, 14, 13, 12, 11, 10]))
    assert two[32 * DAY] == np.float32(np.mean([28, 27, 26, 25, 21, 20, 19, 18, 17, 14]))


def test_columns_of_an_event_as_worked_by_hand():
    columns = event_columns([event(24), event(25, target_kw=None, target_share=0.1)], np.full(366 * DAY, 80.0))
    assert tuple(columns) == DR_NAMES
    assert all(c.dtype == np.float32 and c.shape == (366 * DAY,) for c in columns.values())
    active = np.flatnonzero(columns["dr.active"])
    first, second = np.arange(64, 72) + 24 * DAY, np.arange(64, 72) + 25 * DAY
    assert active.tolist() == [*first, *second]
    for name, of_first, of_second in (
        ("dr.target_kw", 20.0, 8.0),
        ("dr.payment_eur_kwh", 0.5, 0.5),
        ("dr.penalty_eur_kwh", 0.1, 0.1),
    ):
        np.testing.assert_allclose(columns[name][first], of_first)
        np.testing.assert_allclose(columns[name][second], of_second, rtol=1e-6)
        assert np.all(np.delete(columns[name], active) == 0)
    hours = columns["dr.hours_to_event"]
    # Two hours' notice: nothing known at 13:45, two hours at 14:00, a quarter at 15:45.
    assert hours[24 * DAY + 55 : 24 * DAY + 73].tolist() == [24, *np.arange(2, 0, -0.25), *[0] * 8, 24]


def test_hours_to_event_give_the_next_known_event_and_stop_at_24():
    events = [event(24, notice_h=48.0), event(25, notice_h=30.0)]
    hours = event_columns(events, np.ones(366 * DAY))["dr.hours_to_event"]
    start = 24 * DAY + 64
    assert hours[[start - 193, start - 192, start - 97, start - 96, start - 95]].tolist() == [24, 24, 24, 24, 23.75]
    assert hours[start : start + 8].tolist() == [0] * 8  # the second event is known by then
    assert hours[start + 8] == 22.0


def test_generated_events_are_winter_weekday_evenings_and_follow_the_seed():
    events = generate_events(4)
    assert events == generate_events(4)
    assert events != generate_events(5)
    assert len(events) == 20
    days = [e.day for e in events]
    assert days == sorted(set(days))
    assert min(days) >= 14
    dates = [date(2016, 1, 1) + timedelta(days=d) for d in days]
    assert {d.month for d in dates} <= {1, 2, 11, 12}
    assert max(d.weekday() for d in dates) == 4
    for e in events:
        first, end = e.start_step - e.day * DAY, e.end_step - e.day * DAY
        assert first in (64, 68, 72)
        assert end - first in (4, 8, 12)
        assert e.notice_h in (2.0, 21.0)
    assert event_columns(events, random_demand())["dr.active"].sum() == sum(e.end_step - e.start_step for e in events)


def test_generate_refuses_all_wrong_settings_at_once():
    with pytest.raises(ConfigError) as caught:
        generate_events(-1, n_events=400, months=(1,), notice_h=())
    assert str(caught.value).split("\n") == [
        "events: notice_h is empty; allowed: one choice or more; give one",
        "events: n_events is 400; allowed: 0..11, the weekdays of `months`; choose fewer",
        "events: seed is -1; allowed: 0 or more; choose another",
    ]
    with pytest.raises(ConfigError, match=r"event 2016-.* 23:00-25:00: steps are .* within a day"):
        generate_events(0, n_events=1, start_h=(23,), duration_h=(2,))


def test_event_files_give_back_what_was_saved(tmp_path):
    events = (*generate_events(1), event(365, 92, 96, notice_h=0.0, target_kw=1 / 3))
    save_events(events, tmp_path / "events.csv")
    assert load_events(tmp_path / "events.csv") == events
    lines = (tmp_path / "events.csv").read_text().splitlines()
    assert lines[0] == HEADER
    assert lines[-1] == f"2016-12-31,23:00,24:00,0.0,{1 / 3!r},,0.5,0.1"


def test_event_file_problems_name_file_and_line_and_come_together(tmp_path):
    path = tmp_path / "events.csv"
    rows = [
        "2016-02-01,16:00,18:00,2,20,,0.5,0.1",
        "2017-02-01,16:10,25:00,x,20,,0.5,0.1",
        "2016-02-03,16:00,18:00,2,20",
        "2016-02-04,18:00,16:00,2,20,0.1,0.5,",
        "2016-02-05,18:00,19:00,2,,1.5,-0.5,0",
        "2016-02-08,T1600,19:00,2,20,,0.5,0.1",
        "2016-02-09,18:00,18:00,-2,,,0.5,nan",
    ]
    path.write_text("\n".join([HEADER, *rows]))
    with pytest.raises(DataError) as caught:
        load_events(path)
    odd, empty = "event 2016-02-05 18:00-19:00", "event 2016-02-09 18:00-18:00"
    assert str(caught.value).split("\n") == [
        f"{path}:3: date is '2017-02-01'; allowed: a day of 2016 as YYYY-MM-DD; correct it",
        f"{path}:3: start is '16:10'; allowed: HH:MM at a full quarter-hour, 00:00..24:00; correct it",
        f"{path}:3: end is '25:00'; allowed: HH:MM at a full quarter-hour, 00:00..24:00; correct it",
        f"{path}:3: notice_h is 'x'; allowed: a number; correct it",
        f"{path}:4: 5 fields; allowed: 8; write {HEADER}",
        f"{path}:5: penalty_eur_kwh is ''; allowed: a number; correct it",
        f"{path}:6: {odd}: target_share is 1.5; allowed: a finite number in 0..1; correct it",
        f"{path}:6: {odd}: payment_eur_kwh is -0.5; allowed: a finite number in 0..inf; correct it",
        f"{path}:7: start is 'T1600'; allowed: HH:MM at a full quarter-hour, 00:00..24:00; correct it",
        f"{path}:8: {empty}: steps are 3816..3816; allowed: a window of one or more steps within a day of the scenario "
        "year; split or correct it",
        f"{path}:8: {empty}: target_kw and target_share are both empty; allowed: one of them; drop or add one",
        f"{path}:8: {empty}: notice_h is -2; allowed: a finite number in 0..inf; correct it",
        f"{path}:8: {empty}: penalty_eur_kwh is nan; allowed: a finite number in 0..inf; correct it",
    ]


def test_event_file_that_is_missing_headless_or_overlapping_is_refused(tmp_path):
    path = tmp_path / "events.csv"
    with pytest.raises(DataError, match=r"events\.csv: no such file; give a CSV file"):
        load_events(path)
    path.write_text("date,start\n")
    with pytest.raises(DataError, match=r"events\.csv:1: 'date,start'; allowed: the header date,start,end"):
        load_events(path)
    path.write_text(f"{HEADER}\n2016-02-01,16:00,18:00,2,20,,0.5,0\n2016-02-01,17:45,19:00,2,20,,0.5,0\n")
    with pytest.raises(DataError, match=r"17:45-19:00: begins before event 2016-02-01 16:00-18:00 is over"):
        load_events(path)


def test_events_that_do_not_fit_are_reported_together():
    odd = replace(event(24), target_share=0.1)
    assert event_problems([odd]) == [
        "event 2016-01-25 16:00-18:00: target_kw and target_share are both set; allowed: one of them; drop or add one"
    ]
    with pytest.raises(ConfigError) as caught:
        event_columns(
            [event(3), event(24, 95, 97), event(24, 60, 60)], np.ones(95), BaselineMethod(n_days=5, adjustment_cap=1.0)
        )
    text = str(caught.value)
    assert "event 2016-01-04 16:00-18:00: 1 like days lie before it; allowed: at least 4; move it" in text
    assert "event 2016-01-25 23:45-24:15: steps are 2399..2401" in text
    assert "event 2016-01-25 15:00-15:00: steps are 2364..2364" in text
    assert "demand_kw has shape (95,); allowed: 35136 finite numbers" in text
    assert "baseline method: n_high is 10; allowed: 1..n_days = 5; correct it" in text
    assert "baseline method: adjustment_cap is 1.0; allowed: None, or 0 to below 1; correct it" in text


def test_baseline_refuses_a_series_that_is_not_of_whole_days():
    with pytest.raises(ConfigError, match="demand_kw has 97 steps; allowed: whole days of 96; cut or fill it"):
        baseline_kw(np.ones(97), [])
