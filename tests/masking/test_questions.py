"""What can be asked in place of a run: sweep, explain and compare. Nothing is written."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from jsonschema import validate

from staticmask_cli import (
    ConfigError,
    InputError,
    compare,
    create_masks,
    explain,
    sweep,
)
from staticmask_cli.config.merging import merge
from staticmask_cli.exposures import pixels
from staticmask_cli.exposures.headers import ImageArray
from staticmask_cli.exposures.instruments import DQ_BITS, flag_names
from staticmask_cli.masking import explain as explaining
from staticmask_cli.masking import sweep as sweeping
from staticmask_cli.reports.summary import SCHEMA_FILE
from staticmask_cli.settings import MinExposures
from staticmask_cli.statistics.chance import bad_by_chance, low_probability
from tests.support.makers import DATA, REAL, exposure, instrument_exposure, sky
from tests.support.runs import Run, small, tree

STIS = "STISCCD_256x256_1_staticMask.fits"
HRC = "ACSHRC_64x80_1_staticMask.fits"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with three exposures of two chips each."""
    for seed in (1, 2, 3):
        flags = [np.eye(64, 80, seed, "i2") * 16] * 2
        instrument_exposure(tmp_path, "acs_wfc", seed, flags=flags)
    return tmp_path


def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that grows by the name of every array that is read."""
    found: list[str] = []
    original = pixels.read

    def read(array: ImageArray) -> np.ndarray:
        found.append(f"{Path(array.path).name} {array.name}")
        return original(array)

    monkeypatch.setattr(pixels, "read", read)
    return found


# Sweep.


@pytest.mark.parametrize("options", [{}, {"final_bits": "0"}, {"min_exposures": 2}])
def test_a_sweep_counts_as_runs_at_each_sigma_do(options: dict, folder: Path, tmp_path) -> None:
    sigmas = [3, 3.5, 4, 5, 6]
    rows = sweep(folder / "*flt.fits", sigmas, **options)
    assert [row.static_sig for row in rows] == sigmas * 2
    for row in rows:
        masks = create_masks(
            folder / "*flt.fits", static_sig=row.static_sig, output_dir=tmp_path / "m", **options
        ).masks
        (mask,) = [m for m in masks if Path(m.path).name == row.mask]
        assert (row.bad, row.total, row.identity) == (mask.bad, mask.total, mask.identity)
        votes = MinExposures.of(options.get("min_exposures", 1))
        assert row.expected == bad_by_chance({3: 64 * 80}, row.static_sig, votes)


def test_a_sweep_reads_each_exposure_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = reads(monkeypatch)
    sweep(folder / "*flt.fits", [3, 4, 5])
    assert len(read) == len(set(read)) == 6


def test_the_command_prints_a_sweep_and_writes_nothing(staticmask: Run, folder: Path) -> None:
    before = tree(folder)
    result = staticmask("sweep", "*flt.fits", "--sigmas", "3, 4.50", "-m", "0.5")
    assert (result.returncode, result.stderr) == (0, "")
    heading, *lines = result.stdout.splitlines()
    assert heading == "# mask  static_sig  bad/total  percent  expected  percent"
    cells = [line.split() for line in lines]
    assert [c[:2] for c in cells] == [
        [f"ACSWFC_64x80_{n}_staticMask.fits", sigma] for n in (1, 2) for sigma in ("3", "4.5")
    ]
    for _, _, bad, percent, expected, expected_percent in cells:
        assert float(percent) == round(100 * int(bad.removesuffix("/5120")) / 5120, 4)
        assert float(expected_percent) == pytest.approx(float(expected) / 51.2, abs=1e-3)  # rounded
    assert tree(folder) == before


def test_noise_alone_is_what_a_sky_of_noise_alone_has(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    paths = [
        exposure(tmp_path / f"n{n}_flt.fits", [rng.normal(40, 6, (512, 512)).astype("f4")])
        for n in range(4)
    ]
    for votes in (1, 2):
        for row in sweep(paths, [2, 2.5, 3], min_exposures=votes):
            # Five times the scatter of a count; and the mode is off by some
            # 0.03 rms, which moves a count by some 10 % of itself and of its root.
            margin = 5 * row.expected**0.5 + 0.1 * votes * row.expected
            assert abs(row.bad - row.expected) < margin, row


# Explain.


def test_an_explanation_lists_every_exposure_of_every_mask(folder: Path) -> None:
    place = (12, 11)  # on the diagonal of the first exposure's flags
    first, second = explain(folder / "*flt.fits", x=12, y=11, final_bits="0", static_sig=3)
    assert [first.mask, second.mask] == [f"ACSWFC_64x80_{n}_staticMask.fits" for n in (1, 2)]
    masks = create_masks(
        folder / "*flt.fits", final_bits="0", static_sig=3, output_dir=folder / "m"
    ).masks
    for explanation, mask in zip((first, second), masks, strict=True):
        assert explanation.place == place
        assert explanation.is_bad == (mask.read()[10, 11] == 0)
        for told, record in zip(explanation.chips, mask.chips, strict=True):
            assert (told.file, told.extver) == (record.file, record.extver)
            assert (told.background, told.noise) == (record.mode, record.rms)
            assert told.threshold == record.threshold
            array = fits.getdata(folder / told.file, ("SCI", told.extver))
            assert told.value == array[10, 11]
            assert told.sigmas_below == (told.background - told.value) / told.noise
            flags = fits.getdata(folder / told.file, ("DQ", told.extver))
            assert told.dq == flags[10, 11]
            assert told.flagged == (told.dq != 0)
    assert [chip.dq_names for chip in first.chips] == [("HOT",), (), ()]


def test_flags_are_reported_even_if_they_do_not_count(staticmask: Run, folder: Path) -> None:
    before = tree(folder)
    result = staticmask(
        *("explain", "*flt.fits", "--pixel", "12,11", "--pixel", "1,1", "--group", "sci,1")
    )
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == (
        "ACSWFC_64x80_1_staticMask.fits  12,11  good  bad in 0 of 3 SCI extensions, 1 needed"
    )
    assert lines[1].startswith("  acs_wfc01_flt.fits SCI,1: good  value ")
    assert lines[1].endswith("  DQ 16 HOT")
    assert lines[2].endswith("  DQ 0")
    assert lines[4].startswith("ACSWFC_64x80_1_staticMask.fits  1,1  ")
    assert tree(folder) == before


def test_explanations_of_odd_pixels(tmp_path: Path) -> None:
    pixels = sky(1)
    pixels[4, 3] = np.nan
    pixels[5, 3] = -1e4
    a = exposure(tmp_path / "a_flt.fits", [pixels], errors=False)
    b = exposure(tmp_path / "b_flt.fits", [np.full((64, 80), 3, "i2")], errors=False)
    (told,) = explain([a, b], x=4, y=5)
    assert [chip.state() for chip in told.chips] == ["not finite", "no sky"]
    assert (told.count, told.coverage, told.is_bad) == (0, 0, False)
    (told,) = explain([a, b], x=4, y=6)
    assert [chip.state() for chip in told.chips] == ["low", "no sky"]
    assert all(chip.dq is None for chip in told.chips)
    assert told.is_bad


def test_masks_that_do_not_contain_a_pixel_are_reported(staticmask: Run, tmp_path: Path) -> None:
    small(tmp_path / "a_flt.fits")
    exposure(tmp_path / "b_flt.fits", [sky(1)])
    result = staticmask("explain", "*flt.fits", "--pixel", "80,64")
    assert result.returncode == 0
    assert (
        "ACSHRC_16x20_1_staticMask.fits  80,64  outside: the mask has 20 columns and 16 rows"
        in (result.stdout)
    )
    result = staticmask("explain", "*flt.fits", "--pixel", "81,64")
    assert result.returncode == 1
    assert result.stderr == "staticmask: error: pixel 81,64: is outside all chips\n"


@pytest.mark.parametrize("instrument", DQ_BITS)
def test_every_flag_has_the_name_that_final_bits_reads(instrument: str) -> None:
    for bit in DQ_BITS[instrument].values():
        (name,) = flag_names(bit, instrument)
        assert DQ_BITS[instrument][name] == bit
    named = {name for name in flag_names(-1, instrument) if not name.isdigit()}
    assert {DQ_BITS[instrument][name] for name in named} == set(DQ_BITS[instrument].values())
    assert len(flag_names(-1, instrument)) == 16
    assert flag_names(0, instrument) == ()
    assert flag_names(-32768, "NIRCAM") == ("32768",)


# Compare.


def changed(path: Path) -> None:
    """Make the three first pixels bad and two others good."""
    with fits.open(path) as hdus:
        mask = hdus[0].data
        mask[0, :3] = 0
        good = np.argwhere(mask[1:] == 0)[:2]
        mask[1 + good[:, 0], good[:, 1]] = 1
        bare = fits.PrimaryHDU(mask)
    bare.writeto(path, overwrite=True)  # as DrizzlePac's: a mask and nothing else


def test_masks_are_compared_with_what_the_exposures_give(staticmask: Run, folder: Path) -> None:
    masks = create_masks(folder / "*flt.fits", output_dir=folder / "old").masks
    assert staticmask("*flt.fits", "-o", "old").returncode == 0
    before = tree(folder)
    result = staticmask("compare", "old", "*flt.fits")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "".join(
        f"ACSWFC_64x80_{n}_staticMask.fits  +0  -0  {m.bad}  {m.bad}\n"
        for n, m in enumerate(masks, 1)
    )
    assert tree(folder) == before
    changed(folder / "old" / "ACSWFC_64x80_2_staticMask.fits")
    before = tree(folder)
    result = staticmask("compare", "old", "*flt.fits", "-v")
    bad = masks[1].bad
    assert result.returncode == 1
    assert f"ACSWFC_64x80_2_staticMask.fits  +2  -3  {bad + 1}  {bad}\n" in result.stdout
    columns = [line.split() for line in result.stdout.splitlines() if line.startswith("  column")]
    assert {"1", "2", "3"} <= {cells[1] for cells in columns}
    assert sum(int(cells[2]) for cells in columns) == 2
    assert sum(int(cells[3]) for cells in columns) == -3
    assert tree(folder) == before
    for old in ("ACSWFC_64x80_2_staticMask.fits", "ACSWFC_64x80_1_staticMask.fits"):
        result = staticmask("compare", f"old/{old}", "*flt.fits", "-q")
        assert (result.returncode, result.stdout, result.stderr) == (int("_2_" in old), "", "")


def test_masks_are_compared_with_masks(staticmask: Run, folder: Path) -> None:
    create_masks(folder / "*flt.fits", output_dir=folder / "old")
    shutil.copytree(folder / "old", folder / "new")
    assert staticmask("compare", "old", "new").returncode == 0
    assert staticmask("compare", "old", "new/*_staticMask.fits").returncode == 0
    changed(folder / "new" / "ACSWFC_64x80_1_staticMask.fits")
    result = staticmask("compare", "old", "new/ACSWFC_64x80_1_staticMask.fits")
    assert result.returncode == 1
    assert "ACSWFC_64x80_1_staticMask.fits  +3  -2" in result.stdout
    assert "ACSWFC_64x80_2_staticMask.fits  only old" in result.stdout
    (folder / "old" / "ACSWFC_64x80_1_staticMask.fits").unlink()
    result = staticmask("compare", "old", "new")
    assert result.returncode == 1
    assert "ACSWFC_64x80_1_staticMask.fits  only new" in result.stdout


def test_masks_are_paired_regardless_of_their_names(staticmask: Run, tmp_path: Path) -> None:
    for name, corner in (("s0", 0.0), ("s1", -100.0)):
        exposure(tmp_path / f"{name}_flt.fits", [sky(1)], chips=[{"LTV1": corner}], errors=False)
    for folder, order in (("x", "10"), ("y", "01")):
        for number in order:  # the second one gets a longer name
            create_masks(tmp_path / f"s{number}_flt.fits", output_dir=tmp_path / folder)
    result = staticmask("compare", "y", "x")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.count("  +0  -0  ") == 2
    result = staticmask("compare", "y", "s1_flt.fits", "-o", "elsewhere")
    assert result.returncode == 1
    assert result.stdout.count("  only old  ") == 1


def test_a_pattern_names_all_older_masks_and_gzipped_ones_too(
    staticmask: Run, folder: Path
) -> None:
    create_masks(folder / "*flt.fits", output_dir=folder / "old")
    for path in sorted((folder / "old").iterdir()):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    for old in ("old", "old/*_staticMask.fits.gz", "$PWD/old"):
        result = staticmask("compare", old, "*flt.fits", PWD=str(folder))
        assert (result.returncode, result.stderr) == (0, ""), old
        assert result.stdout.count("\n") == 2
    result = staticmask("compare", "old", "old", "--static-sig", "3")
    assert result.returncode == 2
    assert "--static-sig cannot be used to compare masks with masks" in result.stderr


def test_masks_with_the_same_name_are_compared_one_folder_at_a_time(
    staticmask: Run, folder: Path
) -> None:
    for out in ("a", "b"):
        create_masks(folder / "*flt.fits", output_dir=folder / out)
    result = staticmask("compare", "a", "a", "b")
    assert result.returncode == 2
    assert "ACSWFC_64x80_1_staticMask.fits: is the name of several masks" in result.stderr


def test_a_pipe_is_not_a_mask(staticmask: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p_staticMask.fits")
    small(tmp_path / "a_flt.fits")
    for arguments in (
        ["compare", "p_staticMask.fits", "a_flt.fits"],
        ["recount", "p_staticMask.fits", "-m", "2"],
    ):
        result = staticmask(*arguments)
        assert result.returncode in (1, 2)
        assert result.stderr.count("\n") == 1


def test_only_ten_columns_are_listed_unless_all_are_requested(
    staticmask: Run, tmp_path: Path
) -> None:
    exposure(tmp_path / "a_flt.fits", [sky(1, low=100)])
    create_masks(tmp_path / "a_flt.fits", output_dir=tmp_path / "m")
    short = staticmask("compare", "m", "a_flt.fits", "--static-sig", "40").stdout.splitlines()
    every = staticmask("compare", "m", "a_flt.fits", "--static-sig", "40", "-v").stdout
    assert len(short) == 12
    columns = every.count("  column")
    assert short[-1] == f"  and {columns - 10} more columns (all with -v)"
    (difference,) = compare(tmp_path / "a_flt.fits", old=tmp_path / "m", static_sig=40)
    assert difference.lost.sum() == difference.old - difference.new > 0
    assert np.count_nonzero(difference.lost) == columns


def as_astrodrizzles(folder: Path, to: Path, root: str) -> None:
    """Copy masks as AstroDrizzle writes and names them: without an identity."""
    to.mkdir(exist_ok=True)
    for path in sorted(folder.iterdir()):
        name = re.sub(r"^[^_]*", root, path.name)
        fits.PrimaryHDU(fits.getdata(path)).writeto(to / name)


def test_astrodrizzles_masks_are_paired_by_shape_and_number(staticmask: Run, folder: Path) -> None:
    small(folder / "a_flt.fits")  # of another detector
    create_masks(folder / "*flt.fits", output_dir=folder / "ours")
    as_astrodrizzles(folder / "ours", folder / "theirs", "j8c0_d1f")
    changed(folder / "theirs" / "j8c0_d1f_64x80_2_staticMask.fits")
    for inputs in ("*flt.fits", "ours"):
        result = staticmask("compare", "theirs", inputs)
        assert (result.returncode, result.stderr) == (1, "")
        told = [line for line in result.stdout.splitlines() if line[0] != " "]
        assert [" ".join(line.split()[:3]) for line in told] == [
            "ACSHRC_16x20_1_staticMask.fits +0 -0",
            "ACSWFC_64x80_1_staticMask.fits +0 -0",
            "ACSWFC_64x80_2_staticMask.fits +2 -3",
        ]
    for number, status in ((1, 0), (2, 1)):
        old = f"theirs/j8c0_d1f_64x80_{number}_staticMask.fits"
        assert staticmask("compare", old, "*flt.fits", "-q").returncode == status
    assert staticmask("compare", "ours", "theirs").stdout.count("only") == 0


def test_what_could_be_paired_in_two_ways_is_not(staticmask: Run, folder: Path) -> None:
    create_masks(folder / "*flt.fits", output_dir=folder / "ours")
    for root in ("first", "other"):
        as_astrodrizzles(folder / "ours", folder / "theirs", root)
    (folder / "theirs" / "other_64x80_2_staticMask.fits").unlink()
    result = staticmask("compare", "theirs", "ours")
    assert result.returncode == 1
    told = [line.split()[:3] for line in result.stdout.splitlines()]
    assert told == [
        ["ACSWFC_64x80_1_staticMask.fits", "only", "new"],
        ["ACSWFC_64x80_2_staticMask.fits", "+0", "-0"],
        ["first_64x80_1_staticMask.fits", "only", "old"],
        ["other_64x80_1_staticMask.fits", "only", "old"],
    ]


@pytest.mark.parametrize("whose", ["ours", "astrodrizzle"])
@pytest.mark.parametrize("part", ["half", "trailer", "checksum"])
def test_a_damaged_gzip_cannot_be_compared_with(
    staticmask: Run, tmp_path: Path, whose: str, part: str
) -> None:
    path = tmp_path / "m" / "ACSHRC_64x80_1_staticMask.fits"
    exposure(tmp_path / "a_flt.fits", [sky(1)])
    create_masks(tmp_path / "a_flt.fits", output_dir=tmp_path / "m")
    if whose == "astrodrizzle":
        fits.PrimaryHDU(fits.getdata(path)).writeto(path, overwrite=True)
    packed = gzip.compress(path.read_bytes())
    path.with_name(f"{path.name}.gz").write_bytes(
        {
            "half": packed[: len(packed) * 4 // 5],
            "trailer": packed[:-4],
            "checksum": packed[:-8] + bytes(4) + packed[-4:],
        }[part]
    )
    path.unlink()
    for arguments in (["compare", "m", "a_flt.fits"], ["compare", "m", "m"]):
        result = staticmask(*arguments)
        assert result.returncode == 2
        assert all(f"{path.name}.gz: " in line for line in result.stderr.splitlines())


@pytest.mark.parametrize(
    "where", ["compare.StaticMask.read", "measure.find_bad_pixels", "make.plan_masks"]
)
def test_a_comparison_without_memory_is_trouble(where: str, folder: Path) -> None:
    create_masks(folder / "*flt.fits", output_dir=folder / "m")
    module, name = where.split(".", 1)
    code = (
        "from staticmask_cli.cli.main import main\n"
        f"from staticmask_cli.masking import {module}\n"
        "def fails(*_, **__):\n    raise MemoryError\n"
        f"{module}.{name} = fails\nmain()"
    )
    command = [sys.executable, "-c", code, "compare", "m", "*flt.fits"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "memory" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_comparison_whose_summary_cannot_be_written_is_trouble(
    staticmask: Run, folder: Path
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("asks Linux's /dev/full")
    create_masks(folder / "*flt.fits", output_dir=folder / "m")
    result = staticmask("compare", "m", "*flt.fits", "--summary", "/dev/full")
    assert result.returncode == 2


@pytest.mark.parametrize("sig", ["3.0", "4.0"])
def test_our_masks_are_drizzlepacs(sig: str, staticmask: Run, tmp_path: Path) -> None:
    shutil.copy(DATA / f"STISCCD_256x256_1_sig{sig}.fits.gz", tmp_path / "old.fits.gz")
    result = staticmask("compare", "old.fits.gz", REAL, "--static-sig", sig)
    assert (result.returncode, result.stderr) == (0, "")
    assert "  +0  -0  " in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["compare", "gone", "a_flt.fits"], "gone: file not found"),
        (["compare", "a_flt.fits", "a_flt.fits"], "not a static mask"),
        (["compare", "empty", "a_flt.fits"], "this folder contains no masks"),
        (["compare", "", "a_flt.fits"], "OLD is empty"),
        (["compare", "m", "gone.fits"], "gone.fits: file not found"),
        (["compare", "other", "a_flt.fits"], "differ in shape: 16x20 and 64x80"),
        (["compare", "m", "a_flt.fits", "--update"], "No such option '--update'"),
        (["compare", "m", "sweep", "a_flt.fits"], "'sweep' must be the first word"),
    ],
)
def test_trouble_is_exit_status_2(
    arguments: list[str], said: str, staticmask: Run, tmp_path: Path
) -> None:
    small(tmp_path / "a_flt.fits")
    create_masks(tmp_path / "a_flt.fits", output_dir=tmp_path / "m")
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    ones = fits.PrimaryHDU(np.ones((64, 80), "i2"))
    ones.writeto(tmp_path / "other" / "ACSHRC_16x20_1_staticMask.fits")
    result = staticmask(*arguments)
    assert result.returncode == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_the_mask_of_another_region_is_trouble(tmp_path: Path) -> None:
    chips = [{"LTV1": -512.0}]
    create_masks(
        exposure(tmp_path / "a_flt.fits", [sky(1)], chips=chips), output_dir=tmp_path / "m"
    )
    here = exposure(tmp_path / "b_flt.fits", [sky(1)])
    with pytest.raises(InputError, match="the old mask belongs to ACSHRC 64x80 chip 1 from x 512"):
        compare(here, old=tmp_path / "m" / HRC)


# All of them.


@pytest.mark.parametrize("place", ["first", "last"])
def test_progress_counts_every_exposure_once_also_one_that_fails(
    place: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    bad = {"first": "a_flt.fits", "last": "z_flt.fits"}[place]
    Path(bad).write_bytes(b"no")
    settings = merge(
        flags={"input": ("*flt.fits", "x"), "keep_going": (True, "x"), "jobs": (1, "x")}
    ).settings
    for answered in (
        lambda progress: sweeping.sweep(settings, [4.0], progress=progress),
        lambda progress: explaining.explain(settings, [(1, 1)], progress=progress),
    ):
        calls: list[tuple[int, int]] = []
        answered(lambda done, total, calls=calls: calls.append((done, total)))
        assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize(
    "question", [["sweep", "--sigmas", "3"], ["explain", "--pixel", "1,1"], ["compare", "m"]]
)
def test_questions_list_all_problems_and_may_keep_going(
    question: list[str], staticmask: Run, folder: Path
) -> None:
    create_masks(folder / "acs_wfc01_flt.fits", output_dir=folder / "m")
    (folder / "bad_flt.fits").write_bytes(b"no")
    before = tree(folder)
    result = staticmask(*question, "*flt.fits", "gone.fits")
    assert result.returncode == (2 if question[0] == "compare" else 1)
    assert len(result.stderr.splitlines()) == 2
    assert "bad_flt.fits" in result.stderr
    assert "gone.fits" in result.stderr
    result = staticmask(*question, "acs_wfc01_flt.fits", "bad_flt.fits", "-k")
    # A comparison ends as diff does.
    assert result.returncode == (0 if question[0] == "compare" else 3)
    assert result.stderr.endswith("; skipped\n")
    assert result.stdout
    assert tree(folder) == before


@pytest.mark.parametrize(
    ("question", "keys"),
    [
        (["sweep", "--sigmas", "3"], {"static_sig", "bad", "total", "expected", "identity"}),
        (["explain", "--pixel", "1,1"], {"place", "chips", "count", "coverage", "is_bad"}),
        (["compare", "m"], {"old", "new", "gained", "lost", "columns"}),
    ],
)
def test_answers_are_in_the_summary(
    question: list[str], keys: set[str], staticmask: Run, folder: Path
) -> None:
    create_masks(folder / "acs_wfc01_flt.fits", output_dir=folder / "m")
    result = staticmask(*question, "acs_wfc01_flt.fits", "--summary", "-")
    document = json.loads(result.stdout)
    validate(document, json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))
    assert len(document["answer"]) == 2
    assert all(keys < set(row) for row in document["answer"])
    assert [exposure["state"] for exposure in document["exposures"]] == ["read"]


@pytest.mark.parametrize("sigmas", ["", "x", "3,,4", "-1", "0", "3,0", "inf", "3;4"])
def test_an_invalid_list_of_sigmas_is_refused(sigmas: str, staticmask: Run) -> None:
    result = staticmask("sweep", "*flt.fits", "--sigmas", sigmas)
    assert result.returncode == 2
    assert f"'--sigmas': {sigmas!r} is not a list of numbers" in result.stderr


@pytest.mark.parametrize("place", ["", "1", "0,1", "1,2,3", "-1,2", "a,b", "1.5,2"])
def test_an_invalid_pixel_is_refused(place: str, staticmask: Run) -> None:
    result = staticmask("explain", "*flt.fits", "--pixel", place)
    assert result.returncode == 2
    assert f"'--pixel': {place!r} is not the column and row of a pixel" in result.stderr


def test_a_sweep_warns_of_chips_without_sky(staticmask: Run, tmp_path: Path) -> None:
    small(tmp_path / "a_flt.fits")
    exposure(tmp_path / "b_flt.fits", [np.full((16, 20), 3, "f4")])
    small(tmp_path / "c_flt.fits", primary={"EXPTIME": 0.0})
    result = staticmask("sweep", "*flt.fits", "--sigmas", "4", "--summary", "s.json")
    assert result.returncode == 0
    said = [line.removeprefix("staticmask: warning: ") for line in result.stderr.splitlines()]
    assert sorted(said) == [
        "b_flt.fits: SCI,1: no low pixels found: its histogram has one bin",
        "c_flt.fits: SCI,1: skipped: EXPTIME is 0",
    ]
    assert json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))["warnings"] == said


@pytest.mark.parametrize(
    "sigmas", [[], [-1], [0], [3, 0.0], [np.nan], [np.inf], ["3"], "3,4", 4.0, None]
)
def test_sigmas_that_are_none_are_refused(sigmas: object, folder: Path) -> None:
    with pytest.raises(ConfigError, match="sigmas"):
        sweep(folder / "*flt.fits", sigmas)


@pytest.mark.parametrize("place", [(1, 0), (-1, 1), (1.5, 1), ("1", 1)])
def test_places_that_are_none_are_refused(place: tuple, folder: Path) -> None:
    with pytest.raises(ConfigError, match="column and row"):
        explain(folder / "*flt.fits", x=place[0], y=place[1])


def test_what_means_nothing_to_a_question_is_refused(folder: Path) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'static_sig'"):
        sweep(folder / "*flt.fits", [3], static_sig=3)
    with pytest.raises(TypeError, match="unexpected keyword argument 'report'"):
        sweep(folder / "*flt.fits", [3], report="r.html")
    with pytest.raises(TypeError, match="unexpected keyword argument 'update'"):
        compare(folder / "*flt.fits", old=folder, update=True)


def test_arguments_that_do_not_exist_are_refused(folder: Path) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'static_sg'"):
        sweep(folder / "*flt.fits", [3], static_sg=4)


def test_the_probability_of_a_low_pixel_is_that_of_a_gaussian() -> None:
    # 4 rms are 4 x 0.98487 sigma; from tables of the normal distribution.
    assert low_probability(4.0) == pytest.approx(4.083e-5, rel=1e-3)
    assert low_probability(0.0) == 0.5
