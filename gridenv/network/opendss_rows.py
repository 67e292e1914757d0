"""Rows of tables and refusals, shared by the conversions of OpenDSS elements."""

from collections.abc import Sequence
from typing import Any, NoReturn

from gridenv.core.errors import UnsupportedElementError
from gridenv.network.opendss_engine import DssCircuit, DssElement
from gridenv.network.phase_tables import MAX_CONDUCTORS

Rows = dict[str, list[dict[str, Any]]]
"""Table of `PhaseNetworkSpec` -> rows, each a value for every column that the table does not default."""


def refuse(element: DssElement, found: str, instead: str) -> NoReturn:
    """Say that an element cannot be converted.

    Raises:
        UnsupportedElementError: always.
    """
    raise UnsupportedElementError(f"OpenDSS element '{element.id}': {found} is not supported; {instead}")


def referred(element: DssElement, circuit: DssCircuit, kind: str) -> DssElement:
    """The element of class `kind` that a control names in its property of that name.

    Raises:
        UnsupportedElementError: if the circuit has none of this name.
    """
    name = element.text(kind)
    if f"{kind}.{name}" not in circuit.by_id:
        refuse(element, f"{kind} = {name}", f"allowed: a {kind} of the circuit; correct the name")
    return circuit.by_id[f"{kind}.{name}"]


def digits(element: DssElement, nodes: Sequence[int], ground: bool = False) -> str:
    """Conductors as digits.

    Args:
        element: whose conductors they are.
        nodes: conductors of a terminal.
        ground: whether 0 is allowed.

    Raises:
        UnsupportedElementError: for conductors above 3, repeated ones and, where not allowed, ground.
    """
    text = ".".join(str(n) for n in nodes)
    if any(n > MAX_CONDUCTORS for n in nodes):
        refuse(element, f"terminal with conductors {text}", "allowed: 1, 2, 3; ground the neutral at node 0")
    if len(set(nodes)) < len(nodes):
        refuse(element, f"terminal with conductors {text}", "allowed: each conductor once")
    if 0 in nodes and not ground:
        refuse(element, f"terminal with conductors {text}", "allowed: 1, 2, 3; connect the phases to conductors")
    return "".join(str(n) for n in nodes)
