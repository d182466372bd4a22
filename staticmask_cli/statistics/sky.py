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

from staticmask_cli.statistics.clipping import Clipping, clip
from staticmask_cli.statistics.histogram import BIN_WIDTH, peak
from staticmask_cli.statistics.measured_sky import MeasuredSky
from staticmask_cli.statistics.rounds import Float32s
from staticmask_cli.statistics.votes import Bits, pack

_BLOCK = 131072  # pixels per pass, so that intermediate arrays stay in cache; a multiple of 8
# Size of the strided sample from which median and noise are estimated, to 0.5 % of the noise.
_SAMPLE = 65536
# One in so many values of it shows which of them are near a quantile: those between
# so many places before it and after it, five times the error of its place in 4096.
_FEWER = 16
_NEAR = 160
_BELOW_ONE_SIGMA = 0.5 * math.erfc(math.sqrt(0.5))


@dataclass(frozen=True, slots=True, kw_only=True)
class SkyStatistics(MeasuredSky):
    """Statistics of a chip's sky, from its clipped pixels, in the unit of the pixels.

    The background is the mode, and the noise is the rms.

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
    all_finite, n_finite, lowest, median, noise
        As in `MeasuredSky`.
    """

    n: int
    mean: float
    rms: float
    nbins: int
    mode: float
    is_interpolated: bool

    @property
    def reason(self) -> str:
        """Why there is no mode; empty if there is one."""
        if self.nbins >= 2:  # noqa: PLR2004 - by definition
            return ""
        return "it has no finite pixel" if self.n == 0 else "its histogram has one bin"

    @property
    def recorded(self) -> dict[str, Any]:
        """The results that only this method has, by their names in records."""
        return {"mode": self.mode, "rms": self.rms, "nbins": self.nbins}

    def threshold(self, static_sig: float) -> float:
        """Return the value below which a pixel is low: mode - static_sig x rms."""
        return self.mode - static_sig * self.rms

    def low(self, pixels: NDArray[Any], static_sig: float) -> Bits:
        """Find the low pixels, as `low_pixels` does, without an array of bool for the chip."""
        if not self.is_usable:
            return np.zeros(math.ceil(pixels.size / 8), dtype=np.uint8)
        flat = pixels.reshape(-1)
        parts = (flat[start : start + _BLOCK] for start in range(0, flat.size, _BLOCK))
        return np.concatenate([pack(low_pixels(part, self, static_sig)) for part in parts])

    def at(
        self,
        pixels: NDArray[Any],  # noqa: ARG002 - other methods need them
        places: NDArray[np.integer[Any]],
        low: Bits,  # noqa: ARG002 - likewise
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mode and rms for each of some pixels."""
        return np.full(places.size, self.mode), np.full(places.size, self.rms)


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
        clipping = clip(values)
        return _with_mode(clipping, all_finite=clipping.finite.size == values.size)


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


def _with_mode(clipping: Clipping, *, all_finite: bool) -> SkyStatistics:
    last, bins = clipping.last, clipping.bins
    mode, is_interpolated = math.nan, False
    if bins is not None:
        place, is_interpolated = peak(clipping.counts, bins.n)
        mode = last.lowest + place * (BIN_WIDTH * last.rms)
    median, noise = sampled(clipping.finite)
    return SkyStatistics(
        n=last.n,
        mean=last.mean,
        rms=last.rms,
        nbins=1 if bins is None else bins.n,
        mode=mode,
        is_interpolated=is_interpolated,
        all_finite=all_finite,
        n_finite=clipping.finite.size,
        lowest=clipping.lowest,
        median=median,
        noise=noise,
    )


def sampled(values: Float32s) -> tuple[float, float]:
    """Return `MeasuredSky.median` and `MeasuredSky.noise` of finite pixels.

    Examples
    --------
    >>> sampled(np.arange(100, dtype=np.float32))
    (49.5, 34.6344746068543)
    """
    if not values.size:
        return math.nan, math.nan
    # An odd stride samples all columns of a chip, whose width is even.
    sample = np.ascontiguousarray(values[:: (values.size // _SAMPLE) | 1])
    few = np.sort(sample[::_FEWER])
    # Quantized pixels, such as counts, share values: a value represents the
    # interval from half a step below it to half a step above. The noise extends
    # another half step down, because the mode of such pixels may be off by as
    # much. Without repeated values, both are ordinary quantiles.
    lower, value, upper, share = _around(sample, few, 0.5)
    median = (lower + value) / 2 + share * (upper - lower) / 2
    lower, value, _, share = _around(sample, few, _BELOW_ONE_SIGMA)
    return median, median - (lower + share * (value - lower))


def _around(sample: Float32s, few: Float32s, quantile: float) -> tuple[float, float, float, float]:
    """Return the next lower value, the value at a quantile, the next higher, and a share.

    The share is the fraction of the pixels of that value that lies below the
    quantile. A missing neighbour is replaced by the mirror image of the other.
    `few` is a sorted part of the sample.
    """
    place = quantile * sample.size
    n_lower, near = _sorted_near(sample, few, quantile)
    value = float(near[int(place) - n_lower])
    first, end = (int(np.searchsorted(near, value, side)) for side in ("left", "right"))
    lower = float(near[first - 1]) if first else 2 * value - float(near[end % near.size])
    upper = float(near[end]) if end < near.size else 2 * value - lower
    return lower, value, upper, (place - n_lower - first) / (end - first)


def _sorted_near(sample: Float32s, few: Float32s, quantile: float) -> tuple[int, Float32s]:
    """Return the sorted values near a quantile, and the number of lower values.

    They contain the next lower and the next higher value than that at the quantile,
    if there are any. Sorting the whole sample would take half of a small chip's time.
    """
    at = int(quantile * few.size)
    low, high = few[max(0, at - _NEAR)], few[min(few.size - 1, at + _NEAR)]
    n_lower = int(np.count_nonzero(sample < low))
    near = np.sort(sample.take(np.flatnonzero((sample >= low) & (sample <= high))))
    place = int(quantile * sample.size) - n_lower
    if 0 < place < near.size and near[0] < near[place] < near[-1]:
        return n_lower, near
    return 0, np.sort(sample)
