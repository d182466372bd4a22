"""The local background: what it predicts, what it finds, and where it finds nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from staticmask_cli.settings import Background
from staticmask_cli.statistics import local_sky as local
from staticmask_cli.statistics.bad_pixels import Criteria, find_bad_pixels
from staticmask_cli.statistics.chance import low_probability
from staticmask_cli.statistics.local_sky import NEAR, WIDE, LocalSky, local_sky
from staticmask_cli.statistics.neighbours import Prediction
from staticmask_cli.statistics.residuals import Calibration, _order, _rising, calibrate
from staticmask_cli.statistics.votes import pack
from tests.support import fields
from tests.support.scenes import field

SHAPE = (220, 240)
READ_NOISE = 4.0
SIGMA = 4.0


def low(pixels: np.ndarray, static_sig: float = SIGMA, **more: object) -> np.ndarray:
    """Return the low pixels of a chip."""
    sky = local_sky(pixels, **more)
    return (
        np.unpackbits(sky.low(pixels, static_sig), count=pixels.size)
        .view(bool)
        .reshape(pixels.shape)
    )


def observed(light: np.ndarray, seed: int = 1, read_noise: float = READ_NOISE) -> np.ndarray:
    """Return electrons: photon noise of the light, and read noise."""
    rng = np.random.default_rng(seed)
    return (rng.poisson(light) + rng.normal(0, read_noise, light.shape)).astype("f4")


def noise_of(light: np.ndarray) -> np.ndarray:
    return np.sqrt(light + READ_NOISE**2)


def flat(shape: tuple[int, int] = SHAPE, level: float = 40.0) -> np.ndarray:
    return np.full(shape, level)


def stars(shape: tuple[int, int], number: int, fwhm: float, seed: int = 7) -> np.ndarray:
    """Return the light of stars with a Gaussian PSF, integrated over pixels by 5 x 5 samples."""
    rng = np.random.default_rng(seed)
    light = np.zeros(shape)
    half = int(4 * fwhm) + 2
    offsets = (np.arange(5) - 2) / 5
    for y, x in rng.uniform(0, 1, (number, 2)) * shape:
        top, left = int(y) - half, int(x) - half
        yy, xx = (np.arange(2 * half + 1) + first for first in (top, left))
        profiles = [
            np.mean([np.exp(-((at + o - c) ** 2) * 4 * np.log(2) / fwhm**2) for o in offsets], 0)
            for at, c in ((yy, y), (xx, x))
        ]
        inside = [(at >= 0) & (at < size) for at, size in zip((yy, xx), shape, strict=True)]
        star = np.outer(profiles[0][inside[0]], profiles[1][inside[1]])
        light[np.ix_(yy[inside[0]], xx[inside[1]])] += rng.pareto(1.0) * 800 * star
    return light


@pytest.mark.parametrize("dtype", ["i2", "i4", "u2", "f4", "f8", ">f4"])
def test_pixels_of_any_type_are_compared_as_float32(dtype: str) -> None:
    pixels = np.rint(observed(flat())).astype(dtype)
    pixels[50, 60] = 0
    expected = low(pixels.astype("f4"))
    assert expected[50, 60]
    np.testing.assert_array_equal(low(pixels), expected)


# Every pixel that is low is found, although few are predicted.


def everywhere(pixels: np.ndarray, sky: LocalSky, step: int, static_sig: float) -> np.ndarray:
    """Return the low pixels by predicting all of them."""
    background, noise = sky._at(np.arange(pixels.size), step)
    values = pixels.reshape(-1).astype("f4")
    is_low = values < background - np.float32(static_sig) * noise
    return np.flatnonzero(is_low & np.isfinite(values))


@pytest.mark.parametrize("step", [NEAR, WIDE])
@pytest.mark.parametrize("static_sig", [0.3, 2.0, 4.0, 30.0])
@pytest.mark.parametrize("kind", ["defective", "crowded", "nebulous", "dark"])
def test_no_low_pixel_is_lost_by_selecting_candidates(
    kind: str, static_sig: float, step: int
) -> None:
    pixels = fields.field(kind, 2, 1, SHAPE).exposures[0]
    pixels[100:110, 100:130] = np.nan
    sky = local_sky(pixels)
    found = sky._low_at(step, pixels, static_sig)
    np.testing.assert_array_equal(found, everywhere(pixels, sky, step, static_sig))
    assert found.size or static_sig > SIGMA


@given(
    seed=st.integers(0, 2**32 - 1),
    level=st.sampled_from([0.02, 0.7, 30.0, 1e5]),
    static_sig=st.sampled_from([0.5, 1.7, 4.0]),
    scale=st.sampled_from([1.0, 1 / 340]),
    offset=st.sampled_from([0.0, -500.0]),
)
def test_no_low_pixel_is_lost_in_counts(
    seed: int, level: float, static_sig: float, scale: float, offset: float
) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.poisson(level * rng.pareto(2, (40, 50))).astype("f4") * np.float32(scale)
    pixels += np.float32(offset)
    pixels[rng.random(pixels.shape) < 0.01] = np.nan
    sky = local_sky(pixels)
    for step in (NEAR, WIDE) if sky.is_usable else ():
        with np.errstate(all="ignore"):
            found = sky._low_at(step, pixels, static_sig)
            np.testing.assert_array_equal(found, everywhere(pixels, sky, step, static_sig))


@pytest.mark.parametrize("size", [7, 1000, 10**9])
def test_low_pixels_do_not_depend_on_the_size_of_blocks(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = fields.field("nebulous", 1, 1, SHAPE).exposures[0]
    pixels[30:34, 50:90] = np.nan
    expected = low(pixels)
    assert expected.any()
    monkeypatch.setattr(local, "_BLOCK", size)
    monkeypatch.setattr(local, "_PREDICTED", size)
    np.testing.assert_array_equal(low(pixels), expected)


def test_a_power_of_two_in_the_unit_changes_nothing() -> None:
    pixels = fields.field("nebulous", 5, 1, SHAPE).exposures[0]
    np.testing.assert_array_equal(low(pixels), low(pixels * np.float32(2**-9)))


def test_electrons_per_second_have_the_low_pixels_of_electrons() -> None:
    field = fields.field("crowded", 5, 1, SHAPE)
    electrons = low(field.exposures[0])
    rates = low(field.exposures[0] / np.float32(340))
    # Rounding may move a pixel across a threshold.
    assert (electrons != rates).sum() <= 1
    subtracted = low(field.exposures[0] / np.float32(340) - np.float32(2.5))
    assert (electrons != subtracted).sum() <= 2


# How often noise makes a pixel low


@pytest.mark.parametrize("static_sig", [2.0, 3.0, 4.0])
def test_noise_makes_as_many_pixels_low_as_expected(static_sig: float) -> None:
    pixels = np.random.default_rng(3).normal(1000, 20, (1500, 1500)).astype("f4")
    expected = pixels.size * low_probability(static_sig, Background.LOCAL)
    # Four standard deviations of the number, and 2 % in the noise, which the tail amplifies.
    tolerance = 4 * np.sqrt(expected) + 0.02 * static_sig**2 * expected
    assert low(pixels, static_sig).sum() == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("rays", [0.0, 2e-3])
def test_a_blank_field_has_not_many_more_false_pixels_than_with_the_chips_rms(rays: float) -> None:
    field = fields.field("clean", 4, 4, (1000, 1000), rays=rays)
    numbers = {
        background: sum(
            int(np.bitwise_count(find_bad_pixels(pixels, None, criteria).low).sum())
            for pixels in field.exposures
        )
        for background in Background
        for criteria in [Criteria(static_sig=SIGMA, background=background)]
    }
    allowed = 1.2 * numbers[Background.CHIP]
    assert numbers[Background.LOCAL] <= allowed + 3 * np.sqrt(allowed)


# Defects of all forms


FORMS: dict[str, list[tuple[object, object]]] = {
    "single": [(60, 70), (100, 31), (150, 200)],
    "pair": [(60, slice(70, 72)), (slice(100, 102), 31)],
    "diagonal": [([60, 61, 62], [70, 71, 72])],
    "L": [([60, 61, 61], [70, 70, 71])],
    "block of 2": [(slice(60, 62), slice(70, 72))],
    "block of 3": [(slice(60, 63), slice(70, 73))],
    "part of a column": [(slice(40, 120), 70)],
    "column": [(slice(None), 70)],
    "row": [(90, slice(None))],
    "part of a row": [(90, slice(10, 60))],
    "two columns": [(slice(None), slice(70, 72))],
    "part of two columns": [(slice(40, 120), slice(70, 72))],
    "two rows": [(slice(90, 92), slice(20, 200))],
    "edges": [(0, 50), (-1, 70), (60, 0), (80, -1)],
    "corners": [(0, 0), (0, -1), (-1, 0), (-1, -1)],
    "edge column": [(slice(None), 0)],
    "edge row": [(-1, slice(None))],
    "two edge columns": [(slice(None), slice(0, 2))],
    "crossing": [(slice(None), 70), (90, slice(None))],
}


@pytest.mark.parametrize("sky", ["flat", "gradient"])
@pytest.mark.parametrize("form", FORMS)
def test_defects_of_any_form_are_found(form: str, sky: str) -> None:
    yy, xx = np.mgrid[: SHAPE[0], : SHAPE[1]]
    light = flat() if sky == "flat" else 60.0 + 1.5 * xx + 0.4 * yy
    defects = np.zeros(SHAPE, bool)
    for where in FORMS[form]:
        defects[where] = True
    pixels = observed(light) - np.where(defects, 14 * noise_of(light), 0).astype("f4")
    found = low(pixels)
    # All but a few pixels of long defects, whose neighbours fluctuate.
    assert found[defects].mean() > 0.97
    assert (found & ~defects).sum() <= 5


def test_defects_beside_missing_and_excluded_pixels_are_found() -> None:
    pixels = observed(flat())
    pixels[50:60, 40:80] = np.nan
    pixels[80, 43] = -np.inf
    excluded = np.zeros(SHAPE, bool)
    excluded[120:124, 100:160] = True
    pixels[excluded] = -1e4
    beside = ([49, 60, 55, 119, 124, 122], [60, 41, 80, 130, 101, 160])
    pixels[beside] = -70
    found = low(pixels, excluded=pack(excluded))
    assert found[beside].all()
    assert not found[50:60, 40:80].any()
    assert not found[80, 43]
    found[beside] = False
    assert (found & ~excluded).sum() <= 2
    # As neighbours, the excluded pixels would hide what is beside them.
    assert not low(pixels)[119, 130]


def test_a_defect_under_the_wing_of_a_star_is_found() -> None:
    light = flat()
    yy, xx = np.mgrid[: SHAPE[0], : SHAPE[1]]
    radius = np.hypot(yy - 110, xx - 120)
    light += 2e5 / (1 + (radius / 3) ** 2) ** 1.5
    rings = [(110, 120 + r) for r in (15, 30, 60)] + [(110 - 20, 120 - 20)]
    pixels = observed(light)
    for at in rings:
        pixels[at] -= 10 * noise_of(light)[at]
    found = low(pixels)
    assert all(found[at] for at in rings)
    assert found.sum() <= len(rings) + 5


# The sky is not low


def few(found: np.ndarray, most: int) -> None:
    assert found.sum() <= most, np.argwhere(found)[:20]


@pytest.mark.parametrize("fwhm", [1.2, 2.0, 4.0])
def test_stars_are_not_low(fwhm: float) -> None:
    few(low(observed(flat() + stars(SHAPE, 400, fwhm))), 12)


def test_diffraction_spikes_are_not_low() -> None:
    yy, xx = np.mgrid[: SHAPE[0], : SHAPE[1]] - 110.0
    light = flat()
    for across, along in (((yy - xx), (yy + xx)), ((yy + xx), (yy - xx))):
        light += 4e4 * np.exp(-(across**2) / 3) / (4 + np.abs(along))
    few(low(observed(light)), 8)


def test_saturated_stars_with_bleed_columns_are_not_low() -> None:
    light = flat() + stars(SHAPE, 60, 2.0) * 20
    for column in (40, 41, 150):
        light[60:160, column] = 80_000
    pixels = observed(np.minimum(light, 80_000))
    few(low(pixels), 12)


def test_a_pixel_between_two_cosmic_rays_is_not_low() -> None:
    pixels = observed(flat())
    places = [(y, x) for y in range(20, 200, 20) for x in range(20, 220, 20)]
    for number, (y, x) in enumerate(places):
        dy, dx = ((0, 1), (1, 0), (1, 1), (1, -1))[number % 4]
        pixels[y + dy, x + dx] += 3000
        pixels[y - dy, x - dx] += 3000
    found = low(pixels)
    assert not any(found[at] for at in places)
    few(found, 4)


@pytest.mark.parametrize("angle", [0, 17, 45, 90])
def test_the_edges_of_dust_lanes_are_not_low(angle: float) -> None:
    yy, xx = np.mgrid[: SHAPE[0], : SHAPE[1]] - 110.0
    across = yy * np.cos(np.deg2rad(angle)) + xx * np.sin(np.deg2rad(angle))
    light = 1500 * (1 - 0.8 / (1 + np.exp((np.abs(across) - 9) / 0.7)))
    few(low(observed(light)), 12)


@pytest.mark.parametrize("angle", [5, 85])
def test_dark_lanes_as_wide_as_the_psf_are_not_low(angle: float) -> None:
    yy, xx = np.mgrid[: SHAPE[0], : SHAPE[1]] - 110.0
    across = yy * np.cos(np.deg2rad(angle)) + xx * np.sin(np.deg2rad(angle))
    # Where it is brightest, few pixels show how much the lane differs from its surroundings.
    light = 30 + 2500 * np.exp(-np.hypot(yy, xx) / 12)
    light *= 1 - 0.6 * np.exp(-(across**2) / 2 / 1.4**2)
    few(np.stack([low(observed(light, seed)) for seed in (1, 2, 3)]), 8)


def test_gradients_and_vignetted_corners_are_not_low() -> None:
    yy, xx = np.mgrid[: SHAPE[0], : SHAPE[1]]
    light = 20 + 4.0 * xx + 1.0 * yy
    vignetting = 1 - 0.9 * np.exp(-((np.hypot(yy - SHAPE[0], xx - SHAPE[1]) / 60) ** 2))
    # Divided by the flat field: the noise is larger in the corner than its level shows.
    few(low(observed(light * vignetting) / vignetting.astype("f4")), 14)


def test_steps_between_amplifiers_are_not_low() -> None:
    light = flat(level=200.0)
    pixels = observed(light)
    pixels[:110, 120:] = pixels[:110, 120:] * np.float32(1.05) + 12
    pixels[110:, :120] = pixels[110:, :120] * np.float32(0.96) - 15
    few(low(pixels), 6)


def test_a_striped_sky_is_not_low() -> None:
    # Every row would count as bad.
    pixels = observed(flat())
    pixels[::2] += 60
    few(low(pixels), 4)


def test_a_background_that_was_subtracted_is_negative_without_harm() -> None:
    pixels = observed(flat()) - 45
    pixels[70, 80] = -160
    found = low(pixels)
    assert found[70, 80]
    few(found, 4)


@pytest.mark.parametrize("mean", [0.01, 0.3, 3.0])
def test_few_counts_are_not_low(mean: float) -> None:
    rng = np.random.default_rng(6)
    light = flat(level=mean) + stars(SHAPE, 20, 2.5) / 50
    pixels = rng.poisson(light).astype("f4")
    few(low(pixels), 3)
    pixels[70, 80] = -10 - 10 * mean  # a dark count that was subtracted too often
    assert low(pixels)[70, 80]


# Where nothing can be had


def test_a_chip_of_20_by_20_pixels_is_measured() -> None:
    pixels = observed(flat((20, 20)))
    pixels[5, 6] = -90
    sky = local_sky(pixels)
    assert sky.is_usable
    assert sky.local_noise == pytest.approx(noise_of(flat())[0, 0], rel=0.2)
    assert np.argwhere(low(pixels)).tolist() == [[5, 6]]


HALF = observed(flat())
HALF[:, 100:] = np.nan


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.full(SHAPE, 7.0, "f4"), "its pixels have no spread"),
        (np.broadcast_to(np.float32(3), SHAPE), "its pixels have no spread"),
        (np.zeros(SHAPE, "i2"), "its pixels have no spread"),
        (np.full(SHAPE, np.nan, "f4"), "too few pixels have neighbours"),
        (np.full(SHAPE, np.inf, "f4"), "too few pixels have neighbours"),
        (observed(flat((14, 14))), "too few pixels have neighbours"),
        (observed(flat((8, 500))), "it has too few rows or columns"),
        (observed(flat((500, 1))), "it has too few rows or columns"),
        (np.empty((0, 0), "f4"), "it has too few rows or columns"),
    ],
)
def test_nothing_is_low_without_a_measurable_noise(pixels: np.ndarray, reason: str) -> None:
    sky = local_sky(pixels)
    assert (sky.is_usable, sky.reason) == (False, reason)
    assert np.isnan([*sky.recorded.values()]).all()
    found = find_bad_pixels(pixels, None, Criteria(static_sig=1.0, background=Background.LOCAL))
    assert (found.used, found.reason) == (False, f"no low pixels found: {reason}")
    assert not found.bad.any()
    background, noise = sky.at(
        pixels, np.array([0]) if pixels.size else np.array([], int), found.low
    )
    assert np.isnan(background).all()
    assert np.isnan(noise).all()


def test_half_a_chip_without_pixels_does_not_matter() -> None:
    pixels = HALF.copy()
    pixels[50, 99] = -80
    found = low(pixels)
    assert found[50, 99]
    few(found, 4)


@pytest.mark.parametrize("kind", ["nebulous", "filaments"])
def test_a_frame_that_was_set_to_zero_does_not_narrow_the_noise_of_faint_places(
    kind: str,
) -> None:
    made = field(kind, 1, count=1)
    (pixels,) = made.exposures
    framed = pixels.copy()
    inner = np.s_[40:-40, 40:-40]
    framed[:] = 0
    framed[inner] = pixels[inner]
    false = [np.count_nonzero((low(p) & ~made.defects)[inner]) for p in (pixels, framed)]
    assert false[1] <= false[0] + 5


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6])
@pytest.mark.parametrize("level", [40.0, 38.0, 200.0, 0.0])
def test_a_region_that_was_set_to_a_constant_does_not_disturb_others(
    level: float, share: float
) -> None:
    pixels = observed(flat((400, 400)))
    first = int(400 * share)
    pixels[:first] = level
    pixels[300, 200] = -60
    found = low(pixels)
    assert found[300, 200]
    assert not found[: first - 4].any()
    few(found, 8)


@pytest.mark.parametrize("subtracted", [0, 500])
def test_places_without_spread_have_no_low_pixels(subtracted: float) -> None:
    # A region that was set to zero, as beyond the field of view.
    pixels = observed(flat(level=400.0)) - np.float32(subtracted)
    pixels[:60] = 0
    pixels[30, 40] = -100
    found = low(pixels)
    assert not found[:59].any()
    few(found, 8)


# What is reported


def test_the_background_and_noise_of_places_follow_the_light() -> None:
    light = 50 * np.exp(np.linspace(0, 4, SHAPE[1])) * np.ones(SHAPE)
    pixels = observed(light)
    sky = local_sky(pixels)
    places = np.arange(0, pixels.size, 7)
    background, noise = sky.at(pixels, places, sky.low(pixels, SIGMA))
    truth = light.reshape(-1)[places]
    # A pixel's eight neighbours determine the background to half of its noise.
    assert np.median(np.abs(background - truth) / np.sqrt(truth + 16)) < 0.5
    assert np.median(noise / np.sqrt(truth + 16)) == pytest.approx(1.05, abs=0.1)
    assert sky.local_background == pytest.approx(np.median(light), rel=0.05)
    assert sky.local_noise == pytest.approx(np.median(noise), rel=0.05)
    assert sky.threshold(SIGMA) != sky.threshold(SIGMA)


def test_a_pixel_of_a_wide_defect_is_compared_with_farther_neighbours() -> None:
    pixels = observed(flat())
    pixels[:, 70:72] -= 100
    sky = local_sky(pixels)
    places = 70 + SHAPE[1] * np.arange(20, 200)
    bits = sky.low(pixels, SIGMA)
    found = low(pixels).reshape(-1)[places]
    background, noise = sky.at(pixels, places, bits)
    assert found.mean() > 0.9
    sigmas = (background - pixels.reshape(-1)[places]) / noise
    assert (sigmas[found] > SIGMA).all()
    assert abs(np.median(background) - 40) < 5


def test_statistics_of_the_chip_are_those_of_its_finite_pixels() -> None:
    sky = local_sky(HALF)
    assert (sky.all_finite, sky.n_finite) == (False, SHAPE[0] * 100)
    assert sky.lowest == np.nanmin(HALF)
    assert sky.median == pytest.approx(np.nanmedian(HALF), abs=0.3)
    assert sky.noise == pytest.approx(noise_of(flat())[0, 0], rel=0.05)


# Residuals


def test_the_order_is_that_of_a_stable_argsort() -> None:
    rng = np.random.default_rng(2)
    values = np.concatenate([np.rint(rng.normal(0, 3, 5000)), rng.normal(0, 1e-30, 5000)])
    values = np.append(values, [0.0, -0.0, 1e38, -1e38]).astype("f4")
    order = _order(values)
    np.testing.assert_array_equal(values[order], np.sort(values))
    positive = np.abs(values)
    np.testing.assert_array_equal(_order(positive), np.argsort(positive, kind="stable"))


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(1, 50)), min_size=1, max_size=20))
def test_the_rising_sequence_is_the_nearest_one(pairs: list[tuple[float, int]]) -> None:
    values, weights = map(np.array, zip(*pairs, strict=True))
    found = _rising(values, weights)
    assert (np.diff(found) >= -1e-9).all()
    # The formula of the isotonic regression: the largest minimum of weighted means.
    n = len(pairs)
    for k in range(n):
        means = [
            [np.average(values[i : j + 1], weights=weights[i : j + 1]) for j in range(k, n)]
            for i in range(k + 1)
        ]
        assert found[k] == pytest.approx(max(map(min, means)), abs=1e-9)


def test_a_calibration_has_the_noise_of_each_kind_of_place() -> None:
    pixels = observed(flat((600, 600)) + stars((600, 600), 600, 2.2))
    found = local_sky(pixels).calibrations[NEAR]
    assert isinstance(found, Calibration)
    for curve in found[:3]:
        assert (np.diff(curve.noises) >= 0).all()
        assert (np.diff(curve.nodes) > 0).all()
        assert (curve.centres <= curve.noises).all()
    assert (np.diff(found.by_contrast.centres) <= 0).all()
    assert found.by_scatter.noises[-1] > 1.5 * found.by_scatter.noises[0]


@pytest.mark.parametrize(("shape", "offset"), [(None, 0.0), (400.0, 1 / 30), (9.0, 0.087)])
def test_the_background_of_skewed_noise_is_near_its_mode(
    shape: float | None, offset: float
) -> None:
    # A gamma distribution has the skewness 2 / sqrt(shape): its mode is a third of that,
    # in units of the noise, below its median. It is limited to a tenth of the distance from
    # the median to the 16 % quantile, which is 0.87 for the most skewed one.
    rng = np.random.default_rng(5)
    size = 400_000
    noise = rng.normal(size=size) if shape is None else rng.gamma(shape, 1 / np.sqrt(shape), size)
    same = np.full(size, 100, "f4")
    values = (same + 10 * (noise - np.median(noise))).astype("f4")
    background, _ = calibrate(values, Prediction(same, same, same, same)).at(
        Prediction(*np.full((4, 1), 100, "f4"))
    )
    # The quartiles of 400,000 values are uncertain by 0.003.
    assert 100 - background[0] == pytest.approx(10 * offset, abs=0.1)


def test_the_noise_of_long_tails_is_that_of_two_sigma() -> None:
    rng = np.random.default_rng(6)
    size = 400_000
    same = np.full(size, 100, "f4")
    values = (same + rng.laplace(0, 1, size)).astype("f4")
    _, noise = calibrate(values, Prediction(same, same, same, same)).at(
        Prediction(*np.full((4, 1), 100, "f4"))
    )
    # Half the distance from the median to the quantile two sigma below it, 2.275 %; the
    # quantile of 400,000 values is uncertain by 0.01.
    # Residuals more than five one-sigma noises below the prediction count as defects.
    cut = 0.5 * np.exp(-5 * np.log(0.5 / 0.15866))
    expected = np.log(0.5 / (0.02275 * (1 - cut) + cut)) / 2
    assert noise[0] == pytest.approx(expected, abs=0.02)


# Fields of more than one kind


@pytest.mark.parametrize("good_bits", [0, 64])
def test_pixels_with_flags_that_count_as_bad_are_not_neighbours(good_bits: int) -> None:
    pixels = observed(flat())
    flags = np.zeros(SHAPE, "i2")
    flags[120:124, 100:160] = 4
    flags[40:44, 20:60] = 64  # good, if so declared
    pixels[120:124, 100:160] = -1e4
    beside = ([119, 124, 122, 39], [130, 110, 160, 30])
    pixels[beside] = -70
    criteria = Criteria(static_sig=SIGMA, background=Background.LOCAL, good_bits=good_bits)
    found = find_bad_pixels(pixels, flags, criteria)
    is_bad = np.unpackbits(found.bad, count=pixels.size).view(bool).reshape(SHAPE)
    assert is_bad[beside].all()
    assert is_bad[120:124, 100:160].all()
    assert is_bad[40:44, 20:60].all() == (good_bits == 0)
    is_bad[beside] = False
    few(is_bad & (flags == 0), 3)


@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "i4"])
@pytest.mark.parametrize("subtracted", [0, 300])
def test_defects_are_found_on_all_sides_of_amplifier_steps(dtype: str, subtracted: int) -> None:
    light = flat(level=200.0)
    pixels = observed(light)
    pixels[:110, 120:] = pixels[:110, 120:] * np.float32(1.3) + 90
    pixels[110:, :120] = pixels[110:, :120] * np.float32(0.7) - 60
    defects = ([109, 110, 109, 110, 50, 0, 219], [119, 119, 120, 120, 119, 120, 119])
    pixels[defects] -= 25 * noise_of(light)[0, 0]
    found = low(np.rint(pixels - subtracted).astype(dtype))
    assert found[defects].all()
    found[defects] = False
    # The rows and columns beside the steps have 2 x 460 pixels, with the noise of either side.
    few(found, 8)


@pytest.mark.parametrize("unit", [1.0, 1 / 340, 512.0])
@pytest.mark.parametrize("mean", [0.01, 0.5, 3.0])
def test_counts_have_the_same_low_pixels_in_any_unit(mean: float, unit: float) -> None:
    pixels = np.random.default_rng(8).poisson(mean, SHAPE).astype("f4")
    defects = ([20, 100, 219], [30, 0, 239])
    pixels[defects] = -10 - 10 * mean
    found = low(pixels * np.float32(unit))
    assert found[defects].all()
    found[defects] = False
    # Counts are not below zero: at this depth there is nothing but defects.
    few(found, 0 if mean < 1 else 3)


@pytest.mark.parametrize("shape", [(1, 500), (500, 1), (0, 7), (7, 0), (0, 0)])
def test_chips_without_room_for_neighbours_have_no_low_pixels(shape: tuple[int, int]) -> None:
    sky = local_sky(np.zeros(shape, "f4"))
    assert sky.reason == "it has too few rows or columns"
    assert not sky.low(np.zeros(shape, "f4"), SIGMA).any()
    assert (sky.n_finite, sky.all_finite) == (shape[0] * shape[1], True)


@pytest.mark.parametrize("kind", ["defective", "crowded", "nebulous"])
@pytest.mark.parametrize("turned", [np.flipud, np.fliplr, np.transpose, np.rot90])
def test_a_turned_chip_that_is_all_sample_has_nearly_the_same_low_pixels(
    kind: str, turned: Callable[[np.ndarray], np.ndarray]
) -> None:
    pixels = fields.field(kind, 5, 1, SHAPE).exposures[0]
    one, other = turned(low(pixels, 2.0)), low(turned(pixels), 2.0)
    assert one.sum() > 400
    # The wide step takes every third pixel of the sample, which are others: its noise
    # differs a little, and so do pixels near the threshold.
    assert (one != other).sum() <= 0.02 * one.sum()


@pytest.mark.parametrize(
    ("share", "depth", "least"),
    [(0.02, 8, 0.98), (0.036, 8, 0.75), (0.036, 40, 0.99), (0.08, 40, 0.99)],
)
def test_many_defects_are_not_taken_for_noise(share: float, depth: float, least: float) -> None:
    rng = np.random.default_rng(3)
    pixels = rng.normal(60, 7.7, (512, 512)).astype("f4")
    defects = rng.random(pixels.shape) < share
    pixels[defects] -= depth * np.float32(7.7)
    sky = local_sky(pixels)
    assert sky.local_noise == pytest.approx(
        7.7, rel=0.1
    )  # with fewer neighbours, predictions are worse
    found = np.unpackbits(sky.low(pixels, 4.0)).view(bool).reshape(pixels.shape)
    assert found[defects].mean() > least
    assert (found & ~defects).sum() <= 8


def test_flagged_pixels_do_not_widen_the_noise() -> None:
    rng = np.random.default_rng(3)
    pixels = rng.normal(60, 7.7, (512, 512)).astype("f4")
    flagged = rng.random(pixels.shape) < 0.15
    pixels[flagged] -= np.float32(8 * 7.7)
    defects = ~flagged & (rng.random(pixels.shape) < 0.002)
    pixels[defects] -= np.float32(8 * 7.7)
    sky = local_sky(pixels, np.packbits(flagged))
    assert sky.local_noise == pytest.approx(
        7.7, rel=0.1
    )  # with fewer neighbours, predictions are worse
    found = np.unpackbits(sky.low(pixels, 4.0)).view(bool).reshape(pixels.shape)
    assert found[defects].mean() > 0.95
