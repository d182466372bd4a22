"""Connected groups of bad pixels, and which of them no detector defect makes. Arrays only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# A pixel, a pair, a column or row, two or three of them side by side, the cross
# that a bad pixel's charge makes of its neighbours: none is wider than this both
# ways. A star's hole, a nebula and a satellite's trail are.
_WIDEST_DEFECT = 3


def clumped(pixels: NDArray[np.integer[Any]], columns: int) -> int:
    """Count the bad pixels that lie in clumps.

    A clump is a connected group, corners being contact too, that is more than
    3 pixels wide both along rows and along columns.

    Parameters
    ----------
    pixels : ndarray of int
        Places of the bad pixels in the flat array, in rising order.
    columns : int
        Pixels to a row.

    Returns
    -------
    int
    """
    if pixels.size <= _WIDEST_DEFECT:
        return 0
    rows, starts, ends = _runs(np.asarray(pixels, dtype=np.int64), columns)
    labels = _labels(rows, starts, ends, columns)
    order = np.argsort(labels, kind="stable")
    heads = np.flatnonzero(np.diff(labels[order], prepend=-1))
    tall = _extent(rows[order], rows[order], heads)
    wide = _extent(starts[order], ends[order], heads)
    sizes = np.add.reduceat((ends - starts + 1)[order], heads)
    return int(sizes[(tall > _WIDEST_DEFECT) & (wide > _WIDEST_DEFECT)].sum())


def _runs(pixels: NDArray[np.int64], columns: int) -> tuple[NDArray[np.int64], ...]:
    """Return row, first and last column of every run of bad pixels along a row."""
    rows, places = np.divmod(pixels, columns)
    # Keys with two free places between rows, so that no run goes on into the next.
    keys = rows * (columns + 2) + places
    is_start = np.diff(keys, prepend=-2) > 1
    is_end = np.append(is_start[1:], True)
    return rows[is_start], places[is_start], places[is_end]


def _labels(
    rows: NDArray[np.int64], starts: NDArray[np.int64], ends: NDArray[np.int64], columns: int
) -> NDArray[np.int64]:
    """Give touching runs one number: that of the first of their group."""
    stride = columns + 2
    below = (rows + 1) * stride
    first = np.searchsorted(rows * stride + ends, below + starts - 1)
    last = np.searchsorted(rows * stride + starts, below + ends + 1, side="right")
    contacts = np.maximum(last - first, 0)
    left = np.repeat(np.arange(rows.size), contacts)
    # The numbers first..last of each run, one behind the other.
    within = np.arange(left.size) - np.repeat(np.cumsum(contacts) - contacts, contacts)
    right = np.repeat(first, contacts) + within
    labels = np.arange(rows.size)
    while True:
        a, b = labels[left], labels[right]
        apart = a != b
        if not apart.any():
            return labels
        left, right = left[apart], right[apart]
        np.minimum.at(labels, np.maximum(a, b)[apart], np.minimum(a, b)[apart])
        while not np.array_equal(up := labels[labels], labels):
            labels = up


def _extent(
    low: NDArray[np.int64], high: NDArray[np.int64], heads: NDArray[np.intp]
) -> NDArray[np.int64]:
    """Return how far each group reaches from its lowest to its highest value, ends included."""
    extent: NDArray[np.int64] = (
        np.maximum.reduceat(high, heads) - np.minimum.reduceat(low, heads) + 1
    )
    return extent
