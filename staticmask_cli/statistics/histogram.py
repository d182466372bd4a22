"""The histogram of the pixels, and its peak: the mode.

Arrays in, numbers out. The arithmetic is imagestats' (``buildHistogram.c``).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from staticmask_cli.statistics.rounds import Clipped, Float32s, blocks

BIN_WIDTH = 0.1  # rms
_SMALLEST_WIDTH = np.float32(10.0) * np.finfo(np.float32).eps

# With more bins, imagestats overflows a C int.
_MOST_BINS = 2**31 - 1
# With more bins, only those that contain pixels are stored.
_DENSE_BINS = 2**20


@dataclass(frozen=True, slots=True)
class Bins:
    """The bins of a histogram.

    The bin of a value is int(scale * (value - origin)), all in float32, for values
    from `origin` up to, but not including, `edge`. All pixels are counted, even
    beyond the limits of the last round. A bin of `n`, possible because of rounding,
    is dropped.

    Attributes
    ----------
    n : int
        Number of bins.
    origin, edge : float32
        Range of the histogram.
    scale : float32
        Bins per unit.
    """

    n: int
    origin: np.float32
    edge: np.float32
    scale: np.float32

    def of(self, values: Any) -> Any:
        """Return float32 values in bins; their integer parts are the bins' numbers."""
        return self.scale * (values - self.origin)


def bins_of(last: Clipped) -> Bins | None:
    """Return the bins that follow from the last round; None if there is only one.

    Examples
    --------
    >>> bins = bins_of(Clipped(n=9, mean=5.0, rms=10.0, lowest=0.0, highest=20.0))
    >>> bins.n, float(bins.scale), float(bins.edge)
    (21, 1.0, 21.0)
    """
    width = BIN_WIDTH * last.rms
    span = last.highest - last.lowest
    if (
        np.float32(width) < _SMALLEST_WIDTH
        or np.float32(span) < _SMALLEST_WIDTH
        or width > span
        or not math.isfinite(width)
        or span / width >= _MOST_BINS
    ):
        return None
    n = int(span / width) + 1
    origin, dz = np.float32(last.lowest), np.float32(span / (n - 1))
    return Bins(n=n, origin=origin, edge=origin + dz * np.float32(n), scale=np.float32(1.0) / dz)


def count(values: Float32s, bins: Bins) -> Counter[int]:
    """Count values in bins.

    Parameters
    ----------
    values : ndarray of float32
        One-dimensional and finite.
    bins : Bins
        The bins.

    Returns
    -------
    Counter
        Count for each bin; empty bins may be absent.

    Examples
    --------
    >>> bins = Bins(n=3, origin=np.float32(0), edge=np.float32(6), scale=np.float32(0.5))
    >>> sorted(count(np.array([1, 5, 4.5, 6, -1], dtype=np.float32), bins).items())
    [(0, 1), (2, 2)]
    """
    dense = np.zeros(bins.n + 1 if bins.n < _DENSE_BINS else 0, dtype=np.int64)
    sparse = []
    for block in blocks(values):
        inside = block.take(np.flatnonzero((block >= bins.origin) & (block < bins.edge)))
        found = bins.of(inside).astype(np.int64)
        if dense.size:
            dense += np.bincount(found, minlength=dense.size)
        else:
            sparse.append(found)
    if dense.size:
        numbers = np.flatnonzero(dense)
        counts = dense[numbers]
    else:
        numbers, counts = np.unique(np.concatenate(sparse), return_counts=True)
    pairs = zip(numbers.tolist(), counts.tolist(), strict=True)
    return Counter({number: n for number, n in pairs if number < bins.n})


def peak(counts: Mapping[int, int], n_bins: int) -> tuple[float, bool]:
    """Return the position of the peak, in bins, and whether it was interpolated.

    The peak is the first of the highest bins. Unless it is an end of the
    histogram, a parabola through it and its neighbours gives the position, with
    imagestats' order of operations.

    Examples
    --------
    >>> peak({0: 2, 1: 4, 2: 3}, n_bins=3)
    (1.6666666666666665, True)
    """
    # `counts` may be empty, if all pixels are outside the histogram.
    k = min(counts, key=lambda number: (-counts[number], number), default=0)
    count = counts.get(k, 0)
    if n_bins == 2:  # noqa: PLR2004 - neither bin has two neighbours
        return (1.0 if count == counts.get(1 - k, 0) else k + 0.5), False
    if k == 0:
        return 0.5, False
    if k == n_bins - 1:
        return n_bins - 0.5, False
    rise = count - counts.get(k - 1, 0)
    fall = count - counts.get(k + 1, 0)
    if rise + fall == 0:
        return k + 0.5, False
    return (k + 1 + 0.5 * (rise - fall) / (rise + fall)) - 0.5, True
