"""The mask file: what is in it, that it is reproducible, and how it comes to be in its place."""

from __future__ import annotations

import io
import itertools
import os
import re
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from staticmask_cli import OutputError, __version__
from staticmask_cli.masks.fits_form import read_mask, write_mask
from staticmask_cli.statistics.sky import sky_statistics
from tests.support.makers import REAL, exposure, instrument_exposure, sky
from tests.support.runs import Run, constant, header, only, run, science, simple, small, tree

NAME = "ACSHRC_64x80_1_staticMask.fits"
LARGE = (400, 500)  # its mask of 400 kB does not fit into a buffer on the way to the disk


def two_exposures(folder: Path) -> list[Path]:
    """Write two exposures of one chip, with flags, and one that is empty."""
    paths = []
    for seed in (1, 2):
        flags = np.zeros((64, 80), "i2")
        flags[seed, :seed] = 16
        flags[10, :5] = 64
        paths.append(instrument_exposure(folder, "acs_hrc", seed, flags=[flags]))
    empty = folder / "empty_flt.fits"
    exposure(empty, [sky(3)], primary={"EXPTIME": 0.0}, flags=[np.zeros((64, 80), "i2")])
    return [*paths, empty]


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Return a mask of two exposures and one that was skipped."""
    report = run(*two_exposures(tmp_path / "in"), out=tmp_path / "out", final_bits="64,32")
    (mask,) = report.masks
    return Path(mask.path)


# What is in it.


def test_a_mask_is_a_primary_hdu_of_int16_with_1_for_good_and_0_for_bad(made: Path) -> None:
    with fits.open(made) as hdus:
        primary = hdus[0]
        assert primary.header["BITPIX"] == 16
        assert primary.data.dtype == np.dtype(">i2")
        assert primary.data.shape == (64, 80)
        assert set(np.unique(primary.data)) == {0, 1}
        assert "BSCALE" not in primary.header
        assert "BZERO" not in primary.header
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "EXPOSURES"]
    # As AstroDrizzle's readers take it: the first array of the file.
    assert fits.getdata(made).sum() == 64 * 80 - header(made)["NBAD"]


def test_the_header_records_identity_settings_and_counts(made: Path) -> None:
    head = header(made)
    standard = "SIMPLE", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "EXTEND", "CHECKSUM", "DATASUM"
    assert {key: head[key] for key in head if key not in standard} == {
        "CREATOR": f"staticmask {__version__}",
        "FILETYPE": "STATIC MASK",
        "NEXTEND": 1,
        "INSTRUME": "ACS",
        "DETECTOR": "HRC",
        "CHIP": 1,
        "XCORNER": 0,
        "YCORNER": 0,
        "BINAXIS1": 1,
        "BINAXIS2": 1,
        "BUNIT": "",
        "TELESCOP": "HST",
        "EXTVER": 1,
        "LTV1": 0.0,
        "LTV2": 0.0,
        "LTM1_1": 1.0,
        "LTM2_2": 1.0,
        "STATSIG": 4.0,
        "BACKGRND": "chip",
        "FINBITS": "64,32",
        "GROUP": "None",
        "INCEMPTY": False,
        "DUPLICAT": False,
        "MINEXPOS": 1,
        "NEXPOSUR": 2,
        "NCHIPS": 2,
        "NBAD": int((fits.getdata(made) == 0).sum()),
        "QCFAILED": "none",
        "NQCFAIL": 0,
    }
    assert all(card.comment for card in head.cards[head.index("CREATOR") :])
    assert isinstance(head["STATSIG"], float)


def test_without_final_bits_the_header_says_none(tmp_path: Path) -> None:
    (mask,) = run(small(tmp_path / "x_flt.fits"), out=tmp_path / "out").masks
    assert header(mask.path)["FINBITS"] == "None"


@pytest.mark.parametrize(
    "bits",
    [
        "1,2,4,8,16,32,64,128,256,512,1024,2048,4096,8192,16384,32768",
        "LOST+FILLED+BADPIX+MASKED+HOT+WARM+SATURATED+BADREF+TRAP+ATODSAT+CRDRIZ+CRREJ+UNSTABLE",
    ],
)
def test_long_final_bits_are_complete_in_the_header_without_warnings(
    bits: str, tmp_path: Path, staticmask: Run
) -> None:
    small(tmp_path / "x_flt.fits", flags=[np.zeros((16, 20), "i2")])
    result = staticmask("x_flt.fits", "--final-bits", bits)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert header(tmp_path / "ACSHRC_16x20_1_staticMask.fits")["FINBITS"] == bits


@pytest.mark.parametrize("sig", [3, 4.25, 1e-3, 1 / 3, 1e10])
def test_the_header_records_static_sig_to_the_last_bit(sig: float, tmp_path: Path) -> None:
    (mask,) = run(small(tmp_path / "x_flt.fits"), out=tmp_path / "out", static_sig=sig).masks
    assert header(mask.path)["STATSIG"] == sig


def test_the_table_has_a_row_for_each_chip_of_each_exposure(made: Path) -> None:
    with fits.open(made) as hdus:
        table = hdus["EXPOSURES"]
        assert dict(zip(table.columns.names, table.columns.formats, strict=True)) == {
            "FILE": "18A",
            "EXTVER": "J",
            "MODE": "D",
            "RMS": "D",
            "NBINS": "K",
            "LOCBACK": "D",
            "LOCNOISE": "D",
            "THRESH": "D",
            "LOWPIX": "K",
            "DQPIX": "K",
            "NPIX": "K",
            "LOWEST": "D",
            "MEDIAN": "D",
            "NOISE": "D",
            "NCLUST": "K",
            "UNIT": "1A",
            "DATE_OBS": "1A",
            "TARGET": "1A",
            "FILTER": "1A",
            "EXPTIME": "D",
            "CALIBRAT": "13A",
            "HEADHASH": "32A",
            "DATASUM": "1A",
            "PIXHASH": "32A",
            "USED": "L",
            "REASON": f"{max(map(len, table.data['REASON']))}A",
            "QCFAILED": "1A",
            "UNIQUE": "PJ(22)",
        }
        rows = table.data
        assert list(rows["FILE"]) == ["acs_hrc01_flt.fits", "acs_hrc02_flt.fits", "empty_flt.fits"]
        assert list(rows["EXTVER"]) == [1, 1, 1]
        assert list(rows["USED"]) == [True, True, False]
        assert [bool(reason) for reason in rows["REASON"]] == [False, False, True]
        for row, seed in zip(rows, (1000, 2000), strict=False):
            statistics = sky_statistics(sky(seed))
            assert row["MODE"] == statistics.mode
            assert row["RMS"] == statistics.rms
            assert row["NBINS"] == statistics.nbins
            assert np.isnan([row["LOCBACK"], row["LOCNOISE"]]).all()
            assert row["THRESH"] == statistics.mode - 4.0 * statistics.rms
            assert row["LOWPIX"] == (sky(seed) < row["THRESH"]).sum()
            assert row["NPIX"] == 64 * 80
            assert row["LOWEST"] == sky(seed).min()
            assert row["MEDIAN"] == np.median(sky(seed).astype("f8"))
        # 16 is bad, 64 counts as good.
        assert list(rows["DQPIX"]) == [1, 2, 0]
        assert np.isnan(rows["MODE"][2])
        for number in range(1, len(table.columns) + 1):
            assert table.header.comments[f"TTYPE{number}"]


def test_the_table_of_a_real_exposure_can_be_read_by_any_reader(tmp_path: Path) -> None:
    (mask,) = run(REAL, out=tmp_path / "out").masks
    rows = fits.getdata(mask.path, "EXPOSURES")
    assert [(r["FILE"], r["EXTVER"]) for r in rows] == [(REAL.name, 1), (REAL.name, 2)]
    assert [r["LOWPIX"] for r in rows] == [record.n_low for record in mask.chips]


def test_an_exposure_without_low_pixels_is_reported_with_its_reason(tmp_path: Path) -> None:
    path = simple(tmp_path / "x_flt.fits", [constant("SCI", 3.0, (16, 20))])
    (mask,) = run(path, out=tmp_path / "out").masks
    (row,) = fits.getdata(mask.path, 1)
    assert not row["USED"]
    assert row["REASON"]
    assert row["NBINS"] == 1
    assert header(mask.path)["NEXPOSUR"] == 0


def test_every_hdu_passes_astropys_verification_and_both_checksums(made: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with made.open("rb") as file, fits.open(file, checksum=True) as hdus:
            hdus.verify("exception")
            for hdu in hdus:
                assert hdu.verify_checksum() == 1
                assert hdu.verify_datasum() == 1
                assert "CHECKSUM" in hdu.header
                assert "DATASUM" in hdu.header
    assert made.stat().st_size % 2880 == 0


def test_masks_written_by_many_threads_at_once_have_the_same_bytes(made: Path) -> None:
    # Parts of NumPy and astropy that parse formats are not thread-safe in Python 3.11.
    mask = read_mask(made)

    def written(_: int) -> bytes:
        file = io.BytesIO()
        write_mask(mask, file)
        return file.getvalue()

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(written, range(200))) == {written(0)}


def test_a_changed_pixel_breaks_the_checksum(made: Path) -> None:
    # So that the test above says something.
    content = bytearray(made.read_bytes())
    with fits.open(made) as hdus:
        content[hdus[0].fileinfo()["datLoc"] + 101] ^= 1
    made.write_bytes(content)
    with (
        pytest.warns(fits.verify.AstropyUserWarning, match="Checksum|Datasum"),
        made.open("rb") as file,
        fits.open(file, checksum=True) as hdus,
    ):
        hdus.readall()


def test_the_file_depends_on_neither_time_nor_folder(made: Path, tmp_path: Path) -> None:
    content = made.read_bytes()
    assert str(tmp_path).encode() not in content
    with fits.open(made) as hdus:
        for hdu in hdus:
            for card in hdu.header.cards:
                assert "DATE" not in card.keyword
                assert not re.search(r"\d{4}-\d\d-\d\d|\d\d:\d\d", f"{card.value} {card.comment}")


# Reproducible to the byte.


def test_equal_inputs_give_equal_bytes_in_every_order(tmp_path: Path) -> None:
    paths = two_exposures(tmp_path / "in")
    contents = set()
    for number, order in enumerate(itertools.permutations(paths)):
        report = run(*order, out=tmp_path / f"out{number}", final_bits=0)
        contents.add(Path(report.masks[0].path).read_bytes())
    assert len(contents) == 1


def test_the_order_of_exposures_with_the_same_name_does_not_matter(tmp_path: Path) -> None:
    paths = [small(tmp_path / f"night{n}/x_flt.fits", n) for n in (1, 2, 3)]
    first, second = (
        Path(run(*order, out=tmp_path / str(i)).masks[0].path).read_bytes()
        for i, order in enumerate((paths, paths[::-1]))
    )
    assert first == second


def test_equal_inputs_give_equal_bytes_for_any_number_of_jobs_and_any_executor(
    tmp_path: Path,
) -> None:
    for row in ("acs_wfc", "stis_ccd"):
        for seed in range(1, 5):
            instrument_exposure(tmp_path / "in", row, seed)
    entry = tmp_path / "in/*_flt.fits"
    run(entry, out=tmp_path / "jobs1", jobs=1)
    wanted = {p.name: p.read_bytes() for p in (tmp_path / "jobs1").iterdir()}
    assert len(wanted) == 3
    for jobs in (0, 2, 7):
        run(entry, out=tmp_path / f"jobs{jobs}", jobs=jobs)
    with ThreadPoolExecutor(3) as threads:
        run(entry, out=tmp_path / "threads", executor=threads)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        run(entry, out=tmp_path / "processes", executor=processes)
    for folder in ("jobs0", "jobs2", "jobs7", "threads", "processes"):
        assert {p.name: p.read_bytes() for p in (tmp_path / folder).iterdir()} == wanted


def test_bytes_depend_neither_on_the_output_folder_nor_on_how_inputs_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small(Path("in/x_flt.fits"))
    made = [
        run("in/x_flt.fits", out=Path("a")),
        run(tmp_path / "in/*.fits", out=tmp_path / "deep/er/b"),
        run("./in/../in/x_flt.fits", out=Path("in")),
    ]
    assert len({Path(r.masks[0].path).read_bytes() for r in made}) == 1


def test_settings_that_do_not_touch_pixels_do_not_hide_in_the_bytes(tmp_path: Path) -> None:
    path = small(tmp_path / "x_flt.fits")
    plain = run(path, out=tmp_path / "a").masks[0].path
    prefixed = run(path, out=tmp_path / "b", prefix="combo", jobs=2).masks[0].path
    assert Path(plain).read_bytes() == Path(prefixed).read_bytes()
    other = run(path, out=tmp_path / "c", static_sig=4.5).masks[0].path
    assert Path(plain).read_bytes() != Path(other).read_bytes()


# How it comes to be in its place.


def test_the_output_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    path = small(tmp_path / "x_flt.fits")
    (mask,) = run(path, out=tmp_path / "a/b/c").masks
    assert [p.name for p in (tmp_path / "a/b/c").iterdir()] == [Path(mask.path).name]


def test_a_run_leaves_nothing_but_its_masks(made: Path, tmp_path: Path) -> None:
    assert [p.name for p in made.parent.iterdir()] == [made.name]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out"]


def test_a_dry_run_writes_nothing_and_names_what_would_be_written(tmp_path: Path) -> None:
    paths = two_exposures(tmp_path / "in")
    before = tree(tmp_path)
    report = run(*paths, out=tmp_path / "out", dry_run=True)
    assert tree(tmp_path) == before
    assert [m.path for m in report.masks] == [
        m.path for m in run(*paths, out=tmp_path / "out").masks
    ]


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_the_umask_is_respected(mask: int, tmp_path: Path, staticmask: Run) -> None:
    small(tmp_path / "x_flt.fits")
    old = os.umask(mask)
    try:
        assert staticmask("x_flt.fits", "-o", "out").returncode == 0
    finally:
        os.umask(old)
    folder = tmp_path / "out"
    assert folder.stat().st_mode & 0o777 == 0o777 & ~mask
    (path,) = folder.iterdir()
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask


# Runs the command with a limit on the size of the files it may write.
LIMITED = """
import resource, sys
limit = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
from staticmask_cli.cli.main import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize(("limit", "failures"), [(3000, 2), (100_000, 1)])
def test_a_write_that_fails_leaves_the_old_masks_and_nothing_else(
    limit: int, failures: int, tmp_path: Path
) -> None:
    # Two masks, of which the first fits into the largest limit.
    exposure(tmp_path / "in/a_flt.fits", [sky(1, (16, 20))])
    exposure(tmp_path / "in/b_flt.fits", [sky(2, LARGE)])
    out = tmp_path / "out"
    run(tmp_path / "in/*", out=out, static_sig=5)
    before = tree(out)
    result = subprocess.run(
        [
            *(sys.executable, "-B", "-W", "error", "-c", LIMITED, str(limit)),
            *(tmp_path / "in/*", "-o", out),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == failures, result.stderr
    for line in lines:
        assert re.match(r"staticmask: error: .*_staticMask\.fits: .*File too large", line)
    assert tree(out) == before


def test_a_write_that_fails_makes_no_mask_where_there_was_none(tmp_path: Path) -> None:
    exposure(tmp_path / "in/b_flt.fits", [sky(2, LARGE)])
    result = subprocess.run(
        [
            *(sys.executable, "-B", "-W", "error", "-c", LIMITED, "100000"),
            *(tmp_path / "in/*", "-o", tmp_path / "out"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert not list(tmp_path.rglob("*taticMask*"))


def test_a_target_that_is_a_folder_stops_the_run_before_any_mask_is_replaced(
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    path = instrument_exposure(tmp_path, "acs_wfc", 1)
    first, second = (Path(m.path) for m in run(path, out=out, static_sig=5).masks)
    second.unlink()
    second.mkdir()
    (second / "file").write_text("x")
    before = tree(out)
    with pytest.raises(OutputError, match=second.name):
        run(path, out=out)
    assert tree(out) == before
    assert first.exists()


def test_readers_see_the_old_mask_or_the_new_one_at_every_moment(tmp_path: Path) -> None:
    path = exposure(tmp_path / "x_flt.fits", [sky(1, LARGE)])
    target = Path(run(path, out=tmp_path / "out").masks[0].path)
    whole = {target.read_bytes()}
    run(path, out=tmp_path / "out", static_sig=5)
    whole.add(target.read_bytes())
    assert len(whole) == 2
    done = threading.Event()
    seen: set[bytes] = set()

    def watch() -> None:
        while not done.is_set():
            seen.add(target.read_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for number in range(20):
            run(path, out=tmp_path / "out", static_sig=4 + number % 2)
    finally:
        done.set()
        watcher.join()
    assert seen
    assert seen <= whole


def test_an_open_mask_stays_what_it_was_when_it_is_replaced(tmp_path: Path) -> None:
    path = small(tmp_path / "x_flt.fits")
    target = Path(run(path, out=tmp_path / "out").masks[0].path)
    old = target.read_bytes()
    with target.open("rb") as file:
        run(path, out=tmp_path / "out", static_sig=1)
        assert file.read() == old
    assert target.read_bytes() != old


def test_runs_at_the_same_time_do_not_get_in_each_others_way(tmp_path: Path) -> None:
    # Of one process, too: a script may call create_masks from several threads.
    path = exposure(tmp_path / "x_flt.fits", [sky(1, LARGE)])
    target = Path(run(path, out=tmp_path / "out").masks[0].path)
    wanted = target.read_bytes()
    with ThreadPoolExecutor(4) as threads:
        futures = [threads.submit(run, path, out=tmp_path / "out", jobs=1) for _ in range(24)]
        for future in futures:
            future.result()
    assert target.read_bytes() == wanted
    assert [p.name for p in target.parent.iterdir()] == [target.name]


def test_a_target_that_is_a_link_to_a_mask_is_replaced_not_followed(tmp_path: Path) -> None:
    path = small(tmp_path / "x_flt.fits")
    elsewhere = Path(run(path, out=tmp_path / "archive").masks[0].path)
    before = elsewhere.read_bytes()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / elsewhere.name).symlink_to(elsewhere)
    run(path, out=tmp_path / "out", static_sig=1)
    assert elsewhere.read_bytes() == before


# The result lines.


def test_result_lines_agree_with_header_and_pixels(tmp_path: Path, staticmask: Run) -> None:
    for seed in (1, 2):
        flags = [np.eye(64, 80, dtype="i2") * 4] * 2
        instrument_exposure(tmp_path, "acs_wfc", seed, flags=flags)
    instrument_exposure(tmp_path, "stis_ccd", 1, flags=flags)
    result = staticmask("*_flt.fits", "-o", "out", "--final-bits", "0")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert len(lines) == 3
    assert lines == sorted(lines)
    for line in lines:
        # As awk splits it.
        path, share, percent, exposures = line.split()
        assert line == f"{path}  {share}  {percent}  {exposures}"
        mask, head = fits.getdata(tmp_path / path), header(tmp_path / path)
        bad = int((mask == 0).sum())
        assert bad >= 64
        assert share == f"{bad}/{mask.size}"
        assert head["NBAD"] == bad
        assert percent == f"{100 * bad / mask.size:.4f}"
        assert int(exposures) == head["NEXPOSUR"] == (1 if "STIS" in path else 2)
        rows = fits.getdata(tmp_path / path, 1)
        assert head["NCHIPS"] == rows["USED"].sum() == 2


def test_a_mask_without_a_bad_pixel_is_written_and_reported(
    tmp_path: Path, staticmask: Run
) -> None:
    simple(tmp_path / "x_flt.fits", [science(sky(1, (16, 20), low=0, high=0))])
    result = staticmask("x_flt.fits")
    assert result.stdout == "./ACSHRC_16x20_1_staticMask.fits  0/320  0.0000  1\n"
    assert fits.getdata(tmp_path / "ACSHRC_16x20_1_staticMask.fits").all()


def test_standard_output_is_empty_with_quiet(tmp_path: Path, staticmask: Run) -> None:
    small(tmp_path / "x_flt.fits")
    result = staticmask("-q", "x_flt.fits", "-o", "out")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_the_reports_numbers_are_the_files(tmp_path: Path) -> None:
    report = run(*two_exposures(tmp_path / "in"), out=tmp_path / "out")
    (mask,) = report.masks
    assert mask.bad == (only(report) == 0).sum() == header(mask.path)["NBAD"]
    assert mask.total == 64 * 80
    assert mask.exposures == 2
    assert mask.read().dtype == np.int16
