import subprocess
import sys
from dataclasses import fields
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from gridenv.core.errors import ConfigError, DataError
from gridenv.exogenous.cccv import charged_kwh
from gridenv.exogenous.ev_session_files import COLUMNS, load_sessions, save_sessions
from gridenv.exogenous.ev_session_generator import VEHICLES, generate_sessions
from gridenv.exogenous.ev_sessions import NO_SESSION, SessionTable, build_sessions, connected_sessions

N_STEPS = 366 * 96
KINDS = ("home", "work", "public")
DRAWN = {kind: generate_sessions(kind, 40, 7) for kind in KINDS}
WEEKEND = np.array([(date(2016, 1, 1) + timedelta(days=d)).weekday() >= 5 for d in range(366)])
SUMMER_TIME = slice(86, 303)  # 27 March to 29 October, people's clocks are an hour ahead of the rows'


def columns(**changed):
    """Three valid sessions at two chargers, out of order, with some columns replaced."""
    base = {
        "n_chargers": 2,
        "charger": [1, 0, 0],
        "arrival_step": [4, 20, 0],
        "departure_step": [12, 30, 20],
        "e_asked_kwh": [5.0, 8.0, 0.0],
        "battery_kwh": [40.0, 60.0, 60.0],
        "e_arrival_kwh": [10.0, 52.0, 30.0],
        "p_max_kw": [7.4, 11.0, 11.0],
        "v2g_consent": [True, False, True],
    }
    return {**base, **changed}


def same(one: SessionTable, other: SessionTable) -> bool:
    return all(np.array_equal(getattr(one, f.name), getattr(other, f.name)) for f in fields(SessionTable))


def occupancy(table: SessionTable) -> np.ndarray:
    return connected_sessions(table) != NO_SESSION


def e_meter_kwh(table: SessionTable) -> np.ndarray:
    return table.e_asked_kwh / 0.9


# --- table -----------------------------------------------------------------------------------------------------------


def test_sessions_are_sorted_by_charger_and_arrival():
    table = build_sessions(**columns())
    assert table.charger.tolist() == [0, 0, 1]
    assert table.arrival_step.tolist() == [0, 20, 4]
    assert table.e_arrival_kwh.tolist() == [30.0, 52.0, 10.0]
    assert len(table) == 3


def test_sessions_hold_their_charger_from_arrival_up_to_departure():
    index = connected_sessions(build_sessions(**columns()))
    assert index.shape == (N_STEPS, 2)
    assert index.dtype == np.int32
    assert index[[0, 19, 20, 29, 30], 0].tolist() == [0, 0, 1, 1, NO_SESSION]
    assert index[[3, 4, 11, 12], 1].tolist() == [NO_SESSION, 2, 2, NO_SESSION]
    assert (index[:, 0] != NO_SESSION).sum() == 30


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"charger": [1, 0, 5]}, r"ev sessions: session 2: charger = 5; allowed: 0\.\.1; correct it"),
        ({"arrival_step": [12, 20, 0]}, "session 0: arrival_step = 12 and departure_step = 12; allowed: 0 <= arr"),
        ({"arrival_step": [4, 20, -1]}, "session 2: arrival_step = -1 and departure_step = 20; allowed: 0 <= arr"),
        (
            {"departure_step": [12, 35137, 20]},
            "session 1: departure_step = 35137; allowed: <= 35136, the end of the ye",
        ),
        ({"e_asked_kwh": [-5.0, 8.0, 0.0]}, "session 0: e_asked_kwh = -5; allowed: finite and >= 0; correct it"),
        ({"e_arrival_kwh": [10.0, np.nan, 30.0]}, "session 1: e_arrival_kwh = nan; allowed: finite and >= 0"),
        ({"battery_kwh": [0.0, 60.0, 60.0]}, "session 0: battery_kwh = 0; allowed: finite and > 0; correct it"),
        ({"p_max_kw": [7.4, np.inf, 11.0]}, "session 1: p_max_kw = inf; allowed: finite and > 0; correct it"),
        ({"e_asked_kwh": [5.0, 8.5, 0.0]}, r"session 1: e_arrival_kwh \+ e_asked_kwh = 60.5; allowed: <= battery_kwh"),
        (
            {"arrival_step": [4, 19, 0]},
            "session 1: arrival_step = 19 at charger 0, which another session holds until step 20; allowed: one veh",
        ),
        ({"charger": [1, 0]}, r"columns have lengths \{'charger': 2, 'arrival_step': 3.*allowed: one entry a session"),
    ],
)
def test_sessions_out_of_range_are_refused_by_name(changed, message):
    with pytest.raises(DataError, match=message):
        build_sessions(**columns(**changed))


def test_sessions_overlap_with_a_long_one_is_found_past_a_short_one():
    with pytest.raises(DataError, match=r"session 1: .* until step 100(.|\n)*session 2: .* until step 100"):
        build_sessions(**columns(charger=[0, 0, 0], arrival_step=[0, 10, 40], departure_step=[100, 20, 50]))


def test_sessions_report_all_problems_at_once():
    with pytest.raises(DataError) as caught:
        build_sessions(**columns(charger=[7, 0, 0], p_max_kw=[7.4, 0.0, -1.0]))
    assert len(str(caught.value).splitlines()) == 3


# --- files -----------------------------------------------------------------------------------------------------------

GOOD = "0,2016-01-04T18:15,2016-01-05T07:30,7.5,58,30,11,true"


def write(path: Path, *lines: str, header: str = ",".join(COLUMNS)) -> Path:
    path.write_text("\n".join((header, *lines)) + "\n")
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_session_file_round_trips(tmp_path, kind):
    table = generate_sessions(kind, 3, 5)
    save_sessions(table, tmp_path / "sessions.csv")
    assert same(load_sessions(tmp_path / "sessions.csv", n_chargers=3), table)


def test_session_file_times_are_steps_of_the_scenario(tmp_path):
    table = load_sessions(write(tmp_path / "s.csv", GOOD))
    assert table.n_chargers == 1
    assert table.arrival_step.tolist() == [3 * 96 + 18 * 4 + 1]
    assert table.departure_step.tolist() == [4 * 96 + 7 * 4 + 2]
    assert (table.e_asked_kwh[0], table.battery_kwh[0], table.e_arrival_kwh[0], table.p_max_kw[0]) == (7.5, 58, 30, 11)
    assert table.v2g_consent.tolist() == [True]


def test_session_file_offset_is_converted_to_the_clock_of_the_scenario(tmp_path):
    table = load_sessions(write(tmp_path / "s.csv", "0,2016-07-01T08:00+02:00,2016-07-01T10:00Z,5,58,30,11,false"))
    first = (date(2016, 7, 1) - date(2016, 1, 1)).days * 96
    assert (table.arrival_step[0] - first, table.departure_step[0] - first) == (7 * 4, 11 * 4)


def test_session_file_times_between_steps_move_inwards(tmp_path):
    table = load_sessions(write(tmp_path / "s.csv", "0,2016-01-01T00:01,2016-01-01T02:14,5,58,30,11,false"))
    assert (table.arrival_step[0], table.departure_step[0]) == (1, 8)


def test_session_file_may_end_with_the_year_and_leave_chargers_unused(tmp_path):
    table = load_sessions(write(tmp_path / "s.csv", "0,2016-12-31T20:00,2017-01-01T00:00,5,58,30,11,false"), 4)
    assert table.departure_step[0] == N_STEPS
    assert table.n_chargers == 4


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0,2016-13-04,2016-01-05,7,58,30,11,true", r"s\.csv:3: arrival = '2016-13-04'; allowed: a time in ISO 8601"),
        ("x,2016-01-06,2016-01-07,7,58,30,11,true", r"s\.csv:3: charger = 'x'; allowed: a whole number; correct it"),
        ("0,2016-01-06,2016-01-07,7,58,30,11,maybe", r"s\.csv:3: v2g_consent = 'maybe'; allowed: true or false"),
        ("0,2016-01-06,2016-01-07,7,58,full,11,true", r"s\.csv:3: e_arrival_kwh = 'full'; allowed: a number"),
        ("0,2016-01-06,2016-01-07,7,58,30,11", r"s\.csv:3: 7 values; allowed: 8, one a column"),
        ("0,2016-12-31,2017-01-02,7,58,30,11,true", r"s\.csv:3: departure_step = 35232; allowed: <= 35136"),
        ("0,2015-12-31,2016-01-02,7,58,30,11,true", r"s\.csv:3: arrival_step = -96 and"),
        ("0,2016-01-06,2016-01-07,-7,58,30,11,true", r"s\.csv:3: e_asked_kwh = -7; allowed: finite and >= 0"),
        ("0,2016-01-05T07:15,2016-01-07,7,58,30,11,true", r"s\.csv:3: arrival_step = 413 at charger 0, which another"),
        ("0,2016-01-06T10:02,2016-01-06T10:14,7,58,30,11,true", r"s\.csv:3: .* a vehicle stays at least a step"),
    ],
)
def test_session_file_problems_name_file_and_line(tmp_path, line, message):
    with pytest.raises(DataError, match=message):
        load_sessions(write(tmp_path / "s.csv", GOOD, line))


def test_session_file_reports_all_lines_at_once(tmp_path):
    bad = ("0,now,2016-01-05,7,58,30,11,true", "", "0,2016-01-06,later,x,58,30,11,true")
    with pytest.raises(DataError) as caught:
        load_sessions(write(tmp_path / "s.csv", GOOD, *bad))
    assert [text.split(":")[1] for text in str(caught.value).splitlines()] == ["3", "5", "5"]


def test_session_file_wrong_columns_are_refused_by_name(tmp_path):
    header = "charger,arrival,departure,e_askd_kwh,battery_kwh,e_arrival_kwh,p_max_kw,p_max_kw"
    with pytest.raises(DataError) as caught:
        load_sessions(write(tmp_path / "s.csv", GOOD, header=header))
    text = str(caught.value)
    assert "s.csv:1: unknown column 'e_askd_kwh'; did you mean 'e_asked_kwh'?" in text
    assert "column 'e_asked_kwh' is missing; add it" in text
    assert "column 'v2g_consent' is missing; add it" in text
    assert "column 'p_max_kw' appears 2 times; drop all but one" in text


def test_session_file_charger_beyond_the_number_given_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"s\.csv:2: charger = 3; allowed: 0\.\.1"):
        load_sessions(write(tmp_path / "s.csv", "3" + GOOD[1:]), 2)


def test_session_file_missing_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"session file '.*none\.csv': no such file; give a CSV file with the columns"):
        load_sessions(tmp_path / "none.csv")


# --- generator -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_generator_same_seed_same_table_other_seed_other_table(kind):
    assert same(generate_sessions(kind, 40, 7), DRAWN[kind])
    assert not same(generate_sessions(kind, 40, 8), DRAWN[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_generator_energy_is_reachable_within_every_stay(kind):
    table = generate_sessions(kind, 20, 3, p_charger_kw=7.4, eff_charge=0.88, transition_soc=0.7)
    reachable = charged_kwh(
        table.e_arrival_kwh,
        table.battery_kwh,
        table.p_max_kw * 0.88,
        np.minimum(table.p_max_kw, 7.4) * 0.88,
        0.7,
        (table.departure_step - table.arrival_step) / 4,
    )
    assert np.all(table.e_asked_kwh <= reachable * 0.98 * (1 + 1e-12))
    assert np.any(table.e_asked_kwh > reachable * 0.97)  # some sessions are tight
    assert np.all(table.e_asked_kwh > 0)


def test_generator_home_charger_sees_one_vehicle_and_one_owner():
    table = DRAWN["home"]
    for charger in range(40):
        at = table.charger == charger
        assert at.sum() > 150
        assert len(np.unique(table.battery_kwh[at])) == 1
        assert len(np.unique(table.v2g_consent[at])) == 1
    assert {(b, p) for b, p in zip(table.battery_kwh, table.p_max_kw, strict=True)} == set(VEHICLES)


@pytest.mark.parametrize(("share", "low", "high"), [(0.0, 0.0, 0.0), (0.3, 0.27, 0.33), (1.0, 1.0, 1.0)])
def test_generator_consent_has_the_share_asked_for(share, low, high):
    assert low <= generate_sessions("public", 20, 3, v2g_share=share).v2g_consent.mean() <= high


def test_generator_home_agrees_with_published_figures():
    """DfT 2017: domestic chargers supply 7.5 kWh in the median; NHTS: home at 17.6 h; most charge until full."""
    table = DRAWN["home"]
    assert np.median(e_meter_kwh(table)) == pytest.approx(7.5, rel=0.05)
    day, hour = table.arrival_step // 96, table.arrival_step % 96 / 4
    winter_workday = ~WEEKEND[day] & (hour > 9) & ((day < 80) | (day > 310))
    assert hour[winter_workday].mean() == pytest.approx(17.6, abs=0.3)
    full = (table.e_arrival_kwh + table.e_asked_kwh) / table.battery_kwh > 0.949
    assert 0.6 < full.mean() < 0.67
    by_hour = occupancy(table).mean(axis=1).reshape(366, 96).mean(axis=0)
    assert by_hour[2 * 4] > 0.6 > 0.3 > by_hour[12 * 4]


def test_generator_work_agrees_with_published_figures():
    """ACN-Data profiles: 54 % stay 7.1 to 16.5 h, the others 11.1 to 15.1 h; 14.1 kWh on average."""
    table = DRAWN["work"]
    assert e_meter_kwh(table).mean() == pytest.approx(14.1, rel=0.05)
    by_day = occupancy(table).sum(axis=1).reshape(366, 96).max(axis=1)
    assert by_day[WEEKEND].mean() < 0.15 * by_day[~WEEKEND].mean()
    stay_h = (table.departure_step - table.arrival_step) / 4
    assert stay_h.mean() == pytest.approx(0.54 * 9.4 + 0.46 * 4.0, rel=0.08)


def test_generator_public_agrees_with_published_figures():
    """EVnetNL 2015: connected 13.7 % of the time, 8.4 kWh a session, most begin at 8:51 on workdays, 13:45 else."""
    table = DRAWN["public"]
    assert occupancy(table).mean() == pytest.approx(0.137, abs=0.01)
    assert e_meter_kwh(table).mean() == pytest.approx(8.4, rel=0.15)
    day, hour = table.arrival_step // 96, table.arrival_step % 96 / 4
    winter = (day < 86) | (day >= 303)
    hours = np.arange(25)
    assert np.histogram(hour[winter & ~WEEKEND[day]], hours)[0].argmax() in (8, 9)
    assert np.histogram(hour[winter & WEEKEND[day]], hours)[0].argmax() in (13, 14)


def test_generator_people_live_an_hour_earlier_on_the_clock_in_summer():
    table = DRAWN["work"]
    day, hour = table.arrival_step // 96, table.arrival_step % 96 / 4
    workers = table.departure_step - table.arrival_step > 7 * 4
    summer = (day >= SUMMER_TIME.start) & (day < SUMMER_TIME.stop)
    assert hour[workers & ~summer].mean() - hour[workers & summer].mean() == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("hme", 2, 1), "ev sessions: unknown kind 'hme'; did you mean 'home'"),
        (("home", 0, 1), "ev sessions 'home': n_chargers = 0; allowed: >= 1; correct it"),
        (("home", 2, -1), "seed = -1; allowed: >= 0"),
    ],
)
def test_generator_wrong_arguments_are_refused_by_name(arguments, message):
    with pytest.raises(ConfigError, match=message):
        generate_sessions(*arguments)


def test_generator_reports_all_wrong_options_at_once():
    with pytest.raises(ConfigError) as caught:
        generate_sessions("home", 2, 1, v2g_share=1.5, p_charger_kw=0.0, eff_charge=1.1, transition_soc=1.0)
    for name in ("v2g_share = 1.5", "p_charger_kw = 0.0", "eff_charge = 1.1", "transition_soc = 1.0"):
        assert name in str(caught.value)


def test_sessions_do_not_import_jax():
    code = "import sys; import gridenv.exogenous.ev_session_generator, gridenv.exogenous.ev_session_files\n"
    code += "sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
