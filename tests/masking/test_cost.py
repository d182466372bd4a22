"""What a run may cost, other than time: imports, bytes read, memory."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from staticmask_cli import StaticMask, create_masks
from staticmask_cli.exposures import pixels
from staticmask_cli.masks.fits_form import write_mask
from staticmask_cli.masks.records import Records
from staticmask_cli.masks.static_mask import Votes
from tests.support.makers import exposure, sky

SHAPE = (600, 700)
ARRAY = SHAPE[0] * SHAPE[1] * 4

# Runs the command in this process and prints the counts of the kernel.
COUNTED = """
import sys
from dataclasses import replace
from pathlib import Path
import staticmask_cli.masking.make
from staticmask_cli.cli.main import main
def kernel(file, name):
    lines = Path("/proc/self", file).read_text().splitlines()
    return int(dict(line.split(":", 1) for line in lines)[name].split()[0])
before = kernel("io", "rchar")
try:
    main(sys.argv[1:])
except SystemExit as stop:
    assert not stop.code, stop.code
# Not getrusage(), whose peak may be that of the process which started this one.
print(kernel("io", "rchar") - before, kernel("status", "VmHWM"))
"""

needs_proc = pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="asks Linux's kernel")


def counted(*arguments: object) -> tuple[int, int]:
    """Return the bytes that a run read, and its peak memory in KiB."""
    result = subprocess.run(
        [sys.executable, "-c", COUNTED, "-q", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
    )
    read, memory = result.stdout.split()
    return int(read), int(memory)


@pytest.fixture(scope="module")
def exposures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exposures")
    first = exposure(
        folder / "j00_flt.fits",
        [sky(1, SHAPE), sky(2, SHAPE)],
        primary={"INSTRUME": "ACS", "DETECTOR": "WFC"},
        chips=[{"CCDCHIP": 2}, {"CCDCHIP": 1}],
        flags=[np.zeros(SHAPE, "i2")] * 2,
    )
    for number in range(1, 40):  # the same bytes under other names cost no disk
        os.link(first, folder / f"j{number:02d}_flt.fits")
    return folder


@needs_proc
def test_only_science_pixels_are_read_and_flags_if_requested(
    exposures: Path, tmp_path: Path
) -> None:
    path = exposures / "j00_flt.fits"
    science, _ = counted(path, "-o", tmp_path)
    with_flags, _ = counted(path, "-o", tmp_path, "--final-bits", "0")
    # Headers are read in blocks, and the old masks' too; an ERR array is far more.
    slack = 0.3 * ARRAY
    assert 2 * ARRAY < science < 2 * ARRAY + slack
    assert 3 * ARRAY < with_flags < 3 * ARRAY + slack


@needs_proc
def test_memory_does_not_grow_with_the_number_of_exposures(exposures: Path, tmp_path: Path) -> None:
    _, few = counted(
        exposures / "j0[0-3]_flt.fits", "-o", tmp_path, "-j", "2", "--allow-duplicates"
    )
    _, many = counted(exposures / "*_flt.fits", "-o", tmp_path, "-j", "2", "--allow-duplicates")
    # 36 exposures more have 115 MiB of pixels and 4 MiB of masks as bits.
    assert many - few < ARRAY * 2 // 1024


@pytest.mark.slow
@needs_proc
@pytest.mark.parametrize("votes", [["-m", "2"], ["-m", "0.5", "--counts"]])
def test_votes_cost_one_small_integer_a_pixel(
    votes: list[str], exposures: Path, tmp_path: Path
) -> None:
    _, few = counted(
        exposures / "j0[0-3]_flt.fits", "-o", tmp_path, "-j", "2", "--allow-duplicates", *votes
    )
    _, many = counted(
        exposures / "*_flt.fits", "-o", tmp_path, "-j", "2", "--allow-duplicates", *votes
    )
    # Two masks' counts grow by three bits a pixel; pixels would be 115 MiB.
    assert many - few < ARRAY * 2 // 1024


@pytest.mark.slow
def test_a_report_reads_an_exposure_of_each_mask_once_more(
    exposures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []
    original = pixels.read
    monkeypatch.setattr(pixels, "read", lambda array: names.append(array.name) or original(array))
    create_masks(
        exposures / "j0[0-3]_flt.fits",
        output_dir=tmp_path,
        report=tmp_path / "r.html",
        preview=tmp_path / "p",
    )
    assert sorted(names) == ["SCI,1"] * 5 + ["SCI,2"] * 5


@needs_proc
def test_a_chip_is_in_memory_once(tmp_path: Path) -> None:
    small, large = (
        counted(exposure(tmp_path / f"{side}_flt.fits", [np.resize(sky(3), (side, side))]),
                "-o", tmp_path, "-j", "1")[1] * 1024
        for side in (16, 4096)
    )  # fmt: skip
    chip = 4096 * 4096 * 4
    # Pixels, a boolean array of them; then the mask as bytes and as 16-bit integers.
    assert large - small < 1.6 * chip


def test_what_is_imported_is_what_is_needed(exposures: Path, tmp_path: Path) -> None:
    """Heavy modules that a plain run does without: astropy's tables, bit flags, WCS."""
    program = (
        "import sys; from staticmask_cli import create_masks; "
        f"create_masks({str(exposures / 'j00_flt.fits')!r}, output_dir={str(tmp_path)!r}, "
        "final_bits=96); print(*sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    modules = set(result.stdout.split())
    assert "astropy.io.fits" in modules
    assert not modules & {
        *("astropy.table", "astropy.nddata", "astropy.wcs", "astropy.stats"),
        *("scipy", "click", "multiprocessing"),
    }


def test_masks_are_big_endian_from_the_start(tmp_path: Path) -> None:
    """Or astropy would swap their bytes for the checksum, and again to write them."""
    path = exposure(tmp_path / "x_flt.fits", [sky(4)])
    (mask,) = create_masks(path, output_dir=tmp_path / "out").masks
    assert mask.read().dtype == np.int16
    with fits.open(mask.path) as hdus:
        assert hdus[0].data.dtype == np.dtype(">i2")


def test_a_gzipped_array_of_several_reads_gives_the_same_mask(
    exposures: Path, tmp_path: Path
) -> None:
    plain = exposures / "j00_flt.fits"
    packed = tmp_path / "j00_flt.fits.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes(), 1))
    masks = [
        create_masks(path, output_dir=tmp_path / str(i), final_bits=0).masks
        for i, path in enumerate((plain, packed))
    ]
    for one, other in zip(*masks, strict=True):
        np.testing.assert_array_equal(one.read(), other.read())


def test_a_system_that_does_not_tell_of_its_cores_is_served_all_the_same(
    exposures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)  # as on macOS
    (mask, _) = create_masks(exposures / "j00_flt.fits", output_dir=tmp_path).masks
    assert mask.exposures == 1


@needs_proc
def test_a_mask_of_very_many_exposures_is_updated_without_an_object_for_each(
    tmp_path: Path,
) -> None:
    for number in range(11):
        pixels = sky(number, (32, 32), low=3, high=3)
        exposure(tmp_path / f"j{number:02d}_flt.fits", [pixels], errors=False)
    (made,) = create_masks(tmp_path / "j00_flt.fits", output_dir=tmp_path / "m", counts=True).masks
    mask, path = StaticMask.read(made.path), Path(made.path)
    n = 100_000
    rows = np.repeat(mask.records.rows, n)
    kinds = {
        name: "S32" if "hash" in name else kind for name, (kind, _) in rows.dtype.fields.items()
    }
    rows = rows.astype([*(kinds | {"file": "S20", "calibration": "S20"}).items()])
    for name, form in (("file", "i%07d_flt.fits"), ("calibration", "i%07d_flt")):
        rows[name] = [form % number for number in range(n)]
    for name in ("header_hash", "pixel_hash"):
        rows[name] = [f"{number:032x}" for number in range(n)]
    votes = Votes(bad=mask.votes.bad, not_finite=mask.votes.not_finite, n_chips=n)
    with path.open("wb") as file:
        write_mask(replace(mask, records=Records(rows), votes=votes), file)
    _, memory = counted(tmp_path / "j*_flt.fits", "-o", tmp_path / "m", "--update")
    assert StaticMask.read(path).records.n_exposures == n + 11
    assert memory < 400 * 1024
