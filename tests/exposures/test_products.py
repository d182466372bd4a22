"""Calibrated Hubble exposures, other products, and two calibrations of one exposure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from staticmask_cli import InputError, sweep
from staticmask_cli.exposures.products import CALIBRATED, calibration_of
from tests.support.makers import REAL, sky
from tests.support.runs import Run, expected, files_used, only, run, small

RAW = "is a raw exposure"
CTE = "is the same exposure as {}, calibrated in another way; give one of them"


def product(path: Path, seed: int = 1, **primary: object) -> Path:
    return small(path, seed, primary=primary)


def refused(*paths: Path, **options: object) -> list[str]:
    """Return the reason why each file is refused."""
    with pytest.raises(InputError) as error:
        run(*paths, out=paths[0].parent / "out", **options)
    assert not (paths[0].parent / "out").exists()
    return [problem.split(": ", 1)[1] for problem in error.value.problems]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("x_raw.fits", RAW),
        ("x_raw.fits.gz", RAW),
        ("X_RAW.FITS", RAW),
        ("u_d0m.fits", RAW),
        ("x_ima.fits", "is an intermediate file"),
        ("x_blv_tmp.fits", "is an intermediate file"),
        ("x_drz.fits", "is drizzled"),
        ("hst_9019_06_acs_hrc_f475w_j8bt06_drc.fits", "is drizzled"),
        ("x_drz_sci.fits", "is drizzled"),
        ("n_mos.fits", "is drizzled"),
        ("o_x2d.fits", "is a rectified spectral image"),
        ("x_spt.fits", "is a support file"),
        ("x_jit.fits", "is a jitter file"),
        ("x_jif.fits", "is a jitter file"),
        ("u_c1m.fits", "is the DQ file of a WFPC2 exposure"),
        ("x_rate.fits", "is a JWST product"),
        ("jw01234001001_02101_00001_nrca1_cal.fits", "is a JWST product"),
    ],
)
def test_other_products_are_refused_by_name_if_the_header_is_not_conclusive(
    name: str, reason: str, tmp_path: Path
) -> None:
    (problem,) = refused(product(tmp_path / name))
    assert problem.startswith(reason)
    assert problem.endswith(
        ", according to its name; give calibrated exposures, or use --any-product"
    )
    # The header has precedence over the name.
    path = product(tmp_path / "a_flt.fits", FILENAME=name)
    (problem,) = refused(path)
    assert problem.startswith(reason)
    assert f": FILENAME is {name};" in problem
    product(path, FILENAME="a_flt.fits").rename(tmp_path / name)
    assert len(run(tmp_path / name, out=tmp_path / "out").masks) == 1


@pytest.mark.parametrize("suffix", [*CALIBRATED, "flt_a", "FLT"])
def test_calibrated_exposures_are_used(suffix: str, tmp_path: Path) -> None:
    path = product(tmp_path / f"x_{suffix}.fits", FILENAME=f"x_{suffix}.fits", TELESCOP="HST")
    assert len(run(path, out=tmp_path / "out").masks) == 1


@pytest.mark.parametrize(
    "name",
    [
        "x.fits",
        "raw.fits",
        "straw.fits",
        "xraw.fits",
        "raw_1.fits",
        "my exposure.fits",
        "hst_9019_06_acs_hrc_f475w_j8bt06ny_flt.fits",
    ],
)
def test_a_file_of_unknown_kind_is_used(name: str, tmp_path: Path) -> None:
    assert len(run(product(tmp_path / name), out=tmp_path / "out").masks) == 1
    path = product(tmp_path / name, FILENAME="nothing.fits", TELESCOP=" ", DQICORR="OMIT")
    assert len(run(path, out=tmp_path / "out").masks) == 1


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"TELESCOP": "JWST", "FILENAME": "jw_cal.fits"}, "is not a Hubble exposure: TELESCOP is"),
        ({"TELESCOP": "CFHT"}, "is not a Hubble exposure: TELESCOP is CFHT"),
        ({"NDRIZIM": 4, "FILENAME": "a_flt.fits"}, "is drizzled: its header has NDRIZIM"),
        ({"DQICORR": "PERFORM"}, "is a raw exposure: DQICORR is PERFORM"),
        ({"MASKCORR": "PERFORM"}, "is a raw exposure: MASKCORR is PERFORM"),
    ],
)
def test_keywords_other_than_filename_identify_products(
    header: dict[str, object], reason: str, tmp_path: Path
) -> None:
    (problem,) = refused(product(tmp_path / "a_flt.fits", **header))
    assert problem.startswith(reason)


def test_a_hubble_exposure_may_have_the_name_of_another_mission(tmp_path: Path) -> None:
    path = product(tmp_path / "growth_rate.fits", TELESCOP="HST")
    assert len(run(path, out=tmp_path / "out").masks) == 1


def test_the_real_exposure_is_used_under_any_name(tmp_path: Path) -> None:
    path = tmp_path / "x_raw.fits"
    path.write_bytes(REAL.read_bytes())
    assert len(run(path, out=tmp_path / "out").masks) == 1


def test_any_product_accepts_other_products(staticmask: Run, tmp_path: Path) -> None:
    path = product(tmp_path / "a_raw.fits", TELESCOP="JWST")
    assert len(run(path, out=tmp_path / "out", any_product=True).masks) == 1
    assert len(sweep(path, any_product=True)) == 5
    assert staticmask("a_raw.fits", "--any-product").returncode == 0
    assert staticmask("a_raw.fits", STATICMASK_ANY_PRODUCT="yes").returncode == 0


def test_keep_going_uses_the_calibrated_files_of_a_folder(staticmask: Run, tmp_path: Path) -> None:
    for name in ("a_flt", "b_flt", "a_raw", "a_drz", "a_spt"):
        product(tmp_path / f"{name}.fits", ord(name[0]))
    result = staticmask("*.fits", "-k", "-o", "out")
    assert result.returncode == 3
    assert result.stdout.split()[-1] == "2"
    assert [line.split(": ")[2] for line in result.stderr.splitlines()] == [
        *("a_drz.fits", "a_raw.fits", "a_spt.fits")
    ]


# One exposure in two calibrations.


@pytest.mark.parametrize(
    ("corrected", "plain"),
    [
        ("j8_flc.fits", "j8_flt.fits"),
        ("j8_crc.fits", "j8_crj.fits"),
        ("o4k19a010_flt.fits", "o4k19a010_crj.fits"),
        ("a/j8_flc.fits", "b/j8_flt.fits"),
        ("j8_flc.fits.gz", "j8_flt.fits"),
        ("j8bt06nyq_flc.fits", "J8BT06NYQ_FLT.FITS"),
        ("hst_9019_06_acs_hrc_f475w_j8bt06ny_flc.fits", "j8bt06nyq_flt.fits"),
    ],
)
def test_two_calibrations_of_one_exposure_are_an_error(
    corrected: str, plain: str, tmp_path: Path
) -> None:
    good, bad = product(tmp_path / corrected, 1), product(tmp_path / plain, 2)
    line = f"{bad}: {CTE.format(good)}"
    for paths in ((good, bad), (bad, good)):
        with pytest.raises(InputError) as error:
            run(*paths, out=tmp_path / "out")
        assert error.value.problems == (line,)
        with pytest.raises(InputError):
            sweep(paths)
        assert not (tmp_path / "out").exists()
        report = run(*paths, out=tmp_path / "kept", keep_going=True)
        assert [exposure.reasons for exposure in report.failed] == [(line,)]
        np.testing.assert_array_equal(only(report), expected([sky(1, (16, 20), low=5, high=5)]))


def test_renamed_calibrations_of_one_exposure_are_found_by_their_headers(tmp_path: Path) -> None:
    a = product(tmp_path / "a.fits", 1, FILENAME="j8bt06nyq_flc.fits")
    b = product(tmp_path / "b.fits", 2, FILENAME="j8bt06nyq_flt.fits")
    c = product(tmp_path / "mine_flt.fits", 3, ROOTNAME="j8bt06nyq")
    assert refused(a, b) == [CTE.format(a)]
    assert refused(a, c) == [CTE.format(a)]
    assert files_used(run(a, b, c, out=tmp_path / "out", keep_going=True))[:1] == ["a.fits"]
    with pytest.raises(InputError):
        sweep([a, b])


def test_different_exposures_and_segments_are_not_two_calibrations(tmp_path: Path) -> None:
    names = ("j8_flc", "j9_flt", "j8bt06010_crj", "j8bt06011_crc", "l_flt_a", "l_cal_b", "x", "y")
    for name in names:
        product(tmp_path / f"{name}.fits")
    assert len(run(tmp_path / "*.fits", out=tmp_path / "out").exposures) == len(names)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("j8bt06nyq_flt.fits", ("j8bt06ny", "flt")),
        ("J8BT06NYQ_FLC.FITS.GZ", ("j8bt06ny", "flc")),
        ("hst_9019_06_acs_hrc_f475w_j8bt06ny_flc.fits", ("j8bt06ny", "flc")),
        ("j8bt06011_crj.fits", ("j8bt06011", "crj")),
        ("l9v221euq_flt_a.fits", ("l9v221eu_a", "flt")),
        ("u40x0102m.c0h", ("u40x0102", "c0h")),
        ("my_star_flt.fits.fz", ("my_star", "flt")),
        ("j8bt06nyq_raw.fits", None),
        ("j8bt06nyq.fits", None),
        ("flt.fits", None),
        ("", None),
    ],
)
def test_a_name_gives_exposure_and_calibration(name: str, found: tuple[str, str] | None) -> None:
    assert calibration_of(name) == found
