"""Fast clipping: mean and rms of the pixels near the sky, and their histogram.

Arrays in, numbers out. `rounds.measure_round` is the reference definition of a
round, and `histogram.count` that of a histogram; this module computes the same
numbers with fewer passes over the array.

Nearly all pixels of a chip lie in a narrow core around the sky, inside the
limits of every round, so that their count and sum need to be computed only once.
Each round examines only the others, the tails. The rms requires a pass over the
core for every new mean, because its differences and squares are rounded to
float32, which no algebra reproduces. But the first three rounds only set the
limits of the next one: if both ends of an interval that is certain to contain the
rms select the same pixels, the rms itself is not needed. The pass for the last
round also counts the pixels in the bins that follow from an estimate of its rms;
they are nearly always those that follow from the rms itself. On an ACS/WFC chip,
two passes replace nine.

Sums in double are rounded, here in another order than in the reference, and in yet
another by the C kernel (`loops`). No result depends on that: a mean or an rms is
used only if all sums within the bounds of both rounding errors give the same
float32 value. Otherwise, as for about one chip in a thousand, the reference
measures the round.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.statistics import loops
from staticmask_cli.statistics.histogram import Bins, bins_of, count
from staticmask_cli.statistics.numpy_loops import MOST_BINS
from staticmask_cli.statistics.rounds import (
    BLOCK,
    NOTHING,
    ROUNDS,
    Clipped,
    Float32s,
    Limits,
    clipped,
    measure_round,
    next_limits,
    sum_of_squares,
)

# Minimum size of the strided sample from which the core is estimated.
_SAMPLE = 4096
# Half width of the core, in units of half the sample's 16 to 84 % range: inside
# the last round's limits of 3 rms for all usable data. If it were wider, limits
# would cut it and require whole passes; if narrower, the tails would get long.
_CORE = 2.6
# With a larger share of pixels in the tails, using a core does not pay.
_LONGEST_TAILS = 0.125

# Bounds of relative errors. float32 rounds each difference and each square to
# 2**-24, so the error of a square is slightly above 3 x 2**-24 at most; the
# float32 rms is rounded once more. Sums of squares in double are accurate to 1e-11
# of the sum of absolute terms for up to 2**33 pixels, in any order used here.
_SQUARES_ERROR = 3.1 * 2.0**-24
_ROUNDING = 2.0**-23
_SUM_ERROR = 1e-11
_UNDERFLOW = 1.5e-45  # largest error of a square that underflows in float32

# A sum in double is accurate to 2**-53 of the sum of absolute values for each
# addition that a value takes part in. NumPy sums in pairs, at most 30 additions,
# but a float32 array in pieces of 8192; `measure_round` adds its blocks up one by
# one. The kernel sums 1024 values in eight lanes. All that, here and in the
# reference, is less than
_ADDITIONS = 400
_PIECE = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Clipping:
    """The result of clipping an array.

    Attributes
    ----------
    last : Clipped
        Statistics of the last round.
    finite : ndarray of float32
        The finite pixels: the array itself if all are finite.
    lowest : float
        The lowest finite pixel; NaN if there is none.
    bins : Bins or None
        The bins of the histogram; None if it has one bin.
    counts : Counter
        Number of pixels in each bin; empty bins may be absent.
    """

    last: Clipped
    finite: Float32s
    lowest: float
    bins: Bins | None = None
    counts: Counter[int] = field(default_factory=Counter)


def clip(pixels: Float32s) -> Clipping:
    """Run all rounds of clipping, and make the histogram.

    The limits of each round are mean +- 3 rms of the previous one, within the
    range of the array. They always start from the range of the array, so that
    they need not lie inside the previous limits.

    Parameters
    ----------
    pixels : ndarray of float32
        One-dimensional. Pixels that are not finite are ignored.

    Returns
    -------
    Clipping

    Examples
    --------
    >>> pixels = np.array([9, 10, 10, 11, np.nan] * 10 + [1000], dtype=np.float32)
    >>> found = clip(pixels)
    >>> found.last.n, found.last.mean, found.finite.size, found.lowest
    (40, 10.0, 41, 9.0)
    """
    first = float(pixels[0]) if pixels.size else math.nan
    core = _split(pixels)
    if not (math.isfinite(core.lower) and math.isfinite(core.upper)):
        core = _split(pixels[np.isfinite(pixels)])
    if not core.pixels.size:
        return Clipping(last=NOTHING, finite=core.pixels, lowest=math.nan)
    limits = core.lower, core.upper
    for rounds_left in range(ROUNDS - 1, 0, -1):
        limits = _next_limits(core, limits, first, is_last=rounds_left == 1)
    measured = _round(core, limits, first)
    bins, counts = bins_of(measured.round), measured.counts
    if bins != measured.bins:
        counts = count(core.pixels, bins) if bins else Counter()
    return Clipping(
        last=measured.round, finite=core.pixels, lowest=core.lower, bins=bins, counts=counts
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Core:
    """An array split into a core, of which only sums are stored, and the pixels of its tails.

    Attributes
    ----------
    pixels : ndarray of float32
        The whole array.
    lower, upper : float
        Its range; not finite if any pixel is not.
    low, high : float
        Range of the core; low > high without a core.
    below, above : int
        Number of pixels in the lower and upper tail.
    n, total, squares : int, float, float
        Number of pixels in the core, their sum, the sum of their squares.
    clipped_squares : float
        Sum of the squares of all pixels, clipped to the core: the size of the terms
        from which the sums were computed.
    tails : ndarray of float32
        The pixels outside the core.
    """

    pixels: Float32s
    lower: float
    upper: float
    low: float = math.inf
    high: float = -math.inf
    below: int = 0
    above: int = 0
    n: int = 0
    total: float = 0.0
    squares: float = 0.0
    clipped_squares: float = 0.0
    tails: Float32s

    def is_inside(self, limits: Limits) -> bool:
        """Return whether there is a core that lies within limits."""
        return limits[0] <= self.low <= self.high <= limits[1]

    def tails_inside(self, limits: Limits) -> Float32s:
        """Return the pixels of the tails within limits, inclusive."""
        # Twice as fast as by an array of bool.
        return self.tails.take(np.flatnonzero(self._are_inside(limits)))

    def n_inside(self, limits: Limits) -> int:
        """Return the number of pixels of the tails within limits, inclusive."""
        return int(np.count_nonzero(self._are_inside(limits)))

    def _are_inside(self, limits: Limits) -> NDArray[np.bool_]:
        inside: NDArray[np.bool_] = self.tails >= np.float32(limits[0])
        inside &= self.tails <= np.float32(limits[1])
        return inside


def _split(pixels: Float32s) -> _Core:
    """Split an array into core and tails; without a useful core, return only its range."""
    low, high = _core_range(pixels)
    longest = int(_LONGEST_TAILS * pixels.size)
    found = loops.chosen().split(pixels, low, high, longest) if low <= high else None
    if found is None:
        lower, upper = pixels.min(initial=np.inf), pixels.max(initial=-np.inf)
        return _Core(pixels=pixels, lower=float(lower), upper=float(upper), tails=pixels[:0])
    tails, total, squares = found
    below, above = int(np.count_nonzero(tails < low)), int(np.count_nonzero(tails > high))
    return _Core(
        pixels=pixels,
        lower=float(tails.min() if below else pixels.min()),
        upper=float(tails.max() if above else pixels.max()),
        low=float(low),
        high=float(high),
        below=below,
        above=above,
        n=pixels.size - tails.size,
        # The sums include the tails, clipped to the ends of the core.
        total=total - below * float(low) - above * float(high),
        squares=squares - below * float(low) ** 2 - above * float(high) ** 2,
        clipped_squares=squares,
        tails=tails,
    )


def _core_range(pixels: Float32s) -> tuple[np.float32, np.float32]:
    """Estimate the range of the core from a sample; low > high if it has no use.

    Its ends are pixel values, so that sums of integers remain exact.
    """
    sample = np.sort(pixels[:: max(1, pixels.size // _SAMPLE)])
    sample = sample[np.isfinite(sample)]
    if sample.size:
        left, middle, right = (float(sample[int(q * (sample.size - 1))]) for q in (0.16, 0.5, 0.84))
        width = _CORE * (right - left) / 2
        place_low = int(np.searchsorted(sample, np.float32(middle - width)))
        place_high = int(np.searchsorted(sample, np.float32(middle + width), side="right")) - 1
        low, high = sample[place_low], sample[place_high]
        if np.isfinite(np.square(high - low)):
            return low, high
    return np.float32(np.inf), np.float32(-np.inf)


def _next_limits(core: _Core, limits: Limits, first: float, *, is_last: bool) -> Limits:
    """Return the limits that follow from a round within `limits`.

    They may differ from imagestats' as long as they select the same pixels.
    """
    array_range = core.lower, core.upper
    if core.is_inside(limits):
        means, rmss = _ranges(core, core.tails_inside(limits))
        # Limits inside all possible ones, and limits outside all of them.
        narrow, wide = (
            (next_limits(array_range, mean, rms)[0], next_limits(array_range, other, rms)[1])
            for mean, other, rms in ((means[1], means[0], rmss[0]), (means[0], means[1], rmss[1]))
        )
        is_decided = (
            # If the first pixel is outside the last round's limits, they become
            # its range and must be exact.
            (not is_last or narrow[0] <= first <= narrow[1])
            and core.is_inside(narrow)
            and core.n_inside(wide) == core.n_inside(narrow)
        )
        if is_decided:
            return narrow
    exact = _round(core, limits, first).round
    return next_limits(array_range, exact.mean, exact.rms)


def _ranges(core: _Core, inside: Float32s) -> tuple[Limits, Limits]:
    """Return bounds of a round's mean and of its rms.

    The mean's follow from the rounding of sums in double, here and in the reference.
    The rms' follow from sum((x - mean)^2) = sum(x^2) - 2 mean sum(x) + n mean^2 over
    the core, and the rounding to float32 in the reference.

    Parameters
    ----------
    core : _Core
        The core, which lies inside the round's limits.
    inside : ndarray of float32
        The pixels of the tails inside the round's limits.
    """
    n = core.n + inside.size
    total = core.total + float(inside.sum(dtype=np.float64))
    # sum(|x|) over the clipped array is at most sqrt(n sum(x^2)).
    absolute = math.sqrt(core.pixels.size * core.clipped_squares)
    absolute += float(np.abs(inside).sum(dtype=np.float64))
    additions = _ADDITIONS + core.pixels.size / BLOCK + inside.size / _PIECE
    error = 2.0**-53 * additions * absolute
    means = float(np.float32((total - error) / n)), float(np.float32((total + error) / n))
    smallest, largest = math.inf, 0.0
    for mean in {*means}:
        terms = core.squares, -2 * mean * core.total, core.n * mean**2
        core_squares = sum(terms)
        slack = _SUM_ERROR * (core.clipped_squares + sum(map(abs, terms)))
        slack += _SQUARES_ERROR * core_squares + n * _UNDERFLOW
        squares = core_squares + sum_of_squares(inside, mean)
        smallest = min(smallest, math.sqrt(max(0.0, squares - slack) / max(1, n - 1)))
        largest = max(largest, math.sqrt((squares + slack) / max(1, n - 1)))
    return means, (smallest * (1 - _ROUNDING), largest * (1 + _ROUNDING))


@dataclass(frozen=True, slots=True)
class _Measured:
    """An exact round, and the counts in the bins that follow from an estimate of its rms."""

    round: Clipped
    bins: Bins | None = None
    counts: Counter[int] = field(default_factory=Counter)


def _round(core: _Core, limits: Limits, first: float) -> _Measured:
    """Measure the pixels within limits, by the core or else as the reference does."""
    measured = _round_by_core(core, limits, first) if core.is_inside(limits) else None
    return measured or _Measured(measure_round(core.pixels, limits, first))


def _round_by_core(core: _Core, limits: Limits, first: float) -> _Measured | None:
    """Measure a round with one pass over the core; None if only the reference is certain."""
    inside = core.tails_inside(limits)
    extremes = float(inside.min(initial=np.inf)), float(inside.max(initial=-np.inf))
    (mean, other_mean), rms_range = _ranges(core, inside)
    if mean != other_mean or not (extremes[0] < core.low and core.high < extremes[1]):
        return None

    def with_squares(squares: float) -> Clipped:
        return clipped(n, np.float32(mean), max(0.0, squares), extremes, limits, first)

    n = core.n + inside.size
    bins = bins_of(with_squares((sum(rms_range) / 2) ** 2 * (n - 1)))
    of_clipped, counts = _pass_over(core, np.float32(mean), bins)
    of_tails = sum_of_squares(inside, mean)
    ends = np.square(np.array([core.low, core.high], dtype=np.float32) - np.float32(mean))
    squares = of_clipped - core.below * float(ends[0]) - core.above * float(ends[1]) + of_tails
    error = _SUM_ERROR * (of_clipped + of_tails)
    found = with_squares(squares + error)
    if not math.isfinite(squares) or found != with_squares(squares - error):
        return None
    return _Measured(found, None if counts is None else bins, counts or Counter())


def _pass_over(
    core: _Core, mean: np.float32, bins: Bins | None
) -> tuple[float, Counter[int] | None]:
    """Return sum((x - mean)^2) over the clipped array, and the counts of the whole array.

    The counts are None if the core cannot be counted in few bins.
    """
    low, high = np.float32(core.low), np.float32(core.high)
    sum_and_count = loops.chosen().squares_and_counts
    if bins is None or not bins.origin <= low <= high < bins.edge or bins.of(high) >= MOST_BINS:
        squares, _ = sum_and_count(core.pixels, low, high, mean, low, np.float32(0), 1)
        return squares, None
    first, last = int(bins.of(low)), int(bins.of(high))
    squares, table = sum_and_count(core.pixels, low, high, mean, bins.origin, bins.scale, last + 1)
    table[first] -= core.below
    table[last] -= core.above
    counts = count(core.tails, bins)
    counts.update({k: n for k, n in enumerate(table.tolist()) if k < bins.n})
    return squares, counts
