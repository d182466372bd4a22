"""The background and noise of places, measured from how pixels differ from predictions.

No gain, exposure time, ERR array or unit is needed: the noise is that of the residuals
themselves, as a function of the predicted level (photon noise), of the scatter of the
neighbours (edges, stars, vignetting) and of the contrast (cosmic rays, stars, ridges).
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.statistics.neighbours import Floats, Prediction

# Bins of equal number by level, scatter and contrast, and the smallest number. The last
# bin of a large sample is halved until it has less: the rare brightest and roughest places,
# such as those beside two cosmic rays, differ most.
_BINS = (32, 32, 16)
_SMALLEST_BIN = 256
_SMALLEST_PART = 32
# Quantiles: median, one and two sigma below it for Gaussian noise, and quartiles.
_MEDIAN = 0.5
_ONE_SIGMA = 0.5 * math.erfc(1 / math.sqrt(2))
_TWO_SIGMA = 0.5 * math.erfc(2 / math.sqrt(2))
_QUANTILES = (_TWO_SIGMA, _ONE_SIGMA, 0.25, _MEDIAN, 0.75)
# For weakly skewed noise, such as that of photons, the distance from the mode to the
# median in units of q25 + q75 - 2 q50 (first term of the Edgeworth expansion: skewness / 3
# and 0.1517 skewness), and the largest, in units of the noise: stars skew residuals too.
_MODE_OFFSET = 2.2
_LARGEST_OFFSET = 0.1
# The noise of places where it is not known: no pixel is low there.
_UNKNOWN = np.float32(np.inf)
# A pixel is bad, and its residual not used, if it is so many noises lower than predicted
# and its surroundings are not rougher than most.
_DEFECT = 5.0
# Levels at which the threshold is tabulated.
_TABULATED = 4096


class Curve(NamedTuple):
    """Centre and noise of residuals as functions of a quantity.

    Attributes
    ----------
    nodes : ndarray of float32
        Values of the quantity, in ascending order.
    centres, noises : ndarray of float32
        Values at `nodes`; linear in between, constant beyond the ends.
    """

    nodes: Floats
    centres: Floats
    noises: Floats

    def at(self, values: Floats) -> tuple[Floats, Floats]:
        """Return centres and noises at values of the quantity."""
        nodes = self.nodes
        if nodes.size == 1:
            return np.full_like(values, self.centres[0]), np.full_like(values, self.noises[0])
        right = np.clip(np.searchsorted(nodes, values), 1, nodes.size - 1)
        left = right - 1
        share = np.clip((values - nodes[left]) / (nodes[right] - nodes[left]), 0, 1)
        centres, noises = (
            curve[left] + share * (curve[right] - curve[left])
            for curve in (self.centres, self.noises)
        )
        return centres, noises


class Calibration(NamedTuple):
    """The residuals of a prediction on one chip.

    Attributes
    ----------
    by_level : Curve
        Residuals by level, in the unit of the pixels.
    by_scatter, by_contrast : Curve
        By scatter and by contrast, both in units of the noise by level.
    needs_scatter : bool
        Whether the noise is not known where the neighbours do not differ.
    """

    by_level: Curve
    by_scatter: Curve
    by_contrast: Curve
    needs_scatter: bool = True

    def at(self, predicted: Prediction) -> tuple[Floats, Floats]:
        """Return background and noise of predicted pixels.

        Returns
        -------
        background, noise : ndarray of float32
            In the unit of the pixels. The noise is infinite where it is not known,
            because neighbours are missing or have no spread.
        """
        offset, noise = self.by_level.at(predicted.level)
        known = np.isfinite(predicted.level) & (noise > 0)
        if self.needs_scatter:
            known &= predicted.scatter > 0
        scale = noise.copy()
        scale[~known] = 1
        centre, factor = self.by_scatter.at(predicted.scatter / scale)
        further, second = self.by_contrast.at(predicted.contrast / scale)
        background = predicted.level + offset + scale * (centre + factor * further)
        return background, np.where(known, scale * factor * second, _UNKNOWN)

    def thresholds(self, static_sig: float) -> Thresholds:
        """Return upper limits of the values of low pixels.

        Parameters
        ----------
        static_sig : float
            Threshold, in units of the noise below the background.
        """
        nodes, centres, noises = (values.astype(np.float64) for values in self.by_level)
        # The factors that raise the threshold most.
        best = max(
            float(centre + factor * (further - static_sig * second))
            for centre, factor in zip(*self.by_scatter[1:], strict=True)
            for further, second in zip(*self.by_contrast[1:], strict=True)
        )
        # Bounds of levels may be higher than any level, by as much as neighbours differ.
        span = 2 * (nodes[-1] - nodes[0]) + 10 * noises[-1] or 1.0
        edges = nodes[0] + np.linspace(0, span, _TABULATED)
        levels = np.sort(np.concatenate((edges, nodes)))
        limits = levels + np.interp(levels, nodes, centres + best * noises)
        at_edges = np.maximum.accumulate(limits)[np.searchsorted(levels, edges, side="right") - 1]
        # Rounding may change an index by one and a value by parts of 1e-7.
        table = np.full(_TABULATED, np.inf, np.float32)
        table[:-2] = at_edges[2:] + 1e-6 * (np.abs(at_edges[2:]) + noises[-1])
        return Thresholds(np.float32(nodes[0]), np.float32((_TABULATED - 1) / span), table)


class Thresholds(NamedTuple):
    """Upper limits of the values of low pixels, tabulated by level.

    Attributes
    ----------
    first, scale : float32
        The first level, and the number of levels per unit of the pixels.
    table : ndarray of float32
        Limits at equidistant levels; infinite at the last, which represents all higher ones.
    """

    first: np.float32
    scale: np.float32
    table: Floats

    def below(self, bounds: Floats) -> Floats:
        """Return the limit for pixels whose level is at most `bounds`, which are overwritten."""
        bounds -= self.first
        bounds *= self.scale
        np.clip(bounds, 0, self.table.size - 1, out=bounds)
        return self.table.take(bounds.astype(np.uint16))


def calibrate(values: Floats, predicted: Prediction, *, needs_scatter: bool = True) -> Calibration:
    """Measure the residuals of predictions.

    Parameters
    ----------
    values : ndarray of float32
        Pixels.
    predicted : Prediction
        Predictions for them, all finite.
    needs_scatter : bool
        As in `Calibration`. Otherwise the neighbours of quantized pixels, such as counts,
        may be equal by chance.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> level = rng.uniform(100, 900, 100_000).astype("f4")
    >>> pixels = (level + rng.normal(0, np.sqrt(level))).astype("f4")
    >>> same = np.ones_like(level)
    >>> found = calibrate(pixels, Prediction(level, level, same, same))
    >>> background, noise = found.at(Prediction(*np.array([[400], [400], [1], [1]], "f4")))
    >>> bool(abs(background[0] - 400) < 3), bool(abs(noise[0] - 20) < 2)
    (True, True)
    """
    if needs_scatter:
        # Pixels that equal their prediction are at the rim of a region that was set to a value.
        used = (predicted.scatter > 0) & (values != predicted.level)
        values, predicted = values[used], Prediction(*(part[used] for part in predicted))
    residuals = values - predicted.level
    by_level, offset, noise = _fit(predicted.level, residuals, _BINS[0], long_tails=False)
    known = noise > 0
    noise = noise[known]
    residuals = (residuals[known] - offset[known]) / noise
    scatter, contrast = predicted.scatter[known] / noise, predicted.contrast[known] / noise
    # On some chips so many pixels are bad that they would be the tails of the residuals.
    rough = scatter / np.median(scatter) if scatter.size else scatter
    good = residuals > -_DEFECT * np.maximum(1, rough)
    residuals, scatter, contrast = residuals[good], scatter[good], contrast[good]
    by_scatter, centre, factor = _fit(scatter, residuals, _BINS[1])
    residuals = (residuals - centre) / factor
    by_contrast, *_ = _fit(contrast, residuals, _BINS[2])
    # The higher a prediction lies above its surroundings, the less it is trusted.
    falling = np.minimum.accumulate(by_contrast.centres)
    return Calibration(by_level, by_scatter, by_contrast._replace(centres=falling), needs_scatter)


def _fit(
    quantity: Floats, residuals: Floats, bins: int, *, long_tails: bool = True
) -> tuple[Curve, Floats, Floats]:
    """Return the curve of residuals in bins of equal number, and its values at each of them.

    The noise is the distance from the median to the quantile one sigma below it or, with
    `long_tails`, half the distance to two sigma if that is larger. The centre lies at most
    one noise above the prediction. The noise never falls with the quantity.
    """
    if not quantity.size:
        return Curve(*np.array([[0], [0], [1]], np.float32)), quantity, residuals
    order = _order(quantity)
    quantity, residuals = quantity[order], residuals[order]
    edges = _edges(quantity, bins)
    nodes, centres, noises = [], [], []
    for start, end in pairwise(edges):
        part = np.sort(residuals[start:end])
        places = [int(quantile * (part.size - 1)) for quantile in _QUANTILES]
        two, one, first, median, third = part[places].tolist()
        noise = max(median - one, (median - two) / 2 if long_tails else 0.0)
        skew = _MODE_OFFSET * (first + third - 2 * median)
        nodes.append(quantity[(start + end) // 2])
        centres.append(median - min(max(skew, 0.0), _LARGEST_OFFSET * noise))
        noises.append(noise)
    of_bins = np.array([nodes, centres, noises, np.diff(edges)])
    has_spread = of_bins[2] > 0
    if has_spread.any():  # places without, such as those that were set to zero, have no noise
        of_bins = of_bins[:, has_spread]
    rising = _rising(of_bins[2], of_bins[3])
    centre = np.minimum(of_bins[1], rising)
    curve = Curve(*np.array([of_bins[0], centre, rising], np.float32))
    at_each = np.empty((2, order.size), np.float32)
    at_each[:, order] = curve.at(quantity)  # in their order, which is several times faster
    return curve, *at_each


def _order(values: Floats) -> NDArray[np.int64]:
    """Return the indices that sort values, as a stable `numpy.argsort` does.

    The index of a value fits in the bits that float64 has more than float32. NumPy sorts
    the numbers several times faster than indices, above all where many values are equal.
    """
    keys = values.astype(np.float64)
    bits = keys.view(np.int64)
    bits |= np.arange(values.size)
    keys.sort()
    return bits & (2**29 - 1)


def _edges(quantity: Floats, bins: int) -> list[int]:
    """Return the edges of bins in sorted values; equal values share a bin."""
    size = quantity.size
    bins = max(1, min(bins, size // _SMALLEST_BIN))
    wanted = [size * number // bins for number in range(1, bins)]
    is_large = size >= max(_BINS) * _SMALLEST_BIN
    least = _SMALLEST_PART if is_large else _SMALLEST_BIN
    rest = size - wanted[-1] if wanted else size
    while rest // 2 >= least:
        rest //= 2
        wanted.append(size - rest)
    edges = [0]
    for place in wanted:
        edge = int(np.searchsorted(quantity, quantity[place]))
        if edge - edges[-1] >= least and size - edge >= least:
            edges.append(edge)
    return [*edges, size]


def _rising(values: NDArray[np.float64], weights: NDArray[np.float64]) -> list[float]:
    """Return the nearest sequence that never falls (pool adjacent violators).

    Robertson, Wright & Dykstra, Order Restricted Statistical Inference, section 1.2.
    """
    pools: list[tuple[float, int, int]] = []  # value, weight, number of values
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        pools.append((value, weight, 1))
        while len(pools) > 1 and pools[-2][0] >= pools[-1][0]:
            (a, m, i), (b, n, j) = pools[-2:]
            pools[-2:] = [((a * m + b * n) / (m + n), m + n, i + j)]
    return [value for value, _, number in pools for _ in range(number)]
