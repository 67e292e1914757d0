"""One-line diagrams of radial and looped networks."""

import pytest

from experiments.layout import arrange
from gridenv.network import load_network


def test_the_main_feeder_is_straight_and_laterals_lie_beside_it() -> None:
    diagram = arrange(load_network("ieee33"))
    assert [diagram.place[str(n)] for n in range(1, 19)] == [(column, 0) for column in range(18)]
    for first, last, start in ((19, 22, 2), (23, 25, 3), (26, 33, 6)):
        rows = {diagram.place[str(n)][1] for n in range(first, last + 1)}
        assert len(rows) == 1
        assert rows != {0}
        assert diagram.place[str(first)][0] == start
    assert len(diagram.open_ties) == 5
    assert diagram.loops == ()


@pytest.mark.parametrize("name", ["ieee33", "cigre_mv", "kerber_dorfnetz", "ieee13"])
def test_every_connected_bus_has_a_place_of_its_own(name: str) -> None:
    network = load_network(name)
    diagram = arrange(network)
    assert len(set(diagram.place.values())) == len(diagram.place) == len(network.buses)
    assert len(diagram.tree) == len(diagram.place) - 1
    for upstream, downstream in diagram.tree:
        assert diagram.place[downstream][0] == diagram.place[upstream][0] + 1


def test_a_closed_tie_is_drawn_as_a_loop() -> None:
    diagram = arrange(load_network("ieee33").with_switches({"line.37": True}))
    assert len(diagram.loops) == 1


def test_buses_are_listed_feeder_first_then_lateral_by_lateral() -> None:
    order = arrange(load_network("ieee33")).buses_in_order
    assert order == tuple(str(n) for n in range(1, 34))
