"""The report: pictures that show what there is, a page that holds nothing else, no file lost."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from astropy.io import fits
from matplotlib.image import imread

from staticmask_cli import ConfigError, OutputError
from staticmask_cli.reports import figures, pictures, showing
from staticmask_cli.reports.exhibits import exhibit
from staticmask_cli.reports.markup import decimals
from staticmask_cli.reports.page import BEGINNING
from staticmask_cli.reports.report import Report
from staticmask_cli.settings import Settings
from staticmask_cli.statistics.sky import sky_statistics
from tests.support.makers import REAL, exposure, sky
from tests.support.runs import Run, constant, run, simple, small, tree

VOID = {"meta", "img", "source", "br"}


class Page(HTMLParser):
    """A page taken apart; every element must be closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self._open: list[str] = []
        self._style = False
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.words += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def pictures(self) -> list[np.ndarray]:
        return [decoded(png(image["src"])) for image in self.of("img")]


def png(url: str | None) -> bytes:
    head, data = (url or "").split(",")
    assert head == "data:image/png;base64"
    return base64.b64decode(data, validate=True)


def decoded(data: bytes) -> np.ndarray:
    """Return a PNG's points, row 0 at the top: three numbers from 0 to 255."""
    return np.round(imread(io.BytesIO(data))[..., :3] * 255).astype(int)


def is_colour(points: np.ndarray, colour: str) -> np.ndarray:
    return (points == list(bytes.fromhex(colour[1:]))).all(axis=-1)


def shown(report: Report, tmp_path: Path, **changes: object) -> Page:
    """Show a run that was made without a report, and take the page apart."""
    settings = dataclasses.replace(report.settings, report=str(tmp_path / "r.html"), **changes)
    showing.show(dataclasses.replace(report, settings=settings))
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert text.startswith(BEGINNING)
    assert "://" not in text
    page = Page(text)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "iframe", "object"}
    assert page.of("html") == [{"lang": "en"}]
    assert len(page.of("title")) == len(page.of("h1")) == 1
    assert any(meta.get("name") == "viewport" for meta in page.of("meta"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids)) == len(report.masks)
    for link in page.of("a"):
        assert (link["href"] or "")[1:] in ids
    for image in page.of("img"):
        assert image["alt"]
        points = decoded(png(image["src"]))
        assert points.shape[:2] == (int(image["height"] or 0), int(image["width"] or 0))
    for source in page.of("source"):
        assert source["media"] == "(prefers-color-scheme: dark)"
        decoded(png(source["srcset"]))
    wide = [a for tag, a in page.elements if tag == "div" and a.get("class") == "wide"]
    assert len(wide) == len(page.of("table"))
    assert all((a["tabindex"], a["role"]) == ("0", "region") and a["aria-label"] for a in wide)
    return page


def settings(tmp_path: Path, **changes: object) -> Settings:
    small(tmp_path / "for_settings_flt.fits")
    made = run(tmp_path / "for_settings_flt.fits", out=tmp_path / "made").settings
    return dataclasses.replace(made, **changes)


# Pictures.


@pytest.mark.parametrize("place", [(0, 0), (2047, 4095), (700, 1333)])
def test_a_single_bad_pixel_of_a_large_chip_can_be_seen(place: tuple[int, int]) -> None:
    shape = (2048, 4096)
    bad = np.zeros(shape, dtype=bool)
    bad[place] = True
    pixels = np.full(shape, 40, np.float32)
    points = decoded(pictures.overview(pixels, bad, 40.0, 6.0, None))
    assert points.shape == (683, 1366, 3)
    marked = np.argwhere(is_colour(points, pictures.BAD_COLOUR))
    high, wide = np.ptp(marked, axis=0) + 1
    assert min(high, wide) >= 3
    top, left = np.abs(marked - [682 - place[0] // 3, place[1] // 3]).max(axis=0)
    assert max(top, left) <= 3
    assert len(marked) == high * wide


def test_the_overview_has_row_0_at_the_bottom_and_frames_the_zoom() -> None:
    pixels = np.zeros((100, 200), np.float32)
    pixels[:50] = 100
    bad = np.zeros(pixels.shape, dtype=bool)
    bad[90:94, 180:184] = True
    window = pictures.zoom_window(bad)
    assert bad[window].sum() == 16
    points = decoded(pictures.overview(pixels, bad, 0.0, 1.0, window))
    assert points.shape == (700, 1400, 3)
    assert (points[-10, 10] > points[10, 10]).all()
    y, x = np.nonzero(is_colour(points, pictures.BAD_COLOUR))
    assert (y.min(), y.max(), x.min(), x.max()) == (6 * 7, 10 * 7 - 1, 180 * 7, 184 * 7 - 1)
    y, x = np.nonzero(is_colour(points, pictures.WINDOW_COLOUR))
    assert x.min() == window[1].start * 7 - 3
    assert y.max() == 699 - window[0].start * 7 + 3


def test_dots_get_smaller_where_they_would_hide_the_picture() -> None:
    shape = (2048, 4096)
    widths = [pictures.dot(number, shape) for number in (0, 1, 100, 300, 10_000, 100_000)]
    assert widths == [7, 7, 5 if 100 * 49 > 0.002 * 683 * 1366 else 7, 5, 3, 1]
    assert pictures.dot(20, (16, 20)) == 20
    bad = np.random.default_rng(1).random((1024, 1024)) < 0.2
    points = decoded(pictures.overview(np.zeros(bad.shape), bad, 0.0, 1.0, None))
    assert (is_colour(points, pictures.BAD_COLOUR) == bad[::-1]).all()


def test_the_zoom_is_where_most_bad_pixels_are() -> None:
    rng = np.random.default_rng(2)
    bad = rng.random((500, 701)) < 0.001
    bad[430:440, 690:700] = True
    rows, columns = pictures.zoom_window(bad)
    assert (rows.stop - rows.start, columns.stop - columns.start) == (64, 64)
    assert bad[rows, columns].sum() >= 100
    assert pictures.zoom_window(np.zeros((3, 5), dtype=bool)) == (slice(0, 3), slice(0, 5))
    middle = pictures.zoom_window(np.zeros((100, 200), dtype=bool))
    assert middle == (slice(18, 82), slice(68, 132))


def test_the_zoom_outlines_bad_pixels_and_leaves_their_values_to_be_seen() -> None:
    pixels = np.zeros((64, 64), np.float32)
    bad = np.zeros(pixels.shape, dtype=bool)
    bad[10, 20] = True
    black, white = (
        decoded(
            figures.zoom(
                np.where(bad, value, pixels), bad, 0.0, 1.0, (slice(0, 64),) * 2, dark=True
            )
        )
        for value in (-9, 9)
    )
    # The axes' place in the figure, and the pixel's in the axes.
    at = [round(848 * (1 - 0.13 - 0.8558 * 10.5 / 64)), round(896 * (0.15 + 0.81 * 20.5 / 64))]
    assert (white[*at] > black[*at] + 100).all()
    box = (slice(at[0] - 9, at[0] + 9), slice(at[1] - 9, at[1] + 9))
    assert is_colour(black[box], pictures.BAD_COLOUR).any()


def test_the_histogram_counts_every_pixel_once() -> None:
    pixels = sky(5, (300, 400), low=50, high=100)
    pixels[0, :7] = [np.nan, np.inf, -np.inf, np.nan, -1e9, 1e9, np.nan]
    sky_ = sky_statistics(pixels)
    data = figures.count(pixels, sky_, 4.0)
    assert data.counts.sum() + data.below + data.above == pixels.size - 3
    inside = pixels[np.isfinite(pixels)]
    expected, _ = np.histogram(inside.astype(float), data.edges)
    assert np.abs(np.cumsum(data.counts - expected)).max() <= 3  # at the bins' edges
    assert data.below == (pixels < data.edges[0]).sum()
    assert data.limits == (sky_.mean - 3 * sky_.rms, sky_.mean + 3 * sky_.rms)
    assert data.edges[0] < data.threshold == sky_.threshold(4.0)
    many = figures.count(pixels, sky_, 1e6)
    assert many.counts.size == 400


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
    if measured.is_usable:
        for sig in (0.0, 4.0, 1e4):
            decoded(figures.histogram(figures.count(pixels, measured, sig), dark=True))
    np.testing.assert_array_equal(pixels, before)


def test_a_users_matplotlibrc_changes_nothing() -> None:
    measured = sky_statistics(sky(1))
    data = figures.count(sky(1), measured, 4.0)
    plain = figures.histogram(data, dark=False)
    with mpl.rc_context({"font.size": 40, "axes.grid": True, "text.usetex": True}):
        assert figures.histogram(data, dark=False) == plain
    for chunk in (b"tIME", b"tEXt", b"Software"):
        assert chunk not in plain


def test_a_column_of_numbers_stands_in_line() -> None:
    assert decimals([1.5, -20.25, float("nan")]) == [
        "1.5000",
        "\N{MINUS SIGN}20.2500",
        "\N{EN DASH}",
    ]
    assert decimals([1e-9, 0.0]) == ["1.00000e\N{MINUS SIGN}09", "0.00000e+00"]
    assert decimals([1e9]) == ["1.00000e+09"]
    assert decimals([123456.7]) == ["123457"]
    assert decimals([0.0]) == ["0.00000"]
    assert decimals([]) == []


# The page.


def test_the_page_shows_what_the_run_found(tmp_path: Path) -> None:
    report = run(REAL, small(tmp_path / "a_flt.fits"), out=tmp_path / "m", max_rms_ratio="0")
    page = shown(report, tmp_path)
    assert len(page.pictures) == 3 * len(report.masks) == 6
    (stis,) = [mask for mask in report.masks if mask.identity.instrument == "STIS"]
    for mask in report.masks:
        assert mask.path in page.words
        assert f"{100 * mask.bad / mask.total:.4f}" in page.words
        for record in mask.chips:
            assert record.file in page.words
    for verdict in report.failed_checks:
        assert str(verdict) in page.words
    assert report.failed_checks
    for key in dataclasses.fields(Settings):
        assert key.name in page.words
    for program in ("staticmask", "Python", "numpy", "astropy", "matplotlib"):
        assert program in page.words
    place = 3 * report.masks.index(stis)
    points = page.pictures[place]
    bad = stis.read()[::-1] == 0
    marked = is_colour(points, pictures.BAD_COLOUR)
    times = points.shape[0] // 256
    centres = marked[times // 2 :: times, times // 2 :: times]
    framed = is_colour(points, pictures.WINDOW_COLOUR)[times // 2 :: times, times // 2 :: times]
    assert (centres | framed)[bad].all()
    assert centres.sum() >= 0.9 * stis.bad
    assert "38 bad pixels" in (page.of("img")[place]["alt"] or "")


def test_a_page_without_verdicts_says_so(tmp_path: Path) -> None:
    report = run(REAL, out=tmp_path / "m")
    assert not report.failed_checks
    assert "Nothing speaks against these masks" in shown(report, tmp_path).words


def test_a_page_tells_what_was_not_judged(tmp_path: Path) -> None:
    report = run(small(tmp_path / "a_flt.fits"), out=tmp_path / "m")
    words = shown(report, tmp_path).words
    assert "Nothing speaks against what could be judged" in words
    assert "for want of pixels or of a sky" in words


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "nonsense"])
def test_a_notebooks_choice_of_windows_changes_nothing(
    backend: str, staticmask: Run, tmp_path: Path
) -> None:
    small(tmp_path / "a_flt.fits")
    (tmp_path / "matplotlibrc").write_text("axes.grid: zork\n", encoding="utf-8")
    result = staticmask("a_flt.fits", "-q", "--report", "r.html", MPLBACKEND=backend)
    assert (result.returncode, result.stderr) == (0, "")
    assert (tmp_path / "r.html").is_file()


@pytest.mark.parametrize("option", ["--summary", "--log-file"])
def test_two_things_do_not_go_into_one_file(option: str, staticmask: Run, tmp_path: Path) -> None:
    small(tmp_path / "a_flt.fits")
    result = staticmask("a_flt.fits", "-o", "m", "--report", "x", option, "./x")
    assert result.returncode == 2
    assert "name one file" in result.stderr
    assert not (tmp_path / "m").exists()


def test_equal_runs_give_equal_bytes(tmp_path: Path) -> None:
    report = run(REAL, out=tmp_path / "m", final_bits="0")
    shown(report, tmp_path, preview=str(tmp_path / "p"))
    first = {p: p.read_bytes() for p in [tmp_path / "r.html", *(tmp_path / "p").iterdir()]}
    again = run(REAL, out=tmp_path / "m", final_bits="0")
    shown(again, tmp_path, preview=str(tmp_path / "p"))
    assert len(first) == 4
    assert all(path.read_bytes() == data for path, data in first.items())


def test_names_do_no_harm(tmp_path: Path) -> None:
    names = ["<script>alert(1)<|script>_flt.fits", 'a"b\n\x1b&amp;_flt.fits', "é\udc80_flt.fits"]
    for number, name in enumerate(names, start=1):
        path = small(tmp_path / f"plain{number}.fits", number, primary={"EXPTIME": 0.0})
        path.rename(tmp_path / name)
        page = shown(run(tmp_path / name, out=tmp_path / "m", include_empty=True), tmp_path)
        assert name.split("\n")[0].split("\udc80")[0] in page.words
        assert "\x1b" not in page.words


def test_of_several_exposures_the_one_that_gave_most_is_shown(tmp_path: Path) -> None:
    for number, low in enumerate([5, 40, 40], start=1):
        pixels = [sky(number, (64, 80), low=low)]
        exposure(tmp_path / f"e{number}_flt.fits", pixels, errors=False)
    report = run(tmp_path / "e*_flt.fits", out=tmp_path / "m")
    (mask,) = report.masks
    most = max(mask.chips, key=lambda record: record.n_low)
    found = exhibit(mask, report)
    assert found.record.key == most.key
    assert found.bad == mask.bad
    page = shown(report, tmp_path)
    assert f"{most.file} (shown above)" in page.words
    known = run(tmp_path / "e*_flt.fits", out=tmp_path / "u", update=True)
    assert known.masks[0].state == "written"
    known = run(tmp_path / "e*_flt.fits", out=tmp_path / "u", update=True)
    assert known.exposures[0].state == "known"
    assert f"{most.file} (shown above)" in shown(known, tmp_path).words


def test_flags_are_told_by_name_if_they_were_read(tmp_path: Path) -> None:
    flags = np.zeros((16, 20), np.int16)
    flags[0, :3] = 16
    flags[1, :2] = 16 + 64
    flags[2, 0] = -(2**15)
    path = small(tmp_path / "a_flt.fits", flags=[flags])
    report = run(path, out=tmp_path / "m", final_bits="64")
    assert exhibit(report.masks[0], report).flags == ((16, 5), (2**15, 1))
    words = shown(report, tmp_path).words
    assert "HOT" in words
    assert "WARM" not in words
    unread = shown(run(path, out=tmp_path / "m"), tmp_path)
    assert not any("DQ flags" in (a.get("aria-label") or "") for a in unread.of("div"))


def test_constant_flags_are_counted_too(tmp_path: Path) -> None:
    hdus = [fits.ImageHDU(sky(1, (16, 20)), name="SCI", ver=1), constant("DQ", 4, (16, 20))]
    report = run(simple(tmp_path / "a_flt.fits", hdus), out=tmp_path / "m", final_bits="0")
    assert exhibit(report.masks[0], report).flags == ((4, 320),)
    assert "BADPIX" in shown(report, tmp_path).words


def test_a_chip_of_one_bin_has_no_histogram(tmp_path: Path) -> None:
    flags = np.zeros((16, 20), np.int16)
    flags[3, 4] = 4
    path = exposure(tmp_path / "a_flt.fits", [np.full((16, 20), 7, "f4")], flags=[flags])
    report = run(path, out=tmp_path / "m", final_bits="0")
    page = shown(report, tmp_path, preview=str(tmp_path / "p"))
    assert len(page.pictures) == 2
    assert "There is no histogram" in page.words
    assert len(list((tmp_path / "p").iterdir())) == 2


@pytest.mark.parametrize("what", ["gone", "changed", "not of this run"])
def test_an_exposure_that_is_gone_leaves_the_rest_of_the_page(what: str, tmp_path: Path) -> None:
    path = small(tmp_path / "a_flt.fits")
    report = run(
        path, small(tmp_path / "b_flt.fits", primary={"DETECTOR": "SBC"}), out=tmp_path / "m"
    )
    if what == "gone":
        path.unlink()
    elif what == "changed":
        small(path, 2, chips=[{"CCDCHIP": 7}])
    else:
        report = dataclasses.replace(report, exposures=report.exposures[1:])
    page = shown(report, tmp_path, preview=str(tmp_path / "p"))
    assert page.words.count("There is no picture") == 1
    assert len(page.pictures) == 3
    assert len(list((tmp_path / "p").iterdir())) == 3
    assert "a_flt.fits" in page.words


def test_left_out_exposures_stand_on_the_page(tmp_path: Path) -> None:
    small(tmp_path / "a_flt.fits", 1)
    small(tmp_path / "empty_flt.fits", 2, primary={"EXPTIME": 0.0})
    (tmp_path / "broken_flt.fits").write_bytes(b"SIMPLE")
    report = run(tmp_path / "*_flt.fits", out=tmp_path / "m", keep_going=True)
    words = shown(report, tmp_path).words
    assert "EXPTIME is 0" in words
    assert words.count("broken_flt.fits") >= 2


def test_a_run_makes_what_its_settings_ask_for(tmp_path: Path) -> None:
    small(tmp_path / "a_flt.fits")
    out, asked = tmp_path / "m", {"report": str(tmp_path / "m" / "r.html")}
    run(tmp_path / "a_flt.fits", out=out, preview=str(tmp_path / "x" / "p"), **asked)
    stem = "ACSHRC_16x20_1_staticMask"
    names = {f"{stem}_{what}.png" for what in ("mask", "zoom", "histogram")}
    assert {path.name for path in (tmp_path / "x" / "p").iterdir()} == names
    assert (out / "r.html").is_file()


# What could go wrong with files.


@pytest.mark.parametrize(
    ("options", "needs"),
    [
        ({"report": "r.html"}, "--report needs matplotlib"),
        ({"preview": "p"}, "--preview needs matplotlib"),
        ({"report": "r.html", "preview": "p"}, "--report and --preview need matplotlib"),
    ],
)
def test_without_matplotlib_nothing_is_begun(
    options: dict, needs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small(tmp_path / "a_flt.fits")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)  # importing it fails
    before = tree(tmp_path)
    with pytest.raises(ConfigError) as failed:
        run("a_flt.fits", out=tmp_path / "m", **options)
    assert str(failed.value) == f"{needs}: pip install 'staticmask-cli[report]'"
    assert tree(tmp_path) == before
    run("a_flt.fits", out=tmp_path / "m")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"report": "-"}, "--report: '-': a report goes into a file"),
        ({"report": "new.fits"}, "--report: new.fits: is a name for a mask or an exposure"),
        ({"report": "a_flt.fits"}, "--report: a_flt.fits: is a name for a mask or an exp"),
        ({"report": "other.html"}, "--report: other.html: is there, and is no report"),
        ({"report": "link"}, "--report: link: is a link"),
        ({"report": "folder"}, "--report: folder: is a folder"),
        ({"report": "a_flt.fits/r.html"}, "--report: a_flt.fits/r.html: a_flt.fits: a_flt.fits is"),
        ({"preview": "a_flt.fits"}, "--preview: a_flt.fits: a_flt.fits is a file, not a folder"),
        ({"preview": "a_flt.fits/p"}, "--preview: a_flt.fits/p: a_flt.fits is a file"),
    ],
)
def test_a_place_where_nothing_can_be_is_told_before_any_work(
    options: dict, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small(tmp_path / "a_flt.fits")
    (tmp_path / "other.html").write_text("<!doctype html>\n<title>mine</title>\n")
    (tmp_path / "link").symlink_to("a_flt.fits")
    (tmp_path / "folder").mkdir()
    before = tree(tmp_path)
    with pytest.raises(ConfigError) as failed:
        run("a_flt.fits", out=tmp_path / "m", **options)
    assert problem in str(failed.value)
    assert tree(tmp_path) == before


def test_an_older_report_is_replaced(tmp_path: Path) -> None:
    report = run(small(tmp_path / "a_flt.fits"), out=tmp_path / "m")
    for old in ("", BEGINNING + '0.0.1">\n'):
        (tmp_path / "r.html").write_text(old)
        showing.check(dataclasses.replace(report.settings, report=str(tmp_path / "r.html")))
        shown(report, tmp_path)
        assert not list(tmp_path.glob(".*"))


def test_what_is_no_picture_is_not_replaced_by_one(tmp_path: Path) -> None:
    report = run(small(tmp_path / "a_flt.fits"), out=tmp_path / "m")
    mine = tmp_path / "p" / "ACSHRC_16x20_1_staticMask_zoom.png"
    mine.parent.mkdir()
    mine.write_text("my notes")
    with pytest.raises(OutputError, match=r"zoom\.png: is there, and is no PNG"):
        shown(report, tmp_path, preview=str(tmp_path / "p"))
    assert mine.read_text() == "my notes"
    assert len(list(mine.parent.iterdir())) == 3
    assert (tmp_path / "r.html").is_file()


def test_a_page_that_cannot_be_written_costs_no_picture(tmp_path: Path) -> None:
    report = run(small(tmp_path / "a_flt.fits"), out=tmp_path / "m")
    (tmp_path / "r.html").write_text("came while the run was under way")
    with pytest.raises(OutputError, match=r"r\.html: is there, and is no report"):
        shown(report, tmp_path, preview=str(tmp_path / "p"))
    assert len(list((tmp_path / "p").iterdir())) == 3
    assert (tmp_path / "r.html").read_text().startswith("came")


def test_a_full_disk_leaves_no_half_page(tmp_path: Path) -> None:
    report = run(small(tmp_path / "a_flt.fits"), out=tmp_path / "m")
    full = dataclasses.replace(report.settings, report="/dev/full")
    with pytest.raises(OutputError, match=r"^--report: /dev/full: cannot be written: No space"):
        showing.show(dataclasses.replace(report, settings=full))


def test_matplotlib_is_imported_only_for_pictures(tmp_path: Path) -> None:
    path = small(tmp_path / "a_flt.fits")
    code = (
        "import sys\nfrom staticmask_cli import create_masks\n"
        f"create_masks([{str(path)!r}], output_dir={str(tmp_path / 'm')!r})\n"
        "assert not [m for m in sys.modules if re.match('matplotlib|PIL', m)]\n"
    )
    subprocess.run([sys.executable, "-c", "import re\n" + code], check=True)


def test_the_page_tells_of_every_mask_once(tmp_path: Path) -> None:
    pixels = [sky(n, (32, 40)) for n in (1, 2)]
    chips = [{"CCDCHIP": 2}, {"CCDCHIP": 1}]
    path = exposure(tmp_path / "a_flt.fits", pixels, primary={"DETECTOR": "WFC"}, chips=chips)
    report = run(path, out=tmp_path / "m")
    page = shown(report, tmp_path)
    assert len(report.masks) == 2
    heads = re.findall(r"ACSWFC_32x40_\d_staticMask\.fits", page.words)
    assert {heads.count(name) for name in set(heads)} == {2, 3}  # the title names the first too
