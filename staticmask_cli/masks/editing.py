"""Changes to the bad pixels of a mask for which no exposure is read. Arrays in, arrays out."""

from __future__ import annotations

from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Bad = NDArray[np.bool_]


class Operation(StrEnum):
    """A change to a mask, in the order in which one run makes them."""

    #: The mask was read from a table of pixels; it has no exposures.
    IMPORT = "import"
    #: Pixels that are bad in another mask became bad.
    OR = "or"
    #: Pixels that are good in another mask became good.
    AND = "and"
    #: See `without_gaps`.
    FILL_GAPS = "fill_gaps"
    #: See `with_whole_columns`.
    FILL_COLUMNS = "fill_columns"
    #: See `grown`.
    GROW = "grow"


class Edit(NamedTuple):
    """One change to a mask, as the mask records it.

    Attributes
    ----------
    operation : Operation
    operand : str
        File name of the other mask or the table, or the number that was given.
    sha256 : str
        SHA-256 of the other mask's array or of the table's bytes; empty for a number.
    gained, lost : int
        Number of pixels that became bad, and good.
    """

    operation: Operation
    operand: str
    sha256: str
    gained: int
    lost: int

    def __str__(self) -> str:
        return f"{self.operation} {self.operand}: +{self.gained} -{self.lost} bad pixels"

    @property
    def participle(self) -> str:
        """What was done to the mask."""
        return "imported" if self.operation is Operation.IMPORT else "edited"


def grown(bad: Bad, n: int) -> Bad:
    """Return bad pixels with their neighbours up to `n` pixels away on every side.

    An isolated pixel becomes a square of 2 `n` + 1 pixels to a side.

    Examples
    --------
    >>> grown(np.array([[True, False, False], [False, False, False]]), 1).astype(int)
    array([[1, 1, 0],
           [1, 1, 0]])
    """
    result = bad.copy()
    for axis in (0, 1):
        lines = np.moveaxis(result, axis, 0)
        reach, goal = 0, min(n, len(lines) - 1)
        while reach < goal:
            # Moved by at most one more than they reach, pixels leave no gap, even at an edge.
            shift = min(reach + 1, goal - reach)
            before = lines.copy()
            lines[shift:] |= before[:-shift]
            lines[:-shift] |= before[shift:]
            reach += shift
    return result


def without_gaps(bad: Bad, n: int) -> Bad:
    """Return bad pixels with the good ones between them that form short gaps in a column.

    Parameters
    ----------
    bad : ndarray of bool
        The bad pixels, rows x columns.
    n : int
        Length of the longest gap to fill, in pixels.

    Examples
    --------
    >>> column = np.array([True, False, True, False, False, True])[:, np.newaxis]
    >>> without_gaps(column, 1)[:, 0].astype(int)
    array([1, 1, 1, 0, 0, 1])
    """
    columns, rows = np.nonzero(bad.T)
    is_gap = (np.diff(columns) == 0) & (np.diff(rows) > 1) & (np.diff(rows) <= n + 1)
    result = bad.copy()
    for place in np.flatnonzero(is_gap):
        result[rows[place] : rows[place + 1], columns[place]] = True
    return result


def with_whole_columns(bad: Bad, share: float) -> Bad:
    """Return bad pixels with all of each column that is bad in more than a share of its rows.

    Parameters
    ----------
    bad : ndarray of bool
        The bad pixels, rows x columns.
    share : float
        From 0 to less than 1.

    Examples
    --------
    >>> bad = np.array([[True, True], [True, False]])
    >>> with_whole_columns(bad, 0.4).astype(int)
    array([[1, 1],
           [1, 1]])
    >>> with_whole_columns(bad, 0.5).astype(int)
    array([[1, 1],
           [1, 0]])
    """
    # Exact: 0.07 of 100 rows is 7 rows, but 7.000000000000001 in floating point.
    most = Fraction(str(share)) * bad.shape[0]
    whole: Bad = bad.sum(axis=0) > int(most)
    return bad | whole
