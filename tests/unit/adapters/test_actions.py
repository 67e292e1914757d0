import numpy as np
import pytest

from gridenv.adapters.actions import checked_action
from gridenv.core.errors import ActionError

NAMES = ("pv.a.q_share", "pv.b.q_share")


def test_checked_action_gives_float32_and_lets_finite_values_beyond_the_bounds_pass():
    action = checked_action([0.5, -7], (2,), NAMES, "Task-v0")
    assert action.dtype == np.float32
    np.testing.assert_array_equal(action, np.array([0.5, -7.0], np.float32))


@pytest.mark.parametrize("action", [np.zeros(3), 0.0, np.zeros((1, 2)), []])
def test_checked_action_wrong_shape_names_both_shapes_and_channels(action):
    with pytest.raises(ActionError) as error:
        checked_action(action, (2,), NAMES, "Task-v0")
    message = str(error.value)
    assert message.startswith(f"Task-v0: action has shape {np.shape(action)}; it must be (2,)")
    assert "pv.a.q_share, pv.b.q_share" in message


def test_checked_action_wrong_batch_says_one_row_for_each_environment():
    with pytest.raises(ActionError, match=r"shape \(2,\); it must be \(3, 2\): one row for each of 3 environments"):
        checked_action(np.zeros(2), (3, 2), NAMES, "Task-v0")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_checked_action_not_finite_names_value_and_channel(bad):
    with pytest.raises(ActionError, match=rf"Task-v0: action, entry 1 'pv.b.q_share' is {bad}; it must be finite"):
        checked_action(np.array([0.0, bad]), (2,), NAMES, "Task-v0")


def test_checked_action_opposite_infinities_do_not_cancel():
    with pytest.raises(ActionError, match=r"entry 0 'pv.a.q_share' is inf \(2 such values\)"):
        checked_action(np.array([np.inf, -np.inf]), (2,), NAMES, "Task-v0")


def test_checked_action_too_large_for_float32_is_refused_with_its_value():
    with pytest.raises(ActionError, match=r"entry 0 'pv.a.q_share' is 1e\+39; it must be finite in float32"):
        checked_action(np.array([1e39, 0.0]), (2,), NAMES, "Task-v0")


def test_checked_action_largest_float32_values_are_finite():
    top = np.finfo(np.float32).max
    np.testing.assert_array_equal(checked_action([top, top], (2,), NAMES, "Task-v0"), [top, top])


def test_checked_action_in_a_batch_names_the_environment():
    actions = np.zeros((4, 2))
    actions[2, 1] = np.nan
    with pytest.raises(ActionError, match=r"action of environment 2, entry 1 'pv.b.q_share' is nan"):
        checked_action(actions, (4, 2), NAMES, "Task-v0")


@pytest.mark.parametrize(
    ("action", "found", "reason"),
    [
        (["left", "right"], "['left', 'right']", "their type is <U5"),
        (["0.5", "0.5"], "['0.5', '0.5']", "their type is <U3"),
        ({"a": 1}, "{'a': 1}", "their type is object"),
        (None, "None", "their type is object"),
        ([0.5, 1j], "[0.5, 1j]", "their type is complex128"),
    ],
)
def test_checked_action_not_numeric_says_what_it_got(action, found, reason):
    with pytest.raises(ActionError) as error:
        checked_action(action, (2,), NAMES, "Task-v0")
    expected = f"Task-v0: action {found} cannot be read as real numbers ({reason}); give an array of floats"
    assert str(error.value) == expected


def test_checked_action_of_rows_of_different_length_is_refused():
    with pytest.raises(ActionError) as error:
        checked_action([[1.0], [1.0, 2.0]], (2,), NAMES, "Task-v0")
    message = str(error.value)
    assert message.startswith("Task-v0: action [[1.0], [1.0, 2.0]] cannot be read as real numbers (")
    assert message.endswith("); give an array of floats")
    assert "inhomogeneous" in message


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint16, np.float16, np.float64])
def test_checked_action_takes_any_real_type(dtype):
    np.testing.assert_array_equal(checked_action(np.ones(2, dtype), (2,), NAMES, "Task-v0"), np.ones(2, np.float32))
