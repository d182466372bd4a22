"""Identities: every instrument, every layout of its files, every name of its masks."""

from __future__ import annotations

import gzip
import logging
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from staticmask_cli import InputError, OutputError
from tests.support.makers import INSTRUMENTS, exposure, instrument_exposure, sky
from tests.support.runs import (
    constant,
    expected,
    files_used,
    flagged,
    header,
    masks,
    only,
    run,
    science,
    simple,
    small,
)

SHAPE = (64, 80)
END = "_staticMask.fits"

# Row of the naming table -> label and number of each mask, and the SCI extensions
# that belong to it.
NAMES = {
    "acs_wfc": [("ACSWFC", 1, [1]), ("ACSWFC", 2, [2])],
    "acs_hrc": [("ACSHRC", 1, [1])],
    "acs_sbc": [("ACSSBC", 1, [1])],
    "wfc3_uvis": [("WFC3UVIS", 1, [1]), ("WFC3UVIS", 2, [2])],
    "wfc3_ir": [("WFC3IR", 1, [1])],
    "wfpc2": [
        *(("WFPC2PC", 1, [1]), ("WFPC2WF2", 2, [2])),
        *(("WFPC2WF3", 3, [3]), ("WFPC2WF4", 4, [4])),
    ],
    "stis_ccd": [("STISCCD", 1, [1, 2])],
    "stis_nuv": [("STISNUV-MAMA", 1, [1])],
    "stis_fuv": [("STISFUV-MAMA", 1, [1])],
    "nicmos1": [("NICMOS1", 1, [1])],
    "nicmos2": [("NICMOS2", 2, [1])],
    "nicmos3": [("NICMOS3", 3, [1])],
    "other": [("NIRCAMNRCA1", 1, [1])],
}


def one(path: Path, seed: int = 1, shape: tuple[int, int] = SHAPE, **keywords: object) -> Path:
    """Write an exposure of one chip, with keywords in its SCI header."""
    primary = keywords.pop("primary", None)
    return exposure(path, [sky(seed, shape)], primary=primary, chips=[keywords])


def test_the_table_of_names_covers_every_instrument() -> None:
    assert NAMES.keys() == INSTRUMENTS.keys()


@pytest.mark.parametrize("row", NAMES)
def test_every_instrument_has_its_names_and_its_own_pixels(row: str, tmp_path: Path) -> None:
    paths = [instrument_exposure(tmp_path, row, seed) for seed in (1, 2)]
    report = run(*paths, out=tmp_path / "out")
    assert report.warnings == ()
    made = masks(report)
    assert made.keys() == {f"{label}_64x80_{number}{END}" for label, number, _ in NAMES[row]}
    for label, number, versions in NAMES[row]:
        arrays = [sky(1000 * seed + version - 1) for seed in (1, 2) for version in versions]
        name = f"{label}_64x80_{number}{END}"
        np.testing.assert_array_equal(made[name], expected(arrays))
        head = header(tmp_path / "out" / name)
        assert head["INSTRUME"] + head["DETECTOR"] == label
        assert head["CHIP"] == number
        assert (head["XCORNER"], head["YCORNER"]) == (0, 0)
        assert (head["BINAXIS1"], head["BINAXIS2"]) == (1, 1)
        assert head["NEXPOSUR"] == 2
        assert head["NCHIPS"] == len(arrays)


def test_a_run_over_all_instruments_does_not_mix_them(tmp_path: Path) -> None:
    for row in NAMES:
        instrument_exposure(tmp_path, row, 1)
    together = masks(run(tmp_path / "*_???.fits", out=tmp_path / "together"))
    assert len(together) == sum(map(len, NAMES.values()))
    for row in NAMES:
        for name, mask in masks(run(tmp_path / f"{row}01_*.fits", out=tmp_path / row)).items():
            np.testing.assert_array_equal(together[name], mask)


# Full frames and their sizes.


@pytest.mark.parametrize(
    ("row", "shape", "names"),
    [
        ("acs_wfc", (2048, 4096), ["ACSWFC_2048x4096_1", "ACSWFC_2048x4096_2"]),
        ("wfc3_uvis", (2051, 4096), ["WFC3UVIS_2051x4096_1", "WFC3UVIS_2051x4096_2"]),
    ],
)
@pytest.mark.parametrize("has_ccdchip", [True, False])
def test_full_frames_are_named_as_drizzlepac_documents(
    row: str, shape: tuple[int, int], names: list[str], has_ccdchip: bool, tmp_path: Path
) -> None:
    # Constant arrays have the shape of a full frame without its 34 MB.
    primary, chips = INSTRUMENTS[row]
    hdus = [constant("SCI", 0.0, shape) for _ in chips]
    for version, (hdu, keywords) in enumerate(zip(hdus, chips, strict=True), start=1):
        hdu.ver = version
        hdu.header.update(keywords if has_ccdchip else {})
    path = simple(tmp_path / "x_flt.fits", hdus, **primary)
    report = run(path, out=tmp_path / "out", dry_run=True)
    assert [Path(m.path).name for m in report.masks] == [name + END for name in names]


def test_a_subarray_without_ccdchip_is_an_error(tmp_path: Path) -> None:
    path = one(tmp_path / "x_flt.fits", primary={"DETECTOR": "WFC"})
    with pytest.raises(InputError, match=r"x_flt\.fits: SCI,1: CCDCHIP is missing"):
        run(path, out=tmp_path / "out")


def test_a_subarray_of_chip_1_stored_as_sci_1_is_number_2(tmp_path: Path) -> None:
    for row, detector in (("acs_wfc", "WFC"), ("wfc3_uvis", "UVIS")):
        instrument = row[:4].strip("_").upper()
        keywords = {"INSTRUME": instrument, "DETECTOR": detector}
        full = instrument_exposure(tmp_path, row, 1)
        sub = one(tmp_path / f"{row}_sub_flt.fits", 3, primary=keywords, CCDCHIP=1)
        made = masks(run(full, sub, out=tmp_path / "out"))
        # With EXTVER alone, the subarray would be combined with number 1.
        label = instrument + detector
        np.testing.assert_array_equal(made[f"{label}_64x80_1{END}"], expected([sky(1000)]))
        np.testing.assert_array_equal(made[f"{label}_64x80_2{END}"], expected([sky(1001), sky(3)]))


@pytest.mark.parametrize("row", ["stis_ccd", "stis_nuv", "nicmos2", "wfc3_ir"])
def test_repeats_in_one_file_are_combined_into_one_mask(row: str, tmp_path: Path) -> None:
    arrays = [sky(seed) for seed in (1, 2, 3)]
    path = exposure(tmp_path / "x_flt.fits", arrays, primary=INSTRUMENTS[row][0])
    report = run(path, out=tmp_path / "out")
    np.testing.assert_array_equal(only(report), expected(arrays))
    (mask,) = report.masks
    assert mask.exposures == 1, "three chips of one exposure"
    assert [record.extver for record in mask.chips] == [1, 2, 3]


# Corners and binning.


@pytest.mark.parametrize(
    ("keywords", "corner"),
    [
        ({}, (0, 0)),
        ({"LTV1": 0.0, "LTV2": 0.0, "LTM1_1": 1.0, "LTM2_2": 1.0}, (0, 0)),
        ({"LTV1": -100.0, "LTV2": -7.0}, (100, 7)),
        ({"LTV1": 19, "LTV2": 20}, (-19, -20)),  # overscan not trimmed: left of the first pixel
        # An array pixel is LTM x detector pixel + LTV; pixel edges lie at halves.
        ({"LTV1": 0.25, "LTV2": 0.25, "LTM1_1": 0.5, "LTM2_2": 0.5}, (0, 0)),
        ({"LTV1": -49.75, "LTV2": 0.25, "LTM1_1": 0.5, "LTM2_2": 0.5}, (100, 0)),
        ({"LTV1": 0.375, "LTV2": -24.625, "LTM1_1": 0.25, "LTM2_2": 0.25}, (0, 100)),
    ],
)
def test_corners_come_from_ltv_and_ltm(
    keywords: dict[str, float], corner: tuple[int, int], tmp_path: Path
) -> None:
    path = one(tmp_path / "x_flt.fits", **keywords)
    (mask,) = run(path, out=tmp_path / "out").masks
    assert (mask.identity.x0, mask.identity.y0) == corner
    head = header(mask.path)
    assert (head["XCORNER"], head["YCORNER"]) == corner
    assert Path(mask.path).name == f"ACSHRC_64x80_1{END}", "the only mask has its documented name"


@pytest.mark.parametrize(
    ("primary", "science_header"),
    [
        ({"INSTRUME": "STIS", "DETECTOR": "CCD", "BINAXIS1": 2, "BINAXIS2": 4}, {}),
        ({"INSTRUME": "WFC3", "DETECTOR": "IR"}, {"BINAXIS1": 2, "BINAXIS2": 4}),
        ({"INSTRUME": "ACS", "DETECTOR": "HRC"}, {"BINAXIS1": 2, "BINAXIS2": 4}),
    ],
)
def test_binning_comes_from_the_primary_or_extension_header(
    primary: dict[str, object], science_header: dict[str, object], tmp_path: Path
) -> None:
    path = one(tmp_path / "x_flt.fits", primary=primary, **science_header)
    (mask,) = run(path, out=tmp_path / "out").masks
    assert (mask.identity.xbin, mask.identity.ybin) == (2, 4)
    head = header(mask.path)
    assert (head["BINAXIS1"], head["BINAXIS2"]) == (2, 4)


def test_pixels_with_different_corners_binnings_or_shapes_are_never_combined(
    tmp_path: Path,
) -> None:
    paths = [
        one(tmp_path / "a_flt.fits", 1),
        one(tmp_path / "b_flt.fits", 2, LTV1=-1.0),
        one(tmp_path / "c_flt.fits", 3, LTV2=-1.0),
        one(tmp_path / "d_flt.fits", 4, BINAXIS1=2),
        one(tmp_path / "e_flt.fits", 5, BINAXIS2=2),
        one(tmp_path / "f_flt.fits", 6, (80, 64)),
    ]
    made = masks(run(*paths, out=tmp_path / "out"))
    assert len(made) == 6
    shapes = [SHAPE] * 5 + [(80, 64)]
    wanted = [expected([sky(i, shape)]) for i, shape in enumerate(shapes, start=1)]
    assert {m.tobytes() for m in made.values()} == {m.tobytes() for m in wanted}


# File layouts.


def test_a_file_with_only_sci_2_is_read(tmp_path: Path) -> None:
    primary, chips = INSTRUMENTS["acs_wfc"]
    arrays = [sky(1)]
    path = exposure(
        tmp_path / "x_flt.fits",
        arrays,
        primary=primary,
        chips=chips[1:],
        versions=[2],
        flags=[np.zeros(SHAPE, "i2")],
    )
    report = run(path, out=tmp_path / "out", final_bits="0")
    assert masks(report).keys() == {f"ACSWFC_64x80_2{END}"}
    assert report.masks[0].chips[0].extver == 2
    np.testing.assert_array_equal(only(report), expected(arrays))


def test_gaps_in_extver_do_not_shift_dq_arrays(tmp_path: Path) -> None:
    arrays, flags = [sky(1), sky(2)], [np.zeros(SHAPE, "i2"), np.zeros(SHAPE, "i2")]
    flags[0][1, 1] = flags[1][2, 2] = 4
    primary = INSTRUMENTS["stis_ccd"][0]
    path = exposure(tmp_path / "x_flt.fits", arrays, primary=primary, flags=flags, versions=[2, 5])
    report = run(path, out=tmp_path / "out", final_bits=0)
    assert [(r.extver, r.n_flagged) for r in report.masks[0].chips] == [(2, 1), (5, 1)]
    np.testing.assert_array_equal(
        only(report), expected(arrays) & flagged(flags[0]) & flagged(flags[1])
    )


@pytest.mark.parametrize("count", [0, 1, 99])
def test_a_stale_nextend_does_not_change_the_masks(count: int, tmp_path: Path) -> None:
    path = instrument_exposure(tmp_path, "acs_wfc", 1)
    with fits.open(path, "update") as hdus:
        hdus[0].header["NEXTEND"] = count
    assert len(run(path, out=tmp_path / "out").masks) == 2


def test_no_gain_noise_dark_or_wcs_keyword_is_needed(tmp_path: Path) -> None:
    # The only keywords beyond those that FITS requires.
    path = simple(tmp_path / "x.fits", [science(sky(1))])
    with fits.open(path, "update") as hdus:
        del hdus[0].header["EXPTIME"], hdus[0].header["NEXTEND"]
    assert {*header(path)} == {"SIMPLE", "BITPIX", "NAXIS", "EXTEND", "INSTRUME", "DETECTOR"}
    np.testing.assert_array_equal(only(run(path, out=tmp_path / "out")), expected([sky(1)]))


# Constant arrays.


@pytest.mark.parametrize(("bitpix", "has_npix"), [(8, False), (16, True), (-32, False)])
@pytest.mark.parametrize("value", [0, 4, 16, -32768])
def test_a_constant_dq_array_is_equivalent_to_a_stored_one(
    value: int, bitpix: int, has_npix: bool, tmp_path: Path
) -> None:
    pixels = sky(1)
    plain = simple(
        tmp_path / "plain_flt.fits",
        [science(pixels), fits.ImageHDU(np.full(SHAPE, value, "i2"), name="DQ", ver=1)],
    )
    path = simple(
        tmp_path / "constant_flt.fits",
        [science(pixels), constant("DQ", value, SHAPE if has_npix else None)],
    )
    # astropy writes 8 if there is no array; the pipelines keep the BITPIX of the array.
    written = path.read_bytes()
    eight = b"BITPIX  =" + b"8".rjust(21)
    assert eight in written
    path.write_bytes(written.replace(eight, b"BITPIX  =" + str(bitpix).encode().rjust(21)))
    for final_bits in ("0", "16", "32768", "~16"):
        one_mask, other = (
            only(run(p, out=tmp_path / p.name[:5], final_bits=final_bits)) for p in (plain, path)
        )
        np.testing.assert_array_equal(one_mask, other, err_msg=final_bits)


@pytest.mark.parametrize("source", ["NPIX", "ERR", "DQ"])
def test_a_constant_sci_array_contributes_only_its_flags(source: str, tmp_path: Path) -> None:
    flags = np.zeros(SHAPE, "i2")
    flags[3, 4] = 4
    hdus = [constant("SCI", 1.5, SHAPE if source == "NPIX" else None)]
    if source == "ERR":
        hdus.append(fits.ImageHDU(np.ones(SHAPE, "f4"), name="ERR", ver=1))
    if source == "DQ":
        hdus.append(fits.ImageHDU(flags, name="DQ", ver=1))
    path = simple(tmp_path / "x_flt.fits", hdus)
    assert only(run(path, out=tmp_path / "out")).all()
    if source == "DQ":
        mask = only(run(path, out=tmp_path / "out", final_bits=0))
        np.testing.assert_array_equal(mask, flagged(flags))


def test_a_constant_sci_array_of_unknown_shape_is_an_error(tmp_path: Path) -> None:
    path = simple(tmp_path / "x_flt.fits", [constant("SCI", 0.0)])
    with pytest.raises(InputError, match=r"x_flt\.fits: SCI,1: .*NPIX1"):
        run(path, out=tmp_path / "out")


def test_a_constant_repeat_changes_nothing(tmp_path: Path) -> None:
    # A lost STIS readout is stored as a constant imset.
    empty = constant("SCI", 0.0, SHAPE)
    empty.ver = 2
    primary = INSTRUMENTS["stis_ccd"][0]
    path = simple(tmp_path / "x_flt.fits", [science(sky(1)), empty], **primary)
    report = run(path, out=tmp_path / "out")
    np.testing.assert_array_equal(only(report), expected([sky(1)]))
    assert [r.used for r in report.masks[0].chips] == [True, False]


# Compression and scaling.


def compressed(path: Path, hdus: list[fits.ImageHDU], **how: object) -> Path:
    """Write extensions tile-compressed, as fpack does."""
    packed = []
    for hdu in hdus:
        packed.append(fits.CompImageHDU(hdu.data, name=hdu.name, **how))
        packed[-1].header["EXTVER"] = hdu.ver
    return simple(path, packed)


def both_arrays(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels and flags; integer pixels, for which all compression is lossless."""
    flags = np.zeros(SHAPE, "i2")
    flags[5, 6], flags[7, 8] = 16, -32768
    return np.round(sky(1)).astype(dtype), flags


@pytest.mark.parametrize("final_bits", [None, 16])
@pytest.mark.parametrize("kind", ["RICE_1", "GZIP_1", "GZIP_2", "PLIO_1", "HCOMPRESS_1"])
def test_tile_compressed_integers_give_the_same_mask(
    kind: str, final_bits: int | None, tmp_path: Path
) -> None:
    pixels, flags = both_arrays("i4")
    if kind == "PLIO_1":  # cannot store negative numbers
        pixels, flags = np.maximum(pixels, 0), np.abs(flags // 2)
    hdus = [science(pixels), fits.ImageHDU(flags, name="DQ", ver=1)]
    plain = simple(tmp_path / "x_flt.fits", hdus)
    packed = compressed(tmp_path / "y_flt.fits.fz", hdus, compression_type=kind)
    mask = only(run(packed, out=tmp_path / "out", final_bits=final_bits))
    np.testing.assert_array_equal(
        mask, only(run(plain, out=tmp_path / "plain", final_bits=final_bits))
    )
    assert not mask.all()


@pytest.mark.parametrize("kind", ["GZIP_1", "GZIP_2"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_losslessly_compressed_floats_give_the_same_mask(
    kind: str, dtype: str, tmp_path: Path
) -> None:
    pixels = sky(1).astype(dtype)
    path = compressed(
        tmp_path / "y_flt.fits.fz",
        [science(pixels)],
        compression_type=kind,
        quantize_level=0,
    )
    np.testing.assert_array_equal(only(run(path, out=tmp_path / "out")), expected([pixels]))


def test_quantized_floats_give_the_mask_of_the_stored_pixels(tmp_path: Path) -> None:
    path = compressed(tmp_path / "y_flt.fits.fz", [science(sky(1))], compression_type="RICE_1")
    stored = fits.getdata(path, 1)
    mask = only(run(path, out=tmp_path / "out"))
    np.testing.assert_array_equal(mask, expected([stored]))
    assert not mask.all()


def test_a_highly_compressed_array_is_not_reported_as_truncated(tmp_path: Path) -> None:
    # Its pixels are larger than its file.
    pixels = np.zeros((400, 500), "i4")
    pixels[::7, ::3] = 10
    path = compressed(tmp_path / "y.fits.fz", [science(pixels)], compression_type="RICE_1")
    assert path.stat().st_size < pixels.nbytes
    assert only(run(path, out=tmp_path / "out")).shape == pixels.shape


@pytest.mark.parametrize("name", ["y_flt.fits.gz", "y_flt.fits"])
def test_gzipped_exposures_give_the_same_mask_under_any_name(name: str, tmp_path: Path) -> None:
    plain = instrument_exposure(
        *(tmp_path, "acs_wfc", 1), flags=[np.eye(*SHAPE, dtype="i2"), np.zeros(SHAPE, "i2")]
    )
    packed = tmp_path / name
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    one_run, other = (
        masks(run(p, out=tmp_path / str(i), final_bits=0)) for i, p in enumerate((plain, packed))
    )
    assert one_run.keys() == other.keys()
    for key, mask in one_run.items():
        np.testing.assert_array_equal(mask, other[key])


@pytest.mark.parametrize(
    ("stored", "bscale", "bzero"),
    [("i2", 1.0, 32768.0), ("i2", 0.5, 100.0), ("i4", 1.0, 2.0**31), ("u1", 2.0, -100.0)],
)
def test_scaled_exposures_give_the_mask_of_their_physical_values(
    stored: str, bscale: float, bzero: float, tmp_path: Path
) -> None:
    physical = 2 * np.clip(np.round(sky(1).astype("f8") / 2) + 30, 0, 100)
    raw = np.round((physical - bzero) / bscale).astype(stored)
    hdu = science(raw)
    path = simple(tmp_path / "x_flt.fits", [hdu])
    # Added afterwards, because astropy removes the keywords while writing.
    with fits.open(path, "update", do_not_scale_image_data=True) as hdus:
        hdus[1].header["BSCALE"] = bscale
        hdus[1].header["BZERO"] = bzero
    np.testing.assert_array_equal(fits.getdata(path, 1), physical)
    mask = only(run(path, out=tmp_path / "out"))
    np.testing.assert_array_equal(mask, expected([physical]))
    assert not mask.all()


def test_blank_pixels_are_ignored(tmp_path: Path) -> None:
    pixels = np.round(sky(1)).astype("i2")
    blanks = (slice(3, 9), slice(4, 30))
    pixels[blanks] = -32768  # would be the lowest pixels
    path = simple(tmp_path / "x_flt.fits", [science(pixels)])
    with fits.open(path, "update", do_not_scale_image_data=True) as hdus:
        hdus[1].header["BLANK"] = -32768
    real = pixels.astype("f4")
    real[blanks] = np.nan
    mask = only(run(path, out=tmp_path / "out"))
    np.testing.assert_array_equal(mask, expected([real]))
    assert mask[blanks].all()


@pytest.mark.parametrize("how", ["unsigned", "blank", "int32", "byte", "scaled by 1"])
def test_flags_are_equivalent_in_all_integer_types(how: str, tmp_path: Path) -> None:
    flags = np.zeros(SHAPE, "i4")
    flags[5, 6], flags[7, 8], flags[9, 9] = 16, 64, 0 if how == "byte" else 4
    pixels = sky(1)
    written = {
        "unsigned": flags.astype("u2"),
        "blank": flags.astype("i2"),
        "int32": flags,
        "byte": flags.astype("u1"),
        "scaled by 1": flags.astype("i2"),
    }[how]
    path = simple(
        tmp_path / "x_flt.fits", [science(pixels), fits.ImageHDU(written, name="DQ", ver=1)]
    )
    with fits.open(path, "update", do_not_scale_image_data=True) as hdus:
        if how == "blank":
            hdus[2].header["BLANK"] = -1
        if how == "scaled by 1":
            hdus[2].header["BSCALE"], hdus[2].header["BZERO"] = 1.0, 0.0
    for good in (0, 16):
        np.testing.assert_array_equal(
            only(run(path, out=tmp_path / "out", final_bits=good)),
            expected([pixels]) & flagged(flags, good),
        )


@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "i4", "i8", "u1", "u2"])
def test_every_data_type_of_fits_can_be_read(dtype: str, tmp_path: Path) -> None:
    pixels = np.clip(np.round(sky(1) + 60), 0, 250).astype(dtype)
    path = simple(tmp_path / "x_flt.fits", [science(pixels)])
    np.testing.assert_array_equal(only(run(path, out=tmp_path / "out")), expected([pixels]))


# COS segments.


def segment(path: Path, seed: int, **primary: object) -> Path:
    return exposure(path, [sky(seed)], primary={"INSTRUME": "COS", "DETECTOR": "FUV"} | primary)


def test_the_segments_of_cos_are_two_detectors(tmp_path: Path) -> None:
    segment(tmp_path / "l_flt_a.fits", 1, SEGMENT="FUVA")
    segment(tmp_path / "l_flt_b.fits", 2, SEGMENT="FUVB")
    made = masks(run(tmp_path / "l_flt_?.fits", out=tmp_path / "out"))
    assert made.keys() == {f"COSFUVA_64x80_1{END}", f"COSFUVB_64x80_1{END}"}
    for seed, pixels in enumerate(made.values(), 1):
        np.testing.assert_array_equal(pixels, expected([sky(seed)]))


@pytest.mark.parametrize("primary", [{}, {"SEGMENT": "BOTH"}])
def test_an_exposure_of_cos_fuv_needs_its_segment(
    primary: dict[str, object], tmp_path: Path
) -> None:
    path = segment(tmp_path / "l_flt.fits", 1, **primary)
    with pytest.raises(InputError, match="SEGMENT"):
        run(path, out=tmp_path / "out")


def test_cos_nuv_has_no_segments(tmp_path: Path) -> None:
    path = segment(tmp_path / "l_flt.fits", 1, DETECTOR="NUV")
    assert masks(run(path, out=tmp_path / "out")).keys() == {f"COSNUV_64x80_1{END}"}


# DQ files of WFPC2.


def pair(
    folder: Path, *, name: str = "SCI", flags_gz: bool = False
) -> tuple[Path, list[np.ndarray], list[np.ndarray]]:
    """Write a _c0m file and its _c1m file."""
    science_path = instrument_exposure(folder, "wfpc2", 1)
    pixels = [sky(1000 + i) for i in range(4)]
    flags = [np.zeros(SHAPE, "i2") for _ in range(4)]
    for i, array in enumerate(flags):
        array[i, 10 + i] = 2**i
    hdus = []
    for version, array in enumerate(flags, start=1):
        hdus.append(fits.ImageHDU(array, name=name, ver=version))
        hdus[-1].header["DETECTOR"] = version
    ending = ".gz" * flags_gz
    simple(folder / f"wfpc201_c1m.fits{ending}", hdus, INSTRUME="WFPC2")
    return science_path, pixels, flags


@pytest.mark.parametrize("name", ["SCI", "DQ"])
def test_flags_of_wfpc2_come_from_its_dq_file(name: str, tmp_path: Path) -> None:
    path, pixels, flags = pair(tmp_path, name=name)
    made = masks(run(path, out=tmp_path / "out", final_bits=4))
    for i, label in enumerate(("WFPC2PC", "WFPC2WF2", "WFPC2WF3", "WFPC2WF4")):
        np.testing.assert_array_equal(
            made[f"{label}_64x80_{i + 1}{END}"], expected([pixels[i]]) & flagged(flags[i], 4)
        )


@pytest.mark.parametrize(
    ("science_name", "flags_name"),
    [
        ("u_c0h.fits", "u_c1h.fits"),
        ("U_C0M.FITS", "U_C1M.FITS"),
        ("a_c0m_c0m.fits", "a_c0m_c1m.fits"),
    ],
)
def test_dq_files_of_wfpc2_are_found_under_all_their_names(
    science_name: str, flags_name: str, tmp_path: Path
) -> None:
    path, _, _ = pair(tmp_path)
    wanted = masks(run(path, out=tmp_path / "wanted", final_bits=0))
    (tmp_path / "wfpc201_c1m.fits").rename(tmp_path / flags_name)
    path = path.rename(tmp_path / science_name)
    for inputs in ([path], [path, tmp_path / flags_name]):
        report = run(*inputs, out=tmp_path / "out", final_bits=0)
        assert set(files_used(report)) == {science_name}
        for name, pixels in masks(report).items():
            np.testing.assert_array_equal(pixels, wanted[name])


def test_wfpc2_needs_no_dq_file_without_final_bits(tmp_path: Path) -> None:
    path, pixels, _ = pair(tmp_path)
    (tmp_path / "wfpc201_c1m.fits").unlink()
    made = masks(run(path, out=tmp_path / "out"))
    np.testing.assert_array_equal(made[f"WFPC2PC_64x80_1{END}"], expected([pixels[0]]))
    with pytest.raises(InputError, match=r"wfpc201_c0m\.fits: .*wfpc201_c1m\.fits"):
        run(path, out=tmp_path / "out", final_bits=0)


def test_a_pattern_that_matches_the_dq_file_too_does_not_use_it_as_an_exposure(
    tmp_path: Path,
) -> None:
    path, _, _ = pair(tmp_path)
    alone = masks(run(path, out=tmp_path / "alone", final_bits=0))
    report = run(tmp_path / "*_c?m.fits", out=tmp_path / "both", final_bits=0)
    assert set(files_used(report)) == {"wfpc201_c0m.fits"}
    for name, mask in masks(report).items():
        np.testing.assert_array_equal(mask, alone[name])


def test_wfpc2_files_with_dq_extensions_need_no_dq_file(tmp_path: Path) -> None:
    flags = [np.eye(*SHAPE, dtype="i2") for _ in range(4)]
    path = instrument_exposure(tmp_path, "wfpc2", 1, flags=flags)
    path = path.rename(tmp_path / "u2_flt.fits")
    made = masks(run(path, out=tmp_path / "out", final_bits=0))
    np.testing.assert_array_equal(
        made[f"WFPC2PC_64x80_1{END}"], expected([sky(1000)]) & flagged(flags[0])
    )


# Other missions.


@pytest.mark.parametrize(
    ("primary", "label"),
    [
        ({"INSTRUME": "NIRCAM", "DETECTOR": "NRCA1"}, "NIRCAMNRCA1"),
        ({"INSTRUME": "WFI", "DETECTOR": None}, "WFI"),
        ({"INSTRUME": "FOC", "DETECTOR": "F/96"}, None),
        ({"INSTRUME": "A B_c!", "DETECTOR": "d-1 (x)"}, "ABCd-1x"),
    ],
)
def test_other_instruments_are_named_by_instrument_and_detector(
    primary: dict[str, object], label: str | None, tmp_path: Path
) -> None:
    path = exposure(tmp_path / "x.fits", [sky(1), sky(2)], versions=[1, 3])
    with fits.open(path, "update") as hdus:
        for key, value in primary.items():
            hdus[0].header[key] = value
            if value is None:
                del hdus[0].header[key]
    if label is None:
        with pytest.raises(InputError, match="DETECTOR"):
            run(path, out=tmp_path / "out")
        return
    made = masks(run(path, out=tmp_path / "out"))
    # The meaning of their extensions is unknown: each EXTVER is a separate chip.
    assert [name.casefold() for name in sorted(made)] == [
        f"{label}_64x80_{number}{END}".casefold() for number in (1, 3)
    ]


@pytest.mark.parametrize("value", ["N" * 60, "'quoted'", "é".encode("ascii", "replace").decode()])
def test_unusual_instrument_names_cause_no_warnings_or_are_errors(
    value: str, tmp_path: Path
) -> None:
    # Warnings, such as astropy's about long cards, are errors in the tests.
    path = one(tmp_path / "x.fits", primary={"INSTRUME": value, "DETECTOR": "X"})
    if value == "?":
        with pytest.raises(InputError, match="INSTRUME"):
            run(path, out=tmp_path / "out")
        return
    (mask,) = run(path, out=tmp_path / "out").masks
    assert header(mask.path)["INSTRUME"] == value.strip("'").upper()


# Exposures that are skipped.


@pytest.mark.parametrize(
    ("primary", "keywords", "reason"),
    [
        ({"EXPTIME": 0.0}, {}, "EXPTIME"),
        ({"EXPTIME": -1}, {}, "EXPTIME"),
        ({}, {"EXPTIME": 0.0}, "EXPTIME"),
        ({}, {"NGOODPIX": 0}, "NGOODPIX"),
    ],
)
def test_empty_exposures_are_skipped_with_a_warning(
    primary: dict[str, object],
    keywords: dict[str, object],
    reason: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    good = one(tmp_path / "good_flt.fits", 1)
    empty = one(tmp_path / "empty_flt.fits", 2, primary=primary, **keywords)
    report = run(good, empty, out=tmp_path / "out")
    np.testing.assert_array_equal(only(report), expected([sky(1)]))
    assert report.masks[0].exposures == 1
    (warning,) = report.warnings
    assert warning.startswith(f"{empty}: ")
    assert reason in warning
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == [warning]
    # The table of the mask records it too.
    rows = fits.getdata(report.masks[0].path, 1)
    assert {(row["FILE"], bool(row["USED"])) for row in rows} == {
        *(("good_flt.fits", True), ("empty_flt.fits", False))
    }
    assert reason in next(row["REASON"] for row in rows if not row["USED"])


def test_include_empty_uses_empty_exposures(tmp_path: Path) -> None:
    paths = [
        one(tmp_path / "a_flt.fits", 1),
        one(tmp_path / "b_flt.fits", 2, primary={"EXPTIME": 0.0}),
        one(tmp_path / "c_flt.fits", 3, NGOODPIX=0),
    ]
    report = run(*paths, out=tmp_path / "out", include_empty=True)
    assert report.warnings == ()
    np.testing.assert_array_equal(only(report), expected([sky(i) for i in (1, 2, 3)]))


def test_ngoodpix_is_summed_over_the_chips_of_an_exposure(tmp_path: Path) -> None:
    primary, chips = INSTRUMENTS["acs_wfc"]
    for counts, used in (((0, 0), []), ((0, 7), ["x_flt.fits"] * 2)):
        heads = [c | {"NGOODPIX": n} for c, n in zip(chips, counts, strict=True)]
        path = exposure(tmp_path / "x_flt.fits", [sky(1), sky(2)], primary=primary, chips=heads)
        if not used:
            with pytest.raises(InputError, match="NGOODPIX"):
                run(path, out=tmp_path / "none")
        else:
            assert files_used(run(path, out=tmp_path / "out")) == used


def test_stis_exposure_times_are_those_of_each_imset(tmp_path: Path) -> None:
    primary = INSTRUMENTS["stis_ccd"][0]
    arrays = [sky(1), sky(2), sky(3)]
    times = [{"EXPTIME": t} for t in (10.0, 0.0, 20.0)]
    path = exposure(tmp_path / "x_flt.fits", arrays, primary=primary, chips=times)
    with fits.open(path, "update") as hdus:
        del hdus[0].header["EXPTIME"]
    report = run(path, out=tmp_path / "out")
    np.testing.assert_array_equal(only(report), expected([arrays[0], arrays[2]]))
    assert [r.used for r in report.masks[0].chips] == [True, False, True]
    (warning,) = report.warnings
    assert "SCI,2" in warning


def test_if_all_exposures_are_empty_the_error_gives_the_reason(tmp_path: Path) -> None:
    path = one(tmp_path / "x_flt.fits", primary={"EXPTIME": 0.0})
    with pytest.raises(InputError) as caught:
        run(path, out=tmp_path / "out")
    text = str(caught.value)
    assert "x_flt.fits" in text
    assert "EXPTIME" in text
    assert "--include-empty" in text
    assert not (tmp_path / "out").exists()


# Names shared by two regions.


def test_two_corners_in_one_run_are_added_to_the_names(tmp_path: Path) -> None:
    a = one(tmp_path / "a_flt.fits", 1)
    b = one(tmp_path / "b_flt.fits", 2, LTV1=-1024.0, LTV2=-7.0)
    report = run(a, b, out=tmp_path / "out")
    made = masks(report)
    assert made.keys() == {f"ACSHRC_64x80_1_x0y0{END}", f"ACSHRC_64x80_1_x1024y7{END}"}
    np.testing.assert_array_equal(made[f"ACSHRC_64x80_1_x0y0{END}"], expected([sky(1)]))
    np.testing.assert_array_equal(made[f"ACSHRC_64x80_1_x1024y7{END}"], expected([sky(2)]))
    assert len(report.warnings) == 2
    for name in made:
        assert any(name in warning for warning in report.warnings)


def test_two_binnings_in_one_run_are_added_to_the_names(tmp_path: Path) -> None:
    a = one(tmp_path / "a_flt.fits", 1)
    b = one(tmp_path / "b_flt.fits", 2, BINAXIS1=2, BINAXIS2=2)
    made = masks(run(a, b, out=tmp_path / "out"))
    assert made.keys() == {f"ACSHRC_64x80_1_x0y0{END}", f"ACSHRC_64x80_1_x0y0b2x2{END}"}


def test_binning_is_not_added_to_names_that_differ_in_corners_alone(tmp_path: Path) -> None:
    binned = {"BINAXIS1": 2, "BINAXIS2": 2}
    a = one(tmp_path / "a_flt.fits", 1, **binned)
    b = one(tmp_path / "b_flt.fits", 2, LTV1=-100.0, **binned)
    made = masks(run(a, b, out=tmp_path / "out"))
    assert made.keys() == {f"ACSHRC_64x80_1_x0y0{END}", f"ACSHRC_64x80_1_x100y0{END}"}


@pytest.mark.parametrize("keywords", [{}, {"BINAXIS1": 2, "BINAXIS2": 2}])
def test_an_existing_mask_of_another_corner_is_never_replaced(
    keywords: dict[str, int], tmp_path: Path
) -> None:
    a = one(tmp_path / "a_flt.fits", 1, **keywords)
    b = one(tmp_path / "b_flt.fits", 2, LTV1=-100.0, **keywords)
    first = Path(run(a, out=tmp_path / "out").masks[0].path)
    before = first.read_bytes()
    report = run(b, out=tmp_path / "out")
    # The same name as in a run over both.
    assert masks(report).keys() == {f"ACSHRC_64x80_1_x100y0{END}"}
    assert len(report.warnings) == 1
    assert first.name in report.warnings[0]
    assert first.read_bytes() == before
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_an_existing_mask_of_another_binning_is_never_replaced(tmp_path: Path) -> None:
    a = one(tmp_path / "a_flt.fits", 1)
    b = one(tmp_path / "b_flt.fits", 2, BINAXIS1=2, BINAXIS2=2)
    first = Path(run(a, out=tmp_path / "out").masks[0].path)
    before = first.read_bytes()
    assert masks(run(b, out=tmp_path / "out")).keys() == {f"ACSHRC_64x80_1_x0y0b2x2{END}"}
    assert first.read_bytes() == before


def test_repeated_runs_in_any_order_never_mix_regions(tmp_path: Path) -> None:
    a = one(tmp_path / "a_flt.fits", 1)
    b = one(tmp_path / "b_flt.fits", 2, LTV1=-100.0)
    out = tmp_path / "out"
    for inputs in ([a], [b], [a, b], [b], [a], [b, a]):
        run(*inputs, out=out)
        for path in out.iterdir():
            mask = fits.getdata(path)
            seed = 2 if header(path)["XCORNER"] else 1
            np.testing.assert_array_equal(mask, expected([sky(seed)]), err_msg=path.name)


def test_the_mask_of_the_same_region_is_replaced_without_a_warning(tmp_path: Path) -> None:
    a = one(tmp_path / "a_flt.fits", 1)
    b = one(tmp_path / "b_flt.fits", 2)
    run(a, out=tmp_path / "out")
    report = run(b, out=tmp_path / "out")
    assert report.warnings == ()
    assert len(list((tmp_path / "out").iterdir())) == 1
    np.testing.assert_array_equal(only(report), expected([sky(2)]))


def test_a_prefix_names_masks_as_recent_drizzlepac_does(tmp_path: Path) -> None:
    path = instrument_exposure(tmp_path, "acs_wfc", 1)
    made = masks(run(path, out=tmp_path / "out", prefix="combo"))
    assert made.keys() == {f"combo_64x80_1{END}", f"combo_64x80_2{END}"}


def test_a_prefix_does_not_mix_the_masks_of_two_instruments(tmp_path: Path) -> None:
    paths = [instrument_exposure(tmp_path, row, 1) for row in ("acs_hrc", "wfc3_ir")]
    report = run(*paths, out=tmp_path / "out", prefix="combo")
    assert masks(report).keys() == {
        *(f"combo_ACSHRC_64x80_1_x0y0{END}", f"combo_WFC3IR_64x80_1_x0y0{END}")
    }
    assert len(report.warnings) == 2


def test_an_existing_mask_of_another_instrument_with_a_prefix_is_never_replaced(
    tmp_path: Path,
) -> None:
    hrc, infrared = (instrument_exposure(tmp_path, row, 1) for row in ("acs_hrc", "wfc3_ir"))
    first = Path(run(hrc, out=tmp_path / "out", prefix="combo").masks[0].path)
    before = first.read_bytes()
    second = Path(run(infrared, out=tmp_path / "out", prefix="combo").masks[0].path)
    assert second != first
    assert first.read_bytes() == before
    assert header(second)["INSTRUME"] == "WFC3"


def test_a_mask_of_drizzlepac_with_the_same_name_is_replaced(tmp_path: Path) -> None:
    path = one(tmp_path / "a_flt.fits")
    out = tmp_path / "out"
    out.mkdir()
    fits.PrimaryHDU(np.ones(SHAPE, "i2")).writeto(out / f"ACSHRC_64x80_1{END}")
    report = run(path, out=out)
    assert report.warnings == ()
    np.testing.assert_array_equal(only(report), expected([sky(1)]))
    assert [p.name for p in out.iterdir()] == [f"ACSHRC_64x80_1{END}"]


def folder(path: Path) -> None:
    path.mkdir()


def text(path: Path) -> None:
    path.write_text("notes")


def link(path: Path) -> None:
    path.symlink_to("nowhere")


@pytest.mark.parametrize("obstacle", [folder, text, link])
def test_an_existing_file_that_is_not_a_mask_is_an_error_and_kept(
    obstacle: object, tmp_path: Path
) -> None:
    path = one(tmp_path / "a_flt.fits")
    out = tmp_path / "out"
    out.mkdir()
    target = out / f"ACSHRC_64x80_1{END}"
    obstacle(target)
    before = target.lstat()
    with pytest.raises(OutputError, match=target.name):
        run(path, out=out)
    assert [p.name for p in out.iterdir()] == [target.name]
    assert target.lstat() == before


@pytest.mark.parametrize("update", [False, True])
def test_overwrite_replaces_a_file_that_is_not_a_mask(update: bool, tmp_path: Path) -> None:
    path = one(tmp_path / "a_flt.fits")
    out = tmp_path / "out"
    out.mkdir()
    text(out / f"ACSHRC_64x80_1{END}")
    with pytest.raises(OutputError, match="use --overwrite to replace it"):
        run(path, out=out, update=update)
    report = run(path, out=out, overwrite=True, update=update)
    np.testing.assert_array_equal(only(report), expected([sky(1)]))


@pytest.mark.parametrize("update", [False, True])
def test_an_empty_file_with_the_name_of_a_mask_is_replaced(update: bool, tmp_path: Path) -> None:
    path = one(tmp_path / "a_flt.fits")
    out = tmp_path / "out"
    out.mkdir()
    (out / f"ACSHRC_64x80_1{END}").touch()
    report = run(path, out=out, update=update)
    (warning,) = report.warnings
    assert warning.endswith("is not a static mask; replaced")
    np.testing.assert_array_equal(only(report), expected([sky(1)]))


def test_an_existing_exposure_is_never_replaced(tmp_path: Path) -> None:
    # Under any name: there may be no other copy of the exposure.
    out = tmp_path / "out"
    path = one(out / f"ACSHRC_64x80_1{END}")
    before = path.read_bytes()
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="is not a static mask of this shape; move it away"):
            run(path, out=out, overwrite=overwrite)
    assert path.read_bytes() == before


def test_two_instruments_with_the_same_label_are_not_mixed(tmp_path: Path) -> None:
    a = one(tmp_path / "a.fits", 1, primary={"INSTRUME": "ONE", "DETECTOR": "TWO"})
    b = one(tmp_path / "b.fits", 2, primary={"INSTRUME": "ONET", "DETECTOR": "WO"})
    with pytest.raises(OutputError):
        run(a, b, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


# Groups.


def chips_of(path: Path, group: object, out: Path) -> list[int]:
    report = run(path, out=out, group=group)
    return sorted(record.extver for mask in report.masks for record in mask.chips)


@pytest.mark.parametrize(
    ("group", "versions"),
    [
        (None, [1, 2]),
        ("None", [1, 2]),
        ("", [1, 2]),
        ("sci,1", [1]),
        ("SCI,2", [2]),
        ("Sci , 2", [2]),
        ("1", [1]),
        ("3", [2]),  # SCI and ERR alternate
        (3, [2]),
        ("1,3", [1, 2]),
        ("3, 1", [1, 2]),
        ("1,1", [1]),
    ],
)
def test_a_group_selects_extensions(group: object, versions: list[int], tmp_path: Path) -> None:
    path = instrument_exposure(tmp_path, "acs_wfc", 1)
    assert chips_of(path, group, tmp_path / "out") == versions


def test_hdu_numbers_of_a_group_include_err_and_dq(tmp_path: Path) -> None:
    flags = [np.zeros(SHAPE, "i2")] * 2
    path = instrument_exposure(tmp_path, "acs_wfc", 1, flags=flags)
    assert chips_of(path, "1,4", tmp_path / "out") == [1, 2]


def test_a_group_uses_its_own_dq_array(tmp_path: Path) -> None:
    flags = [np.zeros(SHAPE, "i2"), np.eye(*SHAPE, dtype="i2")]
    path = instrument_exposure(tmp_path, "acs_wfc", 1, flags=flags)
    mask = only(run(path, out=tmp_path / "out", group="sci,2", final_bits=0))
    np.testing.assert_array_equal(mask, expected([sky(1001)]) & flagged(flags[1]))


@pytest.mark.parametrize("group", ["sci,3", "0", "2", "9", "1,2", "1,9", "sci,0"])
def test_a_missing_group_is_an_error_that_names_file_and_group(group: str, tmp_path: Path) -> None:
    good = instrument_exposure(tmp_path, "acs_wfc", 1)
    with pytest.raises(InputError) as caught:
        run(good, out=tmp_path / "out", group=group)
    (problem,) = caught.value.problems
    assert problem.startswith(str(good))
    assert group in problem


def test_only_the_selected_group_must_be_valid(tmp_path: Path) -> None:
    arrays = [sky(1), np.zeros((3, 4, 5), "f4")]
    path = exposure(tmp_path / "x_flt.fits", arrays)
    np.testing.assert_array_equal(
        only(run(path, out=tmp_path / "out", group="sci,1")), expected([sky(1)])
    )


def test_small_detectors_are_read_to_their_last_pixel(tmp_path: Path) -> None:
    # Numbers of pixels that are not multiples of 8, because masks are packed as bits.
    for shape in ((7, 9), (1, 50), (50, 1), (3, 5)):
        pixels = sky(4, shape, low=3, high=0)
        pixels[-1, -1] = -500
        path = exposure(tmp_path / "x_flt.fits", [pixels])
        np.testing.assert_array_equal(only(run(path, out=tmp_path / "out")), expected([pixels]))


def test_a_run_of_one_small_exposure_finds_its_low_pixels(tmp_path: Path) -> None:
    # So that comparisons with the masks of the statistics are meaningful.
    path = small(tmp_path / "x_flt.fits", 1)
    assert (only(run(path, out=tmp_path / "out")) == 0).sum() == 5
