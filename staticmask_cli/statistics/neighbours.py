"""Predicting a pixel from its neighbours. Arrays in, arrays out.

The neighbours of a pixel are the next and the second pixel along both directions of its
row, its column and its two diagonals, 16 in all. With a step of 2 they are the second
and the fourth: further away, but the adjacent pixel of a wide defect is not among them.
A neighbour that is missing, or lies beyond the edge of the chip, is replaced by the
opposite one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.statistics.votes import Bits

Floats = NDArray[np.float32]
Places = NDArray[np.integer[Any]]

#: Rows and columns to a neighbour along the row, the column and both diagonals.
DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))
#: Distance of the farthest neighbours, for the largest step: the margin of a chip.
MARGIN = 4
_HALF = np.float32(0.5)
_THIRD = np.float32(1 / 3)
# Comparisons of sorting networks for 4 and 8 values (Knuth, The Art of Computer
# Programming 3, section 5.3.4).
_NETWORKS = {
    4: ((0, 1), (2, 3), (0, 2), (1, 3), (1, 2)),
    8: (
        *((0, 1), (2, 3), (4, 5), (6, 7), (0, 2), (1, 3), (4, 6), (5, 7), (1, 2), (5, 6)),
        *((0, 4), (3, 7), (1, 5), (2, 6), (1, 4), (3, 6), (2, 4), (3, 5), (3, 4)),
    ),
}


class Neighbours(NamedTuple):
    """The neighbours of some pixels.

    Attributes
    ----------
    values : ndarray of float32
        4 x 4 x number of pixels: the next neighbours forwards and backwards, then the
        farther ones; for each of `DIRECTIONS`. A missing one is replaced by the opposite
        one, and infinite if both are missing.
    one_sided : ndarray of bool or None
        4 x number of pixels: whether one of the next neighbours is missing; None if
        there is no such pixel.
    """

    values: Floats
    one_sided: NDArray[np.bool_] | None


class Prediction(NamedTuple):
    """Values that pixels should have according to their neighbours, one per pixel.

    Attributes
    ----------
    level : ndarray of float32
        The value; infinite if too many neighbours are missing.
    between : ndarray of float32
        The value halfway between the next neighbours: the mean of the middle two
        directions.
    scatter : ndarray of float32
        How much the next neighbours differ: the distance from the fourth to the seventh
        of eight, which a column of defects or a cosmic ray beside the pixel does not
        change.
    contrast : ndarray of float32
        How far `level` lies above the median of the farther neighbours; 0 if below it.
    """

    level: Floats
    between: Floats
    scatter: Floats
    contrast: Floats


def padded(pixels: NDArray[Any], excluded: Bits | None, *, all_finite: bool) -> Floats:
    """Return the pixels of a chip with a margin on all sides.

    Parameters
    ----------
    pixels : ndarray
        The chip's pixels, rows x columns, of any real type.
    excluded : ndarray of uint8 or None
        Pixels that are not used as neighbours, as bits.
    all_finite : bool
        Whether all pixels are finite.

    Returns
    -------
    ndarray of float32
        `MARGIN` rows and columns larger on each side; -inf in the margin and for pixels
        that are missing or excluded.

    Examples
    --------
    >>> padded(np.arange(4).reshape(2, 2), None, all_finite=True)[3:6, 3:6].tolist()
    [[-inf, -inf, -inf], [-inf, 0.0, 1.0], [-inf, 2.0, 3.0]]
    """
    shape = pixels.shape[0] + 2 * MARGIN, pixels.shape[1] + 2 * MARGIN
    framed = np.empty(shape, np.float32)
    for lines in (framed, framed.T):
        lines[:MARGIN] = lines[-MARGIN:] = -np.inf
    inside = framed[MARGIN:-MARGIN, MARGIN:-MARGIN]
    inside[:] = pixels
    if not all_finite:
        inside[~np.isfinite(inside)] = -np.inf
    if excluded is not None:
        missing = np.unpackbits(excluded, count=pixels.size).view(np.bool_)
        inside[missing.reshape(pixels.shape)] = -np.inf
    return framed


def neighbours(framed: Floats, places: Places, step: int) -> Neighbours:
    """Return the neighbours of some pixels.

    Parameters
    ----------
    framed : ndarray of float32
        A chip with margin, as returned by `padded`.
    places : ndarray of int
        Flat indices of the pixels in the chip without margin.
    step : int
        Distance of the next neighbours; at most `MARGIN` / 2.

    Returns
    -------
    Neighbours

    Examples
    --------
    >>> framed = padded(np.arange(25).reshape(5, 5), None, all_finite=True)
    >>> neighbours(framed, np.array([12]), 1).values[:2, 0, 0].tolist()
    [13.0, 11.0]
    """
    n_columns = framed.shape[1]
    places = places.astype(np.int64, copy=False)  # offsets may be negative
    rows = places // (n_columns - 2 * MARGIN)
    # Skips the margins beside all rows before a pixel, and on its left.
    starts = places + (2 * rows + n_columns + 1) * MARGIN
    flat = framed.reshape(-1)
    values = np.empty((4, len(DIRECTIONS), places.size), np.float32)
    for which, distance in enumerate((step, -step, 2 * step, -2 * step)):
        for direction, (dy, dx) in enumerate(DIRECTIONS):
            offset = distance * (dy * n_columns + dx)
            flat.take(starts + offset, out=values[which, direction], mode="clip")
    missing = values == -np.inf
    if not missing.any():
        return Neighbours(values, None)
    for one, opposite in ((0, 1), (1, 0), (2, 3), (3, 2)):
        np.copyto(values[one], values[opposite], where=missing[one])
    values[values == -np.inf] = np.inf
    return Neighbours(values, missing[0] ^ missing[1])


def predict(around: Neighbours) -> Prediction:
    """Predict pixels from their neighbours.

    Along each direction, a pixel is interpolated between its neighbours: linearly
    between the next ones, and with a cubic polynomial through all four; the lower value
    counts, so that a cosmic ray seldom raises it. The mean of the middle two directions
    follows ridges and edges, and ignores a column or row of defects. It is limited by
    the median of the next neighbours and, beside missing pixels and at the edges of the
    chip, by what the pixels on the other side extrapolate to.

    Examples
    --------
    >>> pixels = np.outer(np.arange(9.0), np.ones(9)) ** 2  # curved along its columns
    >>> framed = padded(pixels, None, all_finite=True)
    >>> predict(neighbours(framed, np.array([40]), 1)).level.tolist()
    [16.0]
    """
    values = around.values
    linear = (values[0] + values[1]) * _HALF
    farther = (values[2] + values[3]) * _HALF
    cubic = linear + (linear - farther) * _THIRD
    along = _sorted(np.where(np.isfinite(cubic), np.minimum(linear, cubic), linear))
    near = _sorted(values[:2].reshape(8, -1))
    far = _sorted(values[2:].reshape(8, -1))
    level = np.minimum(_middle(along), _middle(near))
    if around.one_sided is not None:
        slopes = np.where(around.one_sided & np.isfinite(farther), 2 * linear - farther, np.inf)
        level = np.minimum(level, _middle(_sorted(slopes.astype(np.float32))))
    contrast = np.maximum(level - _middle(far), 0)
    contrast[~np.isfinite(contrast)] = 0
    scatter = _ordered(near, 6) - _ordered(near, 3)
    return Prediction(level, _middle(_sorted(linear)), scatter, contrast)


def _sorted(values: Floats) -> Floats:
    """Sort 4 or 8 rows of values along the first axis; missing ones are last."""
    rows = list(values.copy())
    for first, second in _NETWORKS[len(rows)]:
        lower = np.minimum(rows[first], rows[second])
        np.maximum(rows[first], rows[second], out=rows[second])
        rows[first] = lower
    return np.stack(rows)


def _middle(rows: Floats) -> Floats:
    """Return the median along the first axis of sorted values, without missing ones."""
    half = len(rows) // 2
    lower, upper = rows[half - 1], rows[half]
    if not np.isfinite(rows[-1]).all():
        n, places = np.isfinite(rows).sum(axis=0), np.arange(rows.shape[1])
        lower = rows[np.maximum(n - 1, 0) // 2, places]
        upper = rows[np.minimum(n // 2, len(rows) - 1), places]
    middle: Floats = (lower + upper) * _HALF
    return middle


def _ordered(rows: Floats, number: int) -> Floats:
    """Return the value of a 0-based number among sorted ones, or at its share of fewer."""
    ordered: Floats = rows[number]
    if not np.isfinite(rows[-1]).all():
        n, places = np.isfinite(rows).sum(axis=0), np.arange(rows.shape[1])
        ordered = rows[np.maximum(n - 1, 0) * number // (len(rows) - 1), places]
    return ordered
