import itertools
from collections import Counter
from datetime import date, timedelta

import numpy as np
import pytest

from gridenv.core.errors import DataError
from gridenv.exogenous import SPLIT_NAMES, Splits, episode_starts, load_splits, price_source_days
from gridenv.exogenous.splits import SPLIT_FILE, generate_labels, split_table_text

DATES = [date(2016, 1, 1) + timedelta(days=d) for d in range(366)]


def dates(split: str) -> list[date]:
    return [DATES[d] for d in load_splits().days(split)]


def test_splits_committed_table_is_what_the_rule_gives():
    assert SPLIT_FILE.read_text(encoding="utf-8") == split_table_text()
    assert load_splits().labels == generate_labels()


def test_splits_first_pair_as_worked_by_hand():
    """Two pairs in the 8 weeks from 4 January: the middles of weeks 1-4 and 5-8 are weeks 2-3 and 6-7."""
    labels = dict(zip(DATES, load_splits().labels, strict=True))
    assert labels[date(2016, 1, 9)] == "train"
    assert labels[date(2016, 1, 10)] == "gap"
    assert {labels[date(2016, 1, d)] for d in range(11, 17)} == {"validation"}
    assert labels[date(2016, 1, 17)] == "gap"
    assert {labels[date(2016, 1, d)] for d in range(18, 25)} == {"test"}
    assert labels[date(2016, 1, 25)] == "gap"
    assert labels[date(2016, 1, 26)] == "train"
    assert {labels[date(2016, 2, d)] for d in range(8, 14)} == {"test"}
    assert {labels[date(2016, 2, d)] for d in range(15, 22)} == {"validation"}


def test_splits_no_day_is_in_two_and_every_day_has_a_label():
    counts = Counter(d for s in SPLIT_NAMES for d in load_splits().days(s).tolist())
    assert max(counts.values()) == 1
    assert len(counts) + load_splits().labels.count("gap") == 366


def test_splits_days_of_different_splits_have_a_gap_day_between():
    days = {s: load_splits().days(s) for s in SPLIT_NAMES}
    for a, b in (("train", "validation"), ("train", "test"), ("validation", "test")):
        assert np.abs(days[a][:, None] - days[b]).min() >= 2


def test_splits_every_week_from_monday_belongs_to_one_split():
    weeks: dict[tuple[int, int], set[str]] = {}
    for day, label in zip(DATES, load_splits().labels, strict=True):
        weeks.setdefault(day.isocalendar()[:2], set()).add(label)
    assert all(len(labels - {"gap"}) == 1 for labels in weeks.values())
    held_out = Counter(next(iter(labels - {"gap"})) for labels in weeks.values())
    assert held_out == {"train": 33, "validation": 10, "test": 10}  # 53 weeks, two of them incomplete


def test_splits_shares_are_near_sixty_twenty_twenty():
    n = {s: len(load_splits().days(s)) for s in SPLIT_NAMES}
    assert n == {"train": 206, "validation": 65, "test": 65}
    used = sum(n.values())
    assert n["train"] / used == pytest.approx(0.6, abs=0.02)
    assert n["test"] / used == pytest.approx(0.2, abs=0.02)


def test_splits_every_season_is_in_every_split():
    season = {s: Counter(d.month % 12 // 3 for d in dates(s)) for s in SPLIT_NAMES}
    for s in SPLIT_NAMES:
        shares = [season[s][k] / len(dates(s)) for k in range(4)]
        assert min(shares) >= 0.18  # two weeks of ten, less a gap day or two
        assert max(shares) <= 0.31  # three weeks of ten
    for k in range(4):
        assert abs(season["validation"][k] - season["test"][k]) <= 2


def test_splits_every_weekday_is_in_every_split():
    for s in SPLIT_NAMES:
        counts = Counter(d.weekday() for d in dates(s))
        assert set(counts) == set(range(7))
        assert min(counts.values()) >= 0.65 * max(counts.values())


def test_splits_no_price_day_is_lent_to_two_splits():
    source = price_source_days()
    by_split = [set(source[load_splits().days(s)].tolist()) for s in SPLIT_NAMES]
    for one, other in itertools.combinations(by_split, 2):
        assert one.isdisjoint(other)


@pytest.mark.parametrize("name", ["tset", "gap"])
def test_splits_unknown_split_is_refused(name):
    with pytest.raises(
        DataError, match=rf"unknown split '{name}'; (did you mean 'test'|known: test, train, validation)"
    ):
        load_splits().days(name)


def test_episode_starts_are_the_midnights_of_the_split():
    starts = episode_starts("test")
    assert starts.dtype == np.int32
    np.testing.assert_array_equal(starts, load_splits().days("test") * 96)
    assert starts[0] == 17 * 96  # 18 January


def test_episode_starts_of_two_days_stay_inside_the_split():
    splits = Splits(("train", "train", "train", "gap", "test", "gap", "train", "train"))
    assert episode_starts("train", 192, splits=splits).tolist() == [0, 96, 6 * 96]
    assert episode_starts("train", 97, splits=splits).tolist() == [0, 96, 6 * 96]
    assert episode_starts("train", 48, splits=splits).tolist() == [0, 96, 192, 6 * 96, 7 * 96]
    assert episode_starts("test", 24, splits=splits, steps_per_day=24).tolist() == [4 * 24]


def test_episode_starts_say_when_no_episode_fits():
    with pytest.raises(DataError, match=r"steps_per_episode = 768 needs 8 days in a row, split 'test' has at most 7;"):
        episode_starts("test", 768)
    none = Splits(("train", "gap"))
    with pytest.raises(DataError, match=r"needs 1 days in a row, split 'test' has at most 0;"):
        episode_starts("test", splits=none)


def test_episode_starts_refuse_lengths_that_are_not_positive():
    with pytest.raises(DataError, match=r"steps_per_episode must be >= 1, got 0\n.*steps_per_day must be >= 1, got -1"):
        episode_starts("test", 0, steps_per_day=-1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: 'nothing'; allowed: the header 'day,date,split'"),
        ("day,split\n0,train\n", "line 1: 'day,split'; allowed: the header 'day,date,split'"),
        ("day,date,split\n0,2016-01-01\n", "line 2: 2 fields; allowed: 3"),
        ("day,date,split\n1,2016-01-01,train\n", "line 2: day is '1'; allowed: 0, counting up from 0"),
        ("day,date,split\n0,1.1.2016,train\n", "line 2: date is '1.1.2016'; allowed: YYYY-MM-DD"),
        ("day,date,split\n0,2016-01-01,trian\n", "line 2: split is 'trian'; did you mean 'train'?"),
        ("day,date,split\n0,2016-01-01,train\n1,2016-01-03,train\n", "line 3: date is 2016-01-03; allowed: 2016-01-02"),
        (
            "day,date,split\n0,2016-01-01,train\n1,2016-01-02,test\n",
            "line 3: 'test' follows 'train' at once; allowed: after a day of 'gap'",
        ),
    ],
)
def test_splits_malformed_table_says_which_line(tmp_path, text, message):
    file = tmp_path / "mine.csv"
    file.write_text(text)
    with pytest.raises(DataError) as caught:
        load_splits(file)
    assert f"mine.csv', {message}" in str(caught.value)


def test_splits_missing_table_says_so(tmp_path):
    with pytest.raises(DataError, match=r"split table '.*none\.csv': no such file; give a CSV file"):
        load_splits(tmp_path / "none.csv")
