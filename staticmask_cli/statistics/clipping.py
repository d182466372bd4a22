"""Fast clipping: mean and rms of the pixels near the sky.

Arrays in, numbers out. `rounds.measure_round` is the reference definition of a
round; this module computes the same numbers with fewer passes over the array.

Nearly all pixels of a chip lie in a narrow core around the sky, inside the
limits of every round, so that their count and sum need to be computed only once.
Each round examines only the others, the tails. The rms requires a pass over the
core for every new mean, because its differences and squares are rounded to
float32, which no algebra reproduces. But the first three rounds only set the
limits of the next one: if both ends of an interval that is certain to contain the
rms select the same pixels, the rms itself is not needed. On an ACS/WFC chip, this
replaces eight passes by two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.statistics.rounds import (
    BLOCK,
    NOTHING,
    ROUNDS,
    Clipped,
    Float32s,
    Limits,
    blocks,
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
_CORE = 2.5
# With a larger share of pixels in the tails, using a core does not pay.
_LONGEST_TAILS = 0.125

_ROW = 8192  # doubles per BLAS call; OpenBLAS uses threads above 10000

# Bounds of relative errors. float32 rounds each difference and each square to
# 2**-24, so the error of a square is slightly above 3 x 2**-24 at most; the
# float32 rms is rounded once more. Sums in double are accurate to 1e-11 of the
# sum of absolute terms for any array that fits in memory.
_SQUARES_ERROR = 3.1 * 2.0**-24
_ROUNDING = 2.0**-23
_SUM_ERROR = 1e-11
_UNDERFLOW = 1.5e-45  # largest error of a square that underflows in float32


def clip(pixels: Float32s) -> tuple[Clipped, Float32s, float]:
    """Run all rounds of clipping.

    The limits of each round are mean +- 3 rms of the previous one, within the
    range of the array. They always start from the range of the array, so that
    they need not lie inside the previous limits.

    Parameters
    ----------
    pixels : ndarray of float32
        One-dimensional. Pixels that are not finite are ignored.

    Returns
    -------
    last : Clipped
        Statistics of the last round.
    finite : ndarray of float32
        The finite pixels: `pixels` itself if all are finite.
    lowest : float
        The lowest finite pixel; NaN if there is none.

    Examples
    --------
    >>> pixels = np.array([9, 10, 10, 11, np.nan] * 10 + [1000], dtype=np.float32)
    >>> last, finite, lowest = clip(pixels)
    >>> last.n, last.mean, finite.size, lowest
    (40, 10.0, 41, 9.0)
    """
    if not pixels.size:
        return NOTHING, pixels, math.nan
    first = float(pixels[0])
    core = _split(pixels)
    if not (math.isfinite(core.lower) and math.isfinite(core.upper)):
        pixels = pixels[np.isfinite(pixels)]
        if not pixels.size:
            return NOTHING, pixels, math.nan
        core = _split(pixels)
    limits = core.lower, core.upper
    for rounds_left in range(ROUNDS - 1, 0, -1):
        limits = _next_limits(core, pixels, limits, first, is_last=rounds_left == 1)
    return _round(core, pixels, limits, first), pixels, core.lower


@dataclass(frozen=True, slots=True, kw_only=True)
class _Core:
    """An array split into a core, of which only sums are stored, and the pixels of its tails.

    Attributes
    ----------
    lower, upper : float
        Range of the whole array; not finite if any pixel is not.
    low, high : float
        Range of the core; low > high without a core.
    below, above : int
        Number of pixels in the lower and upper tail.
    n, total, squares : int, float, float
        Number of pixels in the core, their sum, the sum of their squares.
    tails : ndarray of float32
        The pixels outside the core.
    """

    lower: float
    upper: float
    low: float = math.inf
    high: float = -math.inf
    below: int = 0
    above: int = 0
    n: int = 0
    total: float = 0.0
    squares: float = 0.0
    tails: Float32s

    def is_inside(self, limits: Limits) -> bool:
        """Return whether there is a core that lies within limits."""
        return limits[0] <= self.low <= self.high <= limits[1]

    def tails_inside(self, limits: Limits) -> Float32s:
        """Return the pixels of the tails within limits, inclusive."""
        low, high = np.float32(limits[0]), np.float32(limits[1])
        return self.tails[(self.tails >= low) & (self.tails <= high)]


def _split(pixels: Float32s) -> _Core:
    """Split an array into core and tails; without a useful core, return only its range."""
    low, high = _core_range(pixels)
    total = squares = 0.0
    parts: list[Float32s] = []
    longest = _LONGEST_TAILS * pixels.size if low <= high else -1
    work, doubles, differs = _scratch(pixels.size)
    for block in blocks(pixels):
        size = block.size
        # Clipping changes only the tails; a NaN differs from itself.
        np.clip(block, low, high, out=work[:size])
        np.not_equal(work[:size], block, out=differs[:size])
        parts.append(block[differs[:size]])
        longest -= parts[-1].size
        if longest < 0:
            empty = pixels[:0]
            lower, upper = float(pixels.min()), float(pixels.max())
            return _Core(lower=lower, upper=upper, tails=empty)
        np.copyto(doubles[:size], work[:size])
        total += float(doubles[:size].sum())
        squares += _dot(doubles[:size])
    tails = np.concatenate(parts)
    below, above = int(np.count_nonzero(tails < low)), int(np.count_nonzero(tails > high))
    return _Core(
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
        tails=tails,
    )


def _dot(values: NDArray[np.float64]) -> float:
    """Return sum(x^2), in rows short enough that BLAS starts no threads of its own."""
    rows = values[: values.size // _ROW * _ROW].reshape(-1, _ROW)
    rest = values[rows.size :]
    return float(np.vecdot(rows, rows).sum() + np.dot(rest, rest))


def _core_range(pixels: Float32s) -> tuple[np.float32, np.float32]:
    """Estimate the range of the core from a sample.

    Its ends are pixel values, so that sums of integers remain exact.
    """
    sample = np.sort(pixels[:: max(1, pixels.size // _SAMPLE)])
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        return np.float32(np.inf), np.float32(-np.inf)
    left, middle, right = (float(sample[int(q * (sample.size - 1))]) for q in (0.16, 0.5, 0.84))
    width = _CORE * (right - left) / 2
    place_low = int(np.searchsorted(sample, np.float32(middle - width)))
    place_high = int(np.searchsorted(sample, np.float32(middle + width), side="right")) - 1
    return sample[place_low], sample[place_high]


def _scratch(size: int) -> tuple[Float32s, NDArray[np.float64], NDArray[np.bool_]]:
    """Return work arrays of one block for each type."""
    size = min(size, BLOCK)
    return np.empty(size, np.float32), np.empty(size, np.float64), np.empty(size, np.bool_)


def _next_limits(
    core: _Core, pixels: Float32s, limits: Limits, first: float, *, is_last: bool
) -> Limits:
    """Return the limits that follow from a round within `limits`.

    They may differ from imagestats' as long as they select the same pixels.
    """
    if core.is_inside(limits):
        mean, *rms_range = _mean_and_rms_range(core, limits)
        narrow, wide = (next_limits((core.lower, core.upper), mean, rms) for rms in rms_range)
        undecided = (
            # If the first pixel is outside the last round's limits, they become
            # its range and must be exact.
            (is_last and not narrow[0] <= first <= narrow[1])
            or not core.is_inside(narrow)
            or core.tails_inside(wide).size != core.tails_inside(narrow).size
        )
        if not undecided:
            return narrow
    exact = _round(core, pixels, limits, first)
    return next_limits((core.lower, core.upper), exact.mean, exact.rms)


def _mean_and_rms_range(core: _Core, limits: Limits) -> tuple[float, float, float]:
    """Return a round's mean, and lower and upper bounds of its rms.

    They follow from sum((x - mean)^2) = sum(x^2) - 2 mean sum(x) + n mean^2 over
    the core, with bounds for the rounding errors here and in imagestats.
    """
    inside = core.tails_inside(limits)
    n = core.n + inside.size
    mean = float(np.float32((core.total + float(inside.sum(dtype=np.float64))) / n))
    terms = core.squares, -2 * mean * core.total, core.n * mean**2
    core_squares = sum(terms)
    slack = _SUM_ERROR * sum(map(abs, terms)) + _SQUARES_ERROR * core_squares + n * _UNDERFLOW
    squares = core_squares + sum_of_squares(inside, mean)
    largest = math.sqrt((squares + slack) / max(1, n - 1)) * (1 + _ROUNDING)
    smallest = math.sqrt(max(0.0, squares - slack) / max(1, n - 1)) * (1 - _ROUNDING)
    return mean, smallest, largest


def _round(core: _Core, pixels: Float32s, limits: Limits, first: float) -> Clipped:
    """Measure the pixels within limits, with one pass over the core if they do not cut it."""
    if not core.is_inside(limits):
        return measure_round(pixels, limits, first)
    inside = core.tails_inside(limits)
    lowest = float(inside.min(initial=np.inf))
    highest = float(inside.max(initial=-np.inf))
    n = core.n + inside.size
    mean = np.float32((core.total + float(inside.sum(dtype=np.float64))) / n)
    squares = _core_squares(core, pixels, mean) + sum_of_squares(inside, mean)
    if not (lowest < core.low and core.high < highest and math.isfinite(squares)):
        return measure_round(pixels, limits, first)  # the range ends in the core, or overflow
    return clipped(n, mean, squares, (lowest, highest), limits, first)


def _core_squares(core: _Core, pixels: Float32s, mean: np.float32) -> float:
    """Return sum((x - mean)^2) over the core."""
    total = 0.0
    work, doubles, _ = _scratch(pixels.size)
    low, high = np.float32(core.low), np.float32(core.high)
    for block in blocks(pixels):
        part = work[: block.size]
        np.clip(block, low, high, out=part)
        np.subtract(part, mean, out=part)
        np.multiply(part, part, out=part)
        np.copyto(doubles[: block.size], part)
        total += float(doubles[: block.size].sum())
    ends = np.square(np.array([low, high]) - mean)
    return total - core.below * float(ends[0]) - core.above * float(ends[1])
