"""Nodal admittances taken apart into branches and shunts, for engines that want to be given a network."""

from dataclasses import dataclass

import numpy as np

from experiments.bench.circuit import Circuit, Complex, Floats, Ints

_ROUNDING = 1e-14
"""Share of a diagonal admittance that is left over by rounding when its branches are taken off."""


@dataclass(frozen=True, kw_only=True)
class Branches:
    """One branch between any two coupled nodes, and the rest of the diagonal; pu."""

    start: Ints
    end: Ints
    series: Complex
    """[branch] series admittance."""
    theta: Floats
    """[branch] angle by which an ideal transformer at its start turns the voltage."""
    shunt: Complex
    """[node] admittance to ground."""


def branches(circuit: Circuit) -> Branches:
    """Branches of a circuit; parallel ones become one.

    A branch with series admittance y and complex turns t has `y_ft = -y / conj(t)` and `y_tf = -y / t`; with |t| = 1
    both follow from our two entries. Those of a three-phase circuit are equal, there is no t.
    """
    diagonal = np.zeros(circuit.n_node, dtype=complex)
    row, column, value = circuit.y_row, circuit.y_column, circuit.y_value
    on_diagonal = row == column
    np.add.at(diagonal, row[on_diagonal], value[on_diagonal])
    upper, lower = row < column, row > column
    up, low = np.lexsort((column[upper], row[upper])), np.lexsort((row[lower], column[lower]))
    start, end = row[upper][up], column[upper][up]
    y_ft, y_tf = value[upper][up], value[lower][low]
    theta = np.zeros(len(start))
    series = -y_ft
    if circuit.n_phase == 1:
        theta = np.angle(y_ft / y_tf) / 2.0
        series = -y_ft * np.exp(-1j * theta)
        # Half the angle of a ratio leaves the sign open; a passive branch has a positive conductance.
        turned = series.real < 0
        theta, series = np.where(turned, theta + np.pi, theta), np.where(turned, -series, series)
    shunt = diagonal.copy()
    np.subtract.at(shunt, start, series)
    np.subtract.at(shunt, end, series)
    shunt[np.abs(shunt) <= _ROUNDING * np.abs(diagonal)] = 0.0
    return Branches(start=start, end=end, series=series, theta=theta, shunt=shunt)


def frame(circuit: Circuit, parts: Branches) -> Complex:
    """[node] factors of size one: in voltages divided by them no branch turns any more, and powers stay.

    Source: with `V = V' f` and `t = f_start / f_end` the turns drop out of both entries of a branch. Loops whose turns
    do not add up to zero have no such factors.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import breadth_first_order

    n = circuit.n_node
    row, column = np.concatenate([parts.start, parts.end]), np.concatenate([parts.end, parts.start])
    number = csr_array((np.tile(np.arange(len(parts.start)) + 1, 2), (row, column)), shape=(n, n))
    angle_rad = np.zeros(n)
    reached = np.zeros(n, dtype=bool)
    for source in range(circuit.n_other, n):
        if reached[source]:
            continue
        order, before = breadth_first_order(number, source, directed=False)
        for node in order[1:]:
            branch = number[before[node], node] - 1
            turn = parts.theta[branch] if parts.start[branch] == before[node] else -parts.theta[branch]
            angle_rad[node] = angle_rad[before[node]] - turn
        reached[order] = True
    return np.asarray(np.exp(1j * angle_rad))
