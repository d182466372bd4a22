"""The statistics equal the plain implementation on difficult data."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from staticmask_cli.statistics import clipping, histogram, rounds
from staticmask_cli.statistics.sky import low_pixels, sky_statistics
from tests.support.makers import sky
from tests.support.plain import plain_statistics

pytestmark = pytest.mark.usefixtures("implementation")

DIFFICULT = (
    "normal",
    "heavy_tails",
    "one_sided",
    "ties",
    "two_values",
    "few_values",
    "constant",
    "sparse_counts",
    "subnormal",
    "1e30s",
    "1e18",
    "negative_zero",
    "half_bright",
    "whole_numbers",
    "far_from_zero",
)


def difficult(kind: str, seed: int, shape: tuple[int, int]) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = rng.normal(40, 6, shape)
    outliers = rng.random(shape) < 0.01
    made = {
        "normal": lambda: noise,
        "heavy_tails": lambda: rng.standard_cauchy(shape) * 10,
        "one_sided": lambda: rng.exponential(3, shape),
        "ties": lambda: np.round(noise / 4),
        "two_values": lambda: rng.choice([0.0, 1.0], shape, p=[0.7, 0.3]),
        "few_values": lambda: rng.choice(rng.normal(0, 5, 5), shape),
        "constant": lambda: np.full(shape, rng.normal()),
        "sparse_counts": lambda: rng.poisson(0.05, shape),
        "subnormal": lambda: rng.normal(0, 1e-40, shape),
        "1e30s": lambda: np.where(outliers, rng.choice([1e30, -1e30], shape), noise),
        "1e18": lambda: noise * 1e18,
        "negative_zero": lambda: np.where(rng.random(shape) < 0.5, -0.0, np.round(noise - 40)),
        "half_bright": lambda: np.where(rng.random(shape) < 0.4, noise * 30, noise),
        "whole_numbers": lambda: np.round(noise),
        "far_from_zero": lambda: noise / 100 + 60000,
    }[kind]()
    return np.asarray(made, dtype=np.float32)


def assert_equal_to_plain(pixels: np.ndarray) -> None:
    with np.errstate(all="ignore"):
        mode, rms, nbins = plain_statistics(pixels)
    found = sky_statistics(pixels)
    assert found.nbins == nbins
    np.testing.assert_equal((found.mode, found.rms), (mode, rms))


@pytest.mark.parametrize("kind", DIFFICULT)
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (7, 5), (61, 67), (401, 517)])
def test_statistics_equal_the_plain_ones(kind: str, shape: tuple[int, int]) -> None:
    # The largest shape is more than one block, and not a multiple of it.
    assert shape[0] * shape[1] < rounds.BLOCK or (shape[0] * shape[1]) % rounds.BLOCK
    for seed in range(3):
        assert_equal_to_plain(difficult(kind, seed, shape))


@pytest.mark.parametrize("kind", DIFFICULT)
@pytest.mark.parametrize("first", [1e6, -1e6, 1e30, -0.0, np.nan, np.inf, -np.inf])
def test_statistics_equal_the_plain_ones_for_any_first_pixel(kind: str, first: float) -> None:
    pixels = difficult(kind, 5, (61, 67))
    pixels[0, 0] = first
    assert_equal_to_plain(pixels)


@pytest.mark.parametrize("kind", DIFFICULT)
def test_pixels_that_are_not_finite_are_ignored_anywhere(kind: str) -> None:
    pixels = difficult(kind, 6, (61, 67))
    pixels[3, 4:9] = np.nan, np.inf, -np.inf, np.nan, np.inf
    assert_equal_to_plain(pixels)
    found = sky_statistics(pixels)
    assert not found.all_finite
    assert not low_pixels(pixels, found, 4.0)[3, 4:9].any()


@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
        elements=st.floats(width=32, allow_nan=True, allow_infinity=True)
        | st.sampled_from([0.0, -0.0, 1.0, 2.0, 1e-45, 3e38]),
    )
)
def test_statistics_equal_the_plain_ones_on_any_float32(pixels: np.ndarray) -> None:
    if np.isfinite(pixels).any():
        assert_equal_to_plain(pixels)
    else:
        assert sky_statistics(pixels).n == 0


def test_an_array_without_finite_pixels_has_no_sky() -> None:
    for pixels in (np.empty((0, 4), np.float32), np.full((3, 3), np.nan, np.float32)):
        found = sky_statistics(pixels)
        assert found.n == 0
        assert not found.is_usable
        assert math.isnan(found.mode)
        assert not low_pixels(pixels, found, 4.0).any()


def test_the_core_contains_most_pixels_of_a_sky() -> None:
    pixels = sky(1, (401, 517)).ravel()
    core = clipping._split(pixels)
    assert 0.9 < core.n / pixels.size < 1
    assert core.n + core.tails.size == pixels.size
    inside = pixels[(pixels >= core.low) & (pixels <= core.high)]
    assert core.n == inside.size
    assert core.total == pytest.approx(inside.sum(dtype=float), rel=1e-14)  # order of summation
    assert core.squares == pytest.approx((inside.astype(float) ** 2).sum(), rel=1e-13)


def test_a_sky_needs_no_passes_over_the_whole_array(monkeypatch: pytest.MonkeyPatch) -> None:
    def whole(*_: object) -> None:
        raise AssertionError("a pass over the whole array")

    monkeypatch.setattr(clipping, "measure_round", whole)
    sky_statistics(sky(2, (401, 517)))


@pytest.mark.parametrize("kind", DIFFICULT)
def test_the_bounds_of_mean_and_rms_contain_them(kind: str) -> None:
    pixels = difficult(kind, 8, (61, 67)).ravel()
    with np.errstate(all="ignore"):
        core = clipping._split(pixels)
        limits = core.lower, core.upper
        if not core.is_inside(limits):
            pytest.skip("these data have no core")
        means, rms_range = clipping._ranges(core, core.tails_inside(limits))
        exact = rounds.measure_round(pixels, limits, float(pixels[0]))
    assert means[0] <= exact.mean <= means[1]
    assert rms_range[0] <= exact.rms <= rms_range[1] or not math.isfinite(rms_range[1])


@pytest.mark.parametrize("nbins", [5, 60, 254])
@pytest.mark.parametrize("size", [31, 32, 999, rounds.BLOCK + 1, 2 * rounds.BLOCK])
def test_counting_the_core_and_its_tails_equals_counting_everything(nbins: int, size: int) -> None:
    rng = np.random.default_rng(nbins + size)
    values = rng.normal(0, 1, size).astype(np.float32)
    last = rounds.Clipped(n=size, mean=0.0, rms=60 / nbins, lowest=-3.0, highest=3.0)
    bins = histogram.bins_of(last)
    core = clipping._split(values)
    _, counts = clipping._pass_over(core, np.float32(0), bins)
    expected = histogram.count(values, bins)
    assert {k: n for k, n in counts.items() if n} == expected


def test_a_wrong_estimate_of_the_rms_only_costs_time(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = sky(1, (401, 517))
    right = sky_statistics(pixels)
    original = clipping.bins_of
    first = iter([True])
    monkeypatch.setattr(
        clipping,
        "bins_of",
        lambda last: original(replace(last, rms=last.rms * 0.9) if next(first, False) else last),
    )
    assert sky_statistics(pixels) == right


def test_histograms_larger_than_memory_are_counted_sparsely() -> None:
    # Each round clips the largest remaining group of outliers, so that the limits of
    # the last round are wide and its rms is small. They become the range of the
    # histogram because the first pixel is outside them.
    core = np.tile([0.0, 1e-3, -1e-3, 0.0], 2000)
    outliers = [1e11, *[1e10] * 20, *[1e7] * 20, *[2e4] * 20]
    pixels = np.concatenate([outliers, core]).astype(np.float32)[None]
    found = sky_statistics(pixels)
    mode, rms, nbins = plain_statistics(pixels)
    assert nbins > histogram._DENSE_BINS
    assert (found.mode, found.rms, found.nbins) == (mode, rms, nbins)


@pytest.mark.parametrize("dtype", ["f4", ">f4", "f8", ">f8", "i2", "i4", "u1", "u2"])
def test_inputs_are_not_changed(dtype: str) -> None:
    pixels = sky(3).clip(0, 250).astype(dtype)
    before = pixels.copy()
    pixels.flags.writeable = False
    found = sky_statistics(pixels)
    low_pixels(pixels, found, 2.0)
    np.testing.assert_array_equal(pixels, before)


def test_exactly_the_injected_low_pixels_are_found() -> None:
    rng = np.random.default_rng(4)
    pixels = rng.normal(100, 5, (200, 220)).clip(85, 130).astype(np.float32)
    injected = rng.random(pixels.shape) < 1e-3
    pixels[injected] = rng.uniform(-50, 70, injected.sum())
    found = low_pixels(pixels, sky_statistics(pixels), 4.0)
    np.testing.assert_array_equal(found, injected)


def test_float64_pixels_are_compared_without_rounding() -> None:
    pixels = sky(5).astype(np.float64)
    below, on_it = np.argwhere(low_pixels(pixels, sky_statistics(pixels), 8.0))[:2].tolist()
    for _ in range(5):  # until the two pixels no longer change the threshold
        threshold = sky_statistics(pixels).threshold(4.0)
        pixels[*below] = np.nextafter(threshold, -np.inf)
        pixels[*on_it] = threshold
    found = sky_statistics(pixels)
    assert found.threshold(4.0) == threshold
    assert np.float32(pixels[*below]) == np.float32(pixels[*on_it])
    low = low_pixels(pixels, found, 4.0)
    assert low[*below]
    assert not low[*on_it]


def test_a_larger_sigma_never_finds_more() -> None:
    pixels = sky(6)
    found = sky_statistics(pixels)
    counts = [np.count_nonzero(low_pixels(pixels, found, s)) for s in (0, 1, 2, 3, 4, 5, 1e9)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[3] > counts[-1] == 0
