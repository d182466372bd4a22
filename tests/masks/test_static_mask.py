"""The object that a mask is, wherever it comes from, and what other programs make of its file."""

from __future__ import annotations

import doctest
import hashlib
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy import units
from astropy.io import fits
from astropy.io.fits.scripts import fitscheck
from astropy.nddata import CCDData
from astropy.table import Table

from staticmask_cli import InputError, create_masks
from staticmask_cli.masks import static_mask
from staticmask_cli.masks.fits_form import COLUMNS
from staticmask_cli.masks.static_mask import StaticMask
from tests.support.makers import DATA, REAL, exposure, instrument_exposure, sky
from tests.support.runs import small

NAME = "ACSHRC_16x20_1_staticMask.fits"


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    return [
        small(
            tmp_path / f"{n}_flt.fits",
            n,
            primary={
                "DATE-OBS": f"2002-03-0{n}",
                "TIME-OBS": "10:20:30",
                "TARGNAME": "NGC-104",
                "FILTER1": "CLEAR1S",
                "FILTER2": "F814W",
            },
            chips=[{"BUNIT": "ELECTRONS"}],
        )
        for n in (1, 2)
    ]


# The object.


@pytest.mark.parametrize("counts", [False, True])
def test_a_mask_read_back_is_the_mask_that_was_made(
    counts: bool, two: list[Path], tmp_path: Path
) -> None:
    (report,) = create_masks(two, output_dir=tmp_path, counts=counts).masks
    made, read = report.mask, StaticMask.read(report.path)
    assert made is not None
    np.testing.assert_array_equal(made.bits, read.bits)
    assert (made.shape, made.identity, made.recipe) == (read.shape, read.identity, read.recipe)
    assert list(map(str, made.records)) == list(map(str, read.records))  # NaN differs from itself
    for one, other in zip(made.records, read.records, strict=True):
        np.testing.assert_array_equal(one.unique, other.unique)
    assert made.quality is not None
    assert read.quality is None
    for one, other in ((made.count, read.count), (made.coverage, read.coverage)):
        assert (one is not None) == (other is not None) == counts
        np.testing.assert_array_equal(one, other)


def test_its_pixels_are_those_of_the_file(two: list[Path], tmp_path: Path) -> None:
    (report,) = create_masks(two, output_dir=tmp_path).masks
    mask = report.mask
    assert mask is not None
    array = fits.getdata(report.path)
    assert mask.bad.dtype == bool
    np.testing.assert_array_equal(mask.bad, array == 0)
    np.testing.assert_array_equal(mask.pixels, array)
    assert mask.pixels.dtype == array.dtype == np.dtype(">i2")
    assert (mask.n_bad, mask.total) == ((array == 0).sum(), array.size)
    assert mask.sha256 == report.sha256 == hashlib.sha256(array.tobytes()).hexdigest()


def test_its_repr_is_short_and_names_the_chip(two: list[Path], tmp_path: Path) -> None:
    (report,) = create_masks(two, output_dir=tmp_path).masks
    text = f"<StaticMask ACSHRC 16x20 chip 1: {report.bad} of 320 pixels bad, exposures: 2>"
    assert repr(report.mask) == text
    assert len(repr(report)) < 200


def test_a_mask_of_drizzlepac_has_pixels_alone() -> None:
    path = DATA / "STISCCD_256x256_1_sig4.0.fits.gz"
    mask = StaticMask.read(path)
    np.testing.assert_array_equal(mask.bad, fits.getdata(path) == 0)
    assert (mask.identity, mask.recipe, mask.records, mask.count) == (None, None, (), None)
    assert repr(mask) == f"<StaticMask 256x256: {mask.n_bad} of 65536 pixels bad>"
    assert mask.to_ccddata().mask.sum() == mask.n_bad


def test_what_is_not_a_mask_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a static mask"):
        StaticMask.read(small(tmp_path / "a_flt.fits"))
    with pytest.raises(InputError, match="file not found"):
        StaticMask.read(tmp_path / "gone.fits")


def test_a_dry_run_has_no_mask(two: list[Path], tmp_path: Path) -> None:
    (report,) = create_masks(two, output_dir=tmp_path, dry_run=True).masks
    assert (report.mask, report.bad, report.sha256) == (None, None, None)
    assert (report.identity.label, len(report.chips), report.exposures) == ("ACSHRC", 2, 2)


def test_it_becomes_ccddata(two: list[Path], tmp_path: Path) -> None:
    (report,) = create_masks(two, output_dir=tmp_path).masks
    ccd = StaticMask.read(report.path).to_ccddata()
    read = CCDData.read(report.path)  # without unit: BUNIT has it
    assert ccd.unit == read.unit == units.dimensionless_unscaled
    np.testing.assert_array_equal(ccd.data, read.data)
    np.testing.assert_array_equal(ccd.mask, read.data == 0)
    for keyword in ("INSTRUME", "CHIP", "STATSIG", "NBAD", "DATE-OBS"):
        assert ccd.header[keyword] == read.header[keyword]


# Its FITS form.


def test_the_header_has_where_the_chip_is_and_when_it_was_exposed(tmp_path: Path) -> None:
    primary = {"BINAXIS1": 2, "BINAXIS2": 4, "DATE-OBS": "09/02/98", "TIME-OBS": "05:22:58"}
    primary |= {"INSTRUME": "STIS", "DETECTOR": "CCD", "OPT_ELEM": "MIRVIS"}
    where = {"LTV1": -24.75, "LTV2": -94.625, "LTM1_1": 0.5, "LTM2_2": 0.25}
    path = exposure(tmp_path / "a_flt.fits", [sky(1)], primary=primary, chips=[where])
    (report,) = create_masks(path, output_dir=tmp_path).masks
    header = fits.getheader(report.path)
    assert {key: header[key] for key in where} == where
    assert header["TELESCOP"] == "HST"
    assert header["DATE-OBS"] == "1998-02-09T05:22:58"
    assert header["DATE-END"] == "1998-02-09T05:29:38"  # 400 s later
    assert "CCDCHIP" not in header
    assert report.chips[0].filter == "MIRVIS"


@pytest.mark.parametrize("row", ["acs_wfc", "wfc3_uvis"])
def test_two_chip_cameras_have_ccdchip_and_messages_name_it(row: str, tmp_path: Path) -> None:
    report = create_masks(instrument_exposure(tmp_path, row, 1), output_dir=tmp_path)
    headers = [fits.getheader(mask.path) for mask in report.masks]
    assert [(h["CHIP"], h["EXTVER"], h["CCDCHIP"]) for h in headers] == [(1, 1, 2), (2, 2, 1)]
    assert [mask.chips[0].chip_name for mask in report.masks] == [
        "SCI,1 (CCDCHIP 2)",
        "SCI,2 (CCDCHIP 1)",
    ]
    (read,) = StaticMask.read(report.masks[0].path).records
    assert read.chip_name == "SCI,1 (CCDCHIP 2)"


def test_dates_span_the_exposures_in_any_order(two: list[Path], tmp_path: Path) -> None:
    (report,) = create_masks(two[::-1], output_dir=tmp_path).masks
    header = fits.getheader(report.path)
    assert header["DATE-OBS"] == "2002-03-01T10:20:30"
    assert header["DATE-END"] == "2002-03-02T10:27:10"  # with its 400 s


def test_repeats_have_no_extver_in_common(tmp_path: Path) -> None:
    (report,) = create_masks(REAL, output_dir=tmp_path).masks
    assert "EXTVER" not in fits.getheader(report.path)


@pytest.mark.parametrize(
    ("unit", "written"),
    [("ELECTRONS", None), ("COUNTS/S", "count/s"), ("DN", "adu"), ("FURLONGS", None)],
)
def test_columns_have_units_that_fits_knows(unit: str, written: str | None, tmp_path: Path) -> None:
    path = small(tmp_path / "a_flt.fits", chips=[{"BUNIT": unit}])
    (report,) = create_masks(path, output_dir=tmp_path).masks
    table = Table.read(report.path, hdu="EXPOSURES")  # a unit unknown to it were a warning
    assert table["EXPTIME"].unit == units.s
    wanted = None if written is None else units.Unit(written, format="fits")
    for name in ("MODE", "RMS", "THRESH", "LOWEST", "MEDIAN", "NOISE"):
        assert table[name].unit == wanted
    assert table["UNIT"][0] == unit


def test_a_row_has_target_filter_date_and_exposure_time(two: list[Path], tmp_path: Path) -> None:
    (report,) = create_masks(two[0], output_dir=tmp_path).masks
    (row,) = fits.getdata(report.path, "EXPOSURES")
    names = ("TARGET", "FILTER", "DATE_OBS", "EXPTIME", "UNIT")
    wanted = ("NGC-104", "F814W", "2002-03-01T10:20:30", 400.0, "ELECTRONS")
    assert tuple(row[name] for name in names) == wanted


@pytest.mark.parametrize("value", ["", "yesterday", "2002-13-45", 7, "31/02/99"])
def test_an_invalid_date_is_ignored(value: object, tmp_path: Path) -> None:
    path = small(tmp_path / "a_flt.fits", primary={"DATE-OBS": value})
    (report,) = create_masks(path, output_dir=tmp_path).masks
    assert report.chips[0].date_obs == ""
    assert "DATE-OBS" not in fits.getheader(report.path)


def test_every_column_says_what_it_is(two: list[Path], tmp_path: Path) -> None:
    (report,) = create_masks(two, output_dir=tmp_path).masks
    with fits.open(report.path) as hdus:
        table = hdus["EXPOSURES"]
        assert [c.name for c in table.columns] == [*(c.name for c in COLUMNS), "QCFAILED", "UNIQUE"]
        for number, column in enumerate(COLUMNS, start=1):
            assert table.header.comments[f"TTYPE{number}"] == column.meaning  # none was cut
        assert (
            table.header.comments[f"TTYPE{len(COLUMNS) + 2}"]
            == "0-based y * NAXIS1 + x of pixels bad only here"
        )


@pytest.mark.parametrize("counts", [False, True])
def test_astropys_fitscheck_passes(counts: bool, two: list[Path], tmp_path: Path) -> None:
    (report,) = create_masks(two, output_dir=tmp_path, counts=counts).masks
    assert fitscheck.main([report.path]) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(report.path) as hdus:
            hdus.verify("exception")


def test_fitsverify_finds_nothing(two: list[Path], tmp_path: Path) -> None:
    if not (fitsverify := shutil.which("fitsverify")):
        pytest.skip("asks for fitsverify")
    (report,) = create_masks(two, output_dir=tmp_path, counts=True).masks
    found = subprocess.run([fitsverify, report.path], capture_output=True, text=True, check=False)
    assert "0 warnings and 0 errors" in found.stdout, found.stdout


def test_reading_a_mask_opens_no_window_to_write(two: list[Path], tmp_path: Path) -> None:
    (report,) = create_masks(two, output_dir=tmp_path).masks
    Path(report.path).chmod(0o444)
    before = Path(report.path).read_bytes()
    StaticMask.read(report.path).to_ccddata()
    assert Path(report.path).read_bytes() == before


def test_importing_the_object_does_not_import_nddata() -> None:
    code = (
        "import sys, staticmask_cli.masks.fits_form\n"
        "assert 'astropy.nddata' not in sys.modules and 'astropy.table' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_example_in_the_docstring_runs() -> None:
    assert doctest.testmod(static_mask).failed == 0
    assert "StaticMask(" in str(static_mask.StaticMask.__doc__)


@pytest.mark.parametrize(
    ("start", "seconds", "end"),
    [
        ("2003-01-02T03:04:05", 1e30, "2003-01-02T03:04:05"),
        ("9999-12-31T23:59:00", 400.0, "9999-12-31T23:59:00"),
        ("2003-01-02T23:59:00", 120.5, "2003-01-03T00:01:00"),
        ("2003-01-02", 400.0, "2003-01-02"),
    ],
)
def test_the_end_of_an_exposure_is_a_date_whatever_the_exposure_time(
    start: str, seconds: float, end: str, tmp_path: Path
) -> None:
    primary = {"DATE-OBS": start, "EXPTIME": seconds}
    exposure(tmp_path / "a_flt.fits", [sky(1)], primary=primary)
    (report,) = create_masks(tmp_path / "a_flt.fits", output_dir=tmp_path).masks
    header = fits.getheader(report.path)
    assert (header["DATE-OBS"], header["DATE-END"]) == (start, end)
