"""Synthetic fields with exactly known defects, of all kinds that matter to static masks.

Exposures like those of ACS/WFC, in electrons: sky, sources, Poisson and read noise,
cosmic rays, and detector defects at fixed positions, with dithers in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.support.makers import exposure

SHAPE = (1024, 1024)
SKY = 40.0
READ_NOISE = 4.0
KINDS = ("clean", "defective", "crowded", "nebulous", "dark", "shadow")

# Depth of defects below the sky, in units of its noise: always found, or depending
# on noise.
DEEP = (8.0, 80.0)
SHALLOW = (4.5, 8.0)

_STARS = 3e-4  # per pixel, as in a field away from the galactic plane
_CROWDED = 0.15  # per pixel: all stars overlap
_RAYS = 2e-3  # per pixel, as in an exposure of 15 minutes
_COSMIC = 4096  # their DQ bit


@dataclass(frozen=True)
class Field:
    """Several exposures of one field.

    Attributes: float32 pixels of each exposure; the detector defects; the pixels
    hit by cosmic rays in each exposure.
    """

    exposures: list[np.ndarray]
    defects: np.ndarray
    rays: list[np.ndarray]

    def write(self, folder: Path, *, flagged: bool = False) -> list[Path]:
        """Write the exposures as files; `flagged` adds a DQ array with the cosmic rays."""
        return [
            exposure(
                folder / f"jfld{n:02d}abq_flt.fits",
                [pixels],
                errors=False,
                flags=[np.where(rays, _COSMIC, 0).astype("i2")] if flagged else None,
            )
            for n, (pixels, rays) in enumerate(zip(self.exposures, self.rays, strict=True))
        ]


def field(
    kind: str,
    seed: int,
    count: int = 4,
    shape: tuple[int, int] = SHAPE,
    *,
    sky: float = SKY,
    read_noise: float = READ_NOISE,
    depth: tuple[float, float] = DEEP,
    rays: float = _RAYS,
) -> Field:
    """Make a field of one kind.

    clean: some stars on a flat sky. defective: the same with low pixels, pairs
    and columns. crowded: the core of a globular cluster. nebulous: emission with
    structure on all scales. dark: a dark cloud in front of a bright smooth nebula.
    shadow: as defective, but a shadow covers a thirtieth of one exposure. All but
    clean have defects.
    """
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    margin = min(16 * count, 128)
    wide = (shape[0] + margin, shape[1] + margin)
    scene = sky + stars(rng, wide, _CROWDED if kind == "crowded" else _STARS)
    if kind == "nebulous":
        scene += sky * nebula(rng, wide)
    if kind == "dark":
        scene += sky * cloud(rng, wide)
    defects = np.zeros(shape, bool) if kind == "clean" else defective(rng, shape)
    noise = np.hypot(np.sqrt(sky), read_noise)
    missing = np.where(defects, noise * rng.uniform(*depth, shape), 0)
    made = Field([], defects, [])
    for n in range(count):
        y, x = rng.integers(0, margin + 1, 2)
        light = scene[y : y + shape[0], x : x + shape[1]].copy()
        if kind == "shadow" and n == count - 1:
            light[: shape[0] // 30] *= 0.1
        hits = cosmic_rays(rng, shape, rays)
        pixels = rng.poisson(light) + rng.normal(0, read_noise, shape) - missing + hits
        made.exposures.append(pixels.astype(np.float32))
        made.rays.append(hits > 0)
    return made


def stars(rng: np.random.Generator, shape: tuple[int, int], per_pixel: float) -> np.ndarray:
    """Return an image of stars: each a small Gaussian with wings."""
    half = 10
    yy, xx = np.mgrid[-half : half + 1, -half : half + 1]
    radius = yy**2 + xx**2
    psf = np.exp(-radius / 2.0) + 0.02 / (1 + radius / 4) ** 1.5
    psf /= psf.sum()
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
    """Return emission with structure on all scales, a few times brighter than the sky."""
    ky, kx = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None]
    power = (ky**2 + kx**2 + 1e-5) ** -0.9
    noise = np.fft.rfft2(rng.normal(size=shape)) * power
    density = np.fft.irfft2(noise, s=shape)
    density = (density - density.mean()) / density.std()
    return 4 * np.exp(0.8 * density)


def cloud(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Return smooth emission twelve times as bright as the sky, with a dark cloud."""
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    y, x = (rng.integers(side // 4, 3 * side // 4) for side in shape)
    radius = ((yy - y) / shape[0] / 0.08) ** 2 + ((xx - x) / shape[1] / 0.14) ** 2
    return 12 * (1 - 0.8 * np.exp(-(radius**2)))


def cosmic_rays(rng: np.random.Generator, shape: tuple[int, int], per_pixel: float) -> np.ndarray:
    """Return the electrons deposited by cosmic rays: short straight tracks."""
    hits = np.zeros(shape)
    number = rng.poisson(per_pixel * hits.size)
    y, x = rng.uniform(0, shape[0], number), rng.uniform(0, shape[1], number)
    angle, length = rng.uniform(0, np.pi, number), rng.geometric(0.25, number)
    charge = rng.lognormal(np.log(300), 1, number)
    for step in range(length.max(initial=0)):
        going = length > step
        row = (y + step * np.sin(angle)).astype(int)
        column = (x + step * np.cos(angle)).astype(int)
        going &= (row < shape[0]) & (column >= 0) & (column < shape[1])
        np.add.at(hits, (row[going], column[going]), charge[going])
    return hits


def defective(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Return the bad pixels of a detector: single ones, pairs, and parts of columns."""
    area = shape[0] * shape[1]
    bad = rng.random(shape) < 4e-4
    pairs, columns = round(6e-5 * area), round(5e-6 * area)
    y, x = rng.integers(0, shape[0], pairs), rng.integers(1, shape[1], pairs)
    bad[y, x] = bad[y, x - 1] = True
    for _ in range(columns):
        top, column = rng.integers(0, shape[0] - 60), rng.integers(0, shape[1])
        bad[top : top + 60, column] = True
    return bad
