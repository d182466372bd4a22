"""Clusters of bad pixels: solid groups, which detector defects seldom form. Arrays only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Single pixels, pairs, up to three adjacent rows or columns and the cross of
# charge around a bad pixel are never wider than this in both directions; the
# hole of a saturated star, a nebula and a shadow are.
_WIDEST_DEFECT = 3
# Where a bad row crosses a bad column, only the crossing is wide. So at least one
# in this many pixels of a group must lie in a wide part.
_SOLID = 4


def n_clustered(pixels: NDArray[np.integer[Any]], columns: int) -> int:
    """Count the bad pixels that lie in clusters.

    A cluster is an 8-connected group of bad pixels of which at least a quarter
    are solid. A pixel is solid if it lies in a run of more than 3 bad pixels
    both along its row and along its column.

    Parameters
    ----------
    pixels : ndarray of int
        Indices of the bad pixels in the flattened array, in ascending order.
    columns : int
        Pixels per row.

    Returns
    -------
    int
        Number of bad pixels in clusters.

    Examples
    --------
    A solid square counts, a bad row does not:

    >>> import numpy as np
    >>> bad = np.zeros((20, 30), dtype=bool)
    >>> bad[2:7, 3:8] = True
    >>> bad[12, :] = True
    >>> n_clustered(np.flatnonzero(bad), columns=30)
    25
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
    """Find the pixels that lie in long runs along both axes."""
    rows, places = np.divmod(pixels, columns)
    solid = _in_long_run(rows * (columns + 2) + places)
    if solid.any():
        keys = places * (rows[-1] + 2) + rows
        order = np.argsort(keys, kind="stable")
        solid[order] &= _in_long_run(keys[order])
    return solid


def _in_long_run(keys: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which of some ascending integers are in a long run of consecutive ones."""
    ends = np.append(np.flatnonzero(np.diff(keys) > 1), keys.size - 1)
    lengths = np.diff(ends, prepend=-1)
    return np.repeat(lengths > _WIDEST_DEFECT, lengths)


def _runs(pixels: NDArray[np.int64], columns: int) -> tuple[NDArray[np.int64], ...]:
    """Return row, first and last column of every run of bad pixels along a row."""
    rows, places = np.divmod(pixels, columns)
    # Keys leave a gap of two between rows, so that no run continues into the next row.
    keys = rows * (columns + 2) + places
    is_start = np.diff(keys, prepend=-2) > 1
    is_end = np.append(is_start[1:], True)
    return rows[is_start], places[is_start], places[is_end]


def _labels(
    rows: NDArray[np.int64], starts: NDArray[np.int64], ends: NDArray[np.int64], columns: int
) -> NDArray[np.int64]:
    """Label connected runs with the index of the first run of their group."""
    stride = columns + 2
    below = (rows + 1) * stride
    first = np.searchsorted(rows * stride + ends, below + starts - 1)
    last = np.searchsorted(rows * stride + starts, below + ends + 1, side="right")
    contacts = np.maximum(last - first, 0)
    left = np.repeat(np.arange(rows.size), contacts)
    # The indices first..last of each run, concatenated.
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
