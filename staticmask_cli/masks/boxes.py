"""Bad pixels as boxes: the form in which regions and bad-pixel tables list them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

#: Boxes, one per row: first column and row, counted from 0, width and height.
Boxes = NDArray[np.int64]


def boxes_of(bad: NDArray[np.bool_]) -> Boxes:
    """Return boxes that cover the bad pixels, each exactly once.

    Runs of pixels along the rows are joined over successive rows if they have the same
    columns, so that a bad column is one box.

    Parameters
    ----------
    bad : ndarray of bool
        The bad pixels, rows x columns.

    Returns
    -------
    ndarray of int
        N x 4; by first row, then by first column.

    Examples
    --------
    >>> boxes_of(np.array([[True, True, False], [True, True, False], [False, False, True]]))
    array([[0, 0, 2, 2],
           [2, 2, 1, 1]])
    """
    framed = np.zeros((bad.shape[0], bad.shape[1] + 2), np.int8)
    framed[:, 1:-1] = bad
    steps = np.diff(framed, axis=1)
    rows, begins = np.nonzero(steps == 1)
    ends = np.nonzero(steps == -1)[1]
    order = np.lexsort((rows, ends, begins))
    rows, begins, ends = rows[order], begins[order], ends[order]
    is_next = (np.diff(begins) == 0) & (np.diff(ends) == 0) & (np.diff(rows) == 1)
    firsts = np.flatnonzero(np.concatenate([np.ones(rows[:1].size, bool), ~is_next]))
    heights = np.diff(np.append(firsts, rows.size))
    boxes = np.stack(
        [begins[firsts], rows[firsts], (ends - begins)[firsts], heights], axis=1
    ).astype(np.int64)
    return boxes[np.lexsort((boxes[:, 0], boxes[:, 1]))]


def filled(boxes: Iterable[Iterable[int]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels that boxes cover; what lies outside the shape is cut off.

    Examples
    --------
    >>> filled([(1, 0, 9, 1)], (2, 3)).astype(int)
    array([[0, 1, 1],
           [0, 0, 0]])
    """
    bad = np.zeros(shape, dtype=bool)
    for x, y, width, height in boxes:
        bad[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)] = True
    return bad
