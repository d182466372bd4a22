"""final_bits: the DQ bits that count as good, and the pixels that are flagged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from staticmask_cli import ConfigError, InputError, create_masks
from staticmask_cli.exposures.dq_bits import check_bits, good_bits
from staticmask_cli.exposures.instruments import DQ_BITS
from staticmask_cli.statistics.bad_pixels import flagged_pixels
from tests.support.makers import exposure, instrument_exposure, sky

ACS = DQ_BITS["ACS"]
SHAPE = (64, 80)

# Flags of the exposures below, by position: every bit of int16, and some sums of bits.
FLAGS = {(5, 3 + bit): 1 << bit for bit in range(16)} | {
    (6, 3): 64 + 32,
    (6, 4): 64 + 4,
    (6, 5): 32768 + 64,
    (6, 6): 65535,
}


def flags() -> np.ndarray:
    array = np.zeros(SHAPE, np.uint16)
    for place, value in FLAGS.items():
        array[place] = value
    return array.view(np.int16)


# Syntax.


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("0", 0),
        ("1", 1),
        ("96", 96),
        ("3", 3),
        ("65535", 65535),
        ("64,32", 96),
        ("64, 32", 96),
        ("64+32", 96),
        ("64|32", 96),
        ("(64,32)", 96),
        ("~4096", ~4096),
        ("~96", ~96),
        ("~64,32", ~96),
        ("~(64,32)", ~96),
        ("~(64+32)", ~96),
        ("~(64|32)", ~96),
        ("~0", ~0),
        (" 96 ", 96),
        ("HOT", 16),
        ("hot", 16),
        ("Hot,wARM", 80),
        ("HOT+WARM", 80),
        ("HOT|WARM", 80),
        ("~HOT", ~16),
        ("~(Hot,Warm)", ~80),
    ],
)
def test_integers_lists_complements_and_names_are_accepted(text, bits):
    assert good_bits(text, ACS) == bits
    assert check_bits(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "none",
        "3,4",  # elements of a list must be single bits
        "0,64",
        "64,64",
        "HOT,HOT",
        "HOT,64",
        "64;32",
        "64,32+16",
        "64,",
        ",64",
        "(64",
        "64)",
        "~",
        "~~64",
        "()",
        "1.5",
        "0x40",
        "1e2",
        "LUKEWARM",
        "HOT,LUKEWARM",
        "9" * 5000,  # more digits than Python converts to an integer
    ],
)
def test_anything_else_is_an_error_with_a_reason(text):
    with pytest.raises(ValueError, match=r"."):
        good_bits(text, ACS)
    assert check_bits(text)


@pytest.mark.parametrize(
    ("instrument", "name", "bits"),
    [
        ("ACS", "WARM", 64),
        ("ACS", "USER", 16384),
        ("WFC3", "UNSTABLE", 32),
        ("WFC3", "USER", 32768),
        ("STIS", "SMALLBLEM", 1024),
        ("NICMOS", "GROT", 16),
        ("NICMOS", "BADPIX", 32),
        ("WFPC2", "WARM", 512),
        ("WFPC2", "ATODSAT", 8),
    ],
)
def test_a_name_means_the_bit_of_the_instrument(instrument, name, bits):
    assert good_bits(name, DQ_BITS[instrument]) == bits
    assert good_bits(name.lower(), DQ_BITS[instrument]) == bits


@pytest.mark.parametrize("instrument", DQ_BITS)
def test_every_name_is_a_single_bit_of_16(instrument):
    assert set(DQ_BITS[instrument].values()) <= {1 << bit for bit in range(16)}
    assert all(name == name.upper() for name in DQ_BITS[instrument])


def test_a_name_of_another_instrument_is_an_error():
    assert check_bits("GROT") is None
    with pytest.raises(ValueError, match="GROT is not the name of a DQ bit"):
        good_bits("grot", ACS)


def test_an_instrument_without_names_accepts_only_numbers():
    assert good_bits("~(64,32)", {}) == ~96
    with pytest.raises(ValueError, match="HOT is not the name of a DQ bit"):
        good_bits("HOT", {})


def test_names_of_different_instruments_cannot_be_combined():
    # NICMOS has no HOT, and only NICMOS has GROT.
    assert "is not the name of a DQ bit" in check_bits("HOT,GROT")


# Arrays.


@pytest.mark.parametrize("kind", ["i1", "u1", "i2", "u2", "i4", "u4", "i8"])
@pytest.mark.parametrize("good", [0, 96, 255, ~0, ~64, 32768, 65535])
def test_a_pixel_is_flagged_if_any_bit_that_is_not_good_is_set(kind, good):
    width = 8 * np.dtype(kind).itemsize
    values = [0, *(1 << bit for bit in range(width)), 96 & (2**width - 1), 2**width - 1]
    array = np.array(values, f"u{width // 8}").view(kind)
    bad = flagged_pixels(array, good)
    assert bad.dtype == bool
    assert bad.tolist() == [value & ~good != 0 for value in values]


def test_bit_15_of_int16_is_a_flag_like_any_other():
    array = np.array([[-32768, -32768 + 64, 64, 0]], np.int16)
    assert flagged_pixels(array, 64).tolist() == [[True, True, False, False]]
    assert flagged_pixels(array, 32768).tolist() == [[False, True, True, False]]
    assert flagged_pixels(array, ~32768).tolist() == [[True, True, False, False]]


def test_flags_of_both_byte_orders_are_equivalent():
    native = np.array([[1, 256, -32768, 0, 257]], np.int16)
    swapped = native.astype(native.dtype.newbyteorder())
    for good in (0, 1, 256, 32768):
        assert np.array_equal(flagged_pixels(swapped, good), flagged_pixels(native, good))


def test_read_only_flags_are_not_changed():
    # Constant arrays are broadcast from one value.
    array = np.broadcast_to(np.int64(64), SHAPE)
    assert flagged_pixels(array, 0).all()
    assert not flagged_pixels(array, 64).any()
    assert array[0, 0] == 64


@given(
    st.lists(st.integers(-(2**15), 2**15 - 1), min_size=1, max_size=20),
    st.integers(-(2**16), 2**16),
)
def test_good_bits_and_their_complement_cover_all_flagged_pixels(values, good):
    array = np.array(values, np.int16)
    either = flagged_pixels(array, good) | flagged_pixels(array, ~good)
    assert np.array_equal(either, array != 0)


# Complete runs.


def run(path: Path, final_bits: object, folder: Path) -> tuple[np.ndarray, int]:
    report = create_masks(path, final_bits=final_bits, output_dir=folder, jobs=1)
    (mask,) = report.masks
    array = mask.read()
    assert mask.bad == np.count_nonzero(array == 0)
    return array, sum(chip.n_flagged for chip in mask.chips)


@pytest.mark.parametrize(
    ("final_bits", "good"),
    [
        ("0", 0),
        (0, 0),
        (96, 96),
        ("64,32", 96),
        ([64, 32], 96),
        ((64,), 64),
        ("~4096", ~4096),
        (~4096, ~4096),
        ("~(64|32)", ~96),
        ("hot,WARM", 80),
        ("~User", ~16384),
        (32768, 32768),
        ("65535", 65535),
    ],
)
def test_flagged_pixels_are_0_in_the_mask_unless_their_bits_are_good(final_bits, good, tmp_path):
    path = exposure(tmp_path / "j_flt.fits", [sky(1, SHAPE)], flags=[flags()])
    without, none = run(path, None, tmp_path / "without")
    mask, flagged = run(path, final_bits, tmp_path / "with")
    assert none == 0
    assert all(without[place] == 1 for place in FLAGS), "these pixels must be flagged but not low"

    wanted = without.copy()
    for place, value in FLAGS.items():
        wanted[place] = value & ~good == 0
    assert np.array_equal(mask, wanted)
    assert flagged == sum(value & ~good != 0 for value in FLAGS.values())


def test_low_pixels_are_bad_regardless_of_their_flags(tmp_path):
    path = exposure(tmp_path / "j_flt.fits", [sky(1, SHAPE)], flags=[np.zeros(SHAPE, np.int16)])
    without, _ = run(path, None, tmp_path / "without")
    mask, _ = run(path, 0, tmp_path / "with")
    assert np.count_nonzero(without == 0) == 20
    assert np.array_equal(mask, without)


def test_a_pixel_flagged_in_one_exposure_is_bad_in_the_mask_of_all(tmp_path):
    clean = np.zeros(SHAPE, np.int16)
    names = []
    for i, array in enumerate([clean, flags(), clean]):
        name = tmp_path / f"j{i}_flt.fits"
        names.append(exposure(name, [sky(i, SHAPE, low=0)], flags=[array]))
    report = create_masks(names, final_bits=0, output_dir=tmp_path)
    (mask,) = report.masks
    assert np.array_equal(mask.read() == 0, flags() != 0)
    assert [chip.n_flagged for chip in mask.chips] == [0, len(FLAGS), 0]


def test_every_chip_uses_the_flags_of_its_extver(tmp_path):
    arrays = [np.zeros(SHAPE, np.int16) for _ in range(2)]
    arrays[0][10, 20] = arrays[1][30, 40] = 4
    chips = [{"CCDCHIP": 2}, {"CCDCHIP": 1}]
    pixels = [sky(i, SHAPE, low=0) for i in range(2)]
    primary = {"DETECTOR": "WFC"}
    path = exposure(
        tmp_path / "j_flt.fits", pixels, primary=primary, chips=chips, flags=arrays, versions=[3, 1]
    )
    report = create_masks(path, final_bits=0, output_dir=tmp_path)
    places = {mask.identity.number: np.argwhere(mask.read() == 0).tolist() for mask in report.masks}
    assert places == {1: [[10, 20]], 2: [[30, 40]]}


def test_a_name_means_a_different_bit_for_each_instrument_of_a_run(tmp_path):
    array = np.zeros(SHAPE, np.int16)
    array[1, 1], array[2, 2] = 8, 2048  # ATODSAT of WFPC2 and of ACS
    acs = exposure(tmp_path / "j_flt.fits", [sky(1, SHAPE, low=0)], flags=[array])
    wfpc2 = exposure(
        tmp_path / "u_c0m.fits",
        [sky(2, SHAPE, low=0)],
        primary={"INSTRUME": "WFPC2", "DETECTOR": ""},
        chips=[{"DETECTOR": 3}],
        flags=[array],
    )
    report = create_masks([acs, wfpc2], final_bits="ATODSAT", output_dir=tmp_path)
    places = {m.identity.instrument: np.argwhere(m.read() == 0).tolist() for m in report.masks}
    assert places == {"ACS": [[1, 1]], "WFPC2": [[2, 2]]}


def test_a_name_unknown_for_the_instrument_is_an_error_that_names_both(tmp_path):
    path = exposure(tmp_path / "j_flt.fits", [sky(1, SHAPE)], flags=[flags()])
    with pytest.raises(InputError, match=r"j_flt\.fits: .*ACS: GROT is not the name of a DQ bit"):
        create_masks(path, final_bits="GROT", output_dir=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_name_unknown_for_all_instruments_is_an_error_before_reading(tmp_path):
    with pytest.raises(ConfigError, match="'LUKEWARM' is not None, a sum of DQ bits"):
        create_masks(tmp_path / "missing_flt.fits", final_bits="LUKEWARM")


@pytest.mark.parametrize("kind", ["u1", "i2", "u2", "i4"])
def test_flags_of_every_integer_type_are_read(kind, tmp_path):
    # FITS stores uint16 with BZERO.
    array = np.zeros(SHAPE, kind)
    array[3, 4], array[5, 6] = 64, 4
    path = exposure(tmp_path / "j_flt.fits", [sky(1, SHAPE, low=0)], flags=[array])
    mask, flagged = run(path, 64, tmp_path)
    assert np.argwhere(mask == 0).tolist() == [[5, 6]]
    assert flagged == 1


def test_a_missing_dq_extension_is_an_error_only_if_flags_are_used(tmp_path):
    path = exposure(tmp_path / "j_flt.fits", [sky(1, SHAPE)])
    assert run(path, None, tmp_path)[1] == 0
    with pytest.raises(InputError, match=r"j_flt\.fits: SCI,1: has no DQ extension"):
        create_masks(path, final_bits=0, output_dir=tmp_path)


def test_dq_of_another_shape_is_an_error_only_if_flags_are_used(tmp_path):
    path = exposure(
        tmp_path / "j_flt.fits", [sky(1, SHAPE)], flags=[np.zeros((SHAPE[1], SHAPE[0]), "i2")]
    )
    assert run(path, None, tmp_path)[1] == 0
    with pytest.raises(InputError, match=r"j_flt\.fits: SCI,1: .* 64x80 and 80x64"):
        create_masks(path, final_bits=0, output_dir=tmp_path)


def test_without_final_bits_flags_are_not_read(tmp_path):
    # The flags are compressed, and damaged so that only reading them reveals it.
    path = tmp_path / "j_flt.fits.fz"
    science = fits.ImageHDU(sky(1, SHAPE), name="SCI", ver=1)
    damaged = fits.CompImageHDU(flags(), name="DQ", compression_type="GZIP_1")
    damaged.header["EXTVER"] = 1
    primary = fits.PrimaryHDU()
    primary.header.update({"INSTRUME": "ACS", "DETECTOR": "HRC", "EXPTIME": 400.0})
    fits.HDUList([primary, damaged, science]).writeto(path)
    content = path.read_bytes()
    assert content.count(b"\x1f\x8b\x08") == SHAPE[0], "one tile per row"
    path.write_bytes(content.replace(b"\x1f\x8b\x08", b"\0\0\0"))

    for none in (None, "None", "INDEF"):
        mask, flagged = run(path, none, tmp_path)
        assert np.count_nonzero(mask == 0) == 20
        assert flagged == 0
    with pytest.raises(InputError, match=r"j_flt\.fits\.fz: is not a readable FITS file"):
        create_masks(path, final_bits=0, output_dir=tmp_path)


@pytest.mark.parametrize("row", ["acs_wfc", "wfc3_uvis", "wfc3_ir", "stis_ccd", "nicmos2", "other"])
def test_flags_are_added_to_the_masks_of_every_instrument(row, tmp_path):
    chips = {"acs_wfc": 2, "wfc3_uvis": 2, "stis_ccd": 2}.get(row, 1)
    array = np.zeros(SHAPE, np.int16)
    array[7, 8], array[9, 10] = 512, -32768
    path = instrument_exposure(tmp_path, row, 1, SHAPE, flags=[array] * chips)
    plain = create_masks(path, output_dir=tmp_path / "plain").masks
    flagged = create_masks(path, output_dir=tmp_path / "flagged", final_bits=512).masks
    assert [Path(m.path).name for m in plain] == [Path(m.path).name for m in flagged]
    for without, mask in zip(plain, flagged, strict=True):
        wanted = without.read()
        assert wanted[7, 8] == wanted[9, 10] == 1
        wanted[9, 10] = 0
        assert np.array_equal(mask.read(), wanted)
