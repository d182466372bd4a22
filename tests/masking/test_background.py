"""Masks from a local background: all commands, and what they record."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from staticmask_cli import (
    OutputError,
    StaticMask,
    compare,
    create_masks,
    explain,
    recount,
    sweep,
)
from staticmask_cli.reports.report import MaskReport
from staticmask_cli.settings import Background, MinExposures
from staticmask_cli.statistics.bad_pixels import Criteria, find_bad_pixels
from staticmask_cli.statistics.chance import bad_by_chance
from staticmask_cli.statistics.local_sky import LocalSky
from tests.support import fields
from tests.support.makers import REAL, exposure, sky
from tests.support.pages import Page
from tests.support.runs import Run

SHAPE = (200, 220)
LOCAL = Criteria(static_sig=4.0, background=Background.LOCAL)
COUNT = 3


@pytest.fixture(scope="module")
def field() -> fields.Field:
    return fields.field("nebulous", 3, COUNT, SHAPE)


@pytest.fixture(scope="module")
def paths(field: fields.Field, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return field.write(tmp_path_factory.mktemp("nebulous"), flagged=True)


def masked(paths: list[Path], out: Path, **settings: object) -> MaskReport:
    (mask,) = create_masks(paths, output_dir=out, background="local", **settings).masks
    return mask


def low(pixels: np.ndarray, static_sig: float = 4.0) -> np.ndarray:
    """Return the low pixels of one exposure."""
    found = find_bad_pixels(pixels, None, replace(LOCAL, static_sig=static_sig))
    return np.unpackbits(found.low, count=pixels.size).view(bool).reshape(pixels.shape)


def test_a_mask_has_the_pixels_that_are_low_in_any_exposure(field, paths, tmp_path):
    mask = masked(paths, tmp_path)
    bad = np.any([low(pixels) for pixels in field.exposures], axis=0)
    np.testing.assert_array_equal(mask.read() == 0, bad)
    # Where the mode and rms of the chip find hardly any.
    (of_chip,) = create_masks(paths, output_dir=tmp_path / "chip").masks
    assert bad[field.defects].mean() > 0.95
    assert (of_chip.read() == 0)[field.defects].mean() < 0.6


def test_votes_remove_what_does_not_repeat(field, paths, tmp_path):
    once, twice = (masked(paths, tmp_path / str(n), min_exposures=n).read() == 0 for n in (1, 2))
    votes = sum(low(pixels).astype(int) for pixels in field.exposures)
    np.testing.assert_array_equal(once, votes >= 1)
    np.testing.assert_array_equal(twice, votes >= 2)
    assert (votes == 1).any()


def test_the_header_and_the_table_record_it(field, paths, tmp_path):
    mask = masked(paths, tmp_path)
    with fits.open(mask.path) as hdus:
        assert hdus[0].header["BACKGRND"] == "local"
        for row, pixels in zip(hdus["EXPOSURES"].data, field.exposures, strict=True):
            found = find_bad_pixels(pixels, None, LOCAL).sky
            assert isinstance(found, LocalSky)
            assert row["LOCBACK"] == found.local_background
            assert row["LOCNOISE"] == found.local_noise
            assert row["LOWPIX"] == low(pixels).sum()
            assert (row["NPIX"], row["LOWEST"]) == (pixels.size, pixels.min())
            assert np.isnan([row["MODE"], row["RMS"], row["THRESH"]]).all()
            assert row["NBINS"] == 0
            assert row["USED"]
    read = StaticMask.read(mask.path)
    assert read.recipe is not None
    assert read.recipe.background is Background.LOCAL
    assert read.records == mask.chips


@pytest.mark.parametrize(("first", "second"), [("chip", "local"), ("local", "chip")])
def test_an_update_with_another_background_is_refused(first, second, paths, tmp_path):
    create_masks(paths[:1], output_dir=tmp_path, background=first)
    (path,) = tmp_path.glob("*.fits")
    before = path.read_bytes()
    with pytest.raises(OutputError, match=f"made with background {first}, not {second}"):
        create_masks(paths, output_dir=tmp_path, background=second, update=True)
    assert path.read_bytes() == before


def test_an_update_gives_the_mask_of_all_exposures_at_once(paths, tmp_path):
    whole = masked(paths, tmp_path / "whole", counts=True)
    for path in paths:
        part = masked([path], tmp_path / "parts", counts=True, update=True)
    assert Path(part.path).read_bytes() == Path(whole.path).read_bytes()


def test_a_recounted_mask_is_that_of_a_new_run(paths, tmp_path):
    masked(paths, tmp_path / "old", counts=True)
    (again,) = recount(tmp_path / "old", 2)
    new = masked(paths, tmp_path / "new", counts=True, min_exposures=2)
    assert Path(again.path).read_bytes() == Path(new.path).read_bytes()


def test_a_sweep_counts_the_pixels_of_masks(paths, tmp_path):
    for row in sweep(paths, [3, 4.5], background="local"):
        mask = masked(paths, tmp_path / f"{row.static_sig}", static_sig=row.static_sig)
        assert row.bad == mask.bad
        votes = MinExposures(1)
        expected = bad_by_chance({COUNT: row.total}, row.static_sig, votes, Background.LOCAL)
        assert row.expected == expected


def test_an_explanation_has_the_background_and_noise_of_the_place(field, paths):
    places = np.argwhere(low(field.exposures[0]))[:20]
    for y, x in [*places.tolist(), (0, 0), (50, 60)]:
        (found,) = explain(paths, x=x + 1, y=y + 1, background="local", static_sig=4.0)
        for chip, pixels in zip(found.chips, field.exposures, strict=True):
            assert chip.low == low(pixels)[y, x]
            assert chip.threshold == chip.background - 4.0 * chip.noise
            assert chip.low == (chip.value < chip.threshold)
            assert chip.sigmas_below == (chip.background - chip.value) / chip.noise
    backgrounds = {round(chip.background, 2) for chip in found.chips}
    assert len(backgrounds) == COUNT


def test_masks_of_both_kinds_are_compared(paths, tmp_path):
    (of_chip,) = create_masks(paths, output_dir=tmp_path).masks
    local = masked(paths, tmp_path / "local")
    (difference,) = compare(paths, old=tmp_path, background="local")
    assert (difference.old, difference.new) == (of_chip.bad, local.bad)


def test_masks_do_not_depend_on_the_number_of_jobs(paths, tmp_path):
    contents = [
        Path(masked(paths, tmp_path / str(jobs), jobs=jobs).path).read_bytes() for jobs in (1, 2, 5)
    ]
    assert contents[0] == contents[1] == contents[2]


def test_flagged_pixels_are_bad_and_are_no_ones_neighbours(tmp_path):
    pixels = sky(5, (80, 90), low=0, high=0)
    pixels[40:43, 30:60] = -500  # flagged as bad
    flags = np.where(pixels < -400, 4, 0).astype("i2")
    pixels[39, 45] = -20
    path = exposure(tmp_path / "a_flt.fits", [pixels], flags=[flags])
    mask = masked([path], tmp_path / "out", final_bits="0").read() == 0
    assert mask[40:43, 30:60].all()
    assert mask[39, 45]
    assert mask.sum() <= 3 * 30 + 2


# What a user sees


def test_a_verbose_run_reports_medians(staticmask: Run, tmp_path):
    result = staticmask(REAL, "-o", tmp_path, "-v", "--background", "local")
    (row, *_) = fits.getdata(tmp_path / "STISCCD_256x256_1_staticMask.fits", 1)
    assert (
        f"{REAL.name} SCI,1: background {row['LOCBACK']:.6g}  noise {row['LOCNOISE']:.6g}  "
        f"(medians)  low pixels {row['LOWPIX']}\n"
    ) in result.stderr


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.full((64, 80), 7.0), "its pixels have no spread"),
        (np.full((64, 80), np.nan), "too few pixels have neighbours"),
        (np.zeros((4, 80)), "it has too few rows or columns"),
    ],
)
def test_a_chip_without_measurable_noise_is_not_used_and_the_reason_is_given(
    pixels, reason, staticmask: Run, tmp_path
):
    exposure(tmp_path / "a_flt.fits", [pixels.astype("f4")])
    exposure(tmp_path / "b_flt.fits", [sky(1, pixels.shape)])
    result = staticmask("*_flt.fits", "--background", "local")
    assert result.returncode == 0
    assert f"a_flt.fits: SCI,1: no low pixels found: {reason}" in result.stderr
    (path,) = tmp_path.glob("*Mask.fits")
    rows = fits.getdata(path, 1)
    assert rows["USED"].tolist() == [False, pixels.shape[0] > 9]


def test_an_unknown_background_is_an_error(staticmask: Run, tmp_path):
    result = staticmask(REAL, "--background", "global")
    assert result.returncode == 2
    assert result.stderr == "staticmask: error: --background: 'global' is not chip or local\n"
    (tmp_path / "my.cfg").write_text("[MASK]\nbackground = global\n")
    assert staticmask(REAL, "-c", "my.cfg").returncode == 2


def test_the_summary_has_the_medians(staticmask: Run, tmp_path):
    staticmask(REAL, "--background", "local", "--summary", "s.json")
    document = json.loads((tmp_path / "s.json").read_text())
    for chip in document["masks"][0]["chips"]:
        assert chip["local_noise"] == pytest.approx(6.4, abs=0.3)
        assert chip["mode"] is chip["rms"] is chip["threshold"] is None


def test_the_report_shows_distances_from_the_background(paths, tmp_path):
    masked(paths, tmp_path, report=tmp_path / "r.html")
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "4 times the noise of its place below the background of its place" in page.words
    assert "distances of pixels from the background of their place" in (
        tmp_path / "r.html"
    ).read_text(encoding="utf-8")
    for heading in ("Background", "Local noise"):
        assert heading in page.words


# Quality checks


def test_checks_of_the_mode_and_rms_advise_it_and_do_not_apply_to_it(paths, tmp_path):
    (of_chip,) = create_masks(paths, output_dir=tmp_path).masks
    failures = [check for check in of_chip.quality.failed if check.name == "mode_offset"]
    assert len(failures) == COUNT
    for check in failures:
        assert "; --background local compares pixels with their surroundings" in str(check)
        assert "; --background local compares pixels with their surroundings" in check.kind
    local = masked(paths, tmp_path / "local")
    names = {check.name for chip in local.quality.chips for check in chip}
    assert names == {"low_excess", "clustered"}
    assert {check.name for check in local.quality.mask} == {
        *("clustered", "single_exposure", "unrepeated", "votes", "bad")
    }
    assert local.quality.failed == ()


def test_pixels_that_do_not_repeat_fail_a_check(tmp_path):
    # Holes at other places in each exposure, such as sharp structures of a moving sky.
    paths = [exposure(tmp_path / f"{n}_flt.fits", [sky(n, SHAPE, low=150)]) for n in range(3)]
    mask = masked(paths, tmp_path / "once")
    once = sum(record.unique.size for record in mask.chips)
    (check,) = (check for check in mask.quality.failed if check.name == "unrepeated")
    noise = bad_by_chance({1: SHAPE[0] * SHAPE[1]}, 4.0, MinExposures(1), Background.LOCAL) * 3
    assert check.value == pytest.approx(100 * (once - noise) / mask.bad)
    assert f"{once} of {mask.bad} bad pixels are low in a single exposure only" in check.text
    assert check.text.endswith("; use --min-exposures 2")
    twice = masked(paths, tmp_path / "twice", min_exposures=2)
    assert "unrepeated" not in {check.name for check in twice.quality.mask}
