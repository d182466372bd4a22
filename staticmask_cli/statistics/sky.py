"""The statistics of the sky: clipped mean and rms, histogram, mode, and low pixels.

Arrays in, numbers and new arrays out; inputs are never changed. The arithmetic
reproduces what DrizzlePac 3.11 gets from stsci.imagestats 1.8.4
(``ImageStats(nclip=3, lsig=3, usig=3, binwidth=0.1)``, C sources
``computeMean.c`` and ``buildHistogram.c``), operation by operation and in the
same precision, because a mask pixel can depend on the last bit. The one
deliberate difference: pixels that are not finite are ignored.
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

# With more bins, imagestats overflows a C int.
_MOST_BINS = 2**31 - 1
# With more bins, only those that contain pixels are stored.
_DENSE_BINS = 2**20
# Size of the strided sample from which median and noise are estimated, to 0.5 % of the noise.
_SAMPLE = 65536
_BELOW_ONE_SIGMA = 0.5 * math.erfc(math.sqrt(0.5))

# Up to this number of bins, a bin index fits in 8 bits and a pair of them in 16.
_PAIRED_BINS = 254


@dataclass(frozen=True, slots=True, kw_only=True)
class SkyStatistics:
    """Statistics of a chip's sky, from its clipped pixels, in the unit of the pixels.

    Attributes
    ----------
    n : int
        Number of pixels within the limits of the last round.
    mean, rms : float
        Mean and rms of those pixels; float32 values. NaN if `n` is too small.
    nbins : int
        Bins of the histogram; with fewer than 2 there is no mode.
    mode : float
        Peak of the histogram; NaN if there is no histogram.
    is_interpolated : bool
        Whether the peak was interpolated between bins with a parabola.
    all_finite : bool
        Whether all pixels are finite.
    n_finite : int
        Number of finite pixels.
    lowest : float
        The lowest finite pixel.
    median, noise : float
        Median of a sample of the finite pixels, and its distance to the 16th
        percentile: one sigma for Gaussian noise. Stars and nebulae hardly
        affect it, because they brighten pixels. For quantized pixels, half a
        step is added to the noise.
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
        """Whether the histogram has enough bins for a mode; without one, no pixel is low."""
        return self.nbins >= 2  # noqa: PLR2004 - by definition

    def threshold(self, static_sig: float) -> float:
        """Return the value below which a pixel is low: mode - static_sig x rms."""
        return self.mode - static_sig * self.rms


def sky_statistics(pixels: NDArray[Any]) -> SkyStatistics:
    """Measure the sky of a chip as imagestats does.

    Parameters
    ----------
    pixels : ndarray
        The chip's pixels, of any shape and real type; rounded to float32.

    Returns
    -------
    SkyStatistics

    Examples
    --------
    >>> pixels = np.random.default_rng(1).normal(40, 6, (256, 256))
    >>> found = sky_statistics(pixels)
    >>> round(found.mode), round(found.rms), found.nbins
    (39, 6, 60)
    """
    with np.errstate(all="ignore"):  # 1e30 squared is inf in float32, there and here
        values = np.ascontiguousarray(pixels, dtype=np.float32).reshape(-1)
        last, finite, lowest = clip(values)
        return _with_mode(finite, last, lowest, all_finite=finite.size == values.size)


def low_pixels(
    pixels: NDArray[Any], statistics: SkyStatistics, static_sig: float
) -> NDArray[np.bool_]:
    """Find the pixels that are more than `static_sig` rms below the mode.

    Parameters
    ----------
    pixels : ndarray
        The chip's pixels, in the type of the file: a float64 pixel is compared
        without rounding, unlike in the statistics.
    statistics : SkyStatistics
        Statistics of `pixels`.
    static_sig : float
        Threshold, in rms below the mode.

    Returns
    -------
    ndarray of bool
        Same shape as `pixels`; False for pixels that are not finite, and
        everywhere if the statistics are not usable.

    Examples
    --------
    >>> pixels = np.random.default_rng(1).normal(40, 6, (256, 256))
    >>> pixels[3, 5] = -60
    >>> low = low_pixels(pixels, sky_statistics(pixels), 5.0)
    >>> np.argwhere(low).tolist()
    [[3, 5]]
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
    """Find the pixels that are not finite in float32: those that statistics ignore.

    Examples
    --------
    >>> not_finite_pixels(np.array([1.0, np.nan, np.inf, 1e300])).tolist()
    [False, True, True, True]
    """
    with np.errstate(all="ignore"):
        return ~np.isfinite(pixels.astype(np.float32, copy=False))


def _float32_threshold(threshold: float, *, exact: bool) -> np.float32:
    """Return the float32 threshold that selects the same float32 pixels as `threshold`.

    If the mode was not interpolated, imagestats returns it as a Python float,
    which NumPy (NEP 50) rounds to float32 before comparing; an interpolated one
    is a NumPy double, compared exactly.
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
    # An odd stride samples all columns of a chip, whose width is even.
    sample = np.sort(values[:: (values.size // _SAMPLE) | 1])
    # Quantized pixels, such as counts, share values: a value represents the
    # interval from half a step below it to half a step above. The noise extends
    # another half step down, because the mode of such pixels may be off by as
    # much. Without repeated values, both are ordinary quantiles.
    lower, value, upper, share = _around(sample, 0.5)
    median = (lower + value) / 2 + share * (upper - lower) / 2
    lower, value, _, share = _around(sample, _BELOW_ONE_SIGMA)
    return median, median - (lower + share * (value - lower))


def _around(sample: Float32s, quantile: float) -> tuple[float, float, float, float]:
    """Return the next lower value, the value at a quantile, the next higher, and a share.

    The share is the fraction of the pixels of that value that lies below the
    quantile. A missing neighbour is replaced by the mirror image of the other.
    """
    place = quantile * sample.size
    value = float(sample[int(place)])
    first, end = (int(np.searchsorted(sample, value, side)) for side in ("left", "right"))
    lower = float(sample[first - 1]) if first else 2 * value - float(sample[end % sample.size])
    upper = float(sample[end]) if end < sample.size else 2 * value - lower
    return lower, value, upper, (place - first) / (end - first)


def _histogram(values: Float32s, lowest: float, span: float, nbins: int) -> dict[int, int]:
    """Count the pixels in bins of width dz = span / (nbins - 1), starting at `lowest`.

    bin = int((1 / dz) * (value - lowest)), all in float32, for values from
    `lowest` up to, but not including, lowest + dz * nbins. All pixels are
    counted, even beyond the limits of the last round; a bin index of `nbins`,
    possible because of rounding, is dropped.

    Returns
    -------
    dict
        Count for each bin index; empty bins may be absent. The counts of the
        first and last bin may be too high if neither is the peak or next to it.
    """
    low = np.float32(lowest)
    dz = np.float32(span / (nbins - 1))
    if nbins <= _PAIRED_BINS:
        counts = _count_in_pairs(values, low, np.float32(1.0) / dz, nbins)
        if 2 <= np.argmax(counts) <= nbins - 3:  # noqa: PLR2004 - neighbours are correct
            return dict(enumerate(counts.tolist()))
    return _count(values, low, dz, nbins)


def _count(values: Float32s, low: np.float32, dz: np.float32, nbins: int) -> dict[int, int]:
    """Count the pixels in bins exactly as `_histogram` defines it."""
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
    """Count with fewer operations; the counts of the first and last bin may be too high.

    Bin indices are clipped instead of selected: pixels below the range count in
    bin 0, and those just above its end count in the last bin if rounding puts
    them there. Bin indices are counted in pairs, each pair as one integer.
    """
    radix = nbins + 1  # the additional bin collects all higher values
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
        # Converted to the integer type of bincount() here: bincount() itself would
        # convert them while holding the GIL.
        np.add(pairs[:half], bins[half : 2 * half], out=numbers[:half], casting="unsafe")
        table += np.bincount(numbers[:half], minlength=table.size)
    square = table.reshape(radix, radix)
    counts: NDArray[np.int64] = (square.sum(axis=0) + square.sum(axis=1))[:nbins]
    return counts


def _peak(counts: dict[int, int], nbins: int) -> tuple[float, bool]:
    """Return the position of the peak, in bins, and whether it was interpolated.

    The peak is the first of the highest bins. Unless it is an end of the
    histogram, a parabola through it and its neighbours gives the position, with
    imagestats' order of operations.
    """
    # `counts` may be empty, if all pixels are outside the histogram.
    k = min(counts, key=lambda number: (-counts[number], number), default=0)
    count = counts.get(k, 0)
    if nbins == 2:  # noqa: PLR2004 - neither bin has two neighbours
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
