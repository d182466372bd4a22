"""The reference definition of a clipping round: mean and rms of the pixels within limits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float32s = NDArray[np.float32]
Limits = tuple[float, float]  # float32 values

ROUNDS = 4  # a first one without limits, then three of clipping
CLIP = 3.0  # rms on either side of the mean

# Pixels per block: small enough that a block and its intermediate arrays stay in
# cache, large enough that threads seldom wait for each other between NumPy
# operations. On two cores, 65536 took a third longer.
BLOCK = 262144


@dataclass(frozen=True, slots=True, kw_only=True)
class Clipped:
    """Statistics of the pixels within the limits of one round.

    Attributes
    ----------
    n : int
        Number of pixels.
    mean, rms : float
        Their mean and rms, float32 values; NaN if there are too few pixels.
    lowest, highest : float
        Range of the round, from which imagestats builds its histogram.
    """

    n: int
    mean: float
    rms: float
    lowest: float
    highest: float


NOTHING = Clipped(n=0, mean=math.nan, rms=math.nan, lowest=math.nan, highest=math.nan)


def blocks(values: Float32s) -> Iterator[Float32s]:
    """Yield a flat array in blocks of at most `BLOCK` pixels.

    Examples
    --------
    >>> [block.size for block in blocks(np.zeros(BLOCK + 3, np.float32))] == [BLOCK, 3]
    True
    """
    for start in range(0, values.size, BLOCK):
        yield values[start : start + BLOCK]


def next_limits(array_range: Limits, mean: float, rms: float) -> Limits:
    """Return the limits of the next round: mean +- 3 rms, within the array's range.

    Examples
    --------
    >>> next_limits((0.0, 100.0), mean=20.0, rms=10.0)
    (0.0, 50.0)
    """
    # Python's max and min ignore a NaN as the second argument, and keep the array's range.
    low = max(array_range[0], mean - CLIP * rms)
    high = min(array_range[1], mean + CLIP * rms)
    return float(np.float32(low)), float(np.float32(high))


def sum_of_squares(values: Float32s, mean: float | np.float32) -> float:
    """Return sum((x - mean)^2): difference and square in float32, sum in double.

    Examples
    --------
    >>> sum_of_squares(np.array([1, 2, 6], dtype=np.float32), mean=3.0)
    14.0
    """
    return float(np.square(values - np.float32(mean)).sum(dtype=np.float64))


def measure_round(pixels: Float32s, limits: Limits, first: float) -> Clipped:
    """Measure the pixels within limits (inclusive), in passes over the whole array.

    ::

        mean = float32(sum(x) / n)
        rms = float32(sqrt(sum((x - mean)**2) / (n - 1)))

    with sums in double, differences and squares in float32 (``computeMean.c``
    of stsci.imagestats 1.8.4).

    Parameters
    ----------
    pixels : ndarray of float32
        One-dimensional and finite.
    limits : tuple of float
        Lower and upper limit.
    first : float
        First pixel of the original array, which may not be finite.

    Examples
    --------
    >>> pixels = np.array([1, 2, 6, 99], dtype=np.float32)
    >>> found = measure_round(pixels, limits=(0.0, 10.0), first=1.0)
    >>> found.n, found.mean, found.lowest, found.highest
    (3, 3.0, 1.0, 6.0)
    """
    n, total, squares = 0, 0.0, 0.0
    lowest, highest = math.inf, -math.inf
    low, high = np.float32(limits[0]), np.float32(limits[1])
    for block in blocks(pixels):
        inside = block[(block >= low) & (block <= high)]
        n += inside.size
        total += float(inside.sum(dtype=np.float64))
        lowest = min(lowest, float(inside.min(initial=np.inf)))
        highest = max(highest, float(inside.max(initial=-np.inf)))
    if n == 0:
        return NOTHING
    mean = np.float32(total / n)
    for block in blocks(pixels):
        squares += sum_of_squares(block[(block >= low) & (block <= high)], mean)
    return clipped(n, mean, squares, (lowest, highest), limits, first)


def clipped(
    n: int, mean: np.float32, squares: float, extremes: Limits, limits: Limits, first: float
) -> Clipped:
    """Return the statistics of a round from its sums.

    Examples
    --------
    >>> found = clipped(3, np.float32(3), 14.0, (1.0, 6.0), (0.0, 10.0), first=99.0)
    >>> found.rms, found.highest
    (2.6457512378692627, 10.0)
    """
    rms = np.float32(math.sqrt(squares / (n - 1))) if n > 1 else np.float32(np.nan)
    # imagestats starts its search for the extremes at the array's first pixel,
    # clamped to the limits; pixels within the limits can only widen the range.
    return Clipped(
        n=n,
        mean=float(mean),
        rms=float(rms),
        lowest=limits[0] if first < limits[0] else extremes[0],
        highest=limits[1] if first > limits[1] else extremes[1],
    )
