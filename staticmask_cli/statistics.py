"""The statistic: clipped mean and rms, histogram, mode, and the pixels that are too low.

Arrays in, numbers and new arrays out; nothing here knows of files, and no
input is changed. The arithmetic restates what DrizzlePac 3.11 asks of
stsci.imagestats 1.8.4 (``ImageStats(nclip=3, lsig=3, usig=3, binwidth=0.1)``,
its C sources ``computeMean.c`` and ``buildHistogram.c``), operation by
operation and in the same precision, because a mask pixel can hang on the last
bit. Where it departs: pixels that are not finite take no part.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32s = NDArray[np.float32]

ROUNDS = 4  # a first one without limits, then three of clipping
CLIP = 3.0  # rms to either side of the mean
BIN_WIDTH = 0.1  # rms
_SMALLEST_WIDTH = np.float32(10.0) * np.finfo(np.float32).eps

# Beyond this a bin's number does not fit a C int, and imagestats ends in chaos.
_MOST_BINS = 2**31 - 1
# Up to here bins are counted in an array; beyond, only those that hold pixels.
_DENSE_BINS = 2**20

# Pixels to a pass: small enough that a block and its intermediates stay in cache.
_BLOCK = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class SkyStatistics:
    """What an array's clipped pixels tell of its sky.

    Attributes
    ----------
    n : int
        Pixels inside the last round's limits.
    mean, rms : float
        Of those pixels; float32 values. NaN where `n` is too small.
    nbins : int
        Bins of the histogram; fewer than 2 make the statistics useless.
    mode : float
        The histogram's peak; NaN if there is no histogram.
    is_interpolated : bool
        Whether the peak was found between bins by a parabola.
    """

    n: int
    mean: float
    rms: float
    nbins: int
    mode: float
    is_interpolated: bool

    @property
    def is_usable(self) -> bool:
        """Whether there were enough bins for a mode: without it no pixel is low."""
        return self.nbins >= 2  # noqa: PLR2004 - the definition itself

    def threshold(self, static_sig: float) -> float:
        """Return the value below which a pixel is low: mode - static_sig x rms."""
        return self.mode - static_sig * self.rms


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    """One round of clipping: what lay inside its limits."""

    n: int
    mean: float
    rms: float
    lowest: float
    highest: float


def sky_statistics(pixels: NDArray[Any]) -> SkyStatistics:
    """Measure the sky of a chip as imagestats does.

    Parameters
    ----------
    pixels : ndarray
        The chip, of any shape and real type; rounded to float32.

    Returns
    -------
    SkyStatistics
    """
    with np.errstate(all="ignore"):  # 1e30 squared is inf in float32, there and here
        values = np.ascontiguousarray(pixels, dtype=np.float32).reshape(-1)
        first = values[0] if values.size else np.float32(np.nan)
        if not (values.size and np.isfinite(values.min()) and np.isfinite(values.max())):
            values = values[np.isfinite(values)]
        if not values.size:
            return _useless(0, math.nan, math.nan)
        last = _clipped_rounds(values, first)
        return _with_mode(values, last)


def low_pixels(
    pixels: NDArray[Any], statistics: SkyStatistics, static_sig: float
) -> NDArray[np.bool_]:
    """Tell which pixels are more than `static_sig` rms below the mode.

    Parameters
    ----------
    pixels : ndarray
        The chip, in the type in which its file holds it: a float64 pixel is
        compared as it is, not as it was rounded for the statistics.
    statistics : SkyStatistics
        Of these pixels.
    static_sig : float
        How many rms.

    Returns
    -------
    ndarray of bool
        Of the shape of `pixels`; False for pixels that are not finite, and
        everywhere if the statistics are not usable.
    """
    if not statistics.is_usable:
        return np.zeros(pixels.shape, dtype=bool)
    threshold = statistics.threshold(static_sig)
    with np.errstate(all="ignore"):
        if pixels.dtype == np.float32:
            low = pixels < _float32_threshold(threshold, exact=statistics.is_interpolated)
        else:
            low = pixels < np.float64(threshold)
        if pixels.dtype.kind == "f":
            low &= pixels >= np.finfo(np.float32).min
    return low


def _float32_threshold(threshold: float, *, exact: bool) -> np.float32:
    """Return the float32 below which the same float32 values lie as below `threshold`.

    If the mode was not interpolated, imagestats returns it as a Python float,
    which numpy (NEP 50) rounds to float32 before it compares; an interpolated
    one is a numpy double, compared exactly.
    """
    rounded = np.float32(threshold)
    if exact and float(rounded) < threshold:
        rounded = np.float32(np.nextafter(rounded, np.float32(np.inf)))
    return rounded


def _blocks(values: Float32s) -> Iterator[Float32s]:
    for start in range(0, values.size, _BLOCK):
        yield values[start : start + _BLOCK]


def _clipped_rounds(values: Float32s, first: np.float32) -> _Round:
    """Run the rounds of clipping and return the last.

    Each round's limits are the mean +- 3 rms of the one before, within the
    array's own range; they start afresh each time, so that a round's range
    need not lie inside the last one's.
    """
    lower, upper = float(values.min()), float(values.max())
    low, high = np.float32(lower), np.float32(upper)
    current = _round(values, first, low, high)
    for _ in range(ROUNDS - 1):
        # As Python's max and min do it: a NaN does not replace the array's range.
        low = np.float32(max(lower, current.mean - CLIP * current.rms))
        high = np.float32(min(upper, current.mean + CLIP * current.rms))
        current = _round(values, first, low, high)
    return current


def _round(values: Float32s, first: np.float32, low: np.float32, high: np.float32) -> _Round:
    """Measure the pixels inside [low, high].

    mean = float32(sum(x) / n), rms = float32(sqrt(sum((x - mean)^2) / (n - 1))),
    sums in double, difference and square in float32.
    """
    n = 0
    total = 0.0
    lowest, highest = np.float32(np.inf), np.float32(-np.inf)
    for block in _blocks(values):
        kept = block[(block >= low) & (block <= high)]
        if kept.size:
            n += kept.size
            total += float(kept.sum(dtype=np.float64))
            lowest = min(lowest, kept.min())
            highest = max(highest, kept.max())
    if n == 0:
        return _Round(n=0, mean=math.nan, rms=math.nan, lowest=math.nan, highest=math.nan)
    # The search for the extremes starts at the array's first pixel, brought
    # inside the limits; the pixels inside can only move it outwards.
    if first < low:
        lowest = low
    if first > high:
        highest = high
    mean = np.float32(total / n)
    squares = 0.0
    for block in _blocks(values):
        kept = block[(block >= low) & (block <= high)]
        deviation = kept - mean
        squares += float(np.sum(deviation * deviation, dtype=np.float64))
    rms = np.float32(math.sqrt(squares / (n - 1))) if n > 1 else np.float32(np.nan)
    return _Round(
        n=n, mean=float(mean), rms=float(rms), lowest=float(lowest), highest=float(highest)
    )


def _useless(n: int, mean: float, rms: float) -> SkyStatistics:
    return SkyStatistics(n=n, mean=mean, rms=rms, nbins=1, mode=math.nan, is_interpolated=False)


def _with_mode(values: Float32s, last: _Round) -> SkyStatistics:
    width = BIN_WIDTH * last.rms
    span = last.highest - last.lowest
    nbins = 1
    is_one_bin = (
        np.float32(width) < _SMALLEST_WIDTH
        or np.float32(span) < _SMALLEST_WIDTH
        or width > span
        or not math.isfinite(width)
        or span / width >= _MOST_BINS
    )
    if not is_one_bin:
        nbins = int(span / width) + 1
    if nbins == 1:
        return _useless(last.n, last.mean, last.rms)
    counts = _histogram(values, last.lowest, span, nbins)
    place, is_interpolated = _peak(counts, nbins)
    return SkyStatistics(
        n=last.n,
        mean=last.mean,
        rms=last.rms,
        nbins=nbins,
        mode=last.lowest + place * width,
        is_interpolated=is_interpolated,
    )


def _histogram(values: Float32s, lowest: float, span: float, nbins: int) -> dict[int, int]:
    """Count the pixels in bins of span / (nbins - 1), from `lowest` on.

    bin = int((1 / dz) * (value - lowest)), all float32, for values from
    `lowest` to below lowest + dz * nbins. All pixels are counted, also those
    beyond the limits of the last round; a bin number of `nbins`, which
    rounding can bring about, falls away.

    Returns
    -------
    dict
        Bin number to count, for bins that hold pixels.
    """
    dz = np.float32(span / (nbins - 1))
    low = np.float32(lowest)
    edge = low + dz * np.float32(nbins)
    scale = np.float32(1.0) / dz
    dense = np.zeros(nbins + 1 if nbins < _DENSE_BINS else 0, dtype=np.int64)
    sparse = []
    for block in _blocks(values):
        inside = block[(block >= low) & (block < edge)]
        bins = (scale * (inside - low)).astype(np.int64)
        if dense.size:
            dense += np.bincount(bins, minlength=dense.size)
        else:
            sparse.append(bins)
    if dense.size:
        (filled,) = np.nonzero(dense)
        pairs = zip(filled.tolist(), dense[filled].tolist(), strict=True)
    else:
        numbers, counts = np.unique(np.concatenate(sparse), return_counts=True)
        pairs = zip(numbers.tolist(), counts.tolist(), strict=True)
    return {number: count for number, count in pairs if number < nbins}


def _peak(counts: dict[int, int], nbins: int) -> tuple[float, bool]:
    """Return where the histogram peaks, in bins from its origin, and whether by a parabola.

    The first of the highest bins counts. In between, a parabola through the
    bin and its neighbours is used, in the order of imagestats' operations.
    """
    # Only bins that hold pixels are in `counts`; none does if all lie elsewhere.
    k = min(counts, key=lambda number: (-counts[number], number), default=0)
    count = counts.get(k, 0)
    if nbins == 2:  # noqa: PLR2004 - no bin has two neighbours
        return (1.0 if count == counts.get(1 - k, 0) else k + 0.5), False
    if k == 0:
        return 0.5, False
    if k == nbins - 1:
        return nbins - 0.5, False
    rise = count - counts.get(k - 1, 0)
    fall = count - counts.get(k + 1, 0)
    if rise + fall == 0:
        return k + 0.5, False
    return (k + 1 + 0.5 * (rise - fall) / (rise + fall)) - 0.5, True
