"""The bad pixels of masks as a DQ bit of exposures, and taking them back."""

from __future__ import annotations

import errno
import gzip
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from staticmask_cli import ConfigError, InputError, OutputError, apply, create_masks
from staticmask_cli.exposures.chips import FLAG_TABLE
from staticmask_cli.exposures.fits_files import scan
from staticmask_cli.exposures.instruments import DQ_BITS, ChipIdentity, identify
from staticmask_cli.masks.fits_form import write_mask
from staticmask_cli.masks.naming import full_name
from staticmask_cli.masks.static_mask import StaticMask
from staticmask_cli.settings import ONCE, Background, Recipe
from tests.support.makers import INSTRUMENTS, REAL, exposure, instrument_exposure, sky
from tests.support.runs import Run, tree

SHAPE = (12, 16)
RECIPE = Recipe(4.0, Background.CHIP, None, None, False, ONCE, False)
HRC = {"INSTRUME": "ACS", "DETECTOR": "HRC"}
PLACES = [5, 17, 100]


def mask_file(folder: Path, identity: ChipIdentity, bad: np.ndarray, name: str = "") -> Path:
    """Write a mask with some bad pixels."""
    mask = StaticMask(shape=bad.shape, bits=np.packbits(bad), identity=identity, recipe=RECIPE)
    folder.mkdir(exist_ok=True)
    path = folder / (name or full_name(identity, None, label=True, binning=True))
    with path.open("wb") as file:
        write_mask(mask, file)
    return path


def some_bad(shape: tuple[int, int] = SHAPE, places: list[int] = PLACES) -> np.ndarray:
    bad = np.zeros(shape, bool)
    bad.flat[places] = True
    return bad


def hrc(shape: tuple[int, int] = SHAPE, **more: int) -> ChipIdentity:
    return ChipIdentity(
        instrument="ACS", detector="HRC", number=1, rows=shape[0], columns=shape[1], **more
    )


def hrc_exposure(path: Path, flags: np.ndarray | None = None, **more: object) -> Path:
    flags = np.zeros(SHAPE, np.int16) if flags is None else flags
    return exposure(path, [sky(1, SHAPE, low=5, high=5)], flags=[flags], **more)


def constant_dq(value: int, ver: int = 1, shape: tuple[int, int] | None = SHAPE) -> fits.ImageHDU:
    hdu = fits.ImageHDU(None, name="DQ", ver=ver)
    hdu.header["BITPIX"] = 16
    hdu.header["PIXVALUE"] = value
    if shape:
        hdu.header["NPIX1"], hdu.header["NPIX2"] = shape[1], shape[0]
    return hdu


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Stand in a folder with one exposure and its mask."""
    monkeypatch.chdir(tmp_path)
    hrc_exposure(tmp_path / "j1_flt.fits")
    mask_file(tmp_path / "m", hrc(), some_bad())
    return tmp_path


def dq(path: Path | str, version: int = 1) -> np.ndarray:
    return np.asarray(fits.getdata(path, ("DQ", version))).astype(np.int64) & 0xFFFF


def stored(path: Path, name: str) -> list[bytes]:
    """Return header and data of all extensions of a name, as stored."""
    contents = path.read_bytes()
    with fits.open(path, disable_image_compression=True) as hdus:
        places = [hdu.fileinfo() for hdu in hdus if hdu.name == name]
    return [contents[p["hdrLoc"] : p["datLoc"] + p["datSpan"]] for p in places]


def has_correct_sums(path: Path) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(path, checksum=True) as hdus:
            return len([hdu.data for hdu in hdus if "CHECKSUM" in hdu.header]) > 0


# Round trips.

KINDS = ["int16", "uint16", "int32", "constant", "constant without shape", "compressed"]


def chip_exposure(
    path: Path, row: str, kind: str, corner: tuple[int, int], flags: np.ndarray, *, sums: bool
) -> list[ChipIdentity]:
    """Write an exposure of subarrays, with the DQ arrays of WFPC2 in a twin."""
    primary, chips = INSTRUMENTS[row]
    ltv = {"LTV1": -float(corner[0]), "LTV2": -float(corner[1])}
    head = fits.PrimaryHDU()
    head.header.update({"EXPTIME": 100.0, "FILLER": "a" * 60} | primary)
    own: list = [head]
    twin: list = [fits.PrimaryHDU(header=head.header)]
    identities = []
    for version, keywords in enumerate(chips, 1):
        science = fits.ImageHDU(sky(version, flags.shape, low=5), name="SCI", ver=version)
        science.header.update(keywords | ltv)
        identities.append(identify(primary, science.header, version, flags.shape))
        own += [science, fits.ImageHDU(np.ones(flags.shape, "f4"), name="ERR", ver=version)]
        of_chip = np.roll(flags, version)
        if kind == "int16":
            hdu = fits.ImageHDU(of_chip.astype(np.uint16).view(np.int16))
        elif kind == "uint16":
            hdu = fits.ImageHDU(of_chip.astype(np.uint16))
        elif kind == "int32":
            hdu = fits.ImageHDU(of_chip.astype(np.int32))
        elif kind == "compressed":
            hdu = fits.CompImageHDU(of_chip.astype(np.uint16).view(np.int16))
        else:
            shape = flags.shape if kind == "constant" else None
            hdu = constant_dq(int(flags.flat[0]), version, shape)
        hdu.name, hdu.ver = "SCI" if row == "wfpc2" and version % 2 else "DQ", version
        (twin if row == "wfpc2" else own).append(hdu)
    for hdus, name in ((own, path), (twin, path.with_name(path.name.replace("c0m", "c1m")))):
        if len(hdus) > 1:
            hdus[0].header["NEXTEND"] = len(hdus) - 1
            fits.HDUList(hdus).writeto(name, checksum=sums)
    return identities


@st.composite
def cases(draw):
    row = draw(st.sampled_from([name for name in INSTRUMENTS if name != "other"]))
    instrument = INSTRUMENTS[row][0]["INSTRUME"]
    kind = draw(st.sampled_from(KINDS))
    bits = [*(name for name, bit in DQ_BITS[instrument].items() if bit != 4096), "32768", "8"]
    shape = draw(st.tuples(st.integers(2, 12), st.integers(2, 16)))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    flags = rng.choice([0, 0, 4, 32, 16384, 32768, 65535], shape)
    if kind.startswith("constant"):
        flags[:] = flags.flat[0] & 0x7FFF
    return (
        *(row, kind, draw(st.sampled_from(bits)), flags),
        draw(st.tuples(st.integers(0, 4), st.integers(0, 4))),
        *(draw(st.booleans()), rng),
    )


@given(case=cases())
@examples(max_examples=40)
def test_undo_gives_back_every_exposure_byte_for_byte(case) -> None:
    row, kind, bit, flags, corner, sums, rng = case
    ending = "c0m" if row == "wfpc2" else "flt"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / f"x_{ending}.fits"
        chips = chip_exposure(path, row, kind, corner, flags, sums=sums)
        twin = folder / "x_c1m.fits" if row == "wfpc2" else path
        full = (flags.shape[0] + 6, flags.shape[1] + 6)
        bads = {}
        for chip in chips:
            bads[chip.number] = rng.random(full) < 0.2
            identity = ChipIdentity(
                instrument=chip.instrument,
                detector=chip.detector,
                number=chip.number,
                rows=full[0],
                columns=full[1],
            )
            mask_file(folder / "m", identity, bads[chip.number])
        before = tree(folder)
        done = apply(folder / "m", path, bit=bit, output_dir=folder / "out")
        copy = folder / "out" / twin.name
        for name_ in ("SCI", "ERR"):
            assert row == "wfpc2" or stored(copy, name_) == stored(path, name_)
        number = done[0].bit
        for version, (chip, report) in enumerate(zip(chips, done, strict=True), 1):
            rows = slice(corner[1], corner[1] + flags.shape[0])
            cut = bads[chip.number][rows, corner[0] : corner[0] + flags.shape[1]]
            old = flags if kind.startswith("constant") else np.roll(flags, version)
            index = [h.index for h in scan(copy)[0] if h.name in ("DQ", "SCI")]
            index = [h.index for h in scan(twin)[0] if h.version == version and h.index]
            new = np.asarray(fits.getdata(copy, index[-1])).astype(np.int64) & 0xFFFF
            assert np.array_equal(new, np.where(cut, old | number, old))
            counts = (cut.sum(), (old[cut] != 0).sum(), (old[cut] & number == 0).sum())
            assert (report.bad, report.flagged, report.new) == counts
        assert has_correct_sums(copy)
        flagged = copy.read_bytes()
        # Once more, from the exposure and from its copy.
        apply(folder / "m", path, bit=bit, output_dir=folder / "out")
        assert copy.read_bytes() == flagged
        apply(folder / "m", folder / "out" / path.name, bit=bit, in_place=True)
        assert copy.read_bytes() == flagged
        apply(to=folder / "out" / path.name, undo=True, output_dir=folder / "back")
        apply(to=folder / "out" / path.name, undo=True, in_place=True)
        for back in (folder / "out", folder / "back"):
            for file in {path.name, twin.name}:
                assert (back / file).read_bytes() == (folder / file).read_bytes()
            shutil.rmtree(back)
        assert {k: v[0] for k, v in tree(folder).items()} == {k: v[0] for k, v in before.items()}


def test_the_real_exposure_keeps_all_but_dq_and_its_history(tmp_path: Path) -> None:
    create_masks(REAL, output_dir=tmp_path / "m")
    chips = apply(tmp_path / "m", REAL, output_dir=tmp_path)
    copy = tmp_path / REAL.name
    assert has_correct_sums(copy)
    for name in ("SCI", "ERR"):
        assert stored(copy, name) == stored(REAL, name)
    header = fits.getheader(copy)
    assert header["NEXTEND"] == 7
    lines = [line for line in header["HISTORY"] if "staticmask" in line or "DATASUM" in line]
    mask = next((tmp_path / "m").iterdir())
    expected = []
    for version, chip in enumerate(chips, 1):
        count = f"BADPIX (4) set in {chip.new} of 38 bad pixels of DQ,{version}"
        expected.append(f"staticmask apply: {count} by")
        expected.append(f"  {mask.name} (DATASUM {fits.getheader(mask)['DATASUM']})")
    assert lines == expected


def test_other_masks_replace_the_flags_of_earlier_ones(folder: Path) -> None:
    apply("m", "j1_flt.fits", output_dir="a")
    mask_file(folder / "n", hrc(), some_bad(places=[7, 17]))
    apply("n", "j1_flt.fits", output_dir="b", bit=16)
    apply("n", "a/j1_flt.fits", in_place=True, bit=16)
    assert (folder / "a/j1_flt.fits").read_bytes() == (folder / "b/j1_flt.fits").read_bytes()
    assert np.flatnonzero(dq("a/j1_flt.fits") == 16).tolist() == [7, 17]
    assert np.count_nonzero(dq("a/j1_flt.fits")) == 2


@pytest.mark.parametrize("sums", [False, True])
def test_undo_keeps_what_other_programs_have_changed(folder: Path, sums: bool) -> None:
    hrc_exposure(folder / "j1_flt.fits", checksum=sums)
    apply("m", "j1_flt.fits", output_dir="out")
    with fits.open("out/j1_flt.fits", mode="update", checksum=sums) as hdus:
        hdus["DQ"].data[0, 0] |= 4096
        hdus["DQ"].data.flat[17] |= 64
        hdus[0].header["UPWCSVER"] = "1.0"
        hdus[0].header.add_history("updatewcs")
        hdus.append(fits.ImageHDU(np.ones(3), name="WCSCORR"))
        hdus[0].header["NEXTEND"] = 5
    apply(to="out/j1_flt.fits", undo=True, in_place=True)
    flags = np.zeros(SHAPE, int)
    flags[0, 0], flags.flat[17] = 4096, 64
    assert np.array_equal(dq("out/j1_flt.fits"), flags)
    header = fits.getheader("out/j1_flt.fits")
    assert list(header["HISTORY"]) == ["updatewcs"]
    assert (header["UPWCSVER"], header["NEXTEND"]) == ("1.0", 4)
    assert [hdu.name for hdu in scan(folder / "out/j1_flt.fits")[0]][1:] == [
        *("SCI", "ERR", "DQ", "WCSCORR")
    ]
    assert not sums or has_correct_sums(folder / "out/j1_flt.fits")


@pytest.mark.parametrize("kind", ["constant", "compressed"])
def test_an_expanded_array_stays_expanded_if_another_program_has_changed_it(
    kind: str, tmp_path: Path, caplog
) -> None:
    caplog.set_level("INFO", "staticmask_cli")
    path = tmp_path / "x_flt.fits"
    flags = np.zeros(SHAPE, int)
    chips = chip_exposure(path, "acs_hrc", kind, (0, 0), flags, sums=True)
    mask_file(tmp_path / "m", chips[0], some_bad())
    apply(tmp_path / "m", path, output_dir=tmp_path / "o")
    assert caplog.messages == [f"{path}: DQ,1: is {kind} and becomes a plain image"]
    with fits.open(tmp_path / "o" / path.name, mode="update", checksum=True) as hdus:
        hdus["DQ"].data[0, 0] = 64
    apply(to=tmp_path / "o" / path.name, undo=True, in_place=True)
    flags[0, 0] = 64
    assert np.array_equal(dq(tmp_path / "o" / path.name), flags)
    assert has_correct_sums(tmp_path / "o" / path.name)


def test_copies_of_gzipped_exposures_are_plain(folder: Path) -> None:
    contents = (folder / "j1_flt.fits").read_bytes()
    (folder / "j2_flt.fits.gz").write_bytes(gzip.compress(contents))
    apply("m", "j?_flt.fits*", output_dir="out")
    both = [(folder / "out" / f"j{n}_flt.fits").read_bytes() for n in (1, 2)]
    assert both[0] == both[1]
    with pytest.raises(InputError, match=r"j2_flt\.fits\.gz: is gzipped; unpack it, or write a"):
        apply("m", "j2_flt.fits.gz", in_place=True)


# Matching.


def test_the_smallest_covering_mask_is_used(folder: Path) -> None:
    full = some_bad((30, 30), [0, 31])
    mask_file(folder / "n", hrc((30, 30)), full)
    middle = some_bad((20, 20), [1])
    smaller = mask_file(folder / "n", hrc((20, 20), x0=2, y0=3), middle)
    exposure(
        folder / "sub_flt.fits",
        [sky(1, (5, 6), low=1, high=1)],
        flags=[np.zeros((5, 6), np.int16)],
        chips=[{"LTV1": -3.0, "LTV2": -3.0}],
    )
    (chip,) = apply("n", "sub_flt.fits", output_dir="out")
    assert (chip.mask, chip.new) == (smaller.name, 1)
    assert np.flatnonzero(dq("out/sub_flt.fits")).tolist() == [0]


def test_repeats_of_a_chip_get_the_same_mask(tmp_path: Path) -> None:
    flags = [np.zeros(SHAPE, np.int16)] * 2
    path = instrument_exposure(tmp_path, "stis_ccd", 1, SHAPE, flags=flags)
    stis = ChipIdentity(instrument="STIS", detector="CCD", number=1, rows=12, columns=16)
    mask_file(tmp_path / "m", stis, some_bad())
    chips = apply(tmp_path / "m", path, output_dir=tmp_path / "o")
    assert [chip.new for chip in chips] == [3, 3]


@pytest.mark.parametrize(
    ("identity", "reason"),
    [
        (hrc(x0=1), "no mask covers ACSHRC 12x16 chip 1: n/ACSHRC_12x16_1_x1y0_staticMask.fits"),
        (hrc((11, 16)), "no mask covers"),
        (hrc(xbin=2, ybin=2), "no mask of ACSHRC 12x16 chip 1"),
    ],
)
def test_a_chip_without_a_mask_is_an_error_or_skipped(
    identity: ChipIdentity, reason: str, folder: Path
) -> None:
    mask_file(folder / "n", identity, some_bad(identity.shape))
    exposure(
        folder / "j2_flt.fits",
        [sky(2, identity.shape)],
        flags=[np.zeros(identity.shape, np.int16)],
        chips=[
            {
                "LTV1": -float(identity.x0),
                "BINAXIS1": identity.xbin,
                "BINAXIS2": identity.ybin,
            }
        ],
    )
    before = tree(folder)
    with pytest.raises(InputError, match=rf"^j1_flt\.fits: SCI,1: {reason}"):
        apply("n", "j?_flt.fits", output_dir="out")
    assert tree(folder) == before
    chips = apply("n", "j?_flt.fits", output_dir="out", keep_going=True)
    assert [chip.path for chip in chips] == ["out/j2_flt.fits"]


def test_the_same_fault_of_many_exposures_is_one_line(folder: Path) -> None:
    for number in (2, 3, 4):
        hrc_exposure(folder / f"s{number}_flt.fits", primary={"DETECTOR": "SBC"})
    with pytest.raises(InputError) as caught:
        apply("m", "??_flt.fits", output_dir="out")
    reason = "SCI,1: no mask of ACSSBC 12x16 chip 1 (and 2 more)"
    assert caught.value.problems == (f"s2_flt.fits: {reason}",)


# Bits.


@pytest.mark.parametrize(
    ("row", "bit", "number"),
    [("acs_hrc", "BADPIX", 4), ("nicmos1", "BADPIX", 32), ("wfc3_ir", "user", 32768)],
)
def test_bits_have_the_instruments_names(row, bit, number, tmp_path, caplog) -> None:
    path = tmp_path / "x_flt.fits"
    chips = chip_exposure(path, row, "int16", (0, 0), np.zeros(SHAPE, int), sums=False)
    mask_file(tmp_path / "m", chips[0], some_bad())
    (chip,) = apply(tmp_path / "m", path, bit=bit, output_dir=tmp_path / "o")
    assert chip.bit == number
    assert not caplog.records


@pytest.mark.usefixtures("folder")
def test_another_meaning_of_a_bit_is_a_warning(caplog) -> None:
    apply("m", "j1_flt.fits", bit=16, output_dir="out")
    assert caplog.messages == ["j1_flt.fits: bit 16 means HOT for ACS"]


@pytest.mark.parametrize(
    ("bit", "reason"),
    [
        ("4096", "AstroDrizzle resets 4096"),
        ("crdriz", "AstroDrizzle resets 4096"),
        ("3", "3 is not one bit"),
        ("0", "0 is not one bit"),
        ("65536", "65536 is not one bit"),
        ("WRONG", "WRONG is not the name of a DQ bit of ACS; its bits are LOST, FILLED"),
        ("4,8", "4,8 is not the name"),
    ],
)
def test_an_unusable_bit_is_an_error(bit: str, reason: str, folder: Path) -> None:
    with pytest.raises(InputError, match=rf"^j1_flt\.fits: SCI,1: {reason}"):
        apply("m", "j1_flt.fits", bit=bit, output_dir="out")
    assert not (folder / "out").exists()


def test_eight_bits_cannot_hold_a_larger_one(folder: Path) -> None:
    hrc_exposure(folder / "j1_flt.fits", np.zeros(SHAPE, np.uint8))
    with pytest.raises(InputError, match="DQ,1: its 8-bit integers cannot hold the bit 16384"):
        apply("m", "j1_flt.fits", bit=16384, output_dir="out")


# Errors.


def test_every_problem_is_listed_and_nothing_written(folder: Path) -> None:
    exposure(folder / "nodq_flt.fits", [sky(1, SHAPE, low=5)])
    exposure(folder / "w1_c0m.fits", [sky(1, SHAPE)], primary={"INSTRUME": "WFPC2"})
    (folder / "torn_flt.fits").write_bytes((folder / "j1_flt.fits").read_bytes()[:-5000])
    before = tree(folder)
    with pytest.raises(InputError) as caught:
        apply("m", ["*_flt.fits", "w1_c0m.fits", "missing.fits"], output_dir="out")
    lines = "\n".join(caught.value.problems)
    for reason in (
        "missing.fits: file not found",
        "nodq_flt.fits: SCI,1: has no DQ array",
        "torn_flt.fits: is truncated",
        "w1_c0m.fits: DQ file w1_c1m.fits not found",
    ):
        assert reason in lines
    assert tree(folder) == before


def test_masks_that_cannot_be_used_are_errors(folder: Path) -> None:
    fits.PrimaryHDU(np.ones(SHAPE, np.int16)).writeto(folder / "d_staticMask.fits")
    for given_, reason in (
        ("d_staticMask.fits", "does not record its chip; make it with staticmask"),
        ("j1_flt.fits", "not a static mask"),
        ("none_staticMask.fits", "file not found"),
    ):
        with pytest.raises(InputError, match=reason):
            apply(["m", given_], "j1_flt.fits", output_dir="out", keep_going=True)
    mask_file(folder / "m", hrc(), some_bad(), "again_staticMask.fits")
    with pytest.raises(
        InputError, match="several masks of the same size cover ACSHRC 12x16 chip 1: m/"
    ):
        apply("m", "j1_flt.fits", output_dir="out")


def test_a_copy_never_replaces_an_exposure_or_another_file(folder: Path) -> None:
    before = tree(folder)
    for out in (".", folder):
        with pytest.raises(InputError, match="its copy would replace it; choose another folder"):
            apply("m", "j1_flt.fits", output_dir=out)
    (folder / "b").mkdir()
    hrc_exposure(folder / "b" / "j1_flt.fits", np.ones(SHAPE, np.int16))
    with pytest.raises(InputError, match="several exposures have this name"):
        apply("m", ["j1_flt.fits", "b/j1_flt.fits"], output_dir="out")
    kept = tree(folder / "b")
    with pytest.raises(
        InputError,
        match=r"b/j1_flt.fits: exists and is not an unchanged flagged copy of j1_flt.fits",
    ):
        apply("m", "j1_flt.fits", output_dir="b")
    assert tree(folder / "b") == kept
    shutil.rmtree(folder / "b")
    assert tree(folder) == before


def test_a_copy_that_was_changed_is_replaced_only_with_overwrite(folder: Path) -> None:
    apply("m", "j1_flt.fits", output_dir="out")
    flagged = (folder / "out" / "j1_flt.fits").read_bytes()
    mask_file(folder / "n", hrc(), some_bad(places=[7]))
    apply("n", "j1_flt.fits", output_dir="out")  # an unchanged one is, with other masks
    apply("m", "j1_flt.fits", output_dir="out")
    assert (folder / "out" / "j1_flt.fits").read_bytes() == flagged
    with fits.open("out/j1_flt.fits", mode="update") as hdus:
        hdus["SCI"].header["CRVAL1"] = 1.5  # as tweakreg does
    kept = tree(folder)
    for more in ({}, {"dry_run": True}):
        with pytest.raises(
            InputError, match=r"is not an unchanged flagged copy of .* use --overwrite"
        ):
            apply("m", "j1_flt.fits", output_dir="out", **more)
    assert tree(folder) == kept
    apply("m", "j1_flt.fits", output_dir="out", overwrite=True)
    assert (folder / "out" / "j1_flt.fits").read_bytes() == flagged
    (folder / "out" / "j1_flt.fits").write_text("notes")
    with pytest.raises(InputError, match=r"is not an unchanged flagged copy of"):
        apply("m", "j1_flt.fits", output_dir="out")
    (folder / "out" / "j1_flt.fits").unlink()
    (folder / "out" / "j1_flt.fits").symlink_to(folder / "j1_flt.fits")
    with pytest.raises(InputError, match=r"its copy would replace it"):
        apply("m", "j1_flt.fits", output_dir="out", overwrite=True)
    (folder / "j2_flt.fits").write_bytes((folder / "j1_flt.fits").read_bytes())
    (folder / "out" / "j2_flt.fits").symlink_to("nowhere")
    with pytest.raises(InputError, match=r"j2_flt.fits: exists and is not a file"):
        apply("m", "j2_flt.fits", output_dir="out", overwrite=True)


def test_a_backup_is_flagged_only_with_overwrite(folder: Path) -> None:
    (folder / "backup").mkdir()
    shutil.copy(folder / "j1_flt.fits", folder / "backup")
    before = tree(folder)
    with pytest.raises(InputError, match="is not an unchanged flagged copy of"):
        apply("m", "j1_flt.fits", output_dir="backup")
    assert tree(folder) == before
    apply("m", "j1_flt.fits", output_dir="backup", overwrite=True)
    assert tree(folder) != before


@pytest.mark.parametrize("keep_going", [False, True])
def test_no_exposure_is_replaced_by_the_copy_of_another(keep_going: bool, folder: Path) -> None:
    (folder / "packed").mkdir()
    contents = (folder / "j1_flt.fits").read_bytes()
    (folder / "packed" / "x_flt.fits.gz").write_bytes(gzip.compress(contents))
    (folder / "x_flt.fits").write_bytes(contents)
    more = {"keep_going": keep_going, "overwrite": True}
    for names in (["packed/x_flt.fits.gz", "./x_flt.fits"], ["j1_flt.fits", "j1_flt.fits.gz"]):
        (folder / "j1_flt.fits.gz").write_bytes(gzip.compress(contents))
        with pytest.raises(InputError, match=r"several exposures have this name"):
            apply("m", names, output_dir=folder, **more)
    (folder / "j1_flt.fits.gz").unlink()
    (folder / "y_flt.fits").symlink_to("x_flt.fits")
    (folder / "packed" / "x_flt.fits.gz").rename(folder / "packed" / "y_flt.fits.gz")
    names = ["packed/y_flt.fits.gz", "x_flt.fits"]
    with pytest.raises(InputError, match=r"its copy would replace the exposure .*y_flt.fits"):
        apply("m", names, output_dir=folder, overwrite=True)
    assert (folder / "x_flt.fits").read_bytes() == contents


@pytest.mark.parametrize("versions", [(0.0, 1.0), (-1, -2), ("1", "2"), (2.0, 1.0)])
def test_flags_of_extensions_with_odd_numbers_can_be_taken_back(
    versions: tuple[object, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = instrument_exposure(tmp_path, "acs_wfc", 1, SHAPE, flags=[np.zeros(SHAPE, "i2")] * 2)
    with fits.open(path, mode="update") as hdus:
        for hdu in hdus[1:]:
            hdu.header["EXTVER"] = versions[hdu.header["EXTVER"] - 1]
    before = path.read_bytes()
    create_masks(path, output_dir="m", static_sig=1)
    flagged = apply("m", path, in_place=True)
    assert all(chip.new > 0 for chip in flagged)
    assert path.read_bytes() != before
    apply("m", path, in_place=True)
    taken_back = apply(None, path, in_place=True, undo=True)
    assert [chip.new for chip in taken_back] == [chip.new for chip in flagged]
    with fits.open(path) as hdus:
        assert not any(hdu.data.any() for hdu in hdus if hdu.name == "DQ")


def test_a_number_of_extensions_in_free_format_stays_readable(folder: Path) -> None:
    path = folder / "j1_flt.fits"
    whole = path.read_bytes()
    begin = whole.index(b"NEXTEND =")
    card = b"NEXTEND = 3 / Number of standard extensions".ljust(80)
    before = whole[:begin] + card + whole[begin + 80 :]
    path.write_bytes(before)
    apply("m", path.name, output_dir="out")
    header = fits.getheader(folder / "out" / path.name)
    assert (header["NEXTEND"], header.comments["NEXTEND"]) == (4, "Number of standard extensions")
    apply(None, f"out/{path.name}", undo=True, in_place=True)
    assert (folder / "out" / path.name).read_bytes() == before


def test_an_earlier_run_of_another_group_is_named(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = instrument_exposure(folder, "acs_wfc", 1, SHAPE, flags=[np.zeros(SHAPE, "i2")] * 2)
    create_masks(path, output_dir="w", static_sig=1)
    apply("w", path.name, output_dir="out", group="sci,1")
    apply("w", f"out/{path.name}", in_place=True, group="sci,2")
    said = [r.getMessage() for r in caplog.records if "earlier run" in r.getMessage()]
    assert said == [f"out/{path.name}: the flags that an earlier run set in DQ,1 are taken back"]


@pytest.mark.usefixtures("folder")
def test_a_table_with_impossible_pixels_is_an_error() -> None:
    apply("m", "j1_flt.fits", output_dir="out")
    with fits.open("out/j1_flt.fits") as hdus:
        hdus["STATICMASK"].data["PIXELS"][1][0] = 10**6
        hdus.writeto("changed_flt.fits", checksum=True)
    with pytest.raises(InputError, match="cannot be undone"):
        apply(None, "changed_flt.fits", undo=True, output_dir="back")


def test_a_full_disk_is_not_a_fault_of_the_exposure(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def sink(file: object) -> SimpleNamespace:
        return SimpleNamespace(write=full, name=file.name)

    monkeypatch.setattr("staticmask_cli.files.atomic.Sink", sink)
    with pytest.raises(OutputError, match=r"^out/j1_flt.fits: cannot be written: No space left"):
        apply("m", "j1_flt.fits", output_dir="out")
    assert not (folder / "out").exists()


def test_a_dry_run_finds_folders_that_cannot_be_written_to(folder: Path) -> None:
    (folder / "closed").write_text("a file")
    with pytest.raises(OutputError, match="is a file, not a folder"):
        apply("m", "j1_flt.fits", output_dir="closed", dry_run=True)


def test_a_read_only_exposure_is_not_changed_in_place(folder: Path) -> None:
    (folder / "j1_flt.fits").chmod(0o444)
    before = tree(folder)
    with pytest.raises(InputError, match="is read-only; write a copy of it"):
        apply("m", "j1_flt.fits", in_place=True)
    assert tree(folder) == before


def test_in_place_keeps_the_mode_and_follows_links(folder: Path) -> None:
    (folder / "j1_flt.fits").chmod(0o640)
    (folder / "link_flt.fits").symlink_to("j1_flt.fits")
    apply("m", "link_flt.fits", in_place=True)
    assert (folder / "link_flt.fits").is_symlink()
    assert (folder / "j1_flt.fits").stat().st_mode & 0o777 == 0o640
    assert np.flatnonzero(dq("j1_flt.fits")).tolist() == PLACES


def test_undo_of_what_is_not_flagged_is_a_warning(folder: Path, caplog) -> None:
    before = tree(folder)
    assert apply(to="j1_flt.fits", undo=True, in_place=True) == ()
    assert caplog.messages == ["j1_flt.fits: has no flags of 'staticmask apply'"]
    assert tree(folder) == before


@pytest.mark.parametrize("damage", ["missing", "changed", "no DQ", "smaller DQ"])
def test_undo_says_that_it_cannot(damage: str, folder: Path) -> None:
    apply("m", "j1_flt.fits", in_place=True)
    with fits.open("j1_flt.fits", mode="update") as hdus:
        if damage == "missing":
            del hdus[FLAG_TABLE]
        elif damage == "changed":
            hdus[FLAG_TABLE].data["BIT"][1] = 8
        elif damage == "no DQ":
            del hdus["DQ"]
        else:
            hdus["DQ"].data = np.zeros((2, 2), np.int16)
    before = tree(folder)
    with pytest.raises(InputError, match="flags cannot be undone"):
        apply(to="j1_flt.fits", undo=True, in_place=True)
    assert tree(folder) == before


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"input": "m", "to": "j1_flt.fits"}, "output-dir is missing"),
        ({"to": "j1_flt.fits", "output_dir": "o"}, "MASK is missing"),
        ({"input": "m", "to": "j1_flt.fits", "undo": True, "output_dir": "o"}, "no masks"),
        ({"input": "m", "to": "x", "in_place": True, "output_dir": "o"}, "exclude each other"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_arguments_must_agree(arguments: dict, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        apply(**arguments)


# Faults.


def test_a_dry_run_writes_nothing(folder: Path) -> None:
    before = tree(folder)
    (planned,) = apply("m", "j1_flt.fits", output_dir="out", dry_run=True)
    assert tree(folder) == before
    assert apply("m", "j1_flt.fits", output_dir="out") == (planned,)


def test_a_full_disk_leaves_no_half_copy(folder: Path) -> None:
    code = (
        "import resource, signal\n"
        "from staticmask_cli import OutputError, apply\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))\n"
        "try:\n    apply('m', 'j1_flt.fits', output_dir='out')\n"
        "except OutputError as error:\n    print(error)\n"
    )
    before = tree(folder)
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout == "out/j1_flt.fits: cannot be written: File too large\n"
    assert tree(folder) == before


def test_a_run_killed_while_writing_leaves_the_exposure_as_it_was(folder: Path) -> None:
    before = (folder / "j1_flt.fits").read_bytes()
    code = (
        "import os, signal\n"
        "from staticmask_cli import apply\n"
        "from staticmask_cli.exposures.fits_parts import FitsFile\n"
        "write = FitsFile.write\n"
        "def killed(self, sink):\n"
        "    write(self, sink)\n    sink.flush()\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        "FitsFile.write = killed\n"
        "apply('m', 'j1_flt.fits', in_place=True)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], check=False)
    assert run.returncode == -signal.SIGKILL
    assert (folder / "j1_flt.fits").read_bytes() == before
    assert len(list(folder.glob(".*.part"))) == 1
    apply("m", "j1_flt.fits", in_place=True)
    assert not list(folder.glob(".*"))
    apply(to="j1_flt.fits", undo=True, in_place=True)
    assert (folder / "j1_flt.fits").read_bytes() == before


def test_an_exposure_that_changes_meanwhile_is_not_replaced(folder: Path, monkeypatch) -> None:
    from staticmask_cli.masking import apply as module  # noqa: PLC0415

    write = module._write

    def changed(*arguments: object) -> None:
        hrc_exposure(folder / "j1_flt.fits", np.ones(SHAPE, np.int16))
        write(*arguments)

    monkeypatch.setattr(module, "_write", changed)
    for more in ({"in_place": True}, {"output_dir": "out"}):
        with pytest.raises(OutputError, match=r"changed (since|while)"):
            apply("m", "j1_flt.fits", **more)
        assert dq("j1_flt.fits").min() == 1
    assert not (folder / "out" / "j1_flt.fits").exists()


# Making masks of flagged copies, and the command.


@pytest.mark.usefixtures("folder")
def test_masks_of_flagged_copies_with_final_bits_are_a_warning(caplog) -> None:
    apply("m", "j1_flt.fits", output_dir="out")
    create_masks("out/j1_flt.fits", output_dir="n")
    assert not caplog.records
    create_masks("out/j1_flt.fits", output_dir="n", final_bits=0)
    assert caplog.messages[0].startswith("out/j1_flt.fits: its DQ flags include pixels of a mask")


def test_the_command_reports_chips_and_ends_with_the_settings(
    staticmask: Run, tmp_path: Path
) -> None:
    hrc_exposure(tmp_path / "j1_flt.fits")
    mask = mask_file(tmp_path / "m", hrc(), some_bad())
    run = staticmask("apply", "m", "--to", "j*_flt.fits", "-o", "out", "--summary", "s.json")
    row, *advice = run.stdout.splitlines()
    assert row == f"out/j1_flt.fits  SCI,1  {mask.name}  3  0  3"
    assert " ".join(line.removeprefix("# ") for line in advice) == (
        "AstroDrizzle counts these pixels as bad with static=False, driz_sep_bits and final_bits "
        "without 4, and sky_bits without 4 and not None. Do not let it restore older exposures "
        "from OrIg_files."
    )
    assert '"new": 3' in (tmp_path / "s.json").read_text()
    run = staticmask("apply", "--undo", "--to", "out/j1_flt.fits", "--in-place")
    assert run.stdout == f"out/j1_flt.fits  DQ,1  {mask.name}  3\n"
    run = staticmask("apply", "m", "--to", "j1_flt.fits")
    assert run.returncode == 2
    hrc_exposure(tmp_path / "j2_flt.fits", primary={"DETECTOR": "SBC"})
    run = staticmask("apply", "m", "--to", "j?_flt.fits", "-o", "out", "-k", "--overwrite")
    assert run.returncode == 3
