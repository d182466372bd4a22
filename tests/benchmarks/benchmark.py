"""Speed: as ratios to the minimum for any program, and to DrizzlePac.

    python tests/benchmarks/benchmark.py [--peer PYTHON_WITH_DRIZZLEPAC] [--exposures 1 4 40]

creates ACS/WFC-size exposures (168 MB each) in a temporary folder, runs the
programs alternately, as whole processes with files in the page cache, and prints
medians. The floor imports astropy.io.fits, converts the SCI arrays to native
float32 and writes masks of the right shape, without statistics. Timings vary
between runs and machines: quote the ratios, which are computed run by run.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from astropy.io import fits

Shape = tuple[int, int]

FLOOR = """
import sys
import numpy as np
from astropy.io import fits
folder, masks = sys.argv[1], {}
for path in sys.argv[2:]:
    with fits.open(path, memmap=True) as hdus:
        for hdu in hdus:
            if hdu.name == "SCI":
                pixels = hdu.data.astype("f4")
                masks.setdefault(hdu.ver, np.ones(pixels.shape, "i2"))
for number, mask in masks.items():
    fits.PrimaryHDU(mask).writeto(f"{folder}/{number}.fits", overwrite=True)
"""


def make_exposure(path: Path, seed: int, shape: Shape) -> None:
    """Write two chips of sky, stars and over-subtracted pixels, with ERR and DQ."""
    rng = np.random.default_rng(seed)
    hdus = fits.HDUList([fits.PrimaryHDU()])
    hdus[0].header.update(INSTRUME="ACS", DETECTOR="WFC", EXPTIME=400.0)
    offsets = np.hypot(*np.mgrid[-7:8, -7:8])
    star = np.exp(-(offsets**2) / 2.4)
    for version, ccdchip in ((1, 2), (2, 1)):
        pixels = rng.normal(40 + seed % 7, 6, shape).astype("f4")
        for row, column in rng.integers(8, np.array(shape) - 8, (1500, 2)):
            pixels[row - 7 : row + 8, column - 7 : column + 8] += rng.pareto(1.2) * 40 * star
        defects = np.random.default_rng(version).random(shape) < 2e-4  # the same in all exposures
        pixels[defects] -= rng.uniform(30, 400, defects.sum()).astype("f4")
        flags = np.where(defects, 16, 0).astype("i2")
        for name, data in (("SCI", pixels), ("ERR", np.sqrt(abs(pixels))), ("DQ", flags)):
            hdu = fits.ImageHDU(data, name=name, ver=version)
            hdu.header["CCDCHIP"] = ccdchip
            hdus.append(hdu)
    hdus.writeto(path)


def timed(command: list[str]) -> tuple[float, float]:
    """Run a process; return its wall time in seconds and its peak memory in MiB."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    elapsed = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[:4]} failed")
    return elapsed, usage.ru_maxrss / 1024


def race(commands: dict[str, list[str]], runs: int) -> dict[str, list[tuple[float, float]]]:
    """Run the commands alternately, once to warm up and then `runs` times."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for number in range(runs + 1):
        for name, command in commands.items():
            figures = timed(command)
            if number:
                found[name].append(figures)
    return found


def ratio(found: dict[str, list[tuple[float, float]]], over: str, under: str) -> float:
    pairs = zip(found[over], found[under], strict=True)
    return statistics.median(a / b for (a, _), (b, _) in pairs)


def check_equal(ours: Path, peer: Path, shape: Shape) -> None:
    """Compare masks; run in a separate process, because they are large."""
    for number in (1, 2):
        mask = fits.getdata(ours / f"ACSWFC_{shape[0]}x{shape[1]}_{number}_staticMask.fits")
        if not np.array_equal(mask, np.load(peer / f"mask{number}.npy")):
            raise RuntimeError(f"mask {number} differs from DrizzlePac's")


def compare(exposures: list[Path], folder: Path, peer: str | None, runs: int, shape: Shape) -> None:
    """Print the table for one number of exposures."""
    files = [str(path) for path in exposures]
    ours, theirs = folder / "ours", folder / "peer"
    staticmask = [sys.executable, "-m", "staticmask_cli", "-q", "-o", str(ours)]
    commands = {
        "floor": [sys.executable, "-c", FLOOR, str(folder), *files],
        "jobs 1": [*staticmask, "-j", "1", *files],
        "jobs 2": [*staticmask, "-j", "2", *files],
    }
    if peer:
        script = str(Path(__file__).with_name("peer.py"))
        commands["DrizzlePac"] = [peer, script, "--no-stats", "--out", str(theirs), *files]
    found = race(commands, runs)
    print(f"\n{len(files)} exposure{'s'[: len(files) > 1]}, medians of {runs} runs")
    print(f"{'':12}{'wall s':>8}{'min':>7}{'max':>7}{'/ floor':>9}{'DrizzlePac /':>14}{'MiB':>6}")
    for name, figures in found.items():
        walls = [wall for wall, _ in figures]
        peak = max(memory for _, memory in figures)
        against = f"{ratio(found, 'DrizzlePac', name):.2f}" if peer else "-"
        print(
            f"{name:12}{statistics.median(walls):8.2f}{min(walls):7.2f}{max(walls):7.2f}"
            f"{ratio(found, name, 'floor'):9.2f}{against:>14}{peak:6.0f}"
        )
    print(f"jobs 1 / jobs 2: {ratio(found, 'jobs 1', 'jobs 2'):.2f}")
    if peer:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as elsewhere:
            elsewhere.submit(check_equal, ours, theirs, shape).result()
        print("masks equal DrizzlePac's")


def best(work: Callable[[], object], runs: int = 7) -> float:
    """Return the shortest time of several calls, in ms."""
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times) * 1000


def stages(path: Path, folder: Path) -> None:
    """Print the times of stages: start-up of a process, then the work on one chip and mask."""
    from staticmask_cli.config.merging import merge  # noqa: PLC0415
    from staticmask_cli.exposures.chips import open_exposure  # noqa: PLC0415
    from staticmask_cli.exposures.pixels import read  # noqa: PLC0415
    from staticmask_cli.files.atomic import put_in_place, staged, state_of  # noqa: PLC0415
    from staticmask_cli.masks import builder  # noqa: PLC0415
    from staticmask_cli.masks.fits_form import write_mask  # noqa: PLC0415
    from staticmask_cli.statistics import clipping, sky  # noqa: PLC0415

    settings = merge().settings
    chip = open_exposure(path, settings).chips[0]
    pixels = read(chip.science)
    flat = pixels.reshape(-1)
    last, *_ = clipping.clip(flat)
    found = sky.sky_statistics(pixels)
    mask = builder.MaskBuilder(chip.identity.shape)
    mask.add(builder.pack(sky.low_pixels(pixels, found, 4.0)))
    span = last.highest - last.lowest

    def write() -> None:
        path = folder / "m.fits"
        built = mask.build(chip.identity, settings.recipe)
        with staged({path: partial(write_mask, built)}, 1) as parts:
            put_in_place(parts, {path: state_of(path)})

    start = [sys.executable, "-c"]
    print("\nstages, best of 7, ms")
    for name, work in {
        "start-up: Python and astropy.io.fits": lambda: timed([*start, "import astropy.io.fits"]),
        "start-up: all imports": lambda: timed(
            [*start, "import staticmask_cli.cli.main, staticmask_cli.masking.make"]
        ),
        "staticmask --help": lambda: timed([sys.executable, "-m", "staticmask_cli", "--help"]),
        "staticmask --version": lambda: timed(
            [sys.executable, "-m", "staticmask_cli", "--version"]
        ),
        "headers of an exposure": lambda: open_exposure(path, settings),
        "read a chip": lambda: read(chip.science),
        "rounds of clipping": lambda: clipping.clip(flat),
        "histogram": lambda: sky._histogram(flat, last.lowest, span, found.nbins),
        "compare and pack": lambda: builder.pack(sky.low_pixels(pixels, found, 4.0)),
        "write a mask": write,
    }.items():
        print(f"{name:40}{best(work):8.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", help="an interpreter that has DrizzlePac")
    parser.add_argument("--exposures", type=int, nargs="+", default=[1, 4, 40])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--shape", type=int, nargs=2, default=[2048, 4096], help="of a chip")
    arguments = parser.parse_args()
    shape = tuple(arguments.shape)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = [folder / f"jtst{n:03d}eq_flt.fits" for n in range(max(arguments.exposures))]
        # In a separate process: the peak memory of this one would be inherited by
        # the processes that it starts.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as elsewhere:
            list(elsewhere.map(make_exposure, paths, range(len(paths)), repeat(shape)))
            elsewhere.submit(stages, paths[0], folder).result()
        for count in arguments.exposures:
            compare(paths[:count], folder, arguments.peer, arguments.runs, shape)


if __name__ == "__main__":
    main()
