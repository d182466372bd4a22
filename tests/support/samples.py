"""Exposures of several detectors, of which some are odd, and options with which to mask them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.support.makers import exposure, instrument_exposure, sky
from tests.support.runs import small

SHAPE = (16, 20)
STIS = {"INSTRUME": "STIS", "DETECTOR": "CCD"}
#: Counted with this, and the mask of one run that it equals.
VOTES = [
    {},
    {"counts": True},
    {"min_exposures": 2},
    {"min_exposures": "50%"},
    {"min_exposures": "all", "final_bits": "0"},
    {"final_bits": "16"},
    {"background": "local"},
    {"background": "local", "min_exposures": 2, "final_bits": "0"},
    {"include_empty": True},
    {"allow_duplicates": True, "counts": True},
]


def write_sample(folder: Path) -> None:
    """Write exposures of four detectors."""
    rng = np.random.default_rng(1)
    always = rng.random(SHAPE) < 0.05  # low in most exposures
    for seed in range(8):
        pixels = sky(seed, SHAPE, low=5, high=5)
        pixels[always & (rng.random(SHAPE) < 0.8)] = -900
        if seed % 3 == 0:
            pixels[rng.random(SHAPE) < 0.1] = np.nan
        flags = rng.choice([0, 0, 0, 0, 4, 16], SHAPE).astype("i2")
        exposure(folder / f"h{seed}_flt.fits", [pixels], flags=[flags], errors=False)
    flags = [np.full(SHAPE, 16, "i2")] * 2
    small(folder / "empty_flt.fits", 20, flags=flags[:1], primary={"EXPTIME": 0.0})
    small(folder / "odd ☄\n_flt.fits", 21, flags=flags[:1])
    # Without a sky: what they have in common is chance.
    for name in ("flat1", "flat2"):
        exposure(folder / f"{name}_flt.fits", [np.ones(SHAPE, "f4")], flags=flags[:1])
    for seed in (1, 2, 3):
        pixels = [sky(100 * seed + n, SHAPE, low=5, high=5) for n in range(2)]
        exposure(folder / f"o{seed}_flt.fits", pixels, primary=STIS, flags=flags, errors=False)
        instrument_exposure(folder, "acs_wfc", seed, SHAPE, flags=flags)
    for name in ("cut1", "cut2"):
        cut = small(folder / f"{name}_flt.fits", 22)
        cut.write_bytes(cut.read_bytes()[: 2880 * 2 - 100])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.fits"))}
