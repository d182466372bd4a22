"""Bad input: one clear line on standard error, exit status 1 or 2, and nothing written."""

from __future__ import annotations

import gzip
import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from staticmask_cli import InputError, OutputError
from tests.support.makers import association, exposure, instrument_exposure, sky
from tests.support.runs import Run, run, science, simple, small, tree

SHAPE = (16, 20)
AS_ROOT = os.geteuid() == 0


def flags(shape: tuple[int, ...] = SHAPE) -> fits.ImageHDU:
    return fits.ImageHDU(np.zeros(shape, "i2"), name="DQ", ver=1)


def refused(
    result: subprocess.CompletedProcess[str], status: int, *pieces: str, count: int = 1
) -> list[str]:
    """Check that a run failed with clear messages, and return them."""
    assert result.returncode == status, result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == count, result.stderr
    for line in lines:
        assert line.startswith("staticmask: error: ")
        assert line.isprintable()
    for piece in pieces:
        assert piece in result.stderr
    return lines


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Each function writes a bad exposure.


def text(path: Path) -> None:
    path.write_text("SIMPLE is what this text is not\n")


def nothing(path: Path) -> None:
    path.write_bytes(b"")


def picture(path: Path) -> None:
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(5000))


def half_a_primary_header(path: Path) -> None:
    path.write_bytes(small(path).read_bytes()[:1000])


def cut_in_pixels(path: Path) -> None:
    # 2880 bytes each: the primary header, SCI's header, its pixels (1280 bytes).
    path.write_bytes(small(path).read_bytes()[: 2 * 2880 + 700])


def cut_in_a_header(path: Path) -> None:
    small(path, flags=[np.zeros(SHAPE, "i2")])
    path.write_bytes(path.read_bytes()[: 3 * 2880 + 160])


def cut_gzip(path: Path) -> None:
    packed = gzip.compress(exposure(path, [sky(1)]).read_bytes())
    path.write_bytes(packed[: len(packed) // 2])


def gzip_of_a_cut_file(path: Path) -> None:
    path.write_bytes(gzip.compress(small(path).read_bytes()[: 2 * 2880 + 700]))


def damaged_gzip(path: Path) -> None:
    packed = bytearray(gzip.compress(exposure(path, [sky(1)]).read_bytes()))
    packed[len(packed) // 2 :: 97] = b"\x55" * len(packed[len(packed) // 2 :: 97])
    path.write_bytes(packed)


def cut_tiles(path: Path) -> None:
    packed = fits.CompImageHDU(np.arange(4800, dtype="i4").reshape(60, 80) ** 2 % 977, name="SCI")
    simple(path, [packed])
    path.write_bytes(path.read_bytes()[:-2880])


def no_sci(path: Path) -> None:
    simple(path, [flags()])


def only_a_primary(path: Path) -> None:
    fits.PrimaryHDU(sky(1)).writeto(path)


def empty_sci(path: Path) -> None:
    simple(path, [science(None)])


def one_dimension(path: Path) -> None:
    simple(path, [science(sky(1).reshape(-1))])


def three_dimensions(path: Path) -> None:
    simple(path, [science(np.zeros((2, 3, 4), "f4"))])


def sci_table(path: Path) -> None:
    table = fits.BinTableHDU.from_columns([fits.Column("A", "J", array=[1])], name="SCI", ver=1)
    simple(path, [table])


def two_of_one_name(path: Path) -> None:
    simple(path, [science(sky(1)), science(sky(2))])


def no_instrume(path: Path) -> None:
    small(path)
    with fits.open(path, "update") as hdus:
        del hdus[0].header["INSTRUME"]


def undefined_instrume(path: Path) -> None:
    small(path)
    with fits.open(path, "update") as hdus:
        hdus[0].header["INSTRUME"] = None


def slash(path: Path) -> None:
    small(path, primary={"INSTRUME": "../../ACS", "DETECTOR": "HRC"})


def dots(path: Path) -> None:
    small(path, primary={"INSTRUME": "NIRCAM", "DETECTOR": "A..B"})


def absolute(path: Path) -> None:
    small(path, primary={"INSTRUME": "NIRCAM", "DETECTOR": "/etc/x"})


def no_letters(path: Path) -> None:
    small(path, primary={"INSTRUME": "-- ", "DETECTOR": "HRC"})


def no_detector(path: Path) -> None:
    small(path)
    with fits.open(path, "update") as hdus:
        del hdus[0].header["DETECTOR"]


def wrong_detector(path: Path) -> None:
    small(path, primary={"DETECTOR": "XYZ"})


def wrong_ccdchip(path: Path) -> None:
    small(path, primary={"DETECTOR": "WFC"}, chips=[{"CCDCHIP": 7}])


def wrong_camera(path: Path) -> None:
    small(path, primary={"INSTRUME": "NICMOS", "CAMERA": 4})


def no_wfpc2_detector(path: Path) -> None:
    small(path, primary={"INSTRUME": "WFPC2"})


def ltv_is_text(path: Path) -> None:
    small(path, chips=[{"LTV1": "left"}])


def ltm_is_0(path: Path) -> None:
    small(path, chips=[{"LTM1_1": 0.0}])


def ltv_is_huge(path: Path) -> None:
    small(path, chips=[{"LTV1": 1e300}])


def binning_is_0(path: Path) -> None:
    small(path, chips=[{"BINAXIS1": 0}])


def exptime_is_text(path: Path) -> None:
    small(path, primary={"EXPTIME": "long"})


def extver_is_text(path: Path) -> None:
    small(path)
    path.write_bytes(path.read_bytes().replace(b"EXTVER  =" + b"1".rjust(21), b"EXTVER  = 'one'"))


# Pattern of the message for each.
BAD_EXPOSURES: dict[Callable[[Path], None], str] = {
    text: "FITS",
    nothing: "FITS",
    picture: "FITS",
    half_a_primary_header: "truncated within the header of HDU 0",
    cut_in_pixels: "truncated: 580 bytes of HDU 1 are missing",
    cut_in_a_header: "FITS|truncated|damaged",
    cut_gzip: "FITS|truncated|damaged",
    gzip_of_a_cut_file: "FITS|truncated|damaged",
    damaged_gzip: "FITS|truncated|damaged",
    cut_tiles: "truncated",
    no_sci: "has no SCI extension",
    only_a_primary: "has no SCI extension",
    empty_sci: "SCI,1: is empty",
    one_dimension: "SCI,1: has 1 dimensions, not 2",
    three_dimensions: "SCI,1: has 3 dimensions, not 2",
    sci_table: "SCI,1: is a table",
    two_of_one_name: "has 2 extensions named SCI,1",
    no_instrume: "INSTRUME is missing",
    undefined_instrume: "INSTRUME is missing",
    slash: "INSTRUME is '../../ACS'",
    dots: "DETECTOR is 'A..B'",
    absolute: "DETECTOR is '/etc/x'",
    no_letters: "INSTRUME is '--'",
    no_detector: "DETECTOR is missing",
    wrong_detector: "DETECTOR is XYZ",
    wrong_ccdchip: "CCDCHIP is 7",
    wrong_camera: "CAMERA of NICMOS is 4",
    no_wfpc2_detector: "DETECTOR is missing",
    ltv_is_text: "LTV1 is 'left'",
    ltm_is_0: "LTM1_1",
    ltv_is_huge: "LTV1",
    binning_is_0: "BINAXIS1 is 0",
    exptime_is_text: "EXPTIME is 'long'",
}


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """Return a folder with one good exposure."""
    small(tmp_path / "in/good_flt.fits")
    return tmp_path / "in"


@pytest.mark.parametrize("make", BAD_EXPOSURES, ids=lambda make: make.__name__)
def test_the_message_names_the_bad_exposure_and_the_reason(
    make: Callable[[Path], None], inputs: Path, tmp_path: Path
) -> None:
    path = inputs / "bad_flt.fits"
    make(path)
    before = tree(inputs)
    with pytest.raises(InputError) as caught:
        run(path, inputs / "good_flt.fits", out=tmp_path / "out")
    (problem,) = caught.value.problems
    assert problem.startswith(f"{path}: ")
    assert re.search(BAD_EXPOSURES[make], problem)
    assert problem.isprintable()
    assert not (tmp_path / "out").exists()
    assert tree(inputs) == before


def test_all_bad_exposures_of_a_run_are_listed(
    inputs: Path, tmp_path: Path, staticmask: Run
) -> None:
    for make in BAD_EXPOSURES:
        make(inputs / f"{make.__name__}_flt.fits")
    result = staticmask(inputs / "*_flt.fits", "-o", "out")
    lines = refused(result, 1, count=len(BAD_EXPOSURES))
    for make, reason in BAD_EXPOSURES.items():
        (line,) = (line for line in lines if f"/{make.__name__}_flt.fits: " in line)
        assert re.search(reason, line)
    assert names(tmp_path) == ["in"]


def test_all_bad_chips_of_an_exposure_are_listed(tmp_path: Path) -> None:
    path = simple(
        tmp_path / "x_flt.fits",
        [science(None), science(sky(1), 2), science(sky(1).reshape(-1), 3)],
    )
    with pytest.raises(InputError) as caught:
        run(path, out=tmp_path / "out")
    assert [p.removeprefix(f"{path}: ")[:6] for p in caught.value.problems] == ["SCI,1:", "SCI,3:"]


@pytest.mark.parametrize("cut", ["before compressing", "after compressing"])
@pytest.mark.parametrize("keep", [0.3, 0.45, 0.55, 0.7, 0.95])
def test_a_truncated_gzipped_file_is_never_read_as_one_with_fewer_chips(
    keep: float, cut: str, tmp_path: Path
) -> None:
    # Otherwise the masks of the missing chips would be lost silently.
    whole = instrument_exposure(tmp_path, "wfpc2", 1, errors=False).read_bytes()
    path = tmp_path / "cut_c0m.fits.gz"
    if cut == "before compressing":
        path.write_bytes(gzip.compress(whole[: int(len(whole) * keep)]))
    else:
        packed = gzip.compress(whole)
        path.write_bytes(packed[: int(len(packed) * keep)])
    with pytest.raises(InputError, match=r"cut_c0m\.fits\.gz: "):
        run(path, out=tmp_path / "out")


def test_a_file_truncated_at_any_block_is_an_error_or_has_complete_hdus(tmp_path: Path) -> None:
    # A file that ends with a complete HDU is valid: only NEXTEND could reveal that
    # another should follow, and it is not reliable.
    whole = instrument_exposure(tmp_path, "stis_ccd", 1, shape=(40, 50)).read_bytes()
    with fits.open(tmp_path / "stis_ccd01_flt.fits") as hdus:
        ends = {h.fileinfo()["datLoc"] + h.fileinfo()["datSpan"]: h.name for h in hdus}
    path = tmp_path / "cut_flt.fits"
    for size in range(2880, len(whole), 2880):
        path.write_bytes(whole[:size])
        if size in ends and ends[size] != "PRIMARY":
            assert run(path, out=tmp_path / "out", dry_run=True).masks
        else:
            with pytest.raises(InputError, match=r"cut_flt\.fits: "):
                run(path, out=tmp_path / "out", dry_run=True)


def test_an_extver_that_is_not_a_number_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x_flt.fits"
    extver_is_text(path)
    with pytest.raises(InputError, match=r"x_flt\.fits"):
        run(path, out=tmp_path / "out")


def test_a_dry_run_reports_bad_headers_too(inputs: Path, staticmask: Run) -> None:
    no_instrume(inputs / "bad_flt.fits")
    refused(staticmask("-n", inputs / "*_flt.fits"), 1, "bad_flt.fits: ", "INSTRUME")


# DQ arrays.


@pytest.mark.parametrize(
    ("extensions", "reason"),
    [
        ([], "SCI,1: has no DQ extension"),
        ([flags((20, 16))], "the shapes of SCI and DQ differ: 16x20 and 20x16"),
        ([flags((16, 20, 1))], "the shapes of SCI and DQ differ"),
        ([fits.ImageHDU(None, name="DQ", ver=1)], "the shapes of SCI and DQ differ"),
        ([fits.ImageHDU(np.zeros(SHAPE, "f4"), name="DQ", ver=1)], "does not contain integers"),
        ([fits.ImageHDU(np.zeros(SHAPE, "i2"), name="DQ", ver=2)], "SCI,1: has no DQ extension"),
    ],
)
def test_dq_arrays_must_match_only_if_they_are_used(
    extensions: list[fits.ImageHDU], reason: str, tmp_path: Path
) -> None:
    path = simple(tmp_path / "x_flt.fits", [science(sky(1, SHAPE)), *extensions])
    with pytest.raises(InputError) as caught:
        run(path, out=tmp_path / "out", final_bits="0")
    (problem,) = caught.value.problems
    assert problem.startswith(f"{path}: SCI,1: ")
    assert reason in problem
    assert not (tmp_path / "out").exists()
    # Without final_bits, they are not read.
    assert len(run(path, out=tmp_path / "out").masks) == 1


def test_a_missing_dq_array_is_an_error_of_the_command(
    inputs: Path, tmp_path: Path, staticmask: Run
) -> None:
    result = staticmask(inputs / "good_flt.fits", "-o", "out", "--final-bits", "0")
    refused(result, 1, "good_flt.fits: SCI,1: has no DQ extension")
    assert names(tmp_path) == ["in"]


def test_the_message_names_a_bad_dq_file(tmp_path: Path) -> None:
    path = instrument_exposure(tmp_path, "wfpc2", 1)
    twin = path.with_name("wfpc201_c1m.fits")
    text(twin)
    with pytest.raises(InputError, match=r"^\S*wfpc201_c1m\.fits: is not a FITS file"):
        run(path, out=tmp_path / "out", final_bits=0)


# Names that match nothing, lists, associations, groups.


def test_names_that_match_nothing_are_errors_of_the_command(
    inputs: Path, tmp_path: Path, staticmask: Run
) -> None:
    (inputs / "circle.txt").write_text("@in/back.txt\n")
    (inputs / "back.txt").write_text("in/good_flt.fits\n@in/circle.txt\n")
    (inputs / "broken.txt").write_text("in/good_flt.fits\nin/absent_flt.fits\n")
    association(inputs / "x_asn.fits", [("J8XI01ABQ", "EXP-DTH", True)])
    result = staticmask(
        *("in/good_flt.fits", "zz*flt.fits", "zz.fits", "@in/circle.txt", "@in/broken.txt"),
        *("@in/none.txt", "in/x_asn.fits", "in", "-o", "out"),
    )
    lines = refused(result, 1, count=7)
    for line, (name, reason) in zip(
        lines,
        {
            "zz*flt.fits": "matches no file",
            "zz.fits": "file not found",
            "in/circle.txt": "includes itself",
            "in/absent_flt.fits": "file not found (named in in/broken.txt)",
            "in/none.txt": "cannot be read: No such file",
            "in/x_asn.fits": "j8xi01abq",
            "in": "is a folder",
        }.items(),
        strict=True,
    ):
        assert line.startswith(f"staticmask: error: {name}: ")
        assert reason in line
    assert names(tmp_path) == ["in"]


def test_a_default_pattern_that_matches_nothing_is_an_error_of_the_command(staticmask: Run) -> None:
    refused(staticmask(), 1, "*flt.fits: matches no file")


def test_a_missing_group_is_an_error_of_the_command(
    inputs: Path, tmp_path: Path, staticmask: Run
) -> None:
    small(inputs / "other_flt.fits", 2)
    result = staticmask("in/*_flt.fits", "--group", "sci,2", "-o", "out")
    lines = refused(result, 1, count=2)
    assert "in/good_flt.fits: has no group 'sci,2'; available: 'sci,1'" in lines[0]
    assert "in/other_flt.fits: " in lines[1]
    assert names(tmp_path) == ["in"]


def test_pipes_folders_and_devices_are_errors_and_do_not_block(
    inputs: Path, tmp_path: Path, staticmask: Run
) -> None:
    os.mkfifo(inputs / "pipe_flt.fits")
    (inputs / "folder_flt.fits").mkdir()
    result = staticmask("in/pipe_flt.fits", "in/folder_flt.fits", "/dev/null", "-o", "out")
    refused(
        *(result, 1, "in/pipe_flt.fits: is not a regular file", "in/folder_flt.fits: is a folder"),
        *("/dev/null: is not a regular file",),
        count=3,
    )
    assert names(tmp_path) == ["in"]


@pytest.mark.skipif(AS_ROOT, reason="root can read everything")
def test_exposures_and_lists_without_read_permission_are_errors(
    inputs: Path, tmp_path: Path, staticmask: Run
) -> None:
    small(inputs / "secret_flt.fits").chmod(0)
    (inputs / "list.txt").write_text("in/good_flt.fits\n")
    (inputs / "list.txt").chmod(0)
    small(inputs / "locked/x_flt.fits")
    (inputs / "locked").chmod(0)
    try:
        result = staticmask(
            *("in/secret_flt.fits", "@in/list.txt", "in/locked/x_flt.fits", "in/good_flt.fits"),
            *("-o", "out"),
        )
    finally:
        (inputs / "locked").chmod(0o755)
    refused(result, 1, "secret_flt.fits: permission", "list.txt", "locked/x_flt.fits", count=3)
    assert names(tmp_path) == ["in"]


# Output folders.


def folder_is_a_file(folder: Path) -> Path:
    (folder / "file").write_text("x")
    return folder / "file"


def folder_below_a_file(folder: Path) -> Path:
    return folder_is_a_file(folder) / "sub/out"


def folder_is_a_dangling_link(folder: Path) -> Path:
    (folder / "link").symlink_to("nowhere/at/all")
    return folder / "link"


def folder_in_proc(_: Path) -> Path:
    if not Path("/proc/self").exists():
        pytest.skip("needs /proc")
    return Path("/proc/no-folder-can-be-made-here")


def folder_with_too_long_a_name(folder: Path) -> Path:
    return folder / ("x" * 300)


def folder_is_a_device(_: Path) -> Path:
    return Path("/dev/null")


@pytest.mark.parametrize(
    "make",
    [
        *(folder_is_a_file, folder_below_a_file, folder_is_a_dangling_link, folder_in_proc),
        *(folder_with_too_long_a_name, folder_is_a_device),
    ],
    ids=lambda make: make.__name__,
)
def test_an_output_folder_that_cannot_be_created_is_an_error_that_names_it(
    make: Callable[[Path], Path], inputs: Path, tmp_path: Path, staticmask: Run
) -> None:
    out = make(tmp_path)
    before = tree(tmp_path)
    result = staticmask(inputs / "good_flt.fits", "-o", out)
    refused(result, 1, f"error: {out}")
    assert tree(tmp_path) == before


@pytest.mark.skipif(AS_ROOT, reason="root can write everywhere")
@pytest.mark.parametrize("sub", ["", "sub", "sub/sub"])
@pytest.mark.parametrize("mode", [0o555, 0o000])
def test_an_output_folder_without_permission_is_an_error(
    mode: int, sub: str, inputs: Path, tmp_path: Path, staticmask: Run
) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(mode)
    try:
        result = staticmask(inputs / "good_flt.fits", "-o", locked / sub)
    finally:
        locked.chmod(0o755)
    refused(result, 1, f"error: {locked / sub}", "ermission")
    assert list(locked.iterdir()) == []


def test_a_bad_exposure_does_not_change_an_existing_output_folder(
    inputs: Path, tmp_path: Path
) -> None:
    run(inputs / "good_flt.fits", out=tmp_path / "out")
    before = tree(tmp_path / "out")
    cut_in_pixels(inputs / "bad_flt.fits")
    with pytest.raises(InputError):
        run(inputs / "*_flt.fits", out=tmp_path / "out")
    assert tree(tmp_path / "out") == before


def test_an_unusable_output_folder_raises_output_error(inputs: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        run(inputs / "good_flt.fits", out=folder_is_a_file(tmp_path))


# Configuration and usage.


def test_all_wrong_options_are_listed_with_status_2(
    inputs: Path, tmp_path: Path, staticmask: Run
) -> None:
    result = staticmask(
        inputs / "good_flt.fits",
        *("--static-sig", "-1", "--final-bits", "HOTT", "--group", "err,1", "-j", "1.5"),
        *("--prefix", "../x", "-o", "out"),
    )
    lines = refused(result, 2, count=5)
    for option in ("--static-sig", "--final-bits", "--group", "--jobs", "--prefix"):
        assert sum(f"error: {option}: " in line for line in lines) == 1
    assert names(tmp_path) == ["in"]


def test_messages_about_a_wrong_configuration_give_file_section_and_key(
    tmp_path: Path, staticmask: Run
) -> None:
    (tmp_path / "my.cfg").write_text(
        "inputs = x\n[STEP 1: STATIC MASK]\nstatic = perhaps\nstatic_sig = four\n"
        "[RUNNING]\njobs = -1\n[STATICMASKS]\n"
    )
    result = staticmask("-c", "my.cfg", STATICMASK_FINAL_BITS="3.5")
    lines = refused(result, 2, count=6)
    assert "error: my.cfg: inputs is not a known key; did you mean 'input'?" in lines[0]
    assert "error: my.cfg: [STATICMASKS] is not a known section" in lines[1]
    for place in (
        *("my.cfg: [STEP 1: STATIC MASK] static = ", "my.cfg: [STEP 1: STATIC MASK] static_sig = "),
        *("STATICMASK_FINAL_BITS: ", "my.cfg: [RUNNING] jobs = "),
    ):
        assert sum(place in line for line in lines) == 1, place
    assert names(tmp_path) == ["my.cfg"]


@pytest.mark.parametrize(
    ("content", "pieces"),
    [
        (b"static_sig 4\n", ["my.cfg, line 1: "]),
        (b"input = a\n[STEP 1: STATIC MASK\nstatic = True\n", ["my.cfg, line 2: "]),
        (b"input = caf\xe9\n", ["my.cfg", "UTF-8"]),
        (None, ["my.cfg", "No such file"]),
    ],
)
def test_the_message_about_an_unreadable_configuration_gives_file_and_line(
    content: bytes | None, pieces: list[str], tmp_path: Path, staticmask: Run
) -> None:
    if content is not None:
        (tmp_path / "my.cfg").write_bytes(content)
    refused(staticmask("-c", "my.cfg"), 2, *pieces)


@pytest.mark.parametrize("arguments", [["--no-such-option"], ["--static-sig"], ["-j"]])
def test_wrong_usage_has_status_2(arguments: list[str], staticmask: Run) -> None:
    result = staticmask(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert arguments[0] in result.stderr


def test_a_dq_bit_name_unknown_for_the_instrument_is_an_error(tmp_path: Path) -> None:
    path = simple(tmp_path / "x_flt.fits", [science(sky(1, SHAPE)), flags()], INSTRUME="NIRCAM")
    with pytest.raises(InputError, match=r"x_flt\.fits: SCI,1: final_bits"):
        run(path, out=tmp_path / "out", final_bits="HOT")


# Inputs are never opened for writing.


def archive(folder: Path) -> list[str]:
    """Write every kind of input to a folder, make all read-only, and return the arguments."""
    empty = [np.zeros((64, 80), "i2")]
    for row in ("acs_wfc", "stis_ccd"):
        instrument_exposure(folder, row, 1, flags=empty * 2)
    instrument_exposure(folder, "wfpc2", 1)
    simple(
        folder / "wfpc201_c1m.fits",
        [fits.ImageHDU(empty[0], name="SCI", ver=v) for v in (1, 2, 3, 4)],
        INSTRUME="WFPC2",
    )
    plain = instrument_exposure(folder, "acs_hrc", 1, flags=empty)
    (folder / "gzipped_flt.fits.gz").write_bytes(gzip.compress(plain.read_bytes()))
    scaled = simple(folder / "scaled_flt.fits", [science(np.round(sky(5)).astype("u2")), flags()])
    with fits.open(scaled, "update") as hdus:
        hdus[2].data = empty[0]
    member = instrument_exposure(folder, "acs_sbc", 1, flags=empty)
    member.rename(folder / "j8xi01abq_flt.fits")
    association(folder / "x_asn.fits", [("J8XI01ABQ", "EXP-DTH", True)])
    (folder / "list.txt").write_text(f"{folder}/gzipped_flt.fits.gz\n{folder}/scaled_flt.fits\n")
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)
    return [f"{folder}/*01_[fc][l0][tm].fits", f"{folder}/x_asn.fits", f"@{folder}/list.txt"]


# Runs the command with an audit hook that reports every path that is opened, with
# mode and flags, and every other change to a path.
WATCHED = """
import json, sys
folder = sys.argv.pop(1)
seen = []
CHANGES = {"os.remove", "os.rename", "os.truncate", "os.chmod", "os.chown", "os.utime", "os.link",
           "os.setxattr", "os.symlink", "os.rmdir", "os.mkdir"}
def hook(event, args):
    if (event == "open" or event in CHANGES) and folder in " ".join(map(str, args)):
        seen.append([event, *map(str, args)])
sys.addaudithook(hook)
from staticmask_cli.cli.main import main
try:
    main(sys.argv[1:])
finally:
    print(json.dumps(seen), file=sys.stderr)
"""


def test_inputs_are_neither_opened_for_writing_nor_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STATICMASK_INPUT", raising=False)
    folder = tmp_path / "in"
    folder.mkdir()
    entries = archive(folder)
    before = tree(folder)
    try:
        result = subprocess.run(
            [
                *(sys.executable, "-W", "error", "-c", WATCHED, folder, *entries),
                *("-o", tmp_path / "out", "--final-bits", "64,32", "-j", "2"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        assert tree(folder) == before, "contents, times and modes are unchanged"
    finally:
        folder.chmod(0o755)
    touched = json.loads(result.stderr.splitlines()[-1])
    opened = {Path(args[0]).name for event, *args in touched if event == "open"}
    read = {Path(name).name for name in before}
    assert opened == read, "not every input was read, so that the test proves nothing"
    for event, _, mode, how in touched:
        assert event == "open"
        assert not set(mode) & set("wax+")
        assert int(how) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND) == 0


def test_masks_may_be_written_to_the_folder_of_read_only_inputs(tmp_path: Path) -> None:
    # The folder is writable, the exposure is not.
    path = small(tmp_path / "x_flt.fits")
    path.chmod(0o444)
    content, before = path.read_bytes(), path.stat()
    run(path, out=tmp_path)
    assert path.read_bytes() == content
    after = path.stat()
    assert stat.S_IMODE(after.st_mode) == 0o444
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.skipif(AS_ROOT, reason="root can write everywhere")
def test_a_run_needs_only_read_permission(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    entries = archive(folder)
    try:
        with pytest.raises(PermissionError):
            (folder / "x").write_text("to check that the folder is read-only")
        assert len(run(*entries, out=tmp_path / "out", final_bits=0).masks) == 9
    finally:
        folder.chmod(0o755)
