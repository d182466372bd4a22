"""Static masks made by DrizzlePac, for comparison; needs an interpreter with DrizzlePac.

    PYTHON_WITH_DRIZZLEPAC peer.py --sig 4.0 --out FOLDER EXPOSURE...

DrizzlePac's stand-alone createMask() requires a task configuration that does not
exist, and keywords that masks do not depend on. This program uses the class below
it, drizzlepac.staticMask.staticMask, with the pixels of every SCI extension, and
numbers chips by EXTVER as DrizzlePac does. It writes masks to FOLDER as .npy files,
and mode, rms, bins and threshold of every chip to stats.json.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from astropy.io import fits

SECTION = "STEP 1: STATIC MASK"
ONE_CHIP = {("STIS", ""), ("WFC3", "IR"), ("ACS", "HRC"), ("ACS", "SBC")}


class Member(dict):
    """The part of DrizzlePac's image object that staticMask.addMember() uses."""

    scienceExt = "SCI"  # noqa: N815 - DrizzlePac's name
    group = None
    inmemory = False

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.hdus = fits.open(path, memmap=True)
        primary = self.hdus[0].header
        instrument = primary["INSTRUME"].strip()
        detector = str(primary.get("DETECTOR", primary.get("CAMERA", ""))).strip()
        one_chip = instrument == "STIS" or (instrument, detector) in ONE_CHIP
        self.versions = [hdu.ver for hdu in self.hdus if hdu.name == "SCI"]
        self._numchips = len(self.versions)
        for version in self.versions:
            header = self.hdus["SCI", version].header
            shape = header["NAXIS2"], header["NAXIS1"]
            signature = instrument + detector, shape, 1 if one_chip else version
            self[f"SCI,{version}"] = SimpleNamespace(signature=signature, outputNames={})

    def getExtensions(self) -> list[int]:  # noqa: N802 - DrizzlePac's name
        return self.versions

    def getData(self, name: str) -> np.ndarray:  # noqa: N802 - DrizzlePac's name
        return self.hdus["SCI", int(name.split(",")[1])].data


def statistics(pixels: np.ndarray, static_sig: float) -> dict[str, float]:
    """Return the statistics that addMember() computes but does not store."""
    from stsci.imagestats import ImageStats  # noqa: PLC0415 - needs DrizzlePac

    found = ImageStats(
        pixels, nclip=3, fields="mode", lower=np.nanmin(pixels), upper=np.nanmax(pixels)
    )
    return {
        "mode": float(found.mode),
        "rms": float(found.stddev),
        "nbins": len(found.histogram),
        "threshold": float(found.mode - static_sig * found.stddev),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sig", type=float, default=4.0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--no-stats", action="store_true", help="masks only, to be timed")
    parser.add_argument("exposures", type=Path, nargs="+")
    arguments = parser.parse_args()
    from drizzlepac.staticMask import staticMask  # noqa: PLC0415 - needs DrizzlePac

    logging.disable(logging.CRITICAL)
    masks = staticMask({SECTION: {"static": True, "static_sig": arguments.sig}})
    stats = []
    for path in arguments.exposures:
        member = Member(path)
        masks.addMember(member)
        if not arguments.no_stats:
            stats += [
                {"file": path.name, "extver": version}
                | statistics(member.getData(f"SCI,{version}"), arguments.sig)
                for version in member.versions
            ]
        member.hdus.close()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for (_, _, number), mask in masks.masklist.items():
        np.save(arguments.out / f"mask{number}.npy", mask)
    (arguments.out / "stats.json").write_text(json.dumps(stats, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
