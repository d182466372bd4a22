"""Reading FITS files: exposures, associations and existing masks."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import astropy
import numpy as np
import pytest
from astropy.io import fits

from staticmask_cli import InputError, StaticMaskError, create_masks
from staticmask_cli.exposures import fits_files
from staticmask_cli.exposures.fits_files import scan
from staticmask_cli.exposures.pixels import read
from tests.support.makers import REAL, association, exposure, sky
from tests.support.runs import Run, expected, flagged, only, run, science, simple, small

SHAPE = (16, 20)
NAME = "ACSHRC_16x20_1_staticMask.fits"


def patched(path: Path, *changes: tuple[bytes, bytes]) -> Path:
    """Replace bytes in a file; the length does not change."""
    raw = path.read_bytes()
    for old, new in changes:
        assert old in raw, old
        raw = raw.replace(old, new.ljust(len(old)), 1)
    path.write_bytes(raw)
    return path


def card(keyword: str, value: object) -> bytes:
    return f"{keyword:<8}= {value!s:>20}".encode()


def one_error(result: subprocess.CompletedProcess[str], *pieces: str, status: int = 1) -> None:
    assert result.returncode == status, result.stderr
    (line,) = set(result.stderr.splitlines())  # twice if a mask is compared with itself
    assert line.startswith("staticmask: error: ")
    for piece in pieces:
        assert piece in line


# Claims of headers.

CLAIMS = {
    "NAXIS is 99999999999": (card("NAXIS", 2), card("NAXIS", 99999999999)),
    "NAXIS is -1": (card("NAXIS", 2), card("NAXIS", -1)),
    "NAXIS1 is missing": (card("NAXIS1", 20), card("NAXIX1", 20)),
    "BITPIX is 3": (card("BITPIX", -32), card("BITPIX", 3)),
    "BITPIX is T": (card("BITPIX", -32), card("BITPIX", "T")),
}


@pytest.mark.parametrize("said", CLAIMS)
def test_an_exposure_with_an_invalid_header_is_an_error(
    said: str, staticmask: Run, tmp_path: Path
) -> None:
    patched(small(tmp_path / "bad_flt.fits"), CLAIMS[said])
    small(tmp_path / "good_flt.fits", 2)
    result = staticmask("*_flt.fits", "-k")
    assert result.returncode == 3, result.stderr
    assert result.stderr.count(f"bad_flt.fits: is damaged: HDU 1: {said}") == 1


def test_a_compressed_array_with_too_many_axes_is_an_error(tmp_path: Path) -> None:
    path = simple(tmp_path / "x.fits.fz", [fits.CompImageHDU(sky(1), name="SCI")])
    patched(path, (card("ZNAXIS", 2), card("ZNAXIS", 99999999999)))
    with pytest.raises(InputError, match="HDU 1: ZNAXIS is 99999999999"):
        run(path, out=tmp_path / "out")


def test_an_association_or_dq_file_with_an_invalid_header_is_an_error(
    staticmask: Run, tmp_path: Path
) -> None:
    path = association(tmp_path / "x_asn.fits", [("J1", "EXP-DTH", True)])
    patched(path, CLAIMS["NAXIS is 99999999999"])
    one_error(staticmask("x_asn.fits"), "x_asn.fits: is damaged: HDU 1: NAXIS is 99999999999")
    small(tmp_path / "u_c0m.fits", primary={"INSTRUME": "WFPC2"}, chips=[{"DETECTOR": 1}])
    patched(small(tmp_path / "u_c1m.fits"), CLAIMS["NAXIS is 99999999999"])
    one_error(staticmask("u_c0m.fits", "--final-bits", "0"), "u_c1m.fits: is damaged")


def mask(folder: Path, *, counts: bool = True, seed: int = 1) -> Path:
    """Make a mask."""
    path = small(folder / "a_flt.fits", seed)
    create_masks(path, output_dir=folder / "m", counts=counts)
    return folder / "m" / NAME


USES = {
    "update": ("[ab]_flt.fits", "-o", "m", "--update"),
    "recount": ("recount", "m", "-m", "2"),
    "compare": ("compare", "m", "m"),
    "overwrite": ("b_flt.fits", "-o", "m"),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
    "change",
    [
        (card("NAXIS", 2), card("NAXIS", 99999999999)),
        (card("BITPIX", 16), card("BITPIX", 3)),
        (b"INSTRUME= 'ACS     '", card("INSTRUME", 12)),
        (b"DETECTOR= 'HRC     '", card("DETECTOR", "T")),
        (card("BINAXIS1", 1), card("BINAXIS1", 1.5)),
        (card("XCORNER", 0), b"XCORNER = '0'"),
        (b"TTYPE1  = 'FILE    '", card("TTYPE1", 7)),
        (b"TFORM2  = 'J       '", b"TFORM2  = 'A       '"),
        (b"XTENSION= 'BINTABLE'", b"XTENSION= 'IMAGE   '"),
        (card("TFIELDS", 28), card("TFIELDS", 99999999999)),
        (card("SIMPLE", "T"), card("SIMPLE", "F")),
    ],
    ids=lambda change: change[1].decode(),
)
def test_a_mask_with_an_invalid_header_is_an_error_and_never_updated(
    change: tuple[bytes, bytes], use: str, staticmask: Run, tmp_path: Path
) -> None:
    path = patched(mask(tmp_path), change)
    small(tmp_path / "b_flt.fits", 2)
    before = path.read_bytes()
    result = staticmask(*USES[use])
    # A mask damaged after its primary header is replaced by a run without --update.
    is_replaced = use == "overwrite" and before.index(change[1].strip()) > 2880
    status = 0 if is_replaced else 2 if use == "compare" else 1
    assert result.returncode == status, result.stderr
    assert is_replaced or len(set(result.stderr.splitlines())) == 1, result.stderr
    assert (path.read_bytes() == before) != is_replaced


def cut_after_the_table(path: Path) -> None:
    with fits.open(path) as hdus:
        info = hdus[1].fileinfo()
    path.write_bytes(path.read_bytes()[: info["datLoc"] + info["datSpan"]])


def bad_byte_in_a_later_header(path: Path) -> None:
    raw = path.read_bytes()
    place = raw.index(b"XTENSION", raw.index(b"XTENSION") + 1)
    path.write_bytes(raw[:place] + b"\xff" + raw[place + 1 :])


def other_comment_in_the_last_header(path: Path) -> None:
    raw = path.read_bytes()
    place = raw.rindex(b"/ extension name") + 2
    path.write_bytes(raw[:place] + b"E" + raw[place + 1 :])


def extension_too_many(path: Path) -> None:
    extra = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros(SHAPE, "i2"))]).writeto(extra)
    path.write_bytes(path.read_bytes() + extra.getvalue()[2880:])


def line_end(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


@pytest.mark.parametrize("use", ["update", "recount"])
@pytest.mark.parametrize(
    "harm",
    [
        *(cut_after_the_table, bad_byte_in_a_later_header, other_comment_in_the_last_header),
        *(extension_too_many, line_end),
    ],
)
def test_a_mask_damaged_in_any_part_is_neither_updated_nor_recounted(
    harm: Callable[[Path], None], use: str, staticmask: Run, tmp_path: Path
) -> None:
    path = mask(tmp_path)
    small(tmp_path / "b_flt.fits", 2)
    harm(path)
    before = path.read_bytes()
    one_error(staticmask(*USES[use]), f"m/{NAME}: is damaged")
    assert path.read_bytes() == before


def test_the_unpacked_size_of_a_gzipped_mask_is_limited(staticmask: Run, tmp_path: Path) -> None:
    path = mask(tmp_path, counts=False)
    raw = path.read_bytes()[:5760].replace(card("NAXIS2", 16), card("NAXIS2", 10**8), 1)
    with gzip.open(path, "wb") as file:
        file.write(raw + bytes(2**20))
    for use in ("recount", "compare"):
        one_error(
            staticmask(*USES[use]), "claims to unpack to", status=2 if use == "compare" else 1
        )


@pytest.mark.parametrize("count", [60, pytest.param(500, marks=pytest.mark.slow)])
def test_changed_bytes_in_masks_are_errors_or_give_the_same_mask(
    count: int, tmp_path: Path
) -> None:
    path = mask(tmp_path)
    raw = path.read_bytes()
    more = small(tmp_path / "b_flt.fits", 2)
    good = create_masks(more, output_dir=path.parent, update=True).masks[0].read()
    rng = np.random.default_rng(8)
    ends = {"added": 0, "refused": 0}
    for number in range(count):
        changed = bytearray(raw)
        place = int(rng.integers(len(raw)))
        while number % 2 and raw[place] in b" \0":
            place = int(rng.integers(len(raw)))
        changed[place] = int(rng.integers(256))
        path.write_bytes(changed)
        try:
            report = create_masks(more, output_dir=path.parent, update=True)
        except StaticMaskError:
            ends["refused"] += 1
        else:
            np.testing.assert_array_equal(report.masks[0].read(), good)
            ends["added"] += 1
    assert ends["refused"] > 0.75 * count, ends


def test_exceptions_of_our_own_code_while_a_file_is_open_are_not_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(*_: object, **__: object) -> None:
        raise TypeError("ours")

    monkeypatch.setattr(fits_files, "_read_hdu", bug)
    with pytest.raises(TypeError, match="ours"):
        run(small(tmp_path / "a_flt.fits"), out=tmp_path / "out")


# Headers are read without astropy's HDUs: both must find the same.


def heap(folder: Path) -> Path:
    """Write a table with variable-length arrays before the image, and a long text."""
    rows = np.array([np.arange(n) for n in (3, 700, 0)], dtype=object)
    table = fits.BinTableHDU.from_columns([fits.Column("A", "PJ()", array=rows)], name="HEAP")
    image = science(sky(1))
    image.header["TARGNAME"] = "a very long name " * 9
    image.header.append(("TARGNAME", "the second is ignored"))
    image.header["EXTVER"] = 7
    return simple(folder / "heap_flt.fits", [table, image])


def tiles(folder: Path) -> Path:
    images = [packed(sky(1), "GZIP_2"), packed(np.arange(60, dtype="i2").reshape(6, 10), "RICE_1")]
    images[1].header["EXTVER"] = 2
    return simple(folder / "tiles_flt.fits.fz", images)


def scaled(folder: Path) -> Path:
    image = fits.ImageHDU(np.arange(80, dtype="u2").reshape(8, 10), name="SCI")  # BZERO
    cube = fits.ImageHDU(np.zeros((2, 1, 3, 4)), name=" sci ", ver=2)
    return simple(folder / "scaled_flt.fits", [image, cube, fits.ImageHDU(name="DQ")])


@pytest.mark.parametrize("make", [lambda _: REAL, heap, tiles, scaled])
def test_the_scan_of_a_file_agrees_with_astropy(
    make: Callable[[Path], Path], tmp_path: Path
) -> None:
    path = make(tmp_path)
    found, _ = scan(path)
    with fits.open(path, lazy_load_hdus=False) as hdus:
        assert len(found) == len(hdus)
        for one, hdu in zip(found[1:], hdus[1:], strict=True):
            assert (one.name, one.version) == (hdu.name.strip(), hdu.ver)
            for keyword in one.header.keys() - {"XTENSION", "ZIMAGE"}:
                assert one.header[keyword] == hdu.header[keyword]
            if not hdu.is_image:
                assert one.array is None
                continue
            assert one.array is not None
            assert one.array.shape == hdu.shape
            assert one.array.dtype == f">{fits_type(hdu)}"
            if one.array.offset is not None and one.array.shape:
                assert one.array.offset == hdu.fileinfo()["datLoc"]
                np.testing.assert_array_equal(read(one.array), hdu.data)


def fits_type(hdu: fits.ImageHDU) -> str:
    return {8: "u1", 16: "i2", 32: "i4", 64: "i8", -32: "f4", -64: "f8"}[hdu.header["BITPIX"]]


# Ends of files.


@pytest.mark.parametrize(
    "tail", [b"\n", b"\r\n", b"\x1a", b" \t\n", bytes(2880 * 20), bytes(2880 * 1200), b" " * 9000]
)
@pytest.mark.parametrize("gzipped", [False, True])
def test_filling_after_the_last_hdu_is_a_warning(
    tail: bytes, gzipped: bool, tmp_path: Path
) -> None:
    path = exposure(tmp_path / "x.fits", [sky(1)])
    raw = path.read_bytes() + tail
    path.write_bytes(gzip.compress(raw) if gzipped else raw)
    report = run(path, out=tmp_path / "out")
    assert report.warnings == (f"{path}: {len(tail)} bytes after the last HDU are ignored",)
    np.testing.assert_array_equal(only(report), expected([sky(1)]))


@pytest.mark.parametrize("tail", [b"x", b"\n" * 100 + b"\xff", bytes(5760) + b"SCI"])
def test_anything_else_after_the_last_hdu_is_an_error(tail: bytes, tmp_path: Path) -> None:
    path = exposure(tmp_path / "x.fits", [sky(1)])
    path.write_bytes(path.read_bytes() + tail)
    with pytest.raises(InputError, match="the header of HDU 3 is not FITS"):
        run(path, out=tmp_path / "out")


@pytest.mark.parametrize("gzipped", [False, True])
def test_a_file_that_ends_within_its_padding_is_a_warning(gzipped: bool, tmp_path: Path) -> None:
    path = small(tmp_path / "x.fits")
    raw = path.read_bytes()[:-100]
    path.write_bytes(gzip.compress(raw) if gzipped else raw)
    (warning,) = run(path, out=tmp_path / "out").warnings
    assert warning == f"{path}: ends within the padding of HDU 1; may be truncated"


def test_a_chip_without_dq_array_in_a_file_without_nextend_is_a_warning(tmp_path: Path) -> None:
    path = exposure(tmp_path / "x.fits", [sky(1), sky(2)], flags=[np.zeros((64, 80), "i2")] * 2)
    with fits.open(path) as hdus:
        del hdus[0].header["NEXTEND"]
        hdus.writeto(tmp_path / "whole.fits")
        fits.HDUList(hdus[:-1]).writeto(tmp_path / "cut.fits")
        hdus[0].header["INSTRUME"] = "NIRCAM"
        fits.HDUList(hdus[:-1]).writeto(tmp_path / "other.fits")
    assert run(tmp_path / "whole.fits", out=tmp_path / "out").warnings == ()
    assert run(tmp_path / "other.fits", out=tmp_path / "out").warnings == ()
    (warning,) = run(tmp_path / "cut.fits", out=tmp_path / "out").warnings
    assert warning.endswith("cut.fits: SCI,2: DQ and NEXTEND are missing; may be truncated")


def zipped(raw: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.fits", raw)
    return file.getvalue()


@pytest.mark.parametrize(
    ("compressor", "pack"), [("bzip2", bz2.compress), ("xz", lzma.compress), ("zip", zipped)]
)
def test_files_of_other_compressors_are_errors_that_name_the_compressor(
    compressor: str, pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    path = small(tmp_path / "x_flt.fits")
    path.write_bytes(pack(path.read_bytes()))
    with pytest.raises(InputError, match=f"x_flt.fits: is compressed with {compressor}; unpack it"):
        run(path, out=tmp_path / "out")


# Header values.


@pytest.mark.parametrize("character", [b"\n", b"\t", b"\0", b"\x7f"])
@pytest.mark.parametrize("kind", ["plain", "scaled", "packed"])
def test_control_characters_in_unused_header_values_are_harmless(
    kind: str, character: bytes, tmp_path: Path
) -> None:
    pixels = np.round(sky(1)).astype("u2" if kind == "scaled" else "i2")
    hdu = fits.CompImageHDU(pixels, name="SCI") if kind == "packed" else science(pixels)
    hdu.header.update(OBSERVER="OBSERVER")
    path = patched(simple(tmp_path / "x.fits", [hdu]), (b"'OBSERVER'", b"'A 4.7" + character))
    np.testing.assert_array_equal(only(run(path, out=tmp_path / "out")), expected([pixels]))


@pytest.mark.parametrize(
    ("primary", "chip"),
    [
        ({"EXPTIME": "400"}, {"CCDCHIP": "2"}),
        ({"EXPTIME": 400}, {"CCDCHIP": 2.0}),
        ({"EXPTIME": " 400.0"}, {"CCDCHIP": 2, "EXTVER": 1.0}),
        ({"NEXTEND": "1"}, {"CCDCHIP": 2, "EXTVER": "1"}),
        ({}, {"CCDCHIP": 2, "LTV1": "0.0", "LTM1_1": "1", "BINAXIS1": "1", "BINAXIS2": 1.0}),
        ({}, {"CCDCHIP": 2, "NGOODPIX": "5"}),
    ],
)
def test_numbers_may_be_stored_as_text_or_float(primary: dict, chip: dict, tmp_path: Path) -> None:
    wfc = {"INSTRUME": "ACS", "DETECTOR": "WFC"}
    path = simple(tmp_path / "x.fits", [science(sky(1), **chip)], **wfc | primary)
    report = run(path, out=tmp_path / "out")
    assert report.warnings == ()
    assert (report.masks[0].identity.number, report.masks[0].identity.xbin) == (1, 1)
    np.testing.assert_array_equal(only(report), expected([sky(1)]))


@pytest.mark.parametrize(
    ("primary", "chip", "said"),
    [
        ({"EXPTIME": "0.0"}, {"CCDCHIP": 2}, "EXPTIME is 0"),
        ({"EXPTIME": "1_0"}, {"CCDCHIP": 2}, "EXPTIME is '1_0', not a number"),
        ({"EXPTIME": True}, {"CCDCHIP": 2}, "EXPTIME is 'True', not a number"),
        ({}, {"CCDCHIP": 1.5}, "CCDCHIP is '1.5', not a whole number"),
        ({}, {"CCDCHIP": 2, "EXTVER": "one"}, "EXTVER is 'one', not a number"),
        ({}, {"CCDCHIP": 2, "BINAXIS1": "two"}, "BINAXIS1 is 'two', not a number"),
    ],
)
def test_an_invalid_number_is_an_error_that_names_the_keyword(
    primary: dict, chip: dict, said: str, tmp_path: Path
) -> None:
    wfc = {"INSTRUME": "ACS", "DETECTOR": "WFC"}
    path = simple(tmp_path / "x.fits", [science(sky(1), **chip)], **wfc | primary)
    with pytest.raises(InputError, match=re.escape(said)):
        run(path, out=tmp_path / "out")


# Flags are bits, however they are stored.


def dq(dtype: str = "i2") -> np.ndarray:
    flags = ((np.random.default_rng(5).random((64, 80)) < 0.02) * 16).astype(dtype)
    flags[0, 0], flags[5, 5] = np.array([-32768, -1], "i2").astype(dtype)
    return flags


def plain(flags: np.ndarray) -> fits.ImageHDU:
    return fits.ImageHDU(flags, name="DQ", ver=1)


def packed(flags: np.ndarray, kind: str = "RICE_1") -> fits.CompImageHDU:
    hdu = fits.CompImageHDU(flags, name="DQ", compression_type=kind)
    hdu.header["EXTVER"] = 1
    return hdu


@pytest.mark.parametrize("good", [0, 16, 32768])
@pytest.mark.parametrize("dtype", ["i2", "u2", "i4"])
@pytest.mark.parametrize("store", [plain, packed])
def test_blank_is_ignored_in_dq_arrays(
    store: Callable[[np.ndarray], fits.ImageHDU], dtype: str, good: int, tmp_path: Path
) -> None:
    hdu = store(dq(dtype))
    hdu.header["BLANK"] = 16 - 32768 if dtype == "u2" else 16
    path = simple(tmp_path / "x.fits", [science(sky(1)), hdu])
    result = only(run(path, out=tmp_path / "out", final_bits=good))
    wide = dq(dtype).astype("i8") & (0xFFFFFFFF if dtype == "i4" else 0xFFFF)
    bad = (wide & ~good) != 0
    np.testing.assert_array_equal(result, expected([sky(1)]) & ~bad)
    if dtype == "i2":
        np.testing.assert_array_equal(result, expected([sky(1)]) & flagged(dq(), good))


def test_zblank_is_ignored_in_dq_arrays(tmp_path: Path) -> None:
    path = simple(tmp_path / "x.fits", [science(sky(1)), packed(dq(), "GZIP_1")])
    with fits.open(path, mode="update", disable_image_compression=True) as hdus:
        hdus[-1].header["ZBLANK"] = 16
    result = only(run(path, out=tmp_path / "out", final_bits=0))
    np.testing.assert_array_equal(result, expected([sky(1)]) & flagged(dq()))


def test_blank_is_ignored_in_a_dq_file_with_extensions_named_sci(tmp_path: Path) -> None:
    wfpc2 = {"INSTRUME": "WFPC2"}
    path = simple(tmp_path / "u_c0m.fits", [science(sky(1), DETECTOR=1)], **wfpc2)
    simple(tmp_path / "u_c1m.fits", [science(dq(), DETECTOR=1, BLANK=16)], **wfpc2)
    result = only(run(path, out=tmp_path / "out", final_bits=0))
    np.testing.assert_array_equal(result, expected([sky(1)]) & flagged(dq()))


def test_blank_pixels_of_compressed_science_are_ignored(tmp_path: Path) -> None:
    pixels = np.round(sky(1)).astype("i2")
    pixels[3, 3] = pixels[9, 9:12] = -32768
    hdu = fits.CompImageHDU(pixels, name="SCI", compression_type="RICE_1")
    hdu.header["BLANK"] = -32768
    path = simple(tmp_path / "x.fits", [hdu])
    finite = np.where(pixels == -32768, np.nan, pixels).astype("f4")
    np.testing.assert_array_equal(only(run(path, out=tmp_path / "out")), expected([finite]))


def test_tiles_that_this_astropy_cannot_read_are_reported_as_its_error(
    tmp_path: Path,
) -> None:
    hdu = fits.CompImageHDU(sky(1), name="SCI", quantize_level=4, quantize_method=-1)
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(file)
    file.seek(0)
    with fits.open(file, disable_image_compression=True) as hdus:
        table = hdus[1]
        rows = len(table.data)
        tiles, raw = np.empty(rows, object), np.empty(rows, object)
        for row in range(rows):
            tiles[row] = np.array([] if row == 5 else table.data["COMPRESSED_DATA"][row], "u1")
            raw[row] = np.array(sky(1)[5] if row == 5 else [], ">f4")
        columns = [
            fits.Column("COMPRESSED_DATA", "1PB()", array=tiles),
            fits.Column("UNCOMPRESSED_DATA", "1PE()", array=raw),
            *(fits.Column(name, "D", array=table.data[name]) for name in ("ZSCALE", "ZZERO")),
        ]
        new = fits.BinTableHDU.from_columns(columns, name="SCI")
        cards = [c for c in table.header.cards if c.keyword.startswith("Z")]
        new.header.extend(cards)
    path = simple(tmp_path / "x.fits", [new])
    try:
        assert run(path, out=tmp_path / "out").masks[0].bad == 20
    except InputError as error:
        assert f"astropy {astropy.__version__} reports: " in str(error)  # noqa: PT017 - old ones


# Environment.


def test_nul_characters_in_a_list_are_errors_for_every_line(
    staticmask: Run, tmp_path: Path
) -> None:
    (tmp_path / "list").write_bytes(b"a\0b\n@a\0b\na\0*b\n$A\0\n~a\0/b\n")
    result = staticmask("@list")
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 5
    assert "Traceback" not in result.stderr


def test_400_nested_lists_are_one_error(staticmask: Run, tmp_path: Path) -> None:
    for number in range(400):
        (tmp_path / f"l{number}").write_text(f"@l{number + 1}\n")
    (tmp_path / "l400").write_text("a_flt.fits\n")
    one_error(staticmask("@l0"), "@lists are nested more than")


def test_a_removed_working_folder_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    code = (
        "import os, shutil, sys; from staticmask_cli.cli.main import main; "
        "os.chdir('gone'); shutil.rmtree('../gone'); main(sys.argv[1:])"
    )
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, "*.fits"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(fits_files.__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    one_error(result, "the working folder cannot be used", status=2)


def test_a_pattern_in_a_folder_without_search_permission_is_an_error(
    staticmask: Run, tmp_path: Path
) -> None:
    path = small(tmp_path / "sub/x_flt.fits")
    path.parent.chmod(0o644)
    try:
        if os.access(path, os.R_OK):
            pytest.skip("root can read everything")
        result = staticmask("sub/*")
    finally:
        path.parent.chmod(0o755)
    one_error(result, "sub/x_flt.fits: permission denied")


@pytest.mark.parametrize("arguments", [("make", "-o", "m"), ("sweep", "--sigmas", "3,4")])
def test_a_thread_that_cannot_be_started_is_one_error(
    arguments: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from staticmask_cli.cli.main import main  # noqa: PLC0415

    def no_more(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    small(tmp_path / "a_flt.fits")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(threading.Thread, "start", no_more)
    with pytest.raises(SystemExit) as caught:
        main([*arguments, "a_flt.fits"])
    assert caught.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot start a thread" in line


# DATASUM.


@pytest.mark.parametrize("store", [science, lambda a: packed(a, "GZIP_2")])
def test_verify_warns_about_data_that_do_not_match_datasum(
    store: Callable[[np.ndarray], fits.ImageHDU], tmp_path: Path
) -> None:
    hdu = store(np.round(sky(1)).astype("i2"))
    hdu.name = "SCI"
    path = simple(tmp_path / "x.fits", [hdu])
    with fits.open(path, disable_image_compression=True) as hdus:
        hdus.writeto(path, checksum=True, overwrite=True)
    options = {"out": tmp_path / "m", "update": True, "verify": True}
    assert run(path, **options).warnings == ()
    assert run(path, **options).warnings == ()
    old = re.findall(rb"DATASUM = '\d+ *'", path.read_bytes())[1]  # the first is the primary's
    patched(path, (old, old.replace(b"1", b"2") if b"1" in old else b"DATASUM = '1'"))
    report = run(path, out=tmp_path / "n", update=True, verify=True)
    (warning,) = report.warnings
    assert warning.startswith(f"{path}: SCI,1: the data do not match DATASUM")
    assert run(path, out=tmp_path / "n", update=True, verify=True).warnings == (warning,)
    assert run(path, out=tmp_path / "n", update=True).warnings == ()
