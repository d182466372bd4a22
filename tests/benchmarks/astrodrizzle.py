"""Products of AstroDrizzle with our masks and with its own static-mask step, compared.

    python -m tests.benchmarks.astrodrizzle --peer PYTHON [--static-sig 4] EXPOSURE...

PYTHON is an interpreter of an environment that has drizzlepac and what this package needs
(configobj, click). Each EXPOSURE is drizzled four times, in folders of its own: with
DrizzlePac's static masks, with ours through `staticmask_cli.astrodrizzle`, with ours in
DQ through `staticmask_cli.apply`, and without any. All other DQ flags count as good,
because a mask matters only where its pixels are not flagged.

An exposure that has one chip gets a second one, shifted in its header, so that
AstroDrizzle finds cosmic rays as well. It is drizzled again as two chips, of which the
second is its mirror image, and as a subarray.

The products of the first three must be equal to the last bit, and differ from those of
the fourth; otherwise the exit status is 1.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from astropy.io import fits

ROOT = Path(__file__).parents[2]
KINDS = OWN, CONTEXT, APPLIED, NONE = "own", "astrodrizzle()", "apply()", "no mask"
EVERY_BIT = 65535
SHIFT = 7.0  # pixels of the second copy
SECOND_CHIP = 1030  # rows from chip to chip
CORNER, SIDES = (60, 100), (700, 600)  # of the subarray: x, y; columns, rows

PROGRAM = f"""
import contextlib, glob, sys
import drizzlepac
from drizzlepac.astrodrizzle import AstroDrizzle
import staticmask_cli
kind, static_sig, bit = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
print("drizzlepac", drizzlepac.__version__)
context = contextlib.nullcontext()
if kind in ({CONTEXT!r}, {APPLIED!r}):
    staticmask_cli.create_masks("*_flt.fits", output_dir="masks", static_sig=static_sig)
if kind == {CONTEXT!r}:
    context = staticmask_cli.astrodrizzle("masks")
if kind == {APPLIED!r}:
    staticmask_cli.apply("masks", "*_flt.fits", bit=bit, in_place=True)
good = {EVERY_BIT} - bit
with context:
    AstroDrizzle("*_flt.fits", output="out", static=kind in ({OWN!r}, {CONTEXT!r}),
                 static_sig=static_sig, updatewcs=False, mdriztab=False,
                 sky_bits=good, driz_sep_bits=good, final_bits=good,
                 clean=False, build=False, num_cores=1)
"""


def variants(exposure: Path) -> dict[str, fits.HDUList]:
    """Return an exposure, in memory, and what is made of it, by name."""
    with fits.open(exposure, memmap=False) as hdus:
        found = {exposure.name: fits.HDUList([hdu.copy() for hdu in hdus])}
    whole = found[exposure.name]
    if sum(hdu.name == "SCI" for hdu in whole) == 1:
        found["the same as two chips"] = two_chips(whole)
        found["a subarray of it"] = subarray(whole)
    return found


def two_chips(whole: fits.HDUList) -> fits.HDUList:
    """Return an exposure as chip 2 of ACS/WFC, with its mirror image as chip 1."""
    hdus = fits.HDUList([hdu.copy() for hdu in whole])
    hdus[0].header["DETECTOR"] = "WFC"
    for hdu in whole[1:]:
        mirrored = hdu.copy()
        mirrored.data = np.ascontiguousarray(hdu.data[::-1])
        mirrored.ver = 2
        hdus.append(mirrored)
    for hdu in hdus[1:]:
        hdu.header["CCDCHIP"] = 3 - hdu.ver
        if hdu.ver == 2 and "CRPIX2" in hdu.header:
            hdu.header["CRPIX2"] -= SECOND_CHIP
    hdus[0].header["NEXTEND"] = len(hdus) - 1
    return hdus


def subarray(whole: fits.HDUList) -> fits.HDUList:
    """Return a part of an exposure."""
    hdus = fits.HDUList([hdu.copy() for hdu in whole])
    hdus[0].header["SUBARRAY"] = True
    (x, y), (columns, rows) = CORNER, SIDES
    for hdu in hdus[1:]:
        hdu.data = np.ascontiguousarray(hdu.data[y : y + rows, x : x + columns])
        for axis, (corner, side) in enumerate(zip(CORNER, SIDES, strict=True), 1):
            hdu.header[f"LTV{axis}"] = -float(corner)
            hdu.header[f"SIZAXIS{axis}"] = side
            if f"CRPIX{axis}" in hdu.header:
                hdu.header[f"CRPIX{axis}"] -= corner
    return hdus


def write(hdus: fits.HDUList, folder: Path) -> int:
    """Write an exposure, and a shifted one if it has no other; return a DQ bit that is free."""
    hdus = fits.HDUList([hdu.copy() for hdu in hdus])
    root = hdus[0].header["ROOTNAME"].strip()
    hdus.writeto(folder / f"{root}_flt.fits")
    numbers = [hdu.header.get("CCDCHIP", 1) for hdu in hdus if hdu.name == "SCI"]
    if len(numbers) == len(set(numbers)):  # not repeated exposures of one chip
        hdus[0].header["ROOTNAME"] = root[:-2] + "zz"
        for hdu in hdus[1:]:
            if "CRPIX1" in hdu.header:
                hdu.header["CRPIX1"] += SHIFT
        hdus.writeto(folder / f"{root[:-2]}zz_flt.fits")
    flags = [np.bitwise_or.reduce(hdu.data, axis=None) for hdu in hdus if hdu.name == "DQ"]
    used = int(np.bitwise_or.reduce(flags)) | 4096  # reset by AstroDrizzle
    return next(1 << n for n in range(16) if not used >> n & 1)


def drizzled(
    hdus: fits.HDUList, kind: str, folder: Path, peer: str, static_sig: float
) -> dict[str, list[np.ndarray]]:
    """Return the arrays of all products by file name."""
    folder.mkdir(parents=True)
    bit = write(hdus, folder)
    # Nothing is asked of servers.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "ASTROMETRY_STEP_CONTROL": "OFF"}
    result = subprocess.run(
        [peer, "-c", PROGRAM, kind, str(static_sig), str(bit)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise SystemExit(f"{kind}: {result.stderr[-2000:]}")
    products = {}
    for path in sorted(folder.glob("*.fits")):
        # AstroDrizzle writes repeats of a chip into exposures of their own.
        if not path.name.endswith(("_staticMask.fits", "_flt.fits")):
            with fits.open(path, memmap=False) as found:
                arrays = [hdu.data for hdu in found if isinstance(hdu.data, np.ndarray)]
            products[path.name] = [array for array in arrays if array.dtype.names is None]
    return products


def n_equal(some: dict[str, list[np.ndarray]], others: dict[str, list[np.ndarray]]) -> int:
    """Return how many products have the same name and arrays."""
    return sum(
        name in others
        and len(arrays) == len(others[name])
        and all(map(are_equal, arrays, others[name]))
        for name, arrays in some.items()
    )


def are_equal(one: np.ndarray, other: np.ndarray) -> bool:
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", metavar="PYTHON", required=True)
    parser.add_argument("--static-sig", type=float, default=4.0)
    parser.add_argument("exposures", nargs="+", type=Path)
    arguments = parser.parse_args()
    print("| exposure | products |", " | ".join(f"equal, {kind}" for kind in KINDS[1:]), "|")
    print("| --- | --- | --- | --- | --- |")
    failed, how = False, (arguments.peer, arguments.static_sig)
    for exposure in arguments.exposures:
        for name, hdus in variants(exposure).items():
            with tempfile.TemporaryDirectory() as folder:
                own, *others = (drizzled(hdus, k, Path(folder) / k, *how) for k in KINDS)
            equal = [n_equal(own, other) for other in others]
            names = [set(other) == set(own) for other in others[:-1]]
            failed |= not (all(names) and equal[0] == equal[1] == len(own) > equal[-1])
            print("|", " | ".join(map(str, (name, len(own), *equal))), "|", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
