"""The plain definition of a round of clipping: mean and rms of the pixels inside limits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float32s = NDArray[np.float32]
Limits = tuple[float, float]  # float32 values

ROUNDS = 4  # a first one without limits, then three of clipping
CLIP = 3.0  # rms to either side of the mean

# Pixels to a pass: small enough that a block and its intermediates stay in
# cache, large enough that threads seldom wait for one another between NumPy's
# operations: on two cores 65536 took a third longer.
BLOCK = 262144


@dataclass(frozen=True, slots=True, kw_only=True)
class Clipped:
    """What lay inside the limits of a round.

    Attributes
    ----------
    n : int
        Pixels.
    mean, rms : float
        float32 values; NaN if there are too few pixels.
    lowest, highest : float
        The round's range, from which imagestats builds its histogram.
    """

    n: int
    mean: float
    rms: float
    lowest: float
    highest: float


NOTHING = Clipped(n=0, mean=math.nan, rms=math.nan, lowest=math.nan, highest=math.nan)


def blocks(values: Float32s) -> Iterator[Float32s]:
    """Yield a flat array in blocks of at most `BLOCK` pixels."""
    for start in range(0, values.size, BLOCK):
        yield values[start : start + BLOCK]


def next_limits(array_range: Limits, mean: float, rms: float) -> Limits:
    """Return the limits that follow from a round: mean -+ 3 rms, within the array's range."""
    # As Python's max and min do it: a NaN does not replace the array's range.
    low = max(array_range[0], mean - CLIP * rms)
    high = min(array_range[1], mean + CLIP * rms)
    return float(np.float32(low)), float(np.float32(high))


def sum_of_squares(values: Float32s, mean: float | np.float32) -> float:
    """Return sum((x - mean)^2): difference and square in float32, sum in double."""
    return float(np.square(values - np.float32(mean)).sum(dtype=np.float64))


def measure_round(pixels: Float32s, limits: Limits, first: float) -> Clipped:
    """Measure the pixels inside limits, ends included, by looking at all of them.

    ::

        mean = float32(sum(x) / n)
        rms = float32(sqrt(sum((x - mean)**2) / (n - 1)))

    with sums in double, differences and squares in float32 (``computeMean.c``
    of stsci.imagestats 1.8.4).
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
    """Put a round's result together."""
    rms = np.float32(math.sqrt(squares / (n - 1))) if n > 1 else np.float32(np.nan)
    # imagestats begins its search for the extremes at the array's first pixel,
    # brought inside the limits; the pixels inside can only move it outwards.
    return Clipped(
        n=n,
        mean=float(mean),
        rms=float(rms),
        lowest=limits[0] if first < limits[0] else extremes[0],
        highest=limits[1] if first > limits[1] else extremes[1],
    )
