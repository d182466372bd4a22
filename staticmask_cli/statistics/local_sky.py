"""The local background: pixels far below the sky of their place. Arrays in, arrays out.

In crowded and nebulous fields a single mode and rms do not describe a chip. Here a pixel
is low if it is more than ``static_sig`` times the noise of its place below the background
of its place. Both are measured from its neighbours (`neighbours`) and from how the pixels
of the chip differ from what their neighbours predict (`residuals`).

Adjacent bad columns or rows, and blocks of bad pixels, hide each other. They are found
with neighbours at twice the distance, if they have the sharp edges of defects.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.statistics.measured_sky import MeasuredSky
from staticmask_cli.statistics.neighbours import (
    DIRECTIONS,
    MARGIN,
    Floats,
    Places,
    Prediction,
    neighbours,
    padded,
    predict,
)
from staticmask_cli.statistics.residuals import Calibration, calibrate
from staticmask_cli.statistics.sky import sampled
from staticmask_cli.statistics.votes import Bits, is_set, pack

#: Steps to the next neighbours: adjacent, and beyond the other half of a wide defect.
NEAR, WIDE = 1, 2
# Size of the sample, in whole rows, from which noises are measured. A noise is then
# uncertain by 0.5 % on a blank chip, and by a quarter in the smallest bins.
_SAMPLE = 131072
# One in so many pixels of it is used for each step, and for the medians of the chip; odd
# numbers, so that all columns take part.
_FEWER = {NEAR: 1, WIDE: 3}
_FEWER_FOR_MEDIANS = 7
# Largest shares of pixels that are lower and higher than predicted in good rows and columns.
# Predictions are rather low, so that more pixels are higher.
_MOST_LOWER = 0.85
_MOST_HIGHER = 0.97
# Share of other pixels above the commonest value if these are counts, which is zero.
_ALL_COUNTS = 0.9
# With fewer pixels, the tail of the residuals is a guess.
_FEWEST = 225
# The pixels of a wide defect lie below their next neighbours as well, by half their depth,
# because at most half of these are bad too; those of a dark lane, which is blurred by the
# optics, do not. So many of a low pixel and its eight neighbours must lie below theirs by
# this share of the threshold. (A block of 2 x 2 has four of them.)
_LEAST_EDGES = 3
_EDGE = 0.6
_BLOCK = 131072  # pixels per pass, so that intermediate arrays stay in cache
_PREDICTED = 32768  # predictions at a time, likewise


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LocalSky(MeasuredSky):
    """The background and noise of every place of a chip, in the unit of its pixels.

    Attributes
    ----------
    all_finite, n_finite, lowest, median, noise
        As in `MeasuredSky`.
    local_background, local_noise : float
        Medians of the background and the noise over the chip; NaN if not measured.
    reason : str
        Why they were not measured; empty if they were.
    calibrations : dict
        Residuals of the predictions from neighbours at each step; empty if not measured.
    """

    local_background: float = math.nan
    local_noise: float = math.nan
    reason: str = ""
    calibrations: dict[int, Calibration] = field(default_factory=dict)
    _framed: Floats = field(default_factory=lambda: np.empty((0, 0), np.float32), repr=False)
    _has_gaps: bool = field(default=False, repr=False)

    @property
    def recorded(self) -> dict[str, Any]:
        """The medians of background and noise."""
        return {"local_background": self.local_background, "local_noise": self.local_noise}

    def threshold(self, static_sig: float) -> float:  # noqa: ARG002 - other methods need it
        """Return NaN: each place has its own threshold."""
        return math.nan

    def low(self, pixels: NDArray[Any], static_sig: float) -> Bits:
        """Find the pixels that are more than `static_sig` noises below their background.

        Examples
        --------
        >>> pixels = np.random.default_rng(1).normal(40, 6, (256, 256))
        >>> pixels[3, 5] = -60
        >>> found = local_sky(pixels).low(pixels, 5.0)
        >>> np.divmod(np.flatnonzero(np.unpackbits(found)), 256)
        (array([3]), array([5]))
        """
        low = np.zeros(pixels.size, dtype=bool)
        if self.is_usable:
            with np.errstate(all="ignore"):
                low[self._low_at(NEAR, pixels, static_sig)] = True
                wide = self._low_at(WIDE, pixels, static_sig)
                has_edge = low.copy()
                has_edge[wide[self._has_edge(wide, pixels, static_sig)]] = True
                low[wide[_n_around(wide, has_edge, pixels.shape[1]) >= _LEAST_EDGES]] = True
        return pack(low)

    def at(self, pixels: NDArray[Any], places: Places, low: Bits) -> tuple[Floats, Floats]:
        """Return the background and noise with which some pixels are compared.

        These are predicted from adjacent neighbours; for pixels that are low only because
        of farther ones, from these.
        """
        background, noise = self._at(places, NEAR)
        wide_background, wide_noise = self._at(places, WIDE)
        values = pixels.reshape(-1).take(places)
        with np.errstate(all="ignore"):
            is_wide = (wide_background - values) / wide_noise > (background - values) / noise
        is_wide &= is_set(low, places.astype(np.uint32))
        return np.where(is_wide, wide_background, background), np.where(is_wide, wide_noise, noise)

    def _at(self, places: Places, step: int) -> tuple[Floats, Floats]:
        """Return background and noise according to the neighbours at one step."""
        background, noise = np.full((2, places.size), np.nan, np.float32)
        if self.is_usable:
            with np.errstate(all="ignore"):
                for part in _parts(places.size):
                    around = neighbours(self._framed, places[part], step)
                    background[part], noise[part] = self.calibrations[step].at(predict(around))
        return background, noise

    def _low_at(self, step: int, pixels: NDArray[Any], static_sig: float) -> Places:
        """Return the low pixels according to the neighbours at one step."""
        thresholds = self.calibrations[step].thresholds(static_sig)
        n_rows = max(1, _BLOCK // pixels.shape[1])
        found = [np.empty(0, np.int64)]
        for start in range(0, pixels.shape[0], n_rows):
            values = pixels[start : start + n_rows]
            framed = self._framed[start : start + n_rows + 2 * MARGIN]
            # Without other gaps, only the first and last rows lack neighbours in all columns.
            is_inside = step <= start <= pixels.shape[0] - n_rows - step
            bounds = _upper_bounds(framed, step, has_gaps=self._has_gaps or not is_inside)
            # Few pixels are so low that they must be predicted.
            candidates = np.flatnonzero(values < thresholds.below(bounds))
            found.append(candidates + start * pixels.shape[1])
        places = np.concatenate(found)
        return places[self._is_low(places, step, pixels, static_sig)]

    def _is_low(
        self, places: Places, step: int, pixels: NDArray[Any], static_sig: float
    ) -> NDArray[np.bool_]:
        """Return whether pixels are low according to their neighbours at one step."""
        background, noise = self._at(places, step)
        values = pixels.reshape(-1).take(places).astype(np.float32, copy=False)
        low: NDArray[np.bool_] = values < background - np.float32(static_sig) * noise
        return low & np.isfinite(values)

    def _has_edge(
        self, places: Places, pixels: NDArray[Any], static_sig: float
    ) -> NDArray[np.bool_]:
        """Return which low pixels of wide defects also lie far below their next neighbours."""
        _, noise = self._at(places, WIDE)
        between = _predictions(self._framed, places, NEAR).between
        values = pixels.reshape(-1).take(places).astype(np.float32, copy=False)
        found: NDArray[np.bool_] = between - values > np.float32(_EDGE * static_sig) * noise
        return found & np.isfinite(between)  # infinite without next neighbours


def _n_around(places: Places, found: NDArray[np.bool_], n_columns: int) -> NDArray[np.intp]:
    """Return how many pixels were found among each place and its eight neighbours."""
    columns, number = places % n_columns, np.zeros(places.size, np.intp)
    for dy, dx in ((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)):
        beside = places + dy * n_columns + dx
        inside = (beside >= 0) & (beside < found.size)
        inside &= (columns + dx >= 0) & (columns + dx < n_columns)
        number[inside] += found[beside[inside]]
    return number


def local_sky(pixels: NDArray[Any], excluded: Bits | None = None) -> LocalSky:
    """Measure the local background and noise of a chip.

    Parameters
    ----------
    pixels : ndarray
        The chip's pixels, rows x columns, of any real type and in any unit.
    excluded : ndarray of uint8 or None
        Pixels that are used neither as neighbours nor to measure noise, such as flagged
        ones, as bits. Pixels that are not finite are not used either.

    Returns
    -------
    LocalSky

    Examples
    --------
    >>> pixels = np.random.default_rng(1).normal(40, 6, (256, 256))
    >>> sky = local_sky(pixels)
    >>> round(sky.local_background), round(sky.local_noise), sky.reason
    (40, 6, '')
    """
    with np.errstate(all="ignore"):
        n_finite, lowest = _finite(pixels)
        flat = pixels.reshape(-1)
        finite = flat if n_finite == flat.size else flat[np.isfinite(flat.astype(np.float32))]
        median, noise = sampled(finite.astype(np.float32, copy=False))
        chip: dict[str, Any] = {
            "all_finite": n_finite == pixels.size,
            "n_finite": n_finite,
            "lowest": lowest,
            "median": median,
            "noise": noise,
        }
        if min(pixels.shape) <= 2 * MARGIN:
            return LocalSky(**chip, reason="it has too few rows or columns")
        framed = padded(pixels, excluded, all_finite=chip["all_finite"])
        places = _sample(pixels.shape)
        values = flat.take(places).astype(np.float32)
        predictions = {step: _predictions(framed, places, step) for step in (NEAR, WIDE)}
        usable = np.isfinite(values)
        if excluded is not None:
            usable &= ~is_set(excluded, places.astype(np.uint32))
        for predicted in predictions.values():
            usable &= np.isfinite(predicted.level)
        if np.count_nonzero(usable) < _FEWEST:
            return LocalSky(**chip, reason="too few pixels have neighbours")
        good = usable.copy()
        for predicted in predictions.values():
            good &= _in_good_lines(values - predicted.level, usable, pixels.shape[1])
        if 2 * np.count_nonzero(good) > np.count_nonzero(usable):  # not with a striped sky
            usable = good
        values, is_quantized = _spread(values[usable])
        kept = {
            step: Prediction(*(part[usable][::fewer] for part in predictions[step]))
            for step, fewer in _FEWER.items()
        }
        calibrations = {
            step: calibrate(values[:: _FEWER[step]], predicted, needs_scatter=not is_quantized)
            for step, predicted in kept.items()
        }
        background, noises = calibrations[NEAR].at(
            Prediction(*(part[::_FEWER_FOR_MEDIANS] for part in kept[NEAR]))
        )
        known = np.isfinite(noises)
        if not known.any():
            return LocalSky(**chip, reason="its pixels have no spread")
        return LocalSky(
            **chip,
            local_background=float(np.median(background[known])),
            local_noise=float(np.median(noises[known])),
            calibrations=calibrations,
            _framed=framed,
            _has_gaps=excluded is not None or not chip["all_finite"],
        )


def _finite(pixels: NDArray[Any]) -> tuple[int, float]:
    """Return the number of finite pixels and the lowest of them; NaN if there is none."""
    n_finite, lowest = 0, math.inf
    flat = pixels.reshape(-1)
    for start in range(0, flat.size, _BLOCK):
        block = flat[start : start + _BLOCK].astype(np.float32, copy=False)
        is_finite = np.isfinite(block)
        n = int(np.count_nonzero(is_finite))
        n_finite += n
        if n:
            lowest = min(lowest, float(block.min(initial=np.inf, where=is_finite)))
    return n_finite, lowest if n_finite else math.nan


def _sample(shape: tuple[int, ...]) -> Places:
    """Return the flat indices of a chip's sample: evenly spaced rows."""
    stride = shape[0] * shape[1] // _SAMPLE | 1  # odd: even rows may differ from odd ones
    rows = np.arange(stride // 2, shape[0], stride)
    return (rows[:, np.newaxis] * shape[1] + np.arange(shape[1])).reshape(-1)


def _predictions(framed: Floats, places: Places, step: int) -> Prediction:
    parts = [predict(neighbours(framed, places[part], step)) for part in _parts(places.size)]
    return Prediction(*(np.concatenate(of_parts) for of_parts in zip(*parts, strict=True)))


def _in_good_lines(
    residuals: Floats, usable: NDArray[np.bool_], n_columns: int
) -> NDArray[np.bool_]:
    """Return which pixels of the sample are not in bad rows and columns or beside them.

    Nearly all pixels of a bad column are lower, and nearly all beside it are higher than
    their neighbours predict. They would widen the noise of the places that they share.
    """
    usable, residuals = usable.reshape(-1, n_columns), residuals.reshape(-1, n_columns)
    lower, higher = usable & (residuals < 0), usable & (residuals > 0)
    good = np.ones(usable.shape, bool)
    for axis in (0, 1):
        n = usable.sum(axis=axis, keepdims=True)
        good &= lower.sum(axis=axis, keepdims=True) <= _MOST_LOWER * n
        good &= higher.sum(axis=axis, keepdims=True) <= _MOST_HIGHER * n
    return good.reshape(-1)


def _parts(size: int) -> Iterator[slice]:
    for start in range(0, max(1, size), _PREDICTED):
        yield slice(start, start + _PREDICTED)


def _spread(values: Floats) -> tuple[Floats, bool]:
    """Spread quantized pixels, such as counts, evenly over the intervals that they represent.

    An interval extends from half a step below a value to half a step above it. The noise of
    few counts can be measured only in this way. Return also whether pixels are quantized.
    """
    distinct, counts = np.unique(values, return_counts=True)
    most = counts.argmax()
    others = values[values != distinct[most]]
    repeated, counts = distinct[counts > 1], counts[counts > 1]
    if 2 * (counts.sum() - counts.max(initial=0)) >= max(1, others.size):
        gaps = np.diff(repeated)
        order = np.argsort(gaps)
        total = counts[:-1][order].cumsum()
        step = gaps[order][np.searchsorted(total, total[-1] / 2)]
    elif (
        0 < 2 * others.size <= values.size
        and np.count_nonzero(others > distinct[most]) > _ALL_COUNTS * others.size
    ):
        # Counts that were divided by a flat field: only zeros are equal.
        repeated, step = distinct[most : most + 1], np.median(others - distinct[most])
    else:
        return values, False
    # Multiples of the golden ratio are even in every part of the sequence.
    even = np.modf(np.arange(values.size) * ((math.sqrt(5) - 1) / 2))[0] - 0.5
    spread = np.where(np.isin(values, repeated), values + (step * even).astype("f4"), values)
    return spread, True


def _upper_bounds(framed: Floats, step: int, *, has_gaps: bool) -> Floats:
    """Return upper bounds of the predicted levels of some rows with margin.

    A level is at most the mean of the middle two linear interpolations, hence at most
    the third of four. With `has_gaps`, neighbours may be missing.
    """

    def neighbour(dy: int, dx: int) -> Floats:
        y, x = MARGIN + step * dy, MARGIN + step * dx
        return framed[y : framed.shape[0] - 2 * MARGIN + y, x : framed.shape[1] - 2 * MARGIN + x]

    linear = []
    for dy, dx in DIRECTIONS:
        one, other = neighbour(dy, dx), neighbour(-dy, -dx)
        between = one + other
        between *= np.float32(0.5)
        if has_gaps:
            np.copyto(between, np.maximum(one, other), where=between == -np.inf)
            between[between == -np.inf] = np.inf
        linear.append(between)
    a, b, c, d = linear
    low_one, low_other = np.minimum(a, b), np.minimum(c, d)
    np.maximum(a, b, out=a)
    np.maximum(c, d, out=c)
    np.minimum(a, c, out=a)
    np.maximum(low_one, low_other, out=low_one)
    bounds: Floats = np.maximum(a, low_one, out=a)
    if not has_gaps:  # the neighbours beyond the columns' ends are missing
        bounds[:, :step] = bounds[:, -step:] = np.inf
    return bounds
