"""Bad exposures among good ones: reported, skipped, and never partly in a mask."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
from astropy.io import fits

from staticmask_cli import create_masks
from tests.support.makers import exposure, sky
from tests.support.runs import Run, small, tree

NAME = "ACSHRC_16x20_1_staticMask.fits"


@pytest.fixture
def night(tmp_path: Path) -> list[str]:
    """Make two good exposures and name all sorts of bad ones."""
    small(tmp_path / "a_flt.fits", 1)
    small(tmp_path / "b_flt.fits", 2)
    whole = (tmp_path / "a_flt.fits").read_bytes()
    (tmp_path / "cut_flt.fits").write_bytes(whole[: 2 * 2880 + 100])
    (tmp_path / "text_flt.fits").write_text("no FITS at all\n" * 500)
    small(tmp_path / "nowhere_flt.fits", primary={"DETECTOR": "WFX"})
    return [
        *("a_flt.fits", "cut_flt.fits", "gone_flt.fits", "text_flt.fits", "none*.fits"),
        *("nowhere_flt.fits", "b_flt.fits"),
    ]


BAD = ["cut_flt.fits", "gone_flt.fits", "none*.fits", "nowhere_flt.fits", "text_flt.fits"]


def test_without_it_all_bad_exposures_are_listed_and_nothing_is_written(
    night: list[str], staticmask: Run, tmp_path: Path
) -> None:
    before = tree(tmp_path)
    result = staticmask(*night)
    assert result.returncode == 1
    assert result.stdout == ""
    assert sorted(line.split()[2].rstrip(":") for line in result.stderr.splitlines()) == BAD
    assert tree(tmp_path) == before


@pytest.mark.parametrize("way", ["-k", "environment"])
def test_with_it_good_exposures_are_combined_and_bad_ones_reported_everywhere(
    way: str, night: list[str], staticmask: Run, tmp_path: Path
) -> None:
    more = {"STATICMASK_KEEP_GOING": "1"} if way == "environment" else {}
    flags = ["-k"] if way == "-k" else []
    result = staticmask(
        *(*night, *flags, "-q", "-o", "m", "--log-file", "log", "--summary", "s.json"), **more
    )
    assert result.returncode == 3
    assert result.stdout == ""
    assert sorted(line.split()[2].rstrip(":") for line in result.stderr.splitlines()) == BAD
    assert all(line.endswith("skipped") for line in result.stderr.splitlines())
    log = (tmp_path / "log").read_text(encoding="utf-8")
    failed = [e for e in json.loads((tmp_path / "s.json").read_text())["exposures"] if e["reasons"]]
    assert sorted(e["path"] for e in failed) == BAD
    with fits.open(tmp_path / "m" / NAME) as hdus:
        mask, rows = hdus[0].data, hdus["EXPOSURES"].data
        assert hdus[0].header["NEXPOSUR"] == 2
    unused = {row["FILE"]: row["REASON"] for row in rows if not row["USED"]}
    assert sorted(unused) == BAD
    for name in BAD:
        assert name in log
        assert unused[name].startswith("skipped: ")
        assert unused[name].removeprefix("skipped: ").split(";")[0] in log
    assert staticmask("a_flt.fits", "b_flt.fits", "-o", "good").returncode == 0
    assert (fits.getdata(tmp_path / "good" / NAME) == mask).all()


def test_with_nothing_good_nothing_is_written(
    night: list[str], staticmask: Run, tmp_path: Path
) -> None:
    before = tree(tmp_path)
    result = staticmask("-k", *(name for name in night if name[0] not in "ab"))
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 6
    assert tree(tmp_path) == before


def test_with_nothing_bad_it_changes_nothing(staticmask: Run, tmp_path: Path) -> None:
    small(tmp_path / "a_flt.fits")
    assert staticmask("-k", "-o", "with").returncode == 0
    assert staticmask("-o", "without").returncode == 0
    assert (tmp_path / "with" / NAME).read_bytes() == (tmp_path / "without" / NAME).read_bytes()


def test_of_an_exposure_with_one_bad_chip_none_is_used(staticmask: Run, tmp_path: Path) -> None:
    small(tmp_path / "a_flt.fits")
    primary = fits.PrimaryHDU()
    primary.header.update({"INSTRUME": "ACS", "DETECTOR": "HRC", "EXPTIME": 400.0})
    packed = [
        fits.CompImageHDU(
            sky(n, (16, 20)), name="SCI", compression_type="GZIP_1", quantize_level=0.0
        )
        for n in (1, 2)
    ]
    packed[1].ver = 2
    path = tmp_path / "b_flt.fits"
    fits.HDUList([primary, *packed]).writeto(path)
    raw = path.read_bytes()
    at = raw.rindex(b"XTENSION")
    assert b"\x1f\x8b\x08" in raw[at:]
    path.write_bytes(raw[:at] + raw[at:].replace(b"\x1f\x8b\x08", b"\0\0\0"))
    assert staticmask("b_flt.fits", "--group", "sci,1", "-o", "first").returncode == 0
    result = staticmask("-k", "-v")
    assert result.returncode == 3
    with fits.open(tmp_path / NAME) as hdus:
        assert hdus[0].header["NCHIPS"] == 1
        rows = hdus["EXPOSURES"].data
        assert [(r["FILE"], r["EXTVER"], r["USED"]) for r in rows] == [
            ("a_flt.fits", 1, True),
            ("b_flt.fits", 1, False),
            ("b_flt.fits", 2, False),
        ]


def test_one_that_is_good_another_night_is_added_and_its_row_replaced(
    staticmask: Run, tmp_path: Path
) -> None:
    small(tmp_path / "a_flt.fits", 1)
    whole = small(tmp_path / "b_flt.fits", 2).read_bytes()
    (tmp_path / "b_flt.fits").write_bytes(whole[:2880])
    assert staticmask("-k", "--update", "-o", "m").returncode == 3
    assert [r["USED"] for r in fits.getdata(tmp_path / "m" / NAME, 1)] == [True, False]
    (tmp_path / "b_flt.fits").write_bytes(whole)
    assert staticmask("-k", "--update", "-o", "m").returncode == 0
    assert staticmask("-o", "one").returncode == 0
    assert (tmp_path / "m" / NAME).read_bytes() == (tmp_path / "one" / NAME).read_bytes()


def test_a_known_one_that_is_damaged_since_stays_in_the_mask(
    staticmask: Run, tmp_path: Path
) -> None:
    for seed, name in enumerate("ab"):
        small(tmp_path / f"{name}_flt.fits", seed)
    assert staticmask("--update").returncode == 0
    before = (tmp_path / NAME).read_bytes()
    (tmp_path / "b_flt.fits").write_bytes(b"gone to pieces")
    result = staticmask("--update", "-k", "*flt.fits")
    assert result.returncode == 3
    assert "b_flt.fits" in result.stderr
    assert (tmp_path / NAME).read_bytes() == before


@pytest.mark.parametrize("keyword", ["INSTRUME", "DETECTOR"])
@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("A" * 300, "characters, too many for a file name"),
        ("-rf", "is '-rf', which begins with '-'"),
    ],
    ids=["long", "dash"],
)
def test_a_name_that_no_mask_can_have_is_an_exposures_own_fault(
    keyword: str, value: str, why: str, staticmask: Run, tmp_path: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a card that goes on in CONTINUE
        small(
            tmp_path / "bad_flt.fits",
            primary={"INSTRUME": "NEW", "DETECTOR": "X"} | {keyword: value},
        )
    small(tmp_path / "good_flt.fits")
    result = staticmask("*flt.fits", "-k", "-o", "m", "--prefix", "p" * 100)
    assert result.returncode == 3
    (line,) = result.stderr.splitlines()
    assert line.startswith("staticmask: error: bad_flt.fits: SCI,1: ")
    assert keyword in line
    assert why in line
    assert [path.name for path in (tmp_path / "m").iterdir()] == [
        f"{'p' * 100}_16x20_1_staticMask.fits"
    ]


def test_the_longest_name_that_a_mask_can_have_can_be_written(tmp_path: Path) -> None:
    primary = {"INSTRUME": "I" * 34, "DETECTOR": "D" * 30, "BINAXIS1": 1024, "BINAXIS2": 1024}
    chips = [{"LTV1": -999_999.0, "LTV2": -999_999.0}, {"LTV1": -999_998.0, "LTV2": -999_998.0}]
    pixels = [sky(n, (16, 20)) for n in range(2)]
    options = {"primary": primary, "errors": False, "versions": [2**31 - 1]}
    for n in range(2):
        exposure(tmp_path / f"{n}_flt.fits", pixels[n : n + 1], chips=chips[n : n + 1], **options)
    report = create_masks(
        tmp_path / "*flt.fits", prefix="p" * 100, output_dir=tmp_path / "m", preview=tmp_path / "p"
    )
    assert len(report.masks) == 2
    assert max(len(path.name) for path in (tmp_path / "p").iterdir()) > 150
