"""The page of a report shows what a run found, without scripts and links outside."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from staticmask_cli.masks.records import Records
from staticmask_cli.reports import pictures
from staticmask_cli.reports.exhibits import draw
from staticmask_cli.reports.page import Status, decimals, status
from staticmask_cli.settings import ONCE, Settings
from staticmask_cli.statistics.chance import bad_by_chance
from tests.support.makers import REAL, exposure, sky
from tests.support.pages import is_colour, shown
from tests.support.runs import constant, run, simple, small

pytestmark = pytest.mark.slow  # each page takes seconds to draw


def test_the_numbers_of_a_column_align() -> None:
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


def test_the_page_shows_what_the_run_found(tmp_path: Path) -> None:
    report = run(REAL, small(tmp_path / "a_flt.fits"), out=tmp_path / "m", max_rms_ratio="0")
    page = shown(report, tmp_path)
    assert len(page.pictures) == 4 * len(report.masks) == 8
    (stis,) = [mask for mask in report.masks if mask.identity.instrument == "STIS"]
    for mask in report.masks:
        assert mask.path in page.words
        assert f"{100 * mask.bad / mask.total:.4f}" in page.words
        for record in mask.chips:
            assert record.file in page.words
    for check in report.failed_checks:
        assert str(check) in page.words
    assert report.failed_checks
    assert f"{len(report.failed_checks)} warnings Failed checks" in page.words
    for program in ("staticmask", "Python", "numpy", "astropy", "matplotlib", "jinja2"):
        assert program in page.words
    points = page.picture("The mask over o4k19a010_flt.fits")
    bad = stis.read()[::-1] == 0
    marked = is_colour(points, pictures.BAD_COLOUR)
    times = points.shape[0] // 256
    centres = marked[times // 2 :: times, times // 2 :: times]
    framed = is_colour(points, pictures.WINDOW_COLOUR)[times // 2 :: times, times // 2 :: times]
    assert (centres | framed)[bad].all()
    assert centres.sum() >= 0.9 * stis.bad
    assert "38 bad pixels of 65,536 (0.0580 %)" in page.words


def test_a_page_without_failed_checks_says_so(tmp_path: Path) -> None:
    report = run(REAL, out=tmp_path / "m")
    assert not report.failed_checks
    page = shown(report, tmp_path)
    assert "All checks passed All statistics are within limits." in page.words
    assert page.of("div", "passed")
    assert status(report.masks[0]) is Status.PASSED


def test_a_page_lists_the_chips_that_were_not_checked(tmp_path: Path) -> None:
    report = run(small(tmp_path / "a_flt.fits"), out=tmp_path / "m")
    page = shown(report, tmp_path)
    assert "Not all chips were checked Too few pixels or no measurable sky" in page.words
    assert "a_flt.fits SCI,1" in page.words
    assert page.of("div", "unchecked")
    assert "All checks passed" not in page.words


@pytest.mark.parametrize(
    ("options", "failed"), [({"min_exposures": "2"}, "votes"), ({"final_bits": "0"}, "bad")]
)
def test_a_useless_mask_does_not_look_good(options: dict, failed: str, tmp_path: Path) -> None:
    flags = np.zeros((64, 80), np.int16)
    flags[:40] = 4
    path = exposure(tmp_path / "a_flt.fits", [sky(1)], flags=[flags])
    report = run(path, out=tmp_path / "m", **options)
    assert failed in {check.name for check in report.failed_checks}
    page = shown(report, tmp_path)
    assert "1 warning Failed checks" in page.words
    assert "Not usable, failed checks: 1" in page.words
    assert page.of("div", "useless")
    assert not page.of("div", "passed")


def test_a_failed_check_decides_the_status_of_its_mask_alone(tmp_path: Path) -> None:
    report = run(REAL, small(tmp_path / "a_flt.fits"), out=tmp_path / "m", max_rms_ratio="0")
    page = shown(report, tmp_path)
    assert {status(mask) for mask in report.masks} == {Status.FAILED, Status.UNCHECKED}
    for kind in ("failed", "unchecked"):
        assert len(page.of("a", kind)) == len(page.of("div", kind)) == 1


def test_only_settings_that_differ_from_their_defaults_are_in_the_open(tmp_path: Path) -> None:
    path = small(tmp_path / "a_flt.fits")
    report = run(path, out=tmp_path / "m", static_sig=3, counts=True)
    words = shown(report, tmp_path).words
    open_, folded = words.split("settings with the default value")
    for key in dataclasses.fields(Settings):
        if key.name != "changed":
            part = open_.rsplit("Settings that differ from their defaults")[-1]
            is_changed = key.name in ("input", "output_dir", "static_sig", "counts")
            assert f" {key.name} " in (part if is_changed else folded)


def test_the_page_has_what_is_known_of_the_exposures(tmp_path: Path) -> None:
    paths = [small(tmp_path / f"{n}_flt.fits", n) for n in (1, 2, 3)]
    report = run(*paths, out=tmp_path / "m")
    (mask,) = report.masks
    page = shown(report, tmp_path)
    assert len(page.of("dt")) == 1
    assert "Exposure time" in page.words
    known = [
        dataclasses.replace(
            record, target=f"NGC-{n % 2}", filter="F606W", unit="<E/S>", exposure_time=100.0 * n,
            date_obs=f"2003-01-0{9 - n}",
        )
        for n, record in enumerate(mask.chips, start=1)
    ]  # fmt: skip
    mask = dataclasses.replace(mask, chips=Records.of(known))
    page = shown(dataclasses.replace(report, masks=(mask,)), tmp_path)
    assert len(page.of("dt")) == len(page.of("dd")) == 5
    for fact in ("Target NGC-0, NGC-1", "Filter F606W", "Exposure time 100 to 300 s"):
        assert fact in page.words
    assert "Observed 2003-01-06 to 2003-01-08" in page.words
    assert "Unit of the pixels <E/S>" in page.words
    table = page.words.split("Exposures of")[1]
    assert table.index("3_flt.fits") < table.index("2_flt.fits") < table.index("1_flt.fits")


@pytest.mark.parametrize(
    "options", [{"min_exposures": "2"}, {"min_exposures": "0.5"}, {"counts": True}]
)
def test_the_page_maps_how_often_pixels_were_bad(options: dict, tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    arrays = [rng.normal(40, 6, (64, 80)).astype("f4") for _ in range(4)]
    for number, array in enumerate(arrays):
        array[10, : 4 - number] = -100
        exposure(tmp_path / f"{number}_flt.fits", [array], errors=False)
    report = run(tmp_path / "*_flt.fits", out=tmp_path / "m", **options)
    page = shown(report, tmp_path, preview=str(tmp_path / "p"))
    points = page.picture("Map of how often")
    times = points.shape[0] // 64
    colours = pictures.count_colours(4)
    row = points[-10 * times - times // 2, times // 2 :: times]
    for column in range(4):
        assert is_colour(row[column], colours[3 - column])
    assert is_colour(row[4:], pictures.NEVER_COLOUR).all()
    assert "Times bad Pixels 1 1 2 1 3 1 4 1" in page.words.replace("\xa0", "")
    assert (tmp_path / "p" / "ACSHRC_64x80_1_staticMask_counts.png").is_file()
    alone = shown(run(tmp_path / "*_flt.fits", out=tmp_path / "n"), tmp_path)
    assert "Times bad" not in alone.words


def test_the_page_has_the_bad_pixels_expected_from_noise(tmp_path: Path) -> None:
    paths = [exposure(tmp_path / f"{n}_flt.fits", [sky(n, (200, 200))]) for n in (1, 2)]
    report = run(*paths, out=tmp_path / "m", static_sig=2.5)
    expected = bad_by_chance({2: 40_000}, 2.5, ONCE)
    assert draw(report.masks[0], report).expected == pytest.approx(expected)
    assert f"{expected:.0f} expected from noise" in shown(report, tmp_path).words


def test_the_trend_needs_three_exposures(tmp_path: Path) -> None:
    paths = [exposure(tmp_path / f"{n}_flt.fits", [sky(n)]) for n in (1, 2, 3)]
    page = shown(run(*paths[:2], out=tmp_path / "m"), tmp_path)
    assert "Trend" not in page.words
    page = shown(run(*paths, out=tmp_path / "m"), tmp_path, preview=str(tmp_path / "p"))
    assert page.picture("Mode, rms and low pixels").shape == (992, 896, 3)
    assert (tmp_path / "p" / "ACSHRC_64x80_1_staticMask_trend.png").is_file()


def test_long_lists_of_warnings_are_folded(tmp_path: Path) -> None:
    report = run(small(tmp_path / "a_flt.fits"), out=tmp_path / "m")
    few, many = (
        shown(
            dataclasses.replace(report, warnings=tuple(f"warning {n}" for n in range(number))),
            tmp_path,
        )
        for number in (10, 11)
    )
    assert "Show all" not in few.words
    assert "Show all 11" in many.words
    assert len(many.of("details")) == len(few.of("details")) + 1
    assert "warning 10" in many.words


def test_equal_runs_give_equal_bytes(tmp_path: Path) -> None:
    report = run(REAL, out=tmp_path / "m", final_bits="0")
    shown(report, tmp_path, preview=str(tmp_path / "p"))
    first = {p: p.read_bytes() for p in [tmp_path / "r.html", *(tmp_path / "p").iterdir()]}
    again = run(REAL, out=tmp_path / "m", final_bits="0")
    shown(again, tmp_path, preview=str(tmp_path / "p"))
    assert len(first) == 5
    assert all(path.read_bytes() == data for path, data in first.items())


def test_names_are_escaped(tmp_path: Path) -> None:
    names = ["<script>alert(1)<|script>_flt.fits", 'a"b\n\x1b&amp;_flt.fits', "é\udc80_flt.fits"]
    for number, name in enumerate(names, start=1):
        path = small(tmp_path / f"plain{number}.fits", number, primary={"EXPTIME": 0.0})
        path.rename(tmp_path / name)
        page = shown(run(tmp_path / name, out=tmp_path / "m", include_empty=True), tmp_path)
        assert name.split("\n")[0].split("\udc80")[0] in page.words
        assert "\x1b" not in page.words


def test_the_exposure_with_the_most_bad_pixels_is_shown(tmp_path: Path) -> None:
    for number, low in enumerate([5, 40, 40], start=1):
        pixels = [sky(number, (64, 80), low=low)]
        exposure(tmp_path / f"e{number}_flt.fits", pixels, errors=False)
    report = run(tmp_path / "e*_flt.fits", out=tmp_path / "m")
    (mask,) = report.masks
    most = max(mask.chips, key=lambda record: record.n_low)
    found = draw(mask, report).exhibit
    assert found.record.key == most.key
    assert found.inside == (mask.read()[found.window] == 0).sum() > 0
    page = shown(report, tmp_path)
    assert f"{most.file} (shown above)" in page.words
    known = run(tmp_path / "e*_flt.fits", out=tmp_path / "u", update=True)
    assert known.masks[0].state == "written"
    known = run(tmp_path / "e*_flt.fits", out=tmp_path / "u", update=True)
    assert known.exposures[0].state == "known"
    assert f"{most.file} (shown above)" in shown(known, tmp_path).words


def test_flags_are_listed_by_name_if_they_were_read(tmp_path: Path) -> None:
    flags = np.zeros((16, 20), np.int16)
    flags[0, :3] = 16
    flags[1, :2] = 16 + 64
    flags[2, 0] = -(2**15)
    path = small(tmp_path / "a_flt.fits", flags=[flags])
    report = run(path, out=tmp_path / "m", final_bits="64")
    assert draw(report.masks[0], report).exhibit.flags == ((16, 5), (2**15, 1))
    words = shown(report, tmp_path).words
    assert "HOT" in words
    assert "WARM" not in words
    unread = shown(run(path, out=tmp_path / "m"), tmp_path)
    assert not any("DQ flags" in (a.get("aria-label") or "") for a in unread.of("div"))


def test_constant_flags_are_counted_too(tmp_path: Path) -> None:
    hdus = [fits.ImageHDU(sky(1, (16, 20)), name="SCI", ver=1), constant("DQ", 4, (16, 20))]
    report = run(simple(tmp_path / "a_flt.fits", hdus), out=tmp_path / "m", final_bits="0")
    assert draw(report.masks[0], report).exhibit.flags == ((4, 320),)
    assert "BADPIX" in shown(report, tmp_path).words


def test_a_chip_of_one_bin_has_no_histogram(tmp_path: Path) -> None:
    flags = np.zeros((16, 20), np.int16)
    flags[3, 4] = 4
    path = exposure(tmp_path / "a_flt.fits", [np.full((16, 20), 7, "f4")], flags=[flags])
    report = run(path, out=tmp_path / "m", final_bits="0")
    page = shown(report, tmp_path, preview=str(tmp_path / "p"))
    assert len(page.pictures) == 3
    assert "No histogram: no low pixels found" in page.words
    assert len(list((tmp_path / "p").iterdir())) == 3


@pytest.mark.parametrize("what", ["gone", "changed", "not of this run"])
def test_a_page_is_written_without_an_exposure_that_is_gone(what: str, tmp_path: Path) -> None:
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
    assert page.words.count("No picture of an exposure") == 1
    assert len(page.pictures) == 4
    assert len(list((tmp_path / "p").iterdir())) == 4
    assert "a_flt.fits" in page.words


def test_skipped_exposures_are_on_the_page(tmp_path: Path) -> None:
    small(tmp_path / "a_flt.fits", 1)
    small(tmp_path / "empty_flt.fits", 2, primary={"EXPTIME": 0.0})
    (tmp_path / "broken_flt.fits").write_bytes(b"SIMPLE")
    report = run(tmp_path / "*_flt.fits", out=tmp_path / "m", keep_going=True)
    words = shown(report, tmp_path).words
    assert "EXPTIME is 0" in words
    assert words.count("broken_flt.fits") >= 2


def test_every_mask_has_one_section(tmp_path: Path) -> None:
    pixels = [sky(n, (32, 40)) for n in (1, 2)]
    chips = [{"CCDCHIP": 2}, {"CCDCHIP": 1}]
    path = exposure(tmp_path / "a_flt.fits", pixels, primary={"DETECTOR": "WFC"}, chips=chips)
    report = run(path, out=tmp_path / "m")
    page = shown(report, tmp_path)
    assert len(report.masks) == 2
    assert len(page.of("h2")) == 5  # checks, masks, each of the two, settings
    assert page.words.count("ACS/WFC SCI,1 (CCDCHIP 2), 40 \N{MULTIPLICATION SIGN} 32 pixels") == 1
    assert page.words.count("ACS/WFC SCI,2 (CCDCHIP 1), 40 \N{MULTIPLICATION SIGN} 32 pixels") == 1
    assert [a["href"] for a in page.of("a")] == ["#mask-1", "#mask-2"]
