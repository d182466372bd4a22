"""Synthetic fields of every kind that a static mask meets: what is known of them is known exactly.

Electrons of an ACS/WFC-like exposure: sky, sources, Poisson and read noise,
defects that belong to the detector and stay where they are while the sky moves
from exposure to exposure.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from makers import exposure

SHAPE = (1024, 1024)
SKY = 40.0
READ_NOISE = 4.0
KINDS = ("clean", "defective", "crowded", "nebulous", "dark", "shadow")


@dataclass(frozen=True)
class Field:
    """Several exposures of one field: float32 pixels, and where the detector's defects are."""

    exposures: list[np.ndarray]
    defects: np.ndarray

    def write(self, folder: Path) -> list[Path]:
        """Write the exposures as files."""
        return [
            exposure(folder / f"jfld{n:02d}abq_flt.fits", [pixels], errors=False)
            for n, pixels in enumerate(self.exposures)
        ]


def field(kind: str, seed: int, count: int = 4, shape: tuple[int, int] = SHAPE) -> Field:
    """Make a field of one kind.

    clean: some stars on a flat sky. defective: the same with low pixels, pairs
    and columns. crowded: a globular cluster's core. nebulous: emission with
    structure on all scales. dark: a bright smooth nebula with a dark cloud
    before it. shadow: as defective, but one exposure has a shadow over a
    thirtieth of it. All but clean have defects.
    """
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    margin = 16 * count
    wide = (shape[0] + margin, shape[1] + margin)
    per_pixel = {"crowded": 0.04}.get(kind, 3e-4)
    scene = SKY + stars(rng, wide, per_pixel)
    if kind == "nebulous":
        scene += nebula(rng, wide)
    if kind == "dark":
        yy, xx = np.mgrid[: wide[0], : wide[1]]
        y, x = rng.integers(wide[0] // 4, 3 * wide[0] // 4, 2)
        cloud = (yy - y) ** 2 / 90**2 + (xx - x) ** 2 / 160**2
        scene += 500 * (1 - 0.8 * np.exp(-(cloud**2)))
    defects = np.zeros(shape, bool) if kind == "clean" else defective(rng, shape)
    depth = np.where(defects, rng.uniform(60, 600, shape), 0)
    exposures = []
    for n in range(count):
        y, x = rng.integers(0, margin + 1, 2)
        light = scene[y : y + shape[0], x : x + shape[1]].copy()
        if kind == "shadow" and n == count - 1:
            light[: shape[0] // 30] *= 0.1
        pixels = rng.poisson(light) + rng.normal(0, READ_NOISE, shape) - depth
        exposures.append(pixels.astype(np.float32))
    return Field(exposures, defects)


def stars(rng: np.random.Generator, shape: tuple[int, int], per_pixel: float) -> np.ndarray:
    """Return stars as a camera sees them: each a small Gaussian with wings."""
    half = 10
    yy, xx = np.mgrid[-half : half + 1, -half : half + 1]
    radius = yy**2 + xx**2
    psf = np.exp(-radius / 2.0) + 0.02 / (1 + radius / 4) ** 1.5
    psf /= psf.sum()
    # Stars one by one where each counts, and as an image folded with the psf.
    counts = np.zeros(shape)
    number = int(per_pixel * shape[0] * shape[1])
    y, x = rng.integers(0, shape[0], number), rng.integers(0, shape[1], number)
    np.add.at(counts, (y, x), np.minimum(60.0 * (1 + rng.pareto(0.9, number)), 3e5))
    kernel = np.zeros(shape)
    kernel[: 2 * half + 1, : 2 * half + 1] = psf
    kernel = np.roll(kernel, (-half, -half), (0, 1))
    folded = np.fft.irfft2(np.fft.rfft2(counts) * np.fft.rfft2(kernel), s=shape)
    return np.clip(folded, 0, None)


def nebula(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Return emission with structure on all scales, bright where it is not dark."""
    ky, kx = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None]
    power = (ky**2 + kx**2 + 1e-5) ** -0.9
    noise = np.fft.rfft2(rng.normal(size=shape)) * power
    cloud = np.fft.irfft2(noise, s=shape)
    cloud = (cloud - cloud.mean()) / cloud.std()
    return 150 * np.exp(0.8 * cloud)


def defective(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Return a detector's bad pixels: single ones, pairs, and pieces of columns."""
    bad = rng.random(shape) < 4e-4
    y, x = rng.integers(0, shape[0], 60), rng.integers(1, shape[1], 60)
    bad[y, x] = bad[y, x - 1] = True
    for top, column in zip(
        rng.integers(0, shape[0] - 60, 5), rng.integers(0, shape[1], 5), strict=True
    ):
        bad[top : top + 60, column] = True
    return bad
