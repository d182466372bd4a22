"""Products of AstroDrizzle with our masks and with its own static-mask step, compared.

    python -m tests.benchmarks.astrodrizzle --peer PYTHON [--static-sig 4] EXPOSURE...

PYTHON is an interpreter of an environment that has drizzlepac and what this package needs
(configobj, click). Each EXPOSURE is drizzled three times, in folders of its own: with
DrizzlePac's static masks, with ours through `staticmask_cli.astrodrizzle`, and without
any. All DQ flags count as good, because a mask matters only where its pixels are not
flagged. A second copy of an exposure that has only one is shifted in its header, so that
AstroDrizzle finds cosmic rays as well.

The products of the first two must be equal to the last bit, and differ from those of the
third; otherwise the exit status is 1.
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
OWN, OURS, NONE = "DrizzlePac's step", "astrodrizzle()", "no mask"
EVERY_BIT = 65535
SHIFT = 7.0  # pixels of the second copy

PROGRAM = f"""
import contextlib, glob, sys
import drizzlepac
from drizzlepac.astrodrizzle import AstroDrizzle
import staticmask_cli
kind, static_sig = sys.argv[1], float(sys.argv[2])
print("drizzlepac", drizzlepac.__version__)
context = contextlib.nullcontext()
if kind == {OURS!r}:
    staticmask_cli.create_masks("*_flt.fits", output_dir="masks", static_sig=static_sig)
    context = staticmask_cli.astrodrizzle("masks")
with context:
    AstroDrizzle("*_flt.fits", output="out", static=kind != {NONE!r},
                 static_sig=static_sig, updatewcs=False,
                 mdriztab=False, driz_sep_bits={EVERY_BIT}, final_bits={EVERY_BIT},
                 clean=False, build=False, num_cores=1)
"""


def prepare(exposure: Path, folder: Path) -> None:
    """Copy an exposure, plain, and a second, shifted one if it has one SCI extension."""
    with fits.open(exposure, memmap=False) as hdus:
        name = exposure.name.removesuffix(".gz")
        hdus.writeto(folder / name)
        if sum(hdu.name == "SCI" for hdu in hdus) > 1:
            return
        root = hdus[0].header.get("ROOTNAME", name[:9])
        hdus[0].header["ROOTNAME"] = root[:-2] + "zz"
        for hdu in hdus[1:]:
            if "CRPIX1" in hdu.header:
                hdu.header["CRPIX1"] += SHIFT
        hdus.writeto(folder / f"{root[:-2]}zz_flt.fits")


def drizzled(
    exposure: Path, kind: str, folder: Path, peer: str, static_sig: float
) -> dict[str, list[np.ndarray]]:
    """Return the arrays of all products by file name."""
    folder.mkdir(parents=True)
    prepare(exposure, folder)
    # Nothing is asked of servers.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "ASTROMETRY_STEP_CONTROL": "OFF"}
    result = subprocess.run(
        [peer, "-c", PROGRAM, kind, str(static_sig)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise SystemExit(f"{exposure.name}, {kind}: {result.stderr[-2000:]}")
    products = {}
    for path in sorted(folder.glob("*.fits")):
        if "staticMask" not in path.name:
            with fits.open(path, memmap=False) as hdus:
                arrays = [hdu.data for hdu in hdus if isinstance(hdu.data, np.ndarray)]
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
    print("| exposure | products | equal with ours | equal without any mask |")
    print("| --- | --- | --- | --- |")
    failed, how = False, (arguments.peer, arguments.static_sig)
    for exposure in arguments.exposures:
        with tempfile.TemporaryDirectory() as folder:
            own, ours, none = (
                drizzled(exposure.absolute(), kind, Path(folder) / str(n), *how)
                for n, kind in enumerate((OWN, OURS, NONE))
            )
        same, without = n_equal(own, ours), n_equal(own, none)
        failed |= same != len(own) or set(own) != set(ours) or without == len(own)
        print(f"| {exposure.name} | {len(own)} | {same} | {without} |", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
