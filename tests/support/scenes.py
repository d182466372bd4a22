"""Crowded and nebulous fields with exactly known defects, as a Hubble camera sees them.

A scene is light in electrons per exposure without noise, sampled twice as finely as the
detector and blurred by a PSF. Every exposure sees it at another place: dithers are
multiples of half a pixel, and at least two pixels. Then come Poisson and read noise,
cosmic rays, and defects, which stay on their pixels and lie a known number of noises of
their place below what the pixel would show otherwise.

Fields of 1024 x 1024 pixels and more with their files are in `fields`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.support.fields import cosmic_rays, defective

Image = NDArray[np.float64]
Rng = np.random.Generator
Shape = tuple[int, int]

SKY = 40.0  # electrons
FINE = 2  # samples of a scene per pixel, along each axis
FARTHEST = 24  # pixels: the largest dither
LEAST = 2  # pixels: the smallest distance of two exposures
EDGE = 8  # pixels around a scene, from where light is blurred into it
SATURATION = 80_000.0  # electrons

# Fluxes of stars in electrons.
_FAINTEST = 60.0
_BRIGHTEST = 3e5

# Defects of one shape: their pixels (rows, columns) from the first.
STAMPS: dict[str, list[tuple[int, int]]] = {
    "single": [(0, 0)],
    "pair": [(0, 0), (0, 1)],
    "L": [(0, 0), (1, 0), (1, 1)],
    "block 2 x 2": [(y, x) for y in range(2) for x in range(2)],
    "block 3 x 3": [(y, x) for y in range(3) for x in range(3)],
    "part of a column": [(y, 0) for y in range(40)],
    "parts of two columns": [(y, x) for y in range(40) for x in range(2)],
    "part of a row": [(0, x) for x in range(25)],
    "parts of two rows": [(y, x) for y in range(2) for x in range(25)],
}
#: All shapes of defects; mixed: single ones, pairs and parts of columns.
SHAPES = ("mixed", *STAMPS, "column", "two columns", "edge", "corner")


@dataclass(frozen=True)
class Kind:
    """A kind of field.

    Attributes: `draw` returns the surface brightness (electrons per pixel) and the point
    sources (electrons per sample) at the given rows and columns, in pixels; full width at
    half maximum of the PSF in pixels; height of its wings; read noise in electrons; cosmic
    rays per pixel; whether bright stars saturate and bleed along their columns.
    """

    draw: Callable[[Rng, Image, Image], tuple[Image, Image]]
    fwhm: float = 2.2
    wings: float = 0.02
    read_noise: float = 4.0
    rays: float = 2e-3
    bleeds: bool = False


@dataclass(frozen=True)
class Field:
    """Several exposures of one field.

    Attributes: float32 pixels of each exposure; the defects; the pixels of each exposure
    that are saturated.
    """

    exposures: list[NDArray[np.float32]]
    defects: NDArray[np.bool_]
    saturated: list[NDArray[np.bool_]]


def field(
    kind: str | Kind,
    seed: int,
    count: int = 6,
    shape: Shape = (512, 512),
    *,
    depth: tuple[float, float] = (8.0, 8.0),
    defects: str = "mixed",
    dithered: bool = True,
    seconds: float = 1.0,
    subtracted: float = 0.0,
) -> Field:
    """Make `count` exposures, of `shape` (rows, columns) each, of one kind of field.

    kind: one of `KINDS`, or another. seed: equal seeds give equal light and noise, whatever
    the unit. depth: range of the depths of defects, in noises of their place. defects: one
    of `SHAPES`. dithered: False if all exposures see the same place. seconds: exposure time
    by which electrons are divided. subtracted: electrons of sky that are subtracted.
    """
    kind = kind if isinstance(kind, Kind) else KINDS[kind]
    rng = np.random.default_rng(seed)
    scene = _light(kind, rng, (shape[0] + FARTHEST, shape[1] + FARTHEST))
    bad = _defects(defects, rng, shape)
    depths = np.where(bad, rng.uniform(*depth, shape), 0)
    made = Field([], bad, [])
    for y, x in _dithers(rng, count) if dithered else [(0, 0)] * count:
        window = scene[y : y + FINE * shape[0], x : x + FINE * shape[1]]
        seen = window.reshape(shape[0], FINE, shape[1], FINE).sum((1, 3))
        full = _bleeds(seen) if kind.bleeds else np.zeros(shape, bool)
        seen[full] = SATURATION
        noise = np.sqrt(seen + kind.read_noise**2)
        pixels = rng.poisson(seen) + rng.normal(0, kind.read_noise, shape)
        pixels += cosmic_rays(rng, shape, kind.rays) - depths * noise
        made.exposures.append(((pixels - subtracted) / seconds).astype(np.float32))
        made.saturated.append(full)
    return made


def _light(kind: Kind, rng: Rng, shape: Shape) -> Image:
    """Return the light of a scene that covers `shape` pixels, in electrons per sample."""
    rows, columns = (FINE * (side + 2 * EDGE) for side in shape)
    y, x = np.ogrid[:rows, :columns]
    surface, points = kind.draw(rng, y / FINE, x / FINE)
    image = _blurred(surface / FINE**2 + points, kind.fwhm, kind.wings)
    return image[FINE * EDGE : -FINE * EDGE, FINE * EDGE : -FINE * EDGE]


def _dithers(rng: Rng, count: int) -> list[tuple[int, int]]:
    """Return places of exposures, in samples, of which no two are close to each other."""
    places: list[tuple[int, int]] = []
    while len(places) < count:
        y, x = rng.integers(0, FINE * FARTHEST + 1, 2).tolist()
        if all(np.hypot(y - other[0], x - other[1]) >= FINE * LEAST for other in places):
            places.append((y, x))
    return places


def _defects(name: str, rng: Rng, shape: Shape) -> NDArray[np.bool_]:
    """Return the defects of one of `SHAPES`: some hundred pixels, far from each other."""
    if name == "mixed":
        return defective(rng, shape)
    bad = np.zeros(shape, bool)
    rows, columns = shape
    if name == "corner":
        bad[:: rows - 1, :: columns - 1] = True
    elif name == "edge":
        for side in (bad[0], bad[-1], bad[:, 0], bad[:, -1]):
            side[rng.choice(np.arange(2, side.size - 2, 4), min(20, side.size // 8), False)] = True
    elif name in ("column", "two columns"):
        for x in rng.choice(np.arange(4, columns - 4, 24), min(4, columns // 24), False):
            bad[:, x : x + (1 if name == "column" else 2)] = True
    else:
        dy, dx = np.array(STAMPS[name]).T
        for _ in range(max(6, 240 // dy.size)):
            y, x = rng.integers(0, rows - dy.max()), rng.integers(0, columns - dx.max())
            around = bad[max(0, y - 4) : y + dy.max() + 5, max(0, x - 4) : x + dx.max() + 5]
            if not around.any():
                bad[y + dy, x + dx] = True
    return bad


def _bleeds(seen: Image) -> NDArray[np.bool_]:
    """Return saturated pixels, and those along their columns that the excess charge fills."""
    full = seen > SATURATION
    for column in np.flatnonzero(full.any(axis=0)):
        rows = np.flatnonzero(full[:, column])
        spill = int((seen[rows, column] / SATURATION - 1).sum() / 2)
        full[max(0, rows[0] - spill) : rows[-1] + spill + 1, column] = True
    return full


def _blurred(image: Image, fwhm: float, wings: float) -> Image:
    """Blur by a PSF: a Gaussian with extended wings."""
    y, x = (np.fft.fftfreq(n, 1 / n) for n in image.shape)
    squares = (y[:, np.newaxis] ** 2 + x**2) / (fwhm * FINE / 2.355) ** 2
    psf = np.exp(-squares / 2) + wings / 4 / (1 + squares / 9) ** 1.5
    folded = np.fft.rfft2(image) * np.fft.rfft2(psf / psf.sum())
    return np.clip(np.fft.irfft2(folded, s=image.shape), 0, None)


# What scenes are made of


def _stars(rng: Rng, y: Image, x: Image, per_pixel: float, faintest: float = _FAINTEST) -> Image:
    """Return stars with a power law of fluxes."""
    points = np.zeros((y.size, x.size))
    number = int(per_pixel * points.size / FINE**2)
    flux = np.minimum(faintest * (1 + rng.pareto(0.9, number)), _BRIGHTEST)
    np.add.at(points, (rng.integers(0, y.size, number), rng.integers(0, x.size, number)), flux)
    return points


def _fractal(rng: Rng, y: Image, x: Image, slope: float, largest: float = 1e-5) -> Image:
    """Return structure on all scales with mean 0 and rms 1; `largest` limits its scale."""
    wave = np.fft.fftfreq(y.size)[:, np.newaxis] ** 2 + np.fft.rfftfreq(x.size) ** 2
    shape = (y.size, x.size)
    folded = np.fft.rfft2(rng.normal(size=shape)) * (wave + largest) ** (-slope / 2)
    image = np.fft.irfft2(folded, s=shape)
    standard: Image = (image - image.mean()) / image.std()
    return standard


def _centre(y: Image, x: Image) -> tuple[Image, Image]:
    return y - y.max() / 2, x - x.max() / 2


def _somewhere(rng: Rng, y: Image, x: Image) -> tuple[Image, Image]:
    """Return coordinates with a random origin and orientation."""
    angle = rng.uniform(0, np.pi)
    dy, dx = y - rng.uniform(0, y.max()), x - rng.uniform(0, x.max())
    return dy * np.cos(angle) - dx * np.sin(angle), dy * np.sin(angle) + dx * np.cos(angle)


# Scenes


def _blank(rng: Rng, y: Image, x: Image) -> tuple[Image, Image]:
    """Draw a flat sky with some stars."""
    return np.full((y.size, x.size), SKY), _stars(rng, y, x, 3e-4)


def _galaxies(rng: Rng, y: Image, x: Image) -> tuple[Image, Image]:
    """Draw a cluster of galaxies, some of them discs with dust lanes."""
    surface, points = _blank(rng, y, x)
    for _ in range(round(45 * surface.size / (FINE * 552) ** 2)):
        v, u = _somewhere(rng, y, x)
        size, flatness = rng.uniform(4, 30), rng.uniform(0.2, 1)
        radius = np.hypot(u, v / flatness) / size
        one = rng.uniform(100, 2500) * np.exp(-1.68 * radius)
        if flatness < 0.5:
            width = max(0.8, 0.15 * size * flatness)
            one *= 1 - 0.8 * np.exp(-((v / width) ** 2) / 2 - radius**2 / 4)
        surface += one
    return surface, points


def _cluster(rng: Rng, y: Image, x: Image) -> tuple[Image, Image]:
    """Draw the core of a globular cluster, where all stars overlap."""
    return np.full((y.size, x.size), SKY), _stars(rng, y, x, 0.15)


def _filaments(rng: Rng, y: Image, x: Image) -> tuple[Image, Image]:
    """Draw a supernova remnant: thin ridges of emission."""
    coarse, thin = _fractal(rng, y, x, 2.6, 2e-4), _fractal(rng, y, x, 2.4, 1e-3)
    surface = SKY + 60 * np.exp(coarse) + 1500 * np.exp(-np.abs(coarse) / 0.03)
    return surface + 700 * np.exp(-np.abs(thin) / 0.04), _stars(rng, y, x, 1e-3)


def _globules(rng: Rng, y: Image, x: Image) -> tuple[Image, Image]:
    """Draw a bright nebula with dark globules of 2 to 12 pixels."""
    surface = SKY + 800 * np.exp(0.5 * _fractal(rng, y, x, 3.0))
    for _ in range(round(120 * surface.size / (FINE * 552) ** 2)):
        v, u = _somewhere(rng, y, x)
        beyond = np.hypot(u, v / rng.uniform(0.5, 1)) - rng.uniform(2, 12)
        surface *= 1 - 0.85 / (1 + np.exp(np.minimum(beyond / 0.4, 50)))
    return surface, _stars(rng, y, x, 1e-3)


def _spiral(rng: Rng, y: Image, x: Image) -> tuple[Image, Image]:
    """Draw a spiral close by: arms, dust, and resolved stars."""
    dy, dx = _centre(y, x)
    radius = np.hypot(dy, dx) + 1
    phase = 2 * (np.arctan2(dy, dx) - 3 * np.log(radius))
    surface = 4000 * np.exp(-radius / 12)
    surface += 700 * np.exp(-radius / 160) * (1 + 0.6 * np.cos(phase)) + SKY
    dust = _fractal(rng, y, x, 2.4, 1e-3) + 0.8 * np.cos(phase + 1.2) - 0.3
    stars = _stars(rng, y, x, 0.01) * np.exp(-radius / 200)
    return surface * np.exp(-0.8 * np.clip(dust, 0, None)), stars


def _nebulous(rng: Rng, y: Image, x: Image) -> tuple[Image, Image]:
    """Draw emission with structure on all scales."""
    return SKY * (1 + 4 * np.exp(0.8 * _fractal(rng, y, x, 1.8))), _stars(rng, y, x, 3e-4)


def _dark(rng: Rng, y: Image, x: Image) -> tuple[Image, Image]:
    """Draw a dark cloud in front of a bright smooth nebula."""
    dy, dx = (side / side.max() - rng.uniform(0.3, 0.7) for side in (y, x))
    squares = (dy / 0.08) ** 2 + (dx / 0.14) ** 2
    return SKY * (1 + 12 * (1 - 0.8 * np.exp(-(squares**2)))), _stars(rng, y, x, 3e-4)


def _globular(rng: Rng, y: Image, x: Image) -> tuple[Image, Image]:
    """Draw a globular cluster with saturated stars and their diffraction spikes."""
    dy, dx = _centre(y, x)
    squares = dy**2 + dx**2
    points = _stars(rng, y, x, 0.2) * (rng.random(squares.shape) < 1 / (1 + squares / 8100))
    for _ in range(8):
        row, column = rng.integers(0, y.size), rng.integers(0, x.size)
        dy, dx = y - row / FINE, x - column / FINE
        for u, v in ((dx + dy, dx - dy), (dx - dy, dx + dy)):
            points += 600 / (1 + (u / 10) ** 2) * np.exp(-((v / 0.8) ** 2) / 2)
        points[row, column] += 3e6
    return np.full(squares.shape, SKY), points


def _fronts(rng: Rng, y: Image, x: Image) -> tuple[Image, Image]:
    """Draw an HII region with sharp ionization fronts."""
    surface = SKY + 300 * np.exp(0.7 * _fractal(rng, y, x, 2.8))
    gas = _fractal(rng, y, x, 3.2, 1e-4)
    for level, height in ((-1.0, 600), (0.0, 900), (0.8, 1800)):
        rise = 1 / (1 + np.exp(np.minimum((level - gas) / 0.004, 50)))
        surface += height * rise * np.exp(-np.clip(gas - level, 0, None) / 0.4)
    return surface, _stars(rng, y, x, 3e-3)


def _planetary(rng: Rng, y: Image, x: Image) -> tuple[Image, Image]:
    """Draw a planetary nebula with thin rings and radial strings."""
    dy, dx = _centre(y, x)
    radius, angle = np.hypot(dy, 1.15 * dx), np.arctan2(dy, dx)
    surface = SKY + 900 * np.exp(-(((radius - 90) / 30) ** 2)) + 250 * np.exp(-radius / 150)
    for ring in np.arange(20, 240, 14):
        distance = radius - ring - 3 * np.sin(5 * angle)
        surface += rng.uniform(150, 700) * np.exp(-((distance / 1.2) ** 2) / 2)
    strings = np.exp(-((np.sin(30 * angle + radius / 40) / 0.25) ** 2))
    surface *= 1 - 0.5 * strings * (radius > 70) * (radius < 180)
    return surface, _stars(rng, y, x, 1e-3)


def _edge_on(rng: Rng, y: Image, x: Image) -> tuple[Image, Image]:
    """Draw an edge-on galaxy with ragged dust lanes, nearly along the rows."""
    dy, dx = _centre(y, x)
    angle = np.deg2rad(rng.uniform(-12, 12))
    u, v = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
    ragged = _fractal(rng, y, x, 2.4, 1e-3)
    disc = 3500 * np.exp(-np.abs(u) / 110 - np.abs(v) / 14)
    disc += 2500 * np.exp(-np.hypot(u, 1.4 * v) / 25)
    lanes = np.exp(-(((v - ragged) / 1.6) ** 2) / 2)
    lanes += 0.6 * np.exp(-((v - 9 - 2 * ragged) ** 2) / 2)
    clouds = np.clip(_fractal(rng, y, x, 2.2, 3e-3) - 0.6, 0, None) * np.exp(-np.abs(v) / 12)
    dust = 1.8 * lanes * np.exp(-np.abs(u) / 150) + 0.5 * clouds
    return SKY + disc * np.exp(-dust), _stars(rng, y, x, 2e-3)


def _dwarf(rng: Rng, y: Image, x: Image) -> tuple[Image, Image]:
    """Draw a resolved dwarf galaxy."""
    dy, dx = _centre(y, x)
    density = np.exp(-np.hypot(dy, 1.4 * dx) / 150)
    points = _stars(rng, y, x, 0.12, 80.0) * (rng.random(density.shape) < density)
    return SKY + 60 * density, points


def _bulge(rng: Rng, y: Image, x: Image) -> tuple[Image, Image]:
    """Draw the galactic bulge over a bright infrared sky."""
    return np.full((y.size, x.size), 10 * SKY), _stars(rng, y, x, 0.08, 300.0)


#: The last two have an undersampled PSF, as infrared cameras do.
KINDS: dict[str, Kind] = {
    "blank": Kind(_blank),
    "galaxies": Kind(_galaxies),
    "cluster": Kind(_cluster),
    "filaments": Kind(_filaments),
    "globules": Kind(_globules),
    "spiral": Kind(_spiral),
    "nebulous": Kind(_nebulous),
    "dark": Kind(_dark),
    "globular": Kind(_globular, wings=0.03, bleeds=True),
    "fronts": Kind(_fronts),
    "planetary": Kind(_planetary),
    "edge-on": Kind(_edge_on),
    "dwarf": Kind(_dwarf, fwhm=1.2, wings=0.05),
    "bulge": Kind(_bulge, fwhm=1.1, wings=0.06, read_noise=15.0, rays=0.0),
}
