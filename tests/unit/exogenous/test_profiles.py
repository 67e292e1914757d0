import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from gridenv.core.errors import DataError
from gridenv.exogenous import load_profiles

WINTER_DAYS = slice(0, 60)  # January and February 2016
SUMMER_DAYS = slice(152, 244)  # June to August 2016


def write(path: Path, **changed: object) -> Path:
    """A small valid profile file, two days of six hours a row, with some arrays replaced or (None) left out."""
    arrays: dict[str, object] = {
        "load": np.full((8, 2), 0.5, np.float32),
        "load_names": np.array(["farm_pload", "farm_qload"]),
        "res": np.full((8, 1), 0.25, np.float32),
        "res_names": np.array(["sun"]),
        "start": np.array("2020-02-28T00:00"),
        "step_s": np.array(6 * 3600),
    }
    arrays.update(changed)
    np.savez(path, **{k: np.asarray(v) for k, v in arrays.items() if v is not None})
    return path


def day_by_day(name: str) -> np.ndarray:
    table = load_profiles()
    return table.values[:, table.column(name)].reshape(366, 96)


def test_profiles_shipped_table_covers_the_leap_year_2016():
    table = load_profiles()
    assert table.start == datetime(2016, 1, 1)
    assert (table.step_s, table.dt_h) == (900, 0.25)
    assert table.values.shape == (366 * 96, 84)
    assert table.values.dtype == np.float32
    assert table.values.flags.c_contiguous
    assert len(set(table.names)) == 84


@pytest.mark.parametrize(
    ("row", "name", "published"),
    [  # read off LoadProfile.csv and RESProfile.csv of SimBench, scenario 2; stored with four decimals
        (0, "G0-A_qload", 0.282542),
        (0, "G0-A_pload", 0.143882),
        (1, "G0-A_pload", 0.203032),
        (2, "G1-A_qload", 0.008837),
    ],
)
def test_profiles_shipped_values_are_those_of_simbench(row, name, published):
    table = load_profiles()
    assert table.values[row, table.column(name)] == pytest.approx(published, abs=6e-5)


def test_profiles_shipped_weekdays_are_those_of_2016():
    shop = day_by_day("G1-A_pload").mean(axis=1)  # closed at weekends
    weekend = np.array([(datetime(2016, 1, 1) + timedelta(days=d)).weekday() >= 5 for d in range(366)])
    assert shop[weekend].mean() < 0.25 * shop[~weekend].mean()


def test_profiles_seasons_are_plausible():
    sun, heat = day_by_day("PV1"), day_by_day("Air_Parallel_1_pload")
    assert sun[SUMMER_DAYS].mean() > 2.5 * sun[WINTER_DAYS].mean()
    assert heat[WINTER_DAYS].mean() > 10 * heat[SUMMER_DAYS].mean()
    assert 0.58 < sun.max() < 0.64


def test_profiles_times_of_day_are_plausible():
    sun, home = day_by_day("PV1").mean(axis=0), day_by_day("H0-L_pload").mean(axis=0)
    assert sun[:12].max() == 0.0  # midnight to three
    assert home[72:80].mean() > 2.5 * home[8:16].mean()  # six to eight in the evening, two to four at night


def test_profiles_column_suggests_the_closest_name():
    with pytest.raises(DataError, match=r"unknown profile 'H0-A_ploda'; did you mean 'H0-A_pload'\?"):
        load_profiles().column("H0-A_ploda")


def test_profiles_select_keeps_the_order_asked_for():
    table = load_profiles()
    few = table.select(["PV3", "H0-A_pload"])
    assert few.names == ("PV3", "H0-A_pload")
    assert few.values.flags.c_contiguous
    np.testing.assert_array_equal(few.values[:, 0], table.values[:, table.names.index("PV3")])


def test_profiles_select_reports_all_wrong_names_at_once():
    with pytest.raises(DataError) as caught:
        load_profiles().select(["PV99x", "WP1", "WP1", "qqqq"])
    text = str(caught.value)
    assert "unknown profile 'PV99x'; did you mean" in text
    assert "unknown profile 'qqqq'; known: APLS_A_11.0_pload" in text
    assert "profile 'WP1' appears 2 times" in text


def test_profiles_shipped_values_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        load_profiles().values[0, 0] = 1.0


def test_profiles_own_file_with_either_form_of_start_is_read(tmp_path):
    for start in ("2020-02-28T00:00", "28.02.2020 00:00"):
        table = load_profiles(write(tmp_path / "own.npz", start=start))
        assert table.start == datetime(2020, 2, 28)
        assert table.names == ("farm_pload", "farm_qload", "sun")
        assert table.dt_h == 6.0
        np.testing.assert_array_equal(table.values[3], np.array([0.5, 0.5, 0.25], np.float32))


def test_profiles_missing_file_says_so(tmp_path):
    with pytest.raises(DataError, match=r"profile file '.*none\.npz': no such file; give the path"):
        load_profiles(tmp_path / "none.npz")


def test_profiles_file_that_is_no_archive_says_so(tmp_path):
    (tmp_path / "text.npz").write_text("time;PV1\n")
    with pytest.raises(DataError, match=r"text\.npz': cannot be read \(.*write it with numpy\.savez"):
        load_profiles(tmp_path / "text.npz")
    with (tmp_path / "single.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(DataError, match=r"single\.npz': cannot be read"):
        load_profiles(tmp_path / "single.npz")


def test_profiles_missing_arrays_are_all_named(tmp_path):
    with pytest.raises(DataError) as caught:
        load_profiles(write(tmp_path / "own.npz", res=None, step_s=None))
    assert "array 'res' is missing; found: load, load_names, res_names, start" in str(caught.value)
    assert "array 'step_s' is missing" in str(caught.value)


def test_profiles_nan_is_reported_with_row_time_and_column(tmp_path):
    load = np.full((8, 2), 0.5)
    load[5, 1] = np.nan
    load[6, 0] = -np.inf
    with pytest.raises(DataError) as caught:
        load_profiles(write(tmp_path / "own.npz", load=load))
    assert "row 5 (2020-02-29 06:00), column 'farm_qload' is nan; allowed: finite numbers" in str(caught.value)
    assert "row 6 (2020-02-29 12:00), column 'farm_pload' is -inf" in str(caught.value)


def test_profiles_many_nans_are_counted_not_listed(tmp_path):
    with pytest.raises(DataError) as caught:
        load_profiles(write(tmp_path / "own.npz", res=np.full((8, 1), np.nan)))
    assert str(caught.value).count("column 'sun' is nan") == 5
    assert "3 more values are not finite" in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"res": np.zeros((4, 1))}, "'load' has 8 rows and 'res' 4; give both the same rows"),
        ({"res": np.zeros(8)}, "'res' has shape (8,) and type float64; allowed: numbers [time, profile]"),
        ({"res_names": ["a", "b"]}, "'res_names' has shape (2,); allowed: (1,), a name for every column"),
        ({"res_names": ["farm_pload"]}, "profile 'farm_pload' appears 2 times"),
        ({"start": "yesterday"}, "'start' is 'yesterday'; allowed: a day at midnight, such as 2016-01-01T00:00"),
        ({"start": "2020-02-28T06:00"}, "'start' is '2020-02-28T06:00'; allowed: a day at midnight"),
        ({"step_s": 7000}, "'step_s' is 7000; allowed: a divisor of 86400"),
        ({"step_s": 0}, "'step_s' is 0; allowed: a divisor of 86400"),
        ({"step_s": 0.5}, "'step_s' has type float64; allowed: a whole number of seconds"),
        ({"step_s": [900, 900]}, "'step_s' has shape (2,); allowed: a single value"),
        ({"step_s": 3600}, "'load' and 'res' have 8 rows; allowed: whole days of 24 rows; cut or fill the rest"),
    ],
)
def test_profiles_malformed_file_says_what_is_wrong(tmp_path, changed, message):
    with pytest.raises(DataError) as caught:
        load_profiles(write(tmp_path / "own.npz", **changed))
    assert f"own.npz': {message}" in str(caught.value)


def test_exogenous_host_modules_do_not_import_jax():
    code = (
        "import sys, gridenv.exogenous as e; e.load_profiles(); e.load_price('France'); e.episode_starts('test'); "
        "assert 'jax' not in sys.modules; e.Scenario; assert 'jax' in sys.modules"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
