"""A convex quadratic program, collected block by block and solved by an interior-point method.

    minimise 1/2 z' D z + c' z   subject to   rows of equality, of inequality, and cones |(p, q)| <= s

Blocks are arrays of variable numbers, so that the rows of a family of devices over all steps are added at once. The
sparse matrices are built directly, as the rows differ from day to day (docs/optimisation.md has the numbers).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from gridenv.core.errors import MissingExtraError

Index = NDArray[np.int64]
Floats = NDArray[np.float64]
Numbers = float | list[float] | NDArray[Any]
Term = tuple[Numbers, Numbers]
"""Variables [row] or [row, k] and their coefficients, which broadcast to them."""
_SOLVED = ("Solved", "AlmostSolved")


class _Rows:
    """Rows `sum(coefficient * variable) (= or <=) right side` as triplets."""

    def __init__(self) -> None:
        self.n = 0
        self.parts: list[tuple[Index, Index, Floats]] = []
        self.right: list[Floats] = []

    def add(self, right: Numbers, terms: tuple[Term, ...]) -> None:
        values = np.atleast_1d(np.asarray(right, float))
        n_row = len(values)
        if not n_row:
            return
        for variables, coefficients in terms:
            columns = np.asarray(variables, np.int64).reshape(n_row, -1)
            coefficients = np.asarray(coefficients, float)
            if coefficients.ndim == 1 and len(coefficients) == n_row:
                coefficients = coefficients[:, None]
            rows = np.broadcast_to(self.n + np.arange(n_row)[:, None], columns.shape)
            self.parts.append((rows.ravel(), columns.ravel(), np.broadcast_to(coefficients, columns.shape).ravel()))
        self.right.append(values)
        self.n += n_row


class Program:
    """Variables, costs and rows of one program; blocks are added, then it is solved."""

    def __init__(self) -> None:
        self._n = 0
        self._cost: list[Floats] = []
        self._further: list[tuple[Index, Floats, Floats]] = []
        self._curvature: list[Floats] = []
        self._equal, self._at_most, self._cones = _Rows(), _Rows(), _Rows()

    def variables(self, n: int, cost: Numbers = 0.0, curvature: Numbers = 0.0) -> Index:
        """Numbers of `n` new variables, free in sign, that cost `cost z + 1/2 curvature z^2` each."""
        first, self._n = self._n, self._n + n
        self._cost.append(np.broadcast_to(np.asarray(cost, float), (n,)))
        self._curvature.append(np.broadcast_to(np.asarray(curvature, float), (n,)))
        return np.arange(first, self._n)

    def add_cost(self, variables: Index, cost: Numbers, curvature: Numbers = 0.0) -> None:
        """`cost z + 1/2 curvature z^2` of each variable, beside what it costs already; each variable occurs once."""
        slope, bend = (np.broadcast_to(np.asarray(a, float), variables.shape).ravel() for a in (cost, curvature))
        self._further.append((variables.ravel(), slope, bend))

    def equal(self, right: Numbers, *terms: Term) -> None:
        """Rows `sum of terms = right`; as many as `right` has entries."""
        self._equal.add(right, terms)

    def at_most(self, right: Numbers, *terms: Term) -> None:
        """Rows `sum of terms <= right`."""
        self._at_most.add(right, terms)

    def between(self, variables: Index, low: Floats, high: Floats) -> None:
        """Bounds of variables; infinite ones are left out, and where both agree the variable is fixed."""
        fixed = high <= low
        self.equal(low[fixed], (variables[fixed], 1.0))
        for sign, bound in ((1.0, high), (-1.0, -low)):
            kept = ~fixed & np.isfinite(bound)
            self.at_most(bound[kept], (variables[kept], sign))

    def in_circle(self, radius: Floats, first: Index, second: Index) -> None:
        """`first^2 + second^2 <= radius^2`, entry by entry."""
        n = len(radius)
        right = np.stack([radius, np.zeros(n), np.zeros(n)], axis=-1).ravel()
        variables = np.stack([first, first, second], axis=-1).ravel()
        self._cones.add(right, ((variables, np.tile([0.0, -1.0, -1.0], n)),))

    def solve(self) -> Floats | None:
        """Values of all variables; None where the solver found none.

        Raises:
            MissingExtraError: if clarabel is not installed.
        """
        clarabel = imported_solver()
        kinds = (self._equal, self._at_most, self._cones)
        matrix = sparse.vstack([_matrix(k.parts, (k.n, self._n)) for k in kinds], format="csc")
        right = np.concatenate([np.zeros(0), *(part for k in kinds for part in k.right)])
        cones = [clarabel.ZeroConeT(self._equal.n), clarabel.NonnegativeConeT(self._at_most.n)]
        cones += [clarabel.SecondOrderConeT(3)] * (self._cones.n // 3)
        settings = clarabel.DefaultSettings()
        settings.verbose = False
        settings.max_threads = 1
        # Takes two fifths of the time and changes the tenth digit; every plan is judged by exact simulation.
        settings.iterative_refinement_enable = False
        costs, curvatures = np.concatenate(self._cost), np.concatenate(self._curvature)
        for variables, cost, curvature in self._further:
            costs[variables] += cost
            curvatures[variables] += curvature
        curved = sparse.diags_array(curvatures, format="csc")
        solution = clarabel.DefaultSolver(curved, costs, matrix, right, cones, settings).solve()
        return np.asarray(solution.x) if str(solution.status) in _SOLVED else None


def imported_solver() -> Any:
    """The package of the solver.

    Raises:
        MissingExtraError: if it is not installed.
    """
    try:
        import clarabel
    except ImportError:
        raise MissingExtraError(
            "optimal power: package 'clarabel' is not installed; install it with pip install \"gridenv[opt]\""
        ) from None
    return clarabel


def _matrix(parts: list[tuple[Index, Index, Floats]], shape: tuple[int, int]) -> sparse.coo_array:
    if not parts:
        return sparse.coo_array(shape)
    rows, columns, values = (np.concatenate([p[i] for p in parts]) for i in range(3))
    return sparse.coo_array((values, (rows, columns)), shape=shape)
