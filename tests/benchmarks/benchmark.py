"""Speed and memory of whole runs, as ratios to a floor and to DrizzlePac.

    python -m tests.benchmarks.benchmark [--cases 1 4 gz ...] [--peer PYTHON] [--markdown]

creates exposures in a temporary folder and runs the programs on them alternately,
with the files in the page cache. The floor imports astropy.io.fits, converts the
SCI arrays to native float32 and writes masks of the right shape, without
statistics. Timings vary between runs and machines: quote the ratios, which are
medians of the ratios of each round. DrizzlePac is its class alone (peer.py), and
its masks must equal ours.
"""

from __future__ import annotations

import argparse
import gzip
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from staticmask_cli.settings import KERNEL_VARIABLE
from staticmask_cli.statistics.c_loops import LIBRARY

Shape = tuple[int, int]

DISTINCT = 4  # large exposures of a case; any others are hard links to these
SMALL = (256, 256)
KERNEL_OFF = {KERNEL_VARIABLE: "off"}

# Programs, by their names in the tables.
FLOOR, OURS, NUMPY, PEER = "floor", "staticmask", "staticmask in NumPy", "DrizzlePac"
ONE_CORE, VOTES = "staticmask on one core", "staticmask with two votes"
LOCAL = "with a local background"

FLOOR_PROGRAM = """
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

NOTES = f"""
/ floor: median of the ratios of each round; minima: ratio of the shortest times;
MiB: peak memory of the largest process. More than {DISTINCT} large exposures are hard links to
{DISTINCT} files, hence --allow-duplicates. RICE_1: floats quantized and dithered as by fpack;
GZIP_2: lossless; .fits.gz: level 6; small: one chip of {SMALL[0]} x {SMALL[1]} pixels."""


@dataclass(frozen=True)
class Case:
    """Exposures of one kind; `tiles` has the options of tile compression."""

    exposures: int
    label: str = ""
    suffix: str = ".fits"
    tiles: dict[str, Any] = field(default_factory=dict)


FPACK = {"compression_type": "RICE_1", "quantize_level": 4, "quantize_method": 1, "dither_seed": 1}
LOSSLESS = {"compression_type": "GZIP_2", "quantize_level": 0}
CASES = {
    "1": Case(1),
    "4": Case(4),
    "40": Case(40),
    "gz": Case(8, " .fits.gz", ".fits.gz"),
    "rice": Case(8, " RICE_1", ".fits.fz", FPACK),
    "gzip2": Case(8, " GZIP_2", ".fits.fz", LOSSLESS),
    "small": Case(2000, " small"),
}


@dataclass(frozen=True)
class Usage:
    """Wall and CPU time of a process in seconds, and its peak memory in MiB."""

    wall: float
    cpu: float
    memory: float


Usages = dict[str, list[Usage]]


def make_exposure(case: Case, shape: Shape, path: Path, seed: int) -> None:
    """Write two chips of sky, stars and over-subtracted pixels, with ERR and DQ; one if small."""
    rng = np.random.default_rng(seed)
    hdus = fits.HDUList([fits.PrimaryHDU()])
    hdus[0].header.update(INSTRUME="ACS", DETECTOR="WFC", EXPTIME=400.0)
    offsets = np.hypot(*np.mgrid[-7:8, -7:8])
    star = np.exp(-(offsets**2) / 2.4)
    for version, ccdchip in ((1, 2), (2, 1))[: 1 if shape == SMALL else 2]:
        pixels = rng.normal(40 + seed % 7, 6, shape).astype("f4")
        for row, column in rng.integers(8, np.array(shape) - 8, (1 + pixels.size // 5600, 2)):
            pixels[row - 7 : row + 8, column - 7 : column + 8] += rng.pareto(1.2) * 40 * star
        defects = np.random.default_rng(version).random(shape) < 2e-4  # the same in all exposures
        pixels[defects] -= rng.uniform(30, 400, defects.sum()).astype("f4")
        flags = np.where(defects, 16, 0).astype("i2")
        for name, data in (("SCI", pixels), ("ERR", np.sqrt(abs(pixels))), ("DQ", flags)):
            hdu = fits.ImageHDU(data, name=name, ver=version)
            hdu.header["CCDCHIP"] = ccdchip
            hdus.append(fits.CompImageHDU(data, hdu.header, **case.tiles) if case.tiles else hdu)
    with gzip.open(path, "wb", 6) if path.suffix == ".gz" else path.open("wb") as file:
        hdus.writeto(file)


def commands(case: Case, paths: list[Path], folder: Path, peer: str | None) -> dict[str, list]:
    """Return the command lines of the programs."""

    def make_masks(name: str, *options: str) -> list:
        command = [sys.executable, "-m", "staticmask_cli", "-q", "--allow-duplicates"]
        return [*command, "-o", folder / name, *options, *paths]

    found = {
        FLOOR: [sys.executable, "-c", FLOOR_PROGRAM, folder, *paths],
        OURS: make_masks(OURS, "-j2"),
    }
    if LIBRARY.exists():
        found[NUMPY] = make_masks(NUMPY, "-j2")
    if not case.label:
        found[ONE_CORE] = make_masks(ONE_CORE, "-j1")
        if len(paths) > 1:
            found[VOTES] = make_masks(VOTES, "-j2", "-m2")
            found[LOCAL] = make_masks(LOCAL, "-j2", "--background", "local")
    if peer:
        script = Path(__file__).with_name("peer.py")
        found[PEER] = [peer, script, "--no-stats", "--out", folder / PEER, *paths]
    return found


def timed(command: list, environment: dict[str, str]) -> Usage:
    # Without the first variable, modules are compiled once, in the round that warms up.
    dropped = {"PYTHONDONTWRITEBYTECODE", *KERNEL_OFF}
    inherited = {k: v for k, v in os.environ.items() if k not in dropped}
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=inherited | environment)
    _, status, usage = os.wait4(process.pid, 0)
    elapsed = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[:4]} failed")
    return Usage(elapsed, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def race(programs: dict[str, list], runs: int) -> Usages:
    """Run the programs alternately, in `runs` rounds after one to warm up.

    DrizzlePac, the slowest, takes part in the first of them only: every chip is
    measured once.
    """
    usages: Usages = {name: [] for name in programs}
    for number in range(runs + 1):
        for name in list(programs)[:: 1 if number % 2 else -1]:
            if name != PEER or number < 2:
                usages[name].append(timed(programs[name], KERNEL_OFF if name == NUMPY else {}))
    return {name: found[1:] for name, found in usages.items()}


def check_equal(folder: Path) -> None:
    """Compare masks with DrizzlePac's."""
    for path in (p for name in (OURS, NUMPY, ONE_CORE) for p in (folder / name).glob("*.fits")):
        number = path.name.split("_")[2]
        if not np.array_equal(fits.getdata(path), np.load(folder / PEER / f"mask{number}.npy")):
            raise RuntimeError(f"{path.parent.name}: {path.name} differs from DrizzlePac's")


def ratio(usages: Usages, over: str, under: str) -> str:
    """Return the median of the ratios of wall times of each round; "-" if there are none."""
    pairs = zip(usages.get(over, ()), usages.get(under, ()), strict=False)  # DrizzlePac ran once
    ratios = [a.wall / b.wall for a, b in pairs]
    return f"{statistics.median(ratios):.2f}" if ratios else "-"


def memory(usages: Usages, name: str) -> str:
    return f"{max(u.memory for u in usages[name]):.0f}" if name in usages else "-"


def print_case(title: str, exposures: int, usages: Usages) -> None:
    """Print the rows of a case in the plain table."""
    shortest = {name: min(u.wall for u in runs) for name, runs in usages.items()}
    for name, runs in usages.items():
        wall, cpu = (statistics.median(getattr(u, key) for u in runs) for key in ("wall", "cpu"))
        print(
            f"{title:12}{name:26}{wall:8.2f}{shortest[name]:8.2f}{cpu:8.2f}"
            f"{1000 * wall / exposures:9.1f}{ratio(usages, name, FLOOR):>9}"
            f"{shortest[name] / shortest[FLOOR]:8.2f}{memory(usages, name):>6}"
            f"{ratio(usages, PEER, name):>14}",
            flush=True,
        )


def print_markdown(results: dict[str, Usages]) -> None:
    """Print the table of man/speed.md."""
    rows = {"exposures": [*results], "---": ["---"] * len(results)}
    for name in (OURS, NUMPY, ONE_CORE, LOCAL):
        rows[f"{name} / floor"] = [ratio(usages, name, FLOOR) for usages in results.values()]
    rows["DrizzlePac / staticmask"] = [ratio(usages, PEER, OURS) for usages in results.values()]
    for name in (FLOOR, OURS, VOTES, LOCAL, PEER):
        rows[f"peak memory of {name}, MiB"] = [memory(usages, name) for usages in results.values()]
    print()
    for name, cells in rows.items():
        if {*cells} != {"-"}:
            print(f"| {name} | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", choices=CASES, nargs="+", default=list(CASES))
    parser.add_argument("--runs", type=int, default=3, help="rounds of each case")
    parser.add_argument("--shape", type=int, nargs=2, default=[2048, 4096], help="of large chips")
    parser.add_argument("--limit", type=int, default=2000, help="exposures in a case, at most")
    parser.add_argument("--peer", metavar="PYTHON", help="an interpreter that has DrizzlePac")
    parser.add_argument("--markdown", action="store_true", help="also print the manual's table")
    arguments = parser.parse_args()
    print(
        f"{'exposures':12}{'program':26}  wall s     min   CPU s  ms/file  / floor  minima   MiB  "
        "DrizzlePac /",
        flush=True,
    )
    results = {}
    # In other processes, because programs started here would inherit the peak memory.
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as elsewhere:
        for key in arguments.cases:
            case, small = CASES[key], key == "small"
            count = min(case.exposures, arguments.limit)
            distinct = count if small else DISTINCT
            make = partial(make_exposure, case, SMALL if small else tuple(arguments.shape))
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                paths = [folder / f"j{n:06}eq_flt{case.suffix}" for n in range(count)]
                list(elsewhere.map(make, paths[:distinct], range(distinct)))
                for n, path in enumerate(paths[distinct:]):
                    path.hardlink_to(paths[n % distinct])
                usages = race(commands(case, paths, folder, arguments.peer), arguments.runs)
                if arguments.peer:
                    elsewhere.submit(check_equal, folder).result()
            title = f"{count:,}{case.label}"
            print_case(title, count, usages)
            results[title] = usages
    print(NOTES)
    if arguments.markdown:
        print_markdown(results)


if __name__ == "__main__":
    main()
