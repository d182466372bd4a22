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
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.statistics.clipping import clip
from staticmask_cli.statistics.rounds import BLOCK, Clipped, Float32s, blocks

BIN_WIDTH = 0.1  # rms
_SMALLEST_WIDTH = np.float32(10.0) * np.finfo(np.float32).eps

# Beyond this a bin's number does not fit a C int, and imagestats ends in chaos.
_MOST_BINS = 2**31 - 1
# Up to here bins are counted in an array; beyond, only those that hold pixels.
_DENSE_BINS = 2**20
# A strided sample of about so many pixels tells median and noise, to 0.5 % of the noise.
_SAMPLE = 65536
_BELOW_ONE_SIGMA = 0.5 * math.erfc(math.sqrt(0.5))

# Up to here a bin's number fits a byte, and a pair of them 16 bits.
_PAIRED_BINS = 254


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
    all_finite : bool
        Whether every pixel is finite, and took part.
    n_finite : int
        Pixels that are finite.
    lowest : float
        The lowest of them.
    median, noise : float
        Of a sample of them: its median, and how far below
        that a sixth of the sample ends. For Gaussian noise that is one sigma;
        stars and nebulae hardly touch it, as they brighten pixels. If the
        pixels are quantized, half a step is added to the noise.
    """

    n: int
    mean: float
    rms: float
    nbins: int
    mode: float
    is_interpolated: bool
    all_finite: bool
    n_finite: int
    lowest: float
    median: float
    noise: float

    @property
    def is_usable(self) -> bool:
        """Whether there were enough bins for a mode: without it no pixel is low."""
        return self.nbins >= 2  # noqa: PLR2004 - the definition itself

    def threshold(self, static_sig: float) -> float:
        """Return the value below which a pixel is low: mode - static_sig x rms."""
        return self.mode - static_sig * self.rms


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
        last, finite, lowest = clip(values)
        return _with_mode(finite, last, lowest, all_finite=finite.size == values.size)


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
        if not statistics.all_finite:
            low &= pixels >= np.finfo(np.float32).min
    return low


def not_finite_pixels(pixels: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell which pixels are not finite, as float32: those that take no part."""
    with np.errstate(all="ignore"):
        return ~np.isfinite(pixels.astype(np.float32, copy=False))


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


def _with_mode(
    values: Float32s, last: Clipped, lowest: float, *, all_finite: bool
) -> SkyStatistics:
    width = BIN_WIDTH * last.rms
    span = last.highest - last.lowest
    is_one_bin = (
        np.float32(width) < _SMALLEST_WIDTH
        or np.float32(span) < _SMALLEST_WIDTH
        or width > span
        or not math.isfinite(width)
        or span / width >= _MOST_BINS
    )
    nbins = 1 if is_one_bin else int(span / width) + 1
    mode, is_interpolated = math.nan, False
    if nbins > 1:
        place, is_interpolated = _peak(_histogram(values, last.lowest, span, nbins), nbins)
        mode = last.lowest + place * width
    median, noise = _sampled(values)
    return SkyStatistics(
        n=last.n,
        mean=last.mean,
        rms=last.rms,
        nbins=nbins,
        mode=mode,
        is_interpolated=is_interpolated,
        all_finite=all_finite,
        n_finite=values.size,
        lowest=lowest,
        median=median,
        noise=noise,
    )


def _sampled(values: Float32s) -> tuple[float, float]:
    """Return `SkyStatistics.median` and `SkyStatistics.noise`."""
    if not values.size:
        return math.nan, math.nan
    # An odd stride wanders through the columns of a chip, whose width is even.
    sample = np.sort(values[:: (values.size // _SAMPLE) | 1])
    # Of quantized pixels, as counts are, many have one value: it stands for all
    # from half a step below it to half a step above. The noise reaches another
    # half step down, by which the mode of such pixels may be off too. Where
    # hardly two pixels are equal, both are ordinary quantiles.
    lower, value, upper, share = _around(sample, 0.5)
    median = (lower + value) / 2 + share * (upper - lower) / 2
    lower, value, _, share = _around(sample, _BELOW_ONE_SIGMA)
    return median, median - (lower + share * (value - lower))


def _around(sample: Float32s, quantile: float) -> tuple[float, float, float, float]:
    """Return the value at a quantile between its neighbours, and which share of it lies below.

    Where a neighbour is missing, the other one is mirrored.
    """
    place = quantile * sample.size
    value = float(sample[int(place)])
    first, end = (int(np.searchsorted(sample, value, side)) for side in ("left", "right"))
    lower = float(sample[first - 1]) if first else 2 * value - float(sample[end % sample.size])
    upper = float(sample[end]) if end < sample.size else 2 * value - lower
    return lower, value, upper, (place - first) / (end - first)


def _histogram(values: Float32s, lowest: float, span: float, nbins: int) -> dict[int, int]:
    """Count the pixels in bins of dz = span / (nbins - 1), from `lowest` on.

    bin = int((1 / dz) * (value - lowest)), all float32, for values from
    `lowest` to below lowest + dz * nbins. All pixels are counted, also those
    beyond the limits of the last round; a bin number of `nbins`, which
    rounding can bring about, falls away.

    Returns
    -------
    dict
        Bin number to count, for bins that hold pixels. The first and the last
        may be too high where neither is, nor touches, the peak.
    """
    low = np.float32(lowest)
    dz = np.float32(span / (nbins - 1))
    if nbins <= _PAIRED_BINS:
        counts = _count_in_pairs(values, low, np.float32(1.0) / dz, nbins)
        if 2 <= np.argmax(counts) <= nbins - 3:  # noqa: PLR2004 - neighbours within
            return dict(enumerate(counts.tolist()))
    return _count(values, low, dz, nbins)


def _count(values: Float32s, low: np.float32, dz: np.float32, nbins: int) -> dict[int, int]:
    """Count as the definition has it."""
    edge = low + dz * np.float32(nbins)
    scale = np.float32(1.0) / dz
    dense = np.zeros(nbins + 1 if nbins < _DENSE_BINS else 0, dtype=np.int64)
    sparse = []
    for block in blocks(values):
        inside = block[(block >= low) & (block < edge)]
        bins = (scale * (inside - low)).astype(np.int64)
        if dense.size:
            dense += np.bincount(bins, minlength=dense.size)
        else:
            sparse.append(bins)
    if dense.size:
        numbers = np.flatnonzero(dense)
        counts = dense[numbers]
    else:
        numbers, counts = np.unique(np.concatenate(sparse), return_counts=True)
    pairs = zip(numbers.tolist(), counts.tolist(), strict=True)
    return {number: count for number, count in pairs if number < nbins}


def _count_in_pairs(
    values: Float32s, low: np.float32, scale: np.float32, nbins: int
) -> NDArray[np.int64]:
    """Count in fewer operations; the first and the last bin may come out too high.

    Bin numbers are clipped, not selected: pixels below the range count in bin
    0, and those between its end and where rounding lets the last bin end, in
    the last. Two bin numbers at a time are counted, as one number.
    """
    radix = nbins + 1  # the additional bin takes all that lies above
    table = np.zeros(radix * radix, dtype=np.int64)
    work = np.empty(BLOCK, np.float32)
    bins = np.empty(BLOCK, np.uint8)
    pairs = np.empty(BLOCK // 2, np.uint16)
    numbers = np.empty(BLOCK // 2, np.intp)
    for block in blocks(values):
        part = work[: block.size]
        np.subtract(block, low, out=part)
        np.multiply(part, scale, out=part)
        np.clip(part, 0, nbins, out=part)
        np.copyto(bins[: block.size], part, casting="unsafe")
        half = (block.size + 1) // 2
        bins[block.size : 2 * half] = nbins
        np.multiply(bins[:half], np.uint16(radix), out=pairs[:half], dtype=np.uint16)
        # As the integers that bincount() wants: it would convert them while no
        # other thread can run.
        np.add(pairs[:half], bins[half : 2 * half], out=numbers[:half], casting="unsafe")
        table += np.bincount(numbers[:half], minlength=table.size)
    square = table.reshape(radix, radix)
    counts: NDArray[np.int64] = (square.sum(axis=0) + square.sum(axis=1))[:nbins]
    return counts


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
