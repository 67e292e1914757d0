import numpy as np
import pytest

from gridenv.adapters.episodes import Episodes
from gridenv.core.errors import ConfigError

EPISODES = Episodes(starts=np.array([96, 192, 480], np.int32), last_start=864, steps_per_day=96)


def test_draw_takes_one_number_and_gives_a_start_of_the_list():
    draws = {EPISODES.draw(np.random.default_rng(seed)) for seed in range(50)}
    assert draws == {96, 192, 480}
    used, fresh = np.random.default_rng(1), np.random.default_rng(1)
    EPISODES.draw(used)
    fresh.integers(3)
    assert used.integers(1000) == fresh.integers(1000)


@pytest.mark.parametrize("options", [None, {}])
def test_chosen_is_nothing_without_options(options):
    assert EPISODES.chosen(options) is None


def test_chosen_day_and_step():
    np.testing.assert_array_equal(EPISODES.chosen({"day": 2}), [192])
    np.testing.assert_array_equal(EPISODES.chosen({"start_step": np.int64(7)}, 3), [7, 7, 7])
    np.testing.assert_array_equal(EPISODES.chosen({"day": [1, 5]}, 2), [96, 480])


def test_chosen_leaves_the_options_alone():
    options = {"day": 1, "reset_mask": "checked elsewhere"}
    EPISODES.chosen(options, 2, also_known=("reset_mask",))
    assert options == {"day": 1, "reset_mask": "checked elsewhere"}


def test_chosen_unknown_option_suggests_the_known_one():
    with pytest.raises(ConfigError, match="reset: unknown option 'start'; did you mean 'start_step'"):
        EPISODES.chosen({"start": 1})


def test_chosen_refuses_both_at_once():
    with pytest.raises(ConfigError, match="'start_step' and 'day' both choose the episode; give one"):
        EPISODES.chosen({"start_step": 0, "day": 1})


def test_chosen_day_outside_the_split_names_the_nearest():
    with pytest.raises(ConfigError, match=r"'day' is 3, which is not among the 3 days of .* nearest are 1, 2, 5; take"):
        EPISODES.chosen({"day": 3})


@pytest.mark.parametrize("step", [-1, 865])
def test_chosen_step_without_room_for_the_episode_names_the_range(step):
    with pytest.raises(ConfigError, match=f"'start_step' is {step}; allowed: 0..864"):
        EPISODES.chosen({"start_step": step})


@pytest.mark.parametrize("value", [1.5, "monday", True, None, [1, 2, 5]])
def test_chosen_value_of_wrong_kind_says_what_is_allowed(value):
    with pytest.raises(ConfigError, match=r"option 'day' is .*; allowed: a whole number or 2 of them"):
        EPISODES.chosen({"day": value}, 2)
