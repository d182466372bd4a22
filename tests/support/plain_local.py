"""The local background written down plainly: whole arrays, without blocks or a selection.

From the descriptions in `neighbours.predict`, `residuals.Calibration` and `local_sky`.
"""

from __future__ import annotations

import warnings

import numpy as np

from staticmask_cli.statistics.local_sky import NEAR, WIDE, LocalSky
from staticmask_cli.statistics.neighbours import Prediction
from staticmask_cli.statistics.residuals import Calibration, Curve

_DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))


def plain_predictions(known: np.ndarray, step: int) -> Prediction:
    """Predict all pixels of a float32 array; missing ones are NaN, and so are unknown levels.

    In single precision and in the same order of operations, so that results are equal.
    """
    margin = 2 * step
    around = np.pad(known, margin, constant_values=np.nan)
    rows, columns = known.shape

    def at(dy: int, dx: int) -> np.ndarray:
        y, x = margin + dy, margin + dx
        return around[y : y + rows, x : x + columns]

    def pair(distance: int, dy: int, dx: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        one, other = at(distance * dy, distance * dx), at(-distance * dy, -distance * dx)
        missing = np.isnan(one) != np.isnan(other)
        return np.where(np.isnan(one), other, one), np.where(np.isnan(other), one, other), missing

    near, far, linear, along, beyond = [], [], [], [], []
    for dy, dx in _DIRECTIONS:
        one, other, is_one_sided = pair(step, dy, dx)
        one_far, other_far, _ = pair(2 * step, dy, dx)
        near += [one, other]
        far += [one_far, other_far]
        between, farther = (one + other) / 2, (one_far + other_far) / 2
        linear.append(between)
        cubic = between + (between - farther) * np.float32(1 / 3)
        along.append(np.where(np.isnan(cubic), between, np.minimum(between, cubic)))
        beyond.append(np.where(is_one_sided, 2 * between - farther, np.nan))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice encountered")
        medians = [np.nanmedian(part, axis=0) for part in (along, near, beyond)]
        level = np.fmin(np.fmin(medians[0], medians[1]), medians[2])
        contrast = np.nan_to_num(np.maximum(level - np.nanmedian(far, axis=0), 0))
        middle = np.nanmedian(linear, axis=0)
    ordered, n = np.sort(near, axis=0), np.isfinite(near).sum(axis=0)
    upper, lower = (
        np.take_along_axis(ordered, (np.maximum(n - 1, 0) * k // 7)[np.newaxis], axis=0)[0]
        for k in (6, 3)
    )
    return Prediction(level, middle, upper - lower, contrast)


def plain_low(pixels: np.ndarray, known: np.ndarray, sky: LocalSky, sigma: float) -> np.ndarray:
    """Return the low pixels of a chip; neighbours that are missing are NaN in `known`."""
    values = pixels.astype("f4").astype("f8")
    places = {step: _place(known, sky.calibrations[step], step) for step in (NEAR, WIDE)}
    low, wide_low = (
        np.isfinite(values) & (values < background - sigma * noise)
        for background, noise in places.values()
    )
    below = plain_predictions(known, NEAR).between.astype("f8") - values
    with np.errstate(invalid="ignore"):
        has_edge = low | (wide_low & (below > 0.6 * sigma * places[WIDE][1]))
    n = sum(np.pad(has_edge, 1)[y : y + low.shape[0], x : x + low.shape[1]].astype(int)
            for y in range(3) for x in range(3))  # fmt: skip
    return low | (wide_low & (n >= 3))


def _place(known: np.ndarray, found: Calibration, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Return background and noise of all pixels; infinite noise where it is not known."""
    level, _, scatter, contrast = (
        part.astype("f8") for part in plain_predictions(known, step)
    )  # fmt: skip
    offset, scale = _on_curve(found.by_level, level)
    is_known = np.isfinite(level) & (scale > 0)
    if found.needs_scatter:
        is_known &= scatter > 0
    with np.errstate(all="ignore"):
        centre, factor = _on_curve(found.by_scatter, scatter / scale)
        further, second = _on_curve(found.by_contrast, contrast / scale)
        background = level + offset + scale * (centre + factor * further)
        noise = scale * factor * second
    return np.where(is_known, background, 0), np.where(is_known, noise, np.inf)


def _on_curve(curve: Curve, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    nodes, centres, noises = (part.astype("f8") for part in curve)
    return np.interp(values, nodes, centres), np.interp(values, nodes, noises)
