"""Pictures and figures show the pixels that there are, at their size, of arrays of any kind."""

from __future__ import annotations

from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pytest

from staticmask_cli.reports import figures, pictures
from staticmask_cli.statistics.sky import sky_statistics
from tests.support.makers import sky
from tests.support.pages import decoded, is_colour

WHOLE = (slice(0, 64), slice(0, 64))


@pytest.mark.parametrize("place", [(0, 0), (2047, 4095), (700, 1333)])
def test_a_single_bad_pixel_of_a_large_chip_is_one_point(place: tuple[int, int]) -> None:
    shape = (2048, 4096)
    bad = np.zeros(shape, dtype=bool)
    bad[place] = True
    pixels = np.full(shape, 40, np.float32)
    points = decoded(pictures.overview(pixels, bad, 40.0, 6.0, (slice(300, 364),) * 2))
    assert points.shape == (683, 1366, 3)
    marked = np.argwhere(is_colour(points, pictures.BAD_COLOUR))
    assert marked.tolist() == [[682 - place[0] // 3, place[1] // 3]]


@pytest.mark.parametrize("share", [0.0003, 0.02, 0.2])
def test_bad_pixels_cover_the_share_that_they_have(share: float) -> None:
    bad = np.random.default_rng(1).random((1024, 1024)) < share
    points = decoded(
        pictures.overview(np.zeros(bad.shape), bad, 0.0, 1.0, pictures.zoom_window(bad))
    )
    framed = is_colour(points, pictures.WINDOW_COLOUR)
    assert (is_colour(points, pictures.BAD_COLOUR) == bad[::-1] & ~framed).all()
    assert framed.any()


def test_the_overview_has_row_0_at_the_bottom_and_frames_the_zoom() -> None:
    pixels = np.zeros((100, 200), np.float32)
    pixels[:50] = 100
    bad = np.zeros(pixels.shape, dtype=bool)
    bad[50:54, 150:154] = True
    window = pictures.zoom_window(bad)
    assert bad[window].sum() == 16
    points = decoded(pictures.overview(pixels, bad, 0.0, 1.0, window))
    assert points.shape == (700, 1400, 3)
    assert (points[-10, 10] > points[10, 10]).all()
    y, x = np.nonzero(is_colour(points, pictures.BAD_COLOUR))
    assert (y.min(), y.max(), x.min(), x.max()) == (46 * 7, 50 * 7 - 1, 150 * 7, 154 * 7 - 1)
    y, x = np.nonzero(is_colour(points, pictures.WINDOW_COLOUR))
    assert x.min() == window[1].start * 7 - 3
    assert y.max() == 699 - window[0].start * 7 + 3


def test_the_zoom_is_centred_where_most_bad_pixels_cluster() -> None:
    rng = np.random.default_rng(2)
    bad = rng.random((500, 701)) < 0.0001
    bad[300:310, 400:410] = True
    rows, columns = pictures.zoom_window(bad)
    assert (rows.stop - rows.start, columns.stop - columns.start) == (64, 64)
    assert bad[rows, columns].sum() >= 100
    alone = np.zeros((500, 701), dtype=bool)
    alone[300:310, 400:410] = True
    assert pictures.zoom_window(alone) == (slice(273, 337), slice(373, 437))
    corner = np.zeros((500, 701), dtype=bool)
    corner[490:, 690:] = True
    assert pictures.zoom_window(corner) == (slice(436, 500), slice(637, 701))


def test_the_zoom_is_wider_where_bad_pixels_are_sparse() -> None:
    rng = np.random.default_rng(4)
    for share, side in [(0.01, 64), (0.0008, 128), (0.00008, 256)]:
        bad = rng.random((1024, 1024)) < share
        rows, columns = pictures.zoom_window(bad)
        assert (rows.stop - rows.start, columns.stop - columns.start) == (side, side)
        assert bad[rows, columns].sum() >= min(12, 0.1 * bad.sum())


def test_the_zoom_of_a_mask_without_bad_pixels_is_the_middle() -> None:
    assert pictures.zoom_window(np.zeros((3, 5), dtype=bool)) == (slice(0, 3), slice(0, 5))
    middle = pictures.zoom_window(np.zeros((100, 200), dtype=bool))
    assert middle == (slice(18, 82), slice(68, 132))


def test_the_zoom_fills_bad_pixels() -> None:
    pixels = np.zeros((64, 64), np.float32)
    bad = np.zeros(pixels.shape, dtype=bool)
    bad[10, 20] = True
    pixels[bad] = 9
    filled, plain = (
        decoded(figures.zoom(pixels, mask, 0.0, 1.0, WHOLE, dark=True)) for mask in (bad, None)
    )
    # The axes' place in the figure, and the pixel's in the axes.
    at = [round(848 * (1 - 0.13 - 0.8558 * 10.5 / 64)), round(896 * (0.15 + 0.81 * 20.5 / 64))]
    box = (slice(at[0] - 4, at[0] + 4), slice(at[1] - 4, at[1] + 4))
    assert is_colour(filled[box], pictures.BAD_COLOUR).all()
    assert (plain[box] > 245).all()
    assert not is_colour(plain, pictures.BAD_COLOUR).any()
    for points in (filled, plain):
        assert is_colour(points, pictures.WINDOW_COLOUR).sum() > 2000


@pytest.mark.parametrize("dark", [False, True])
def test_a_single_bad_pixel_among_noise_is_filled_exactly(dark: bool) -> None:
    pixels = np.random.default_rng(3).normal(0, 2, (256, 256))
    bad = np.zeros(pixels.shape, dtype=bool)
    bad[100, 100] = True
    window = (slice(0, 256), slice(0, 256))
    points = decoded(figures.zoom(pixels, bad, 0.0, 1.0, window, dark=dark))
    assert is_colour(points, pictures.BAD_COLOUR).sum() >= 4
    assert is_colour(points, pictures.WINDOW_COLOUR).sum() > 2000
    paper = "#161a21" if dark else "#ffffff"  # that of page.css
    assert is_colour(points[0, 0], paper)


@pytest.mark.parametrize("most", [1, 2, 6, 7, 20, 300])
def test_every_count_has_one_class(most: int) -> None:
    classes = pictures.count_classes(most)
    assert classes[0][0] == 1
    assert classes[-1][1] == most
    assert all(low <= high for low, high in classes)
    assert all(after == high + 1 for (_, high), (after, _) in pairwise(classes))
    assert len(set(pictures.count_colours(len(classes)))) == len(classes)


def test_the_map_of_counts_has_a_colour_for_each_class() -> None:
    counts = np.zeros((2048, 4096), np.uint32)
    counts[0, 0], counts[3, 6], counts[4, 7], counts[2047, 4095] = 1, 9, 2, 20
    classes = pictures.count_classes(20)
    points = decoded(pictures.count_map(counts, classes))
    assert points.shape == (683, 1366, 3)
    colours = pictures.count_colours(len(classes))
    for place, number in [((682, 0), 0), ((681, 2), 3), ((0, 1365), 4)]:
        assert is_colour(points[place], colours[number])
    assert is_colour(points, pictures.NEVER_COLOUR).sum() == 683 * 1366 - 3


def test_the_trend_marks_exposures_with_failed_checks() -> None:
    series = {"mode": [1, 2, 3], "rms": [4, float("nan"), 6], "low pixels": [7, 8, 1e9]}
    plain = decoded(figures.trend(series, [False] * 3, dark=False))
    marked = decoded(figures.trend(series, [False, False, True], dark=False))
    assert not is_colour(plain, pictures.BAD_COLOUR).any()
    assert is_colour(marked, pictures.BAD_COLOUR).sum() > 200
    many = {label: [1.0] * 500 for label in series}
    decoded(figures.trend(many, [True] * 500, dark=True))


def test_the_histogram_counts_every_pixel_once() -> None:
    pixels = sky(5, (300, 400), low=50, high=100)
    pixels[0, :7] = [np.nan, np.inf, -np.inf, np.nan, -1e9, 1e9, np.nan]
    sky_ = sky_statistics(pixels)
    data = figures.count(pixels, sky_, 4.0)
    assert data.counts.sum() + data.below + data.above == pixels.size - 3
    inside = pixels[np.isfinite(pixels)]
    expected, _ = np.histogram(inside.astype(float), data.edges)
    assert np.abs(np.cumsum(data.counts - expected)).max() <= 3  # at the edges of the bins
    assert data.below == (pixels < data.edges[0]).sum()
    assert data.limits == (sky_.mean - 3 * sky_.rms, sky_.mean + 3 * sky_.rms)
    assert data.edges[0] < data.threshold == sky_.threshold(4.0)
    many = figures.count(pixels, sky_, 1e6)
    assert many.counts.size == 400


@pytest.mark.parametrize("unit", ["ELECTRONS/S", "$\\frac", "a\nb\x1b", "\N{ANGSTROM SIGN}" * 500])
def test_any_unit_can_be_drawn(unit: str) -> None:
    data = figures.count(sky(1), sky_statistics(sky(1)), 4.0)
    decoded(figures.histogram(data, unit, dark=False))


@pytest.mark.parametrize(
    "pixels",
    [
        np.full((40, 50), np.nan),
        np.broadcast_to(np.float64(3), (40, 50)),
        np.arange(2000, dtype=np.int16).reshape(40, 50),
        np.arange(2000, dtype=np.uint8).reshape(40, 50),
        np.where(np.eye(40, 50) > 0, np.inf, sky(1, (40, 50))),
        np.where(np.eye(40, 50) > 0, -1e300, sky(1, (40, 50)).astype(float)),
        (sky(2, (40, 50)) * 1e35).astype(np.float32),
        sky(3, (40, 50)) * 1e-6,
        sky(4, (1, 3000)),
        np.ones((1, 1), np.float32),
    ],
    ids=["nan", "constant", "int16", "uint8", "inf", "huge", "1e35", "1e-6", "row", "one"],
)
def test_pixels_of_any_kind_are_drawn(pixels: np.ndarray) -> None:
    measured = sky_statistics(pixels)
    before = pixels.copy()
    bad = np.zeros(pixels.shape, dtype=bool)
    bad[0, 0] = True
    look = (pixels, bad, measured.median, measured.noise, pictures.zoom_window(bad))
    points = decoded(pictures.overview(*look))
    assert is_colour(points, pictures.BAD_COLOUR).any() or points.shape[0] < 8
    hidden = is_colour(points, pictures.UNSEEN_COLOUR).any()
    assert hidden == (measured.n_finite < pixels.size)
    decoded(figures.zoom(*look, dark=False))
    decoded(figures.zoom(pixels, None, *look[2:], dark=True))
    if measured.is_usable:
        for sig in (0.0, 4.0, 1e4):
            decoded(figures.histogram(figures.count(pixels, measured, sig), "", dark=True))
    np.testing.assert_array_equal(pixels, before)


def test_a_users_matplotlibrc_changes_nothing() -> None:
    measured = sky_statistics(sky(1))
    data = figures.count(sky(1), measured, 4.0)
    plain = figures.histogram(data, "", dark=False)
    with mpl.rc_context({"font.size": 40, "axes.grid": True, "text.usetex": True}):
        assert figures.histogram(data, "", dark=False) == plain
    for chunk in (b"tIME", b"tEXt", b"Software"):
        assert chunk not in plain
