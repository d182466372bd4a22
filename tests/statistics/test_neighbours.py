"""Predictions from neighbours: equal to the plain rule, and the same for a turned chip."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from staticmask_cli.statistics.local_sky import NEAR, WIDE
from staticmask_cli.statistics.neighbours import (
    MARGIN,
    Prediction,
    neighbours,
    padded,
    predict,
)
from staticmask_cli.statistics.votes import pack
from tests.support.plain_local import plain_predictions


def predicted(pixels: np.ndarray, step: int, excluded: np.ndarray | None = None) -> Prediction:
    """Predict all pixels of a chip; unknown levels are NaN."""
    with np.errstate(all="ignore"):
        framed = padded(pixels, None if excluded is None else pack(excluded), all_finite=False)
        found = predict(neighbours(framed, np.arange(pixels.size), step))
    parts = [np.where(np.isinf(part), np.nan, part).reshape(pixels.shape) for part in found]
    return Prediction(*parts)


def field(seed: int, shape: tuple[int, int], dtype: str = "f4") -> np.ndarray:
    """Return noise with bright pixels, and steps that make many pixels equal."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(40, 9, shape) + 3000 * (rng.random(shape) < 0.03)
    pixels[:, shape[1] // 2 :] = np.rint(pixels[:, shape[1] // 2 :] / 8) * 8 - 90
    return pixels.astype(dtype)


@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 14),
    columns=st.integers(1, 14),
    dtype=st.sampled_from(["f4", "f8", "i2", "i4", "u2"]),
    missing=st.sampled_from([0.0, 0.02, 0.4, 0.9]),
    step=st.sampled_from([NEAR, WIDE]),
)
def test_predictions_equal_those_of_whole_arrays(
    seed: int, rows: int, columns: int, dtype: str, missing: float, step: int
) -> None:
    pixels = np.abs(field(seed, (rows, columns))).astype(dtype)
    rng = np.random.default_rng(seed)
    kind = rng.random(pixels.shape)
    excluded = kind < missing / 2
    if pixels.dtype.kind == "f":
        pixels[kind > 1 - missing / 2] = rng.choice([np.nan, np.inf, -np.inf])
    known = np.where(excluded | ~np.isfinite(pixels), np.nan, pixels.astype("f4"))
    found, plain = predicted(pixels, step, excluded), plain_predictions(known, step)
    for one, other in zip(found, plain, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


@pytest.mark.parametrize("step", [NEAR, WIDE])
@pytest.mark.parametrize("turned", [np.flipud, np.fliplr, np.transpose, np.rot90])
def test_predictions_turn_with_the_chip(turned: object, step: int) -> None:
    pixels = field(3, (31, 22))
    pixels[5:9, 4:7] = np.nan
    for one, other in zip(
        predicted(turned(pixels), step), predicted(pixels, step), strict=True
    ):  # fmt: skip
        np.testing.assert_array_equal(one, turned(other))


@pytest.mark.parametrize("step", [NEAR, WIDE])
def test_a_plane_is_predicted_exactly_also_at_its_edges(step: int) -> None:
    yy, xx = np.mgrid[:17, :15]
    plane = (3 * yy + 5 * xx).astype("f4")  # exact in single precision
    level = predicted(plane, step).level
    inside = slice(2 * step, -2 * step)
    np.testing.assert_array_equal(level[inside, inside], plane[inside, inside])
    # At the edges, a mirrored neighbour is too high uphill; what continues the slope is not.
    assert (level[:, 2 * step : -2 * step] - plane[:, 2 * step : -2 * step]).max() <= 0
    assert (level - plane).max() <= 0


def test_a_pixel_is_not_among_its_own_neighbours() -> None:
    pixels = field(4, (21, 21))
    changed = pixels.copy()
    changed[10, 10] = -1e6
    for step in (NEAR, WIDE):
        for one, other in zip(predicted(pixels, step), predicted(changed, step), strict=True):
            assert one[10, 10] == other[10, 10]


@pytest.mark.parametrize("step", [NEAR, WIDE])
def test_one_column_does_not_change_the_predicted_level_of_its_pixels(step: int) -> None:
    pixels = np.full((21, 21), 50, "f4")
    pixels[:, 10] = -1000
    assert (predicted(pixels, step).level[:, 10] == 50).all()


def test_two_columns_hide_each_other_only_from_the_next_neighbours() -> None:
    pixels = np.full((21, 21), 50, "f4")
    pixels[:, 10:12] = -1000
    assert (predicted(pixels, NEAR).level[:, 10:12] < 0).all()
    assert (predicted(pixels, WIDE).level[:, 10:12] == 50).all()


@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "i4"])
def test_a_frame_surrounds_the_pixels(dtype: str) -> None:
    pixels = field(5, (3, 7), dtype)
    excluded = np.zeros(pixels.shape, bool)
    excluded[1, 2] = True
    framed = padded(pixels, pack(excluded), all_finite=True)
    assert (framed.dtype, framed.shape) == (np.float32, (3 + 2 * MARGIN, 7 + 2 * MARGIN))
    expected = np.pad(
        np.where(excluded, -np.inf, pixels.astype("f4")), MARGIN, constant_values=-np.inf
    )
    np.testing.assert_array_equal(framed, expected)
    assert pixels[1, 2] != -np.inf  # the pixels themselves are not changed
