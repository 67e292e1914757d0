"""Tap changers, capacitors and switches: whole positions, reach, rest and wear."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import numpy as jnp

from gridenv.core.errors import ConfigError
from gridenv.devices import equipment
from gridenv.devices.equipment import EquipmentRequest, EquipmentState
from gridenv.devices.family import Inputs

DT_H = 0.25


def params(dwell_h=(0.0, 1.0), max_move=(4, 1), dtype="float32"):
    return equipment.equipment_params(
        ["tap.a", "capacitor.b"],
        np.array([-16, 0]),
        np.array([16, 1]),
        np.array([2, 0]),
        max_move=np.array(max_move),
        dwell_h=np.array(dwell_h),
        wear_eur=np.array([0.1, 0.5]),
        dtype=dtype,
    )


def inputs():
    return Inputs(t=jnp.int32(0), series=jnp.zeros(1), v_pu=jnp.ones(2), dt_h=DT_H)


def run(group, wanted):
    """Positions and operations of every step."""
    state = equipment.init(group, jnp.int32(0))
    positions, operations, eur = [], [], 0.0
    for position in wanted:
        done = equipment.project(group, state, EquipmentRequest(position=jnp.asarray(position, float)), inputs())
        after = equipment.step(group, state, done, inputs())
        ledger = equipment.settle(group, state, done, after, inputs())
        eur += float(jnp.sum(ledger.eur))
        positions.append(np.asarray(done.position))
        operations.append(np.asarray(ledger.cost[0]))
        state = after
    return np.array(positions), np.array(operations), eur


def test_tap_changer_moves_as_far_as_its_reach_in_each_step() -> None:
    positions, operations, eur = run(params(), [(12.0, 0.0)] * 4)
    np.testing.assert_array_equal(positions[:, 0], [6, 10, 12, 12])
    np.testing.assert_array_equal(operations[:, 0], [4, 4, 2, 0])
    assert eur == pytest.approx(-1.0)


def test_capacitor_rests_its_dwell_time_between_operations() -> None:
    positions, operations, eur = run(params(), [(2.0, 1.0), *[(2.0, 0.0)] * 6, (2.0, 1.0)])
    # Closed in the first step, it opens an hour (four steps) later and not before.
    np.testing.assert_array_equal(positions[:, 1], [1, 1, 1, 1, 0, 0, 0, 0])
    assert operations[:, 1].sum() == 2
    assert eur == pytest.approx(-1.0)


@pytest.mark.parametrize("asked", [-1e9, -16.4, 0.49, 0.51, 15.7, 1e9])
def test_positions_are_whole_and_inside_the_range(asked) -> None:
    group = params(max_move=(40, 1), dwell_h=(0.0, 0.0))
    positions, _, _ = run(group, [(asked, asked)])
    np.testing.assert_array_equal(positions[0], [np.clip(np.round(asked), -16, 16), np.clip(np.round(asked), 0, 1)])


@given(st.lists(st.tuples(st.floats(-40, 40), st.floats(-2, 3)), min_size=1, max_size=12))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_moves_are_counted_and_projecting_twice_is_once(wanted) -> None:
    group = params()
    positions, operations, _ = run(group, wanted)
    path = np.vstack([np.asarray(group.start)[None], positions])
    np.testing.assert_array_equal(np.abs(np.diff(path, axis=0)), operations)
    state = EquipmentState(position=group.start, rested_h=group.dwell_h)
    first = equipment.project(group, state, EquipmentRequest(position=jnp.asarray(wanted[0], float)), inputs())
    again = equipment.project(group, state, EquipmentRequest(position=first.position), inputs())
    np.testing.assert_array_equal(first.position, again.position)


def test_batch_equals_each_alone() -> None:
    group = params()
    state = equipment.init(group, jnp.zeros(3, jnp.int32))
    asked = jnp.array([[5.0, 1.0], [-9.0, 0.0], [2.0, 1.0]])
    batch = equipment.project(group, state, EquipmentRequest(position=asked), inputs())
    alone = jax.vmap(lambda s, a: equipment.project(group, s, EquipmentRequest(position=a), inputs()))(state, asked)
    np.testing.assert_array_equal(batch.position, alone.position)


def test_wrong_parameters_are_refused_all_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        equipment.equipment_params(
            ["tap.a", "tap.b"],
            np.array([0, 5]),
            np.array([10, 5]),
            np.array([11, 5]),
            max_move=np.array([0, 1]),
            dwell_h=np.array([0.0, -1.0]),
            wear_eur=np.array([np.nan, 0.0]),
        )
    assert str(error.value).splitlines() == [
        "tap.a: start is 11; allowed: 0..10; choose a position in this range",
        "tap.a: max_move is 0; allowed: at least 1 position; correct it",
        "tap.a: wear_eur is nan; allowed: a number >= 0; correct it",
        "tap.b: positions are 5..5; allowed: a finite range of two or more; give the network's equipment limits",
        "tap.b: dwell_h is -1; allowed: a number >= 0; correct it",
    ]
