"""Connected groups of bad pixels: which are solid, as detector defects seldom are. Arrays only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# A pixel, a pair, a column or row, two or three of them side by side, the cross
# that a bad pixel's charge makes of its neighbours: none is wider than this both
# ways. A star's hole, a nebula and a shadow are. Where a bad row crosses a bad
# column only the crossing is wide, so that so many parts of a group must be: one
# in so many of its pixels.
_WIDEST_DEFECT = 3
_SOLID = 4


def n_clustered(pixels: NDArray[np.integer[Any]], columns: int) -> int:
    """Count the bad pixels that lie in clumps.

    A clump is a connected group, corners being contact too, of which a quarter
    is solid: pixels that stand in a run of more than 3 bad ones both along their
    row and along their column.

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
    places = np.asarray(pixels, dtype=np.int64)
    solid = _is_solid(places, columns)
    if not solid.any():
        return 0
    rows, starts, ends = _runs(places, columns)
    labels = _labels(rows, starts, ends, columns)
    order = np.argsort(labels, kind="stable")
    heads = np.flatnonzero(np.diff(labels[order], prepend=-1))
    lengths = ends - starts + 1
    solid_in_run = np.add.reduceat(solid.astype(np.int64), np.cumsum(lengths) - lengths)
    sizes = np.add.reduceat(lengths[order], heads)
    return int(sizes[_SOLID * np.add.reduceat(solid_in_run[order], heads) >= sizes].sum())


def _is_solid(pixels: NDArray[np.int64], columns: int) -> NDArray[np.bool_]:
    """Tell which pixels stand in long runs both ways."""
    rows, places = np.divmod(pixels, columns)
    across = _run_lengths(rows * (columns + 2) + places)
    keys = places * (rows[-1] + 2) + rows
    order = np.argsort(keys, kind="stable")
    down = np.empty_like(across)
    down[order] = _run_lengths(keys[order])
    solid: NDArray[np.bool_] = (across > _WIDEST_DEFECT) & (down > _WIDEST_DEFECT)
    return solid


def _run_lengths(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return of each of some rising numbers how many follow one another where it stands."""
    is_start = np.diff(keys, prepend=-2) > 1
    lengths = np.diff(np.flatnonzero(np.append(is_start, True)))
    return np.repeat(lengths, lengths)


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
