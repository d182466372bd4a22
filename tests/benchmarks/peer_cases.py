"""Generated cases on which masks are compared with DrizzlePac's.

    python -m tests.benchmarks.peer_cases --peer PYTHON_WITH_DRIZZLEPAC

generates the pixels of the cases, makes masks of them with DrizzlePac, and stores
both in data/peer_cases.npz and data/peer_cases.json, which the tests read.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from tests.support.makers import DATA, INSTRUMENTS, exposure, sky

SHAPE = (48, 56)
PIXELS = DATA / "peer_cases.npz"
NUMBERS = DATA / "peer_cases.json"


def _tie(seed: int) -> np.ndarray:
    """Return a sky whose mode is in its lowest bin, with a pixel at the rounded threshold.

    Without interpolation, DrizzlePac rounds the threshold to float32: a pixel with
    that value is not low, although the exact threshold is higher.
    """
    from staticmask_cli.statistics.sky import sky_statistics  # noqa: PLC0415 - needed only here

    rng = np.random.default_rng(seed)
    while True:
        pixels = rng.exponential(3, SHAPE).astype(np.float32)
        for _ in range(5):
            threshold = sky_statistics(pixels).threshold(4.0)
            pixels[20, 20] = np.float32(threshold)
        final = sky_statistics(pixels)
        rounded = np.float32(final.threshold(4.0))
        is_on_it = pixels[20, 20] == rounded and float(rounded) < final.threshold(4.0)
        if is_on_it and not final.is_interpolated:
            return pixels


def special_cases() -> dict[str, np.ndarray]:
    """Return numerically difficult arrays, by name."""
    rng = np.random.default_rng(17)
    bright_first = sky(1, SHAPE)
    bright_first[0, 0] = 5000
    dark_first = sky(2, SHAPE)
    dark_first[0, 0] = -5000
    with_nan = sky(3, SHAPE)
    with_nan[5:9, 7:9] = np.nan
    dark_subtracted = rng.poisson(0.3, SHAPE) - 9.0 * (rng.random(SHAPE) < 0.01)
    huge = sky(4, SHAPE)
    huge[3, 3], huge[4, 4] = 1e18, -1e18
    return {
        "float64": sky(5, SHAPE).astype(np.float64) + rng.normal(0, 1e-9, SHAPE),
        "int16": np.round(sky(6, SHAPE)).clip(-3e4, 3e4).astype(np.int16),
        "int32": np.round(sky(7, SHAPE).astype(float) * 1e6).clip(-2e9, 2e9).astype(np.int32),
        "sparse_counts": rng.poisson(0.02, SHAPE).astype(np.float32),
        "dark_subtracted_counts": dark_subtracted.astype(np.float32),
        "one_bin": np.full(SHAPE, 3.25, np.float32),
        "two_values": rng.choice([0.0, 1.0], SHAPE, p=[0.6, 0.4]).astype(np.float32),
        "whole_numbers": np.round(sky(8, SHAPE, level=5, rms=3)),
        "first_pixel_above": bright_first,
        "first_pixel_below": dark_first,
        "with_nan": with_nan,
        "huge_values": huge,
        "threshold_tie": _tie(9),
        "far_from_zero": sky(10, SHAPE, level=60000),
        "tiny_values": (sky(11, SHAPE) * 1e-4).astype(np.float32),
    }


def cases() -> dict[str, tuple[dict, list[dict], list[np.ndarray]]]:
    """Return primary header, headers and pixels of the chips of every case, by name."""
    found = {
        row: (primary, chips, [sky(100 * n + i, SHAPE) for i in range(len(chips))])
        for n, (row, (primary, chips)) in enumerate(INSTRUMENTS.items(), start=1)
    }
    for name, pixels in special_cases().items():
        found[name] = ({"INSTRUME": "ACS", "DETECTOR": "HRC"}, [{}], [pixels])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", required=True)
    peer = parser.parse_args().peer
    script = Path(__file__).with_name("peer.py")
    arrays: dict[str, np.ndarray] = {}
    numbers: dict[str, dict] = {}
    for name, (primary, chips, pixels) in cases().items():
        with tempfile.TemporaryDirectory() as folder:
            path = exposure(Path(folder, "case_flt.fits"), pixels, primary=primary, chips=chips)
            subprocess.run([peer, script, "--out", folder, path], check=True)
            numbers[name] = {
                "primary": primary,
                "chips": chips,
                "stats": json.loads(Path(folder, "stats.json").read_text(encoding="utf-8")),
                "masks": sorted(int(p.stem[4:]) for p in Path(folder).glob("mask*.npy")),
            }
            for i, array in enumerate(pixels):
                arrays[f"{name}/pixels{i}"] = array
            for number in numbers[name]["masks"]:
                mask = np.load(Path(folder, f"mask{number}.npy"))
                arrays[f"{name}/mask{number}"] = np.packbits(mask == 0)
    np.savez_compressed(PIXELS, **arrays)
    NUMBERS.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
