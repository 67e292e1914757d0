import os
import stat
import subprocess
import sys
import types
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gridenv.adapters.drawing import (
    Branches,
    Canvas,
    DeviceMark,
    FeederLayout,
    HumanWindow,
    Scene,
    branch_loading,
    branch_power,
    bus_voltages,
    colours,
    draw,
    save_movie,
)
from gridenv.adapters.drawing.arrows import arrow_spot, arrows_along
from gridenv.adapters.drawing.layout import NO_BUS
from gridenv.adapters.drawing.placing import Grid, Middle, Occupied, device_spots, name_spots, overlaps
from gridenv.core.errors import ConfigError, DataError, MissingExtraError
from gridenv.network import load_network
from gridenv.network.spec import BusTable, LineTable, NetworkSpec, SourceTable, SwitchTable

BUNDLED = ["ieee33", "ieee13", "ieee123", "cigre_mv", "european_lv"]
SIZE = (640, 480)


def network(ends, *, closed=None, sources=("0",)):
    """A network of lines between numbered buses."""
    buses = sorted({bus for pair in ends for bus in pair} | {int(s) for s in sources})
    names = tuple(str(bus) for bus in buses)
    lines = LineTable(
        id=tuple(f"line.{i}" for i in range(len(ends))),
        from_bus=tuple(str(a) for a, _ in ends),
        to_bus=tuple(str(b) for _, b in ends),
        r_ohm=np.full(len(ends), 0.1),
        x_ohm=np.full(len(ends), 0.1),
        from_closed=np.ones(len(ends), bool) if closed is None else closed,
    )
    return NetworkSpec(
        name="test",
        buses=BusTable(id=names, vn_kv=np.full(len(names), 20.0)),
        sources=SourceTable(id=sources, bus=sources, v_pu=np.ones(len(sources))),
        lines=lines,
    )


def scene_of(spec, **changes):
    layout, branches = FeederLayout.of(spec), Branches.of(spec)
    plain = Scene(
        bus_names=layout.bus_names,
        v_pu=np.ones(len(layout.bus_names)),
        branches=branches,
        loading=np.full(len(branches.names), 0.3),
    )
    return replace(plain, **changes), layout


FEEDER, FEEDER_LAYOUT = scene_of(network([(0, 1), (1, 2), (2, 3), (1, 4)]))
LAST = FEEDER_LAYOUT.row_of["3"]


def with_voltage(v_pu):
    """The feeder with one voltage at its last bus."""
    voltages = np.ones(5)
    voltages[LAST] = v_pu
    return replace(FEEDER, v_pu=voltages)


def changed(a, b, size=SIZE):
    """Pixels of the diagram in which two scenes of the feeder differ; the texts above it are left out."""
    one, other = (draw(scene, FEEDER_LAYOUT, size) for scene in (a, b))
    differ = (one != other).any(axis=-1)
    differ[:50] = False
    return differ


def colour_of_last_bus(v_pu):
    where = np.argwhere(changed(with_voltage(0.9), with_voltage(1.1)))
    row, column = where.mean(axis=0).round().astype(int)
    return draw(with_voltage(v_pu), FEEDER_LAYOUT, SIZE)[row, column]


def count_of(colour, picture):
    rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return int((np.abs(picture.astype(int) - rgb).max(axis=-1) < 3).sum())


# Layout


@pytest.mark.parametrize("name", BUNDLED)
def test_layout_keeps_buses_apart_and_the_source_at_the_root(name):
    layout = FeederLayout.of(load_network(name))
    assert len({tuple(place) for place in layout.position}) == len(layout.bus_names)
    np.testing.assert_array_equal(layout.position, np.round(layout.position))
    np.testing.assert_array_equal(layout.position[layout.sources], [[0.0, 0.0]])
    np.testing.assert_array_equal(layout.upstream[layout.sources], NO_BUS)
    others = np.flatnonzero(layout.upstream != NO_BUS)
    assert len(others) == len(layout.bus_names) - 1
    columns, rows = (layout.position[others] - layout.position[layout.upstream[others]]).T
    assert set(columns) <= {0.0, 1.0}
    assert (rows[columns == 0.0] != 0.0).all()


def test_layout_of_ieee33_has_a_straight_main_feeder_and_ties_outside_the_tree():
    layout = FeederLayout.of(load_network("ieee33"))
    main = [layout.row_of[str(bus)] for bus in range(1, 19)]
    np.testing.assert_array_equal(layout.position[main], [(i, 0) for i in range(18)])
    branches = Branches.of(load_network("ieee33"))
    assert [name for name, is_open in zip(branches.names, branches.is_open, strict=True) if is_open] == [
        f"line.{number}" for number in range(33, 38)
    ]
    for a, b, is_open in zip(branches.from_bus, branches.to_bus, branches.is_open, strict=True):
        assert layout.is_tree_branch(layout.row_of[a], layout.row_of[b]) == (not is_open)


def test_layout_does_not_depend_on_the_order_of_branches_where_there_are_no_loops():
    ends = [(0, 1), (1, 2), (2, 3), (1, 4), (4, 5), (2, 6), (6, 7)]
    one, other = (FeederLayout.of(network(order)) for order in (ends, [(b, a) for a, b in reversed(ends)]))
    np.testing.assert_array_equal(one.position, other.position)


trees = st.integers(1, 60).flatmap(lambda n: st.tuples(*(st.integers(max(0, i - 7), i) for i in range(n))))


@given(trees)
@settings(max_examples=50)
def test_layout_of_any_tree_crosses_nothing(parents):
    layout = FeederLayout.of(network([(parent, i + 1) for i, parent in enumerate(parents)]))
    bus_at = {tuple(place): bus for bus, place in enumerate(layout.position)}
    assert len(bus_at) == len(layout.bus_names)
    owner = {}
    for bus, up in enumerate(layout.upstream):
        if up == NO_BUS:
            continue
        (column, row), (end_column, end_row) = layout.position[up], layout.position[bus]
        assert 0 <= end_column - column <= 1
        step = np.sign(end_row - row)
        # Up or down in the column of the bus that it leaves, then to the next column or not.
        for passed in np.arange(row + step, end_row + step, step) if step else []:
            assert bus_at.get((column, passed), bus) == bus
            assert owner.setdefault((column, passed), up) == up
        if end_column > column:
            assert bus_at.get((column, end_row), up) == up


def test_layout_hangs_open_parts_on_their_ties_and_draws_dead_parts_below():
    spec = network([(0, 1), (1, 2), (2, 3), (8, 9)], closed=np.array([True, False, True, True]))
    layout = FeederLayout.of(spec)
    row = layout.row_of
    assert layout.upstream[row["2"]] == row["1"]
    assert layout.upstream[row["3"]] == row["2"]
    assert layout.upstream[row["8"]] == NO_BUS
    assert layout.position[row["8"], 1] < layout.position[:4, 1].min()


def test_layout_begins_a_tree_at_every_source():
    layout = FeederLayout.of(network([(0, 1), (2, 3)], sources=("0", "2")))
    np.testing.assert_array_equal(layout.upstream, [NO_BUS, 0, NO_BUS, 2])
    np.testing.assert_array_equal(layout.position[[0, 2], 0], [0, 0])
    assert len({tuple(place) for place in layout.position}) == 4


def test_layout_of_long_and_of_wide_networks_is_quick_enough_to_be_linear():
    n = 20_000
    chain = FeederLayout.of(network([(i, i + 1) for i in range(n)]))
    np.testing.assert_array_equal(chain.position[:, 1], 0)
    comb = FeederLayout.of(network([(i, i + 1) for i in range(n // 2)] + [(i, n + i) for i in range(n // 2)]))
    assert np.ptp(comb.position[:, 1]) <= 2


def test_branches_of_three_phase_network_join_windings_once():
    branches = Branches.of(load_network("ieee123"))
    pairs = [(n, a, b) for n, a, b in zip(branches.names, branches.from_bus, branches.to_bus, strict=True)]
    assert len(pairs) == len(set(pairs))
    assert set(branches.kind) == {"line", "transformer"}


def test_branches_include_switches():
    spec = network([(0, 1)]).replace(
        switches=SwitchTable(id=("s",), bus_a=("0",), bus_b=("1",), closed=np.array([False]))
    )
    branches = Branches.of(spec)
    assert branches.kind == ("line", "switch")
    np.testing.assert_array_equal(branches.is_open, [False, True])


# Placing


def test_devices_and_names_cover_nothing():
    layout = FeederLayout.of(load_network("ieee33"))
    box = (10.0, 60.0, 700.0, 480.0)
    grid = Grid.of(layout, box, 8.0, 120.0)
    occupied = Occupied(960, 540, box)
    for x, y in grid.bus_px:
        occupied.take((x - 9, y - 9, x + 9, y + 9))
    buses = [17, 17, 17, 3, 3, 30]
    spots = device_spots(grid, buses, [40.0] * 6, 9.0, 10.0, occupied)
    names = name_spots(grid, dict.fromkeys(range(33), 40.0), 9.0, occupied, beside=False)
    boxes = [(x - 8, y - 8, x + 8, y + 8) for x, y in grid.bus_px]
    boxes += [(x - 9, y - 9, x + 9, y + 9) for x, y in (spot.center for spot in spots)]
    boxes += [(x - 20, y - 4.5, x + 20, y + 4.5) for x, y in (spot.text for spot in spots if spot.text)]
    boxes += [(x - 20, y - 4, x + 20, y + 4) for x, y in names.values()]
    assert len(names) > 20
    assert sum(spot.text is not None for spot in spots) >= 4
    assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if overlaps(a, b)]
    for bus, spot in zip(buses, spots, strict=True):
        assert np.hypot(*(grid.bus_px[bus] - spot.center)) < 90


# Pictures


@pytest.mark.parametrize("size", [(480, 360), (960, 540), (1001, 701)])
def test_picture_has_the_size_asked_for_and_three_colours(size):
    picture = draw(FEEDER, FEEDER_LAYOUT, size)
    assert picture.shape == (size[1], size[0], 3)
    assert picture.dtype == np.uint8
    assert (picture == 255).mean() > 0.5
    assert picture.min() < 60


@pytest.mark.parametrize("v_pu", [0.91, 0.97, 1.0, 1.03, 1.08])
def test_bus_has_the_colour_of_its_voltage(v_pu):
    expected = 255 * colours.voltage_colours(np.array([v_pu]))[0, :3]
    np.testing.assert_allclose(colour_of_last_bus(v_pu), expected, atol=3)


def test_voltages_outside_the_band_stand_out_on_both_sides():
    low, inside, high = (colour_of_last_bus(v).astype(int) for v in (0.949, 0.951, 1.051))
    assert low[2] - low[0] > 80
    assert high[0] - high[2] > 80
    assert inside.min() > 180
    # Shape tells it as well: the marker is larger and no circle.
    assert changed(with_voltage(0.949), with_voltage(1.0)).sum() > changed(with_voltage(0.97), with_voltage(1.0)).sum()


def test_bus_without_supply_is_grey():
    assert len(set(colour_of_last_bus(np.nan).tolist())) <= 3
    assert np.ptp(colour_of_last_bus(np.nan).astype(int)) < 12
    np.testing.assert_allclose(colour_of_last_bus(np.nan), [0xC9, 0xCE, 0xD2], atol=2)


def test_scale_ends_do_not_wrap_around():
    np.testing.assert_array_equal(colours.voltage_colours(np.array([0.5])), colours.voltage_colours(np.array([0.9])))
    np.testing.assert_array_equal(colours.voltage_colours(np.array([1.4])), colours.voltage_colours(np.array([1.1])))


def test_three_phases_show_the_voltage_of_each():
    phases = np.full((5, 3), 1.0)
    phases[LAST] = [0.92, np.nan, 1.08]
    scene = replace(FEEDER, v_pu=phases)
    picture = draw(scene, FEEDER_LAYOUT, SIZE)
    strong = [255 * colours.voltage_colours(np.array([v]))[0, :3] for v in (0.92, 1.08)]
    balanced = draw(replace(FEEDER, v_pu=np.ones((5, 3))), FEEDER_LAYOUT, SIZE)
    for shade in strong:
        more = [(np.abs(p[:400].astype(int) - shade).max(axis=-1) < 6).sum() for p in (picture, balanced)]
        assert more[0] > more[1] + 10


def test_worst_voltage_is_that_farthest_from_nominal():
    scene = replace(FEEDER, v_pu=np.array([[0.97, 1.02, 1.0], [np.nan, 1.04, 0.97], [np.nan] * 3, [1] * 3, [1] * 3]))
    np.testing.assert_array_equal(scene.worst_v_pu, [0.97, 1.04, np.nan, 1.0, 1.0])


def transitions(picture, rows, left, right):
    """Changes between white and ink along the row that has most of them."""
    is_white = (picture[rows.start : rows.stop, left:right] > 250).all(axis=-1)
    return int(np.count_nonzero(np.diff(is_white.astype(int), axis=1), axis=1).max())


def test_open_branch_is_dashed_and_closed_one_is_not():
    spec = network([(0, 1)])
    closed, layout = scene_of(spec)
    opened = replace(closed, branches=replace(closed.branches, is_open=np.array([True])))
    solid, dashed = draw(closed, layout, SIZE), draw(opened, layout, SIZE)
    differ = (solid != dashed).any(axis=-1)
    rows, columns = np.nonzero(differ[:420])
    extent = range(rows.min(), rows.max() + 1), columns.min() - 2, columns.max() + 2
    assert columns.max() - columns.min() > 30
    assert transitions(dashed, *extent) >= 8
    assert transitions(solid, *extent) <= 2


def test_tie_between_buses_of_one_row_runs_beside_them():
    tied, layout = scene_of(network([(0, 1), (1, 2), (0, 2)], closed=np.array([True, True, False])))
    plain, _ = scene_of(network([(0, 1), (1, 2)]))
    differ = (draw(tied, layout, SIZE) != draw(plain, layout, SIZE)).any(axis=-1)
    assert np.ptp(np.flatnonzero(differ[:420].any(axis=1))) > 15


def test_loading_above_rating_is_highlighted_and_written():
    loads = [np.array([0.4, last, 0.4, 0.4]) for last in (0.5, 1.0, 1.12)]
    pictures = [draw(replace(FEEDER, loading=load), FEEDER_LAYOUT, SIZE) for load in loads]
    half, full, over = (count_of(colours.OVERLOAD, picture) for picture in pictures)
    assert half == full
    assert over > full + 100
    heavier, lighter = (replace(FEEDER, loading=np.full(4, share)) for share in (0.9, 0.1))
    ink = [draw(s, FEEDER_LAYOUT, SIZE).astype(int).sum() for s in (heavier, lighter)]
    assert ink[0] < ink[1]


def test_branch_without_supply_is_not_called_overloaded():
    dead = replace(FEEDER, v_pu=np.full(5, np.nan), loading=np.full(4, 1.5))
    alive = replace(FEEDER, loading=np.full(4, 1.5))
    counts = [count_of(colours.OVERLOAD, draw(s, FEEDER_LAYOUT, SIZE)) for s in (FEEDER, dead, alive)]
    assert counts[0] == counts[1] < counts[2]


def test_parallel_branches_are_drawn_as_one_with_the_larger_loading():
    spec = network([(0, 1), (1, 0)])
    scene, layout = scene_of(spec, loading=np.array([0.2, 1.3]))
    single, other = scene_of(network([(0, 1)]), loading=np.array([1.3]))
    np.testing.assert_array_equal(draw(scene, layout, SIZE), draw(single, other, SIZE))


def test_arrows_follow_the_power():
    forth, back, none = (replace(FEEDER, branch_p_kw=np.full(4, p)) for p in (5.0, -5.0, 0.0))
    assert changed(forth, back).sum() > 20
    assert changed(forth, none).sum() > 20


def test_arrows_that_say_the_same_keep_their_distance_and_every_turn_has_one():
    def spots(n, y=0.0):
        return [Middle((30.0 * i, y), 0.0, 25.0) for i in range(n)]

    def shown(spots, p_kw):
        return [(place[0], round(np.cos(turn))) for place, turn in arrows_along(spots, np.array(p_kw), 61.0, 15.0)]

    assert shown(spots(5), [9.0, 8.0, 7.0, 6.0, 5.0]) == [(0.0, 1), (90.0, 1)]
    assert shown(spots(3), [9.0, -8.0, 7.0]) == [(0.0, 1), (30.0, -1)]
    assert shown(spots(2), [9.0, 0.01]) == [(0.0, 1)]
    assert len(shown([*spots(1), *spots(1, y=20.0)], [9.0, 8.0])) == 2
    assert shown([Middle((0.0, 0.0), 0.0, 14.0)], [9.0]) == []


def test_arrow_of_a_transformer_is_beside_its_symbol():
    spot = arrow_spot(Middle((50.0, 0.0), 0.0, 80.0), "transformer", 10.0, 5.0)
    assert spot.place == (72.5, 0.0)
    assert spot.length_px == 35.0
    assert arrow_spot(Middle((50.0, 0.0), 0.0, 80.0), "switch", 3.0, 5.0).length_px == 0.0


def test_branch_power_of_a_transformer_is_what_comes_out_at_its_other_bus():
    branches = Branches(
        names=("l", "t", "t", "s"),
        from_bus=("a", "b", "b", "c"),
        to_bus=("b", "c", "d", "e"),
        kind=("line", "transformer", "transformer", "switch"),
        is_open=np.zeros(4, bool),
    )
    power = branch_power(branches, [5.0], [[10.0, -4.0, -2.5, -3.0]], [("b", "c", "d", "c")])
    np.testing.assert_array_equal(power, [5.0, 7.0, 2.5, np.nan])


def test_device_fills_with_its_level_and_fades_when_nothing_is_there():
    def battery(level):
        return replace(FEEDER, devices=(DeviceMark(name="b", kind="battery", bus="3", level=level),))

    low, high = changed(battery(0.0), battery(0.25)).sum(), changed(battery(0.0), battery(1.0)).sum()
    assert high > 2.5 * low > 0
    assert changed(battery(0.0), battery(np.nan)).sum() > 20
    assert not changed(battery(1.0), battery(1.7)).any()


def test_device_text_is_its_power_with_sign_unless_given():
    def text(**values):
        return DeviceMark(name="d", kind="pv", bus="3", **values).label

    assert text(p_kw=3.24) == "+3.2 kW"
    assert text(p_kw=-311.7) == "−312 kW"
    assert text(p_kw=-0.01) == "0 kW"
    assert text(p_kw=np.nan) == ""
    assert text(p_kw=5.0, text="tap +3") == "tap +3"
    assert text(p_kw=5.0, level=np.nan) == ""


def test_device_of_unknown_kind_is_drawn_too():
    scene = replace(FEEDER, devices=(DeviceMark(name="x", kind="electrolyser", bus="3", level=0.5, p_kw=-20.0),))
    assert changed(scene, FEEDER).sum() > 100


def test_canvas_gives_the_same_picture_whatever_it_drew_before():
    with_device = replace(FEEDER, devices=(DeviceMark(name="e", kind="ev", bus="4", level=0.4, p_kw=-11.0),))
    series = {"voltage, pu": np.array([[0.97, 1.0], [0.96, 1.01]]), "price, EUR/MWh": np.array([80.0, np.nan])}
    long = replace(FEEDER, series=series, limits={"voltage, pu": (0.95, 1.05)}, n_step=96, step=2, hour=0.5)
    overloaded = replace(with_voltage(0.9), loading=np.full(4, 1.2), branch_p_kw=np.ones(4))
    canvas = Canvas(FEEDER_LAYOUT, SIZE)
    relieved = replace(overloaded, loading=np.full(4, 0.2))
    for scene in (FEEDER, overloaded, relieved, with_device, long, FEEDER, with_voltage(np.nan), long):
        np.testing.assert_array_equal(canvas.draw(scene), draw(scene, FEEDER_LAYOUT, SIZE))


def test_series_grow_from_left_to_right():
    price = 80 + 20 * np.sin(np.arange(96) / 9)
    drawn = []
    for step in (10, 50, 96):
        scene = replace(FEEDER, series={"price, EUR/MWh": price[:step]}, n_step=96, step=step)
        picture = draw(scene, FEEDER_LAYOUT, SIZE)
        blue = (np.abs(picture.astype(int) - [0x00, 0x72, 0xB2]).max(axis=-1) < 40).any(axis=0)
        drawn.append(np.flatnonzero(blue)[-1])
    assert drawn[0] < drawn[1] < drawn[2]


@pytest.mark.parametrize("values", [[], [np.nan], [0.0, 0.0], [1e9, -1e9], [5.0]])
def test_series_of_any_length_and_size_are_drawn(values):
    scene = replace(FEEDER, series={"reward, EUR": np.array(values)}, n_step=96, hour=1.0)
    assert draw(scene, FEEDER_LAYOUT, SIZE).shape == (480, 640, 3)


@pytest.mark.parametrize("name", ["ieee13", "cigre_mv", "european_lv"])
def test_networks_of_every_size_are_drawn_without_supply_too(name):
    scene, layout = scene_of(load_network(name))
    alive = draw(scene, layout)
    dead = draw(replace(scene, v_pu=np.full(len(scene.bus_names), np.nan)), layout)
    assert count_of(colours.NO_SUPPLY, dead) > count_of(colours.NO_SUPPLY, alive) + 100


def test_single_bus_is_drawn():
    scene, layout = scene_of(network([]))
    assert draw(scene, layout, SIZE).min() < 100


@pytest.mark.parametrize("size", [(479, 400), (640, 9000)])
def test_picture_of_another_size_is_refused(size):
    with pytest.raises(ConfigError, match=r"picture: (width|height) is \d+ pixels; allowed: \d+..\d+; choose"):
        draw(FEEDER, FEEDER_LAYOUT, size)


def test_scene_that_does_not_fit_names_all_problems():
    scene = replace(
        FEEDER,
        v_pu=np.ones(4),
        loading=np.ones(7),
        devices=(DeviceMark(name="ev.1", kind="ev", bus="33"),),
        series={"price": np.ones((3, 3))},
    )
    with pytest.raises(DataError) as caught:
        draw(scene, FEEDER_LAYOUT, SIZE)
    message = str(caught.value)
    assert "v_pu has shape (4,); allowed: (5,) or (5, 3)" in message
    assert "loading has shape (7,); allowed: (4,)" in message
    assert "device 'ev.1' is at bus '33', which is not in the layout" in message
    assert "series 'price' has shape (3, 3); allowed: (time,)" in message


def test_scene_with_other_buses_says_which():
    with pytest.raises(DataError, match="bus_names has bus 'x'; allowed: the 5 buses of the layout"):
        draw(replace(FEEDER, bus_names=("0", "1", "2", "3", "x")), FEEDER_LAYOUT, SIZE)
    with pytest.raises(DataError, match="bus_names has 5 buses in another order"):
        draw(replace(FEEDER, bus_names=FEEDER.bus_names[::-1]), FEEDER_LAYOUT, SIZE)


def test_voltages_by_bus_and_phase():
    nodes = ["3", "0", "1", "2", "4"]
    found = bus_voltages(FEEDER_LAYOUT, nodes, np.array([0.5j, 1.0, -1.0, 0.0, 0.9]))
    np.testing.assert_array_equal(found, [1.0, 1.0, np.nan, 0.5, 0.9])
    found = bus_voltages(FEEDER_LAYOUT, ["0.1", "0.3", "4.2"], np.array([1.0, 1.1, 0.9]))
    assert found.shape == (5, 3)
    np.testing.assert_array_equal(found[[0, 4]], [[1.0, np.nan, 1.1], [np.nan, 0.9, np.nan]])
    assert np.isnan(found[1:4]).all()


def test_loading_by_branch():
    branches = Branches(
        names=("l", "m", "t", "t", "s"),
        from_bus=("0",) * 5,
        to_bus=("1",) * 5,
        kind=("line", "line", "transformer", "transformer", "switch"),
        is_open=np.zeros(5, bool),
    )
    found = branch_loading(branches, np.array([[0.1, 0.4, 0.2], [0.0, 0.0, 0.0]]), np.array([0.7]))
    np.testing.assert_array_equal(found, [0.4, np.nan, 0.7, 0.7, np.nan])


def test_drawing_leaves_pyplot_alone():
    code = "import sys, gridenv.adapters.drawing; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Films

FRAMES = [np.full((40, 60, 3), 10 * i, np.uint8) for i in range(7)]


def test_gif_has_every_frame_for_its_time(tmp_path):
    save_movie(iter(FRAMES), tmp_path / "day.gif", fps=12.5)
    with Image.open(tmp_path / "day.gif") as film:
        assert film.n_frames == len(FRAMES)
        assert film.size == (60, 40)
        for i in range(film.n_frames):
            film.seek(i)
            assert film.info["duration"] == 80
            np.testing.assert_allclose(np.asarray(film.convert("RGB")), FRAMES[i], atol=2)
    assert [file.name for file in tmp_path.iterdir()] == ["day.gif"]


@pytest.mark.parametrize(
    ("frames", "name", "fps", "error", "message"),
    [
        (FRAMES, "day.avi", 10, ConfigError, r"suffix is '.avi'; allowed: .gif and .mp4; rename"),
        (FRAMES, "day", 10, ConfigError, r"suffix is ''; allowed"),
        (FRAMES, "no/day.gif", 10, ConfigError, r"there is no folder '.*no'; allowed: .*make it first"),
        (FRAMES, "day.gif", 60, ConfigError, r"fps is 60; allowed: above 0, at most 50"),
        (FRAMES, "day.gif", 0, ConfigError, r"fps is 0; allowed: above 0"),
        ([], "day.gif", 10, DataError, r"there are no frames; allowed: one or more"),
        (
            [*FRAMES, FRAMES[0][1:]],
            "day.gif",
            10,
            DataError,
            r"frame 7 has shape \(39, 60, 3\); allowed: \(40, 60, 3\)",
        ),
        ([FRAMES[0][..., 0]], "day.gif", 10, DataError, r"frame 0 is uint8\[40, 60\]; allowed: uint8 \[height"),
    ],
)
def test_film_that_cannot_be_written_leaves_nothing_behind(tmp_path, frames, name, fps, error, message):
    with pytest.raises(error, match=message):
        save_movie(frames, tmp_path / name, fps)
    assert not list(tmp_path.iterdir())


def test_mp4_without_ffmpeg_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingExtraError, match=r"ffmpeg is not on the PATH; .*install ffmpeg.*or write a .gif"):
        save_movie(FRAMES, tmp_path / "day.mp4")
    assert not list(tmp_path.iterdir())


def fake_ffmpeg(folder, monkeypatch, script):
    folder.mkdir()
    program = folder / "ffmpeg"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_mp4_hands_every_frame_to_ffmpeg(tmp_path, monkeypatch):
    fake_ffmpeg(tmp_path / "bin", monkeypatch, 'for last; do :; done; echo "$@" > "$last"; cat >> "$last"')
    save_movie(FRAMES, tmp_path / "day.mp4", fps=5)
    asked, _, pixels = (tmp_path / "day.mp4").read_bytes().partition(b"\n")
    assert b"-s 60x40 -r 5 -i -" in asked
    assert pixels == b"".join(frame.tobytes() for frame in FRAMES)


def test_mp4_reports_what_ffmpeg_says(tmp_path, monkeypatch):
    fake_ffmpeg(tmp_path / "bin", monkeypatch, "echo 'Unknown encoder libx264' >&2; exit 1")
    many = [np.zeros((400, 600, 3), np.uint8)] * 9
    with pytest.raises(MissingExtraError, match=r"failed: Unknown encoder libx264; .* or write a .gif"):
        save_movie(many, tmp_path / "day.mp4")
    assert not (tmp_path / "day.mp4").exists()


# Window


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems always have a screen")
def test_window_without_screen_says_to_use_arrays(monkeypatch):
    pytest.importorskip("tkinter")
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(ConfigError, match=r"no window can be opened \(.*\); .*use render_mode='rgb_array'"):
        HumanWindow()


def test_window_without_tkinter_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tkinter", None)
    with pytest.raises(MissingExtraError, match=r"without tkinter; .*python3-tk.*or use render_mode='rgb_array'"):
        HumanWindow()


class FakeTk:
    """Stands in for a screen: remembers what is shown."""

    def __init__(self):
        self.shown = []
        self.is_destroyed = False
        self.on_close = None

    def title(self, text):
        self.shown.append(text)

    def resizable(self, *_):
        pass

    def protocol(self, _, on_close):
        self.on_close = on_close

    def update(self):
        assert not self.is_destroyed

    def destroy(self):
        self.is_destroyed = True

    def pack(self):
        pass

    def configure(self, image):
        self.shown.append(image)


def test_window_shows_pictures_until_it_is_closed(monkeypatch):
    tk = FakeTk()
    fake = types.SimpleNamespace(
        Tk=lambda: tk,
        TclError=RuntimeError,
        Label=lambda root, **_: tk,
        PhotoImage=lambda master, data, format: data,
    )
    monkeypatch.setitem(sys.modules, "tkinter", fake)
    window = HumanWindow("feeder", fps=200)
    window.show(FRAMES[1])
    window.show(FRAMES[2])
    assert tk.shown == ["feeder", *(b"P6 60 40 255 " + FRAMES[i].tobytes() for i in (1, 2))]
    tk.on_close()
    assert not window.is_open
    window.show(FRAMES[3])
    window.close()
    assert len(tk.shown) == 3
