"""The inner loops of the statistics and of the fingerprint, in plain NumPy.

Arrays in, numbers and new arrays out. `_kernel.c` has the same functions for
processors with AVX2, and `loops` chooses between the two. The results of both are
equal, except for sums in double, which they may round differently.
"""

from __future__ import annotations

import math
import threading

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.statistics.rounds import BLOCK, Float32s, blocks

NAME = "NumPy"

#: Largest number of bins, so that a bin fits in 8 bits and a pair of bins in 16.
MOST_BINS = 255

Words = NDArray[np.uint64]
Doubles = NDArray[np.float64]

_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, so that multiplication is invertible
_HALF = np.uint64(32)
_ROW = 8192  # doubles per BLAS call; OpenBLAS uses threads above 10000
_kept = threading.local()


def mix(words: Words) -> Words:
    """Combine the words of each lane by addition, multiplication and a shift.

    Parameters
    ----------
    words : ndarray of uint64
        Rows x lanes.

    Returns
    -------
    ndarray of uint64
        One word for each lane: 0 if there are no rows.

    Examples
    --------
    >>> mix(np.array([[1, 2], [3, 4]], dtype=np.uint64)).tolist()
    [9636871851626279103, 5746778122848294605]
    """
    lanes = np.zeros(words.shape[1], dtype=np.uint64)
    high = np.empty_like(lanes)
    for row in words:
        np.add(lanes, row, out=lanes)
        np.multiply(lanes, _FACTOR, out=lanes)
        # Products do not carry high bits down, so that two words could be exchanged.
        np.right_shift(lanes, _HALF, out=high)
        np.bitwise_xor(lanes, high, out=lanes)
    return lanes


def split(
    pixels: Float32s, low: np.float32, high: np.float32, longest: int
) -> tuple[Float32s, float, float] | None:
    """Find the pixels outside a range, and sum all pixels, clipped to the range.

    Parameters
    ----------
    pixels : ndarray of float32
        One-dimensional.
    low, high : float32
        The range, inclusive.
    longest : int
        The largest number of pixels outside the range.

    Returns
    -------
    tails : ndarray of float32
        The pixels outside the range, in their order; NaN is outside.
    total, squares : float
        Sums of the clipped pixels and of their squares, in double. Meaningless
        if a pixel is NaN.

    None if more than `longest` pixels are outside the range.

    Examples
    --------
    >>> pixels = np.array([1, 7, 3, 4], dtype=np.float32)
    >>> tails, total, squares = split(pixels, np.float32(3), np.float32(5), longest=2)
    >>> tails.tolist(), total, squares
    ([1.0, 7.0], 15.0, 59.0)
    """
    tails, n_tails = np.empty(longest, dtype=np.float32), 0
    totals, squares = [], []
    for block in blocks(pixels):
        clipped, doubles, small = _scratch(block.size)
        np.clip(block, low, high, out=clipped)
        # Clipping changes only the tails; a NaN differs from itself.
        is_tail = np.not_equal(clipped, block, out=small.view(np.bool_))
        places = np.flatnonzero(is_tail)
        if n_tails + places.size > longest:
            return None
        # Twice as fast as block[is_tail]; mode="clip" writes without a copy.
        block.take(places, out=tails[n_tails : n_tails + places.size], mode="clip")
        n_tails += places.size
        np.copyto(doubles, clipped)
        totals.append(float(doubles.sum()))
        squares.append(_sum_of_squares(doubles))
    return tails[:n_tails], math.fsum(totals), math.fsum(squares)


def squares_and_counts(
    pixels: Float32s,
    low: np.float32,
    high: np.float32,
    mean: np.float32,
    origin: np.float32,
    scale: np.float32,
    n_bins: int,
) -> tuple[float, NDArray[np.int64]]:
    """Clip all pixels to a range; sum their squares about a mean, and count them in bins.

    Parameters
    ----------
    pixels : ndarray of float32
        One-dimensional and finite.
    low, high : float32
        The range, inclusive.
    mean : float32
        The mean.
    origin, scale : float32
        The bin of a pixel is int(scale * (pixel - origin)), in float32.
    n_bins : int
        Number of bins, at most `MOST_BINS`. `low` and `high` must be in one of them.

    Returns
    -------
    squares : float
        Sum of (pixel - mean)**2: difference and square in float32, sum in double.
        Not finite if any of them overflows.
    counts : ndarray of int64
        Number of pixels in each bin.

    Examples
    --------
    >>> pixels = np.array([1, 7, 3, 4], dtype=np.float32)
    >>> low, high, mean, origin, scale = np.float32([3, 5, 4, 2, 1])
    >>> squares, counts = squares_and_counts(pixels, low, high, mean, origin, scale, 4)
    >>> squares, counts.tolist()
    (3.0, [0, 2, 1, 1])
    """
    squares = []
    counts = np.zeros(n_bins, dtype=np.int64)
    # Bins are counted in pairs, each pair as one integer.
    table = np.zeros(n_bins * n_bins, dtype=np.int64)
    for block in blocks(pixels):
        part, doubles, bins = _scratch(block.size)
        half = block.size // 2
        # The memory of `doubles` serves three steps before the squares need it.
        places = doubles.view(np.float32)[: block.size]
        numbers, pairs = doubles[:half].view(np.intp), doubles[half:].view(np.uint16)[:half]
        np.clip(block, low, high, out=part)
        np.subtract(part, origin, out=places)
        np.multiply(places, scale, out=places)
        np.copyto(bins, places, casting="unsafe")
        np.multiply(bins[:half], np.uint16(n_bins), out=pairs, dtype=np.uint16)
        # Converted to the integer type of bincount() here: bincount() itself would
        # convert them while holding the GIL.
        np.add(pairs, bins[half : 2 * half], out=numbers, casting="unsafe")
        table += np.bincount(numbers, minlength=table.size)
        counts[bins[2 * half :]] += 1
        np.subtract(part, mean, out=part)
        np.multiply(part, part, out=part)
        np.copyto(doubles, part)
        squares.append(float(doubles.sum()))
    square = table.reshape(n_bins, n_bins)
    counts += square.sum(axis=0) + square.sum(axis=1)
    return math.fsum(squares), counts


def _sum_of_squares(values: Doubles) -> float:
    """Return sum(x^2), in rows short enough that BLAS starts no threads of its own."""
    rows = values[: values.size // _ROW * _ROW].reshape(-1, _ROW)
    rest = values[rows.size :]
    return float(np.vecdot(rows, rows).sum() + np.dot(rest, rest))


def _scratch(size: int) -> tuple[Float32s, Doubles, NDArray[np.uint8]]:
    """Return work arrays from this thread's memory, at most a block of each type.

    Allocating them for every chip would take as long as some of the operations.
    """
    if not hasattr(_kept, "floats"):
        _kept.floats = np.empty(BLOCK, dtype=np.float32)
        _kept.doubles = np.empty(BLOCK, dtype=np.float64)
        _kept.bytes = np.empty(BLOCK, dtype=np.uint8)
    return _kept.floats[:size], _kept.doubles[:size], _kept.bytes[:size]
