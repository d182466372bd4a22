"""Small synthetic exposures with the layouts of Hubble files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits

DATA = Path(__file__).parents[1] / "data"
REAL = DATA / "o4k19a010_flt.fits"

# Primary header and per-chip SCI headers of each row of the naming table.
INSTRUMENTS = {
    "acs_wfc": ({"INSTRUME": "ACS", "DETECTOR": "WFC"}, [{"CCDCHIP": 2}, {"CCDCHIP": 1}]),
    "acs_hrc": ({"INSTRUME": "ACS", "DETECTOR": "HRC"}, [{}]),
    "acs_sbc": ({"INSTRUME": "ACS", "DETECTOR": "SBC"}, [{}]),
    "wfc3_uvis": ({"INSTRUME": "WFC3", "DETECTOR": "UVIS"}, [{"CCDCHIP": 2}, {"CCDCHIP": 1}]),
    "wfc3_ir": ({"INSTRUME": "WFC3", "DETECTOR": "IR"}, [{}]),
    "wfpc2": ({"INSTRUME": "WFPC2"}, [{"DETECTOR": n} for n in (1, 2, 3, 4)]),
    "stis_ccd": ({"INSTRUME": "STIS", "DETECTOR": "CCD"}, [{}, {}]),
    "stis_nuv": ({"INSTRUME": "STIS", "DETECTOR": "NUV-MAMA"}, [{}]),
    "stis_fuv": ({"INSTRUME": "STIS", "DETECTOR": "FUV-MAMA"}, [{}]),
    "nicmos1": ({"INSTRUME": "NICMOS", "CAMERA": 1}, [{}]),
    "nicmos2": ({"INSTRUME": "NICMOS", "CAMERA": 2}, [{}]),
    "nicmos3": ({"INSTRUME": "NICMOS", "CAMERA": 3}, [{}]),
    "other": ({"INSTRUME": "NIRCAM", "DETECTOR": "NRCA1"}, [{}]),
}


def sky(
    seed: int,
    shape: tuple[int, int] = (64, 80),
    *,
    level: float = 40.0,
    rms: float = 6.0,
    low: int = 20,
    high: int = 60,
) -> np.ndarray:
    """Return a noisy sky with `low` over-corrected and `high` bright pixels; float32."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(level, rms, shape)
    flat = pixels.reshape(-1)
    places = rng.permutation(flat.size)[: low + high]
    flat[places[:low]] -= rng.uniform(8 * rms, 60 * rms, min(low, places.size))
    flat[places[low:]] += rng.pareto(1.2, max(0, places.size - low)) * 20 * rms
    return pixels.astype(np.float32)


def exposure(
    path: Path,
    pixels: list[np.ndarray],
    *,
    primary: dict | None = None,
    chips: list[dict] | None = None,
    flags: list[np.ndarray] | None = None,
    versions: list[int] | None = None,
    errors: bool = True,
    **writing: object,
) -> Path:
    """Write an exposure: for each array SCI, ERR and, if `flags` has it, DQ."""
    head = fits.PrimaryHDU()
    head.header.update({"INSTRUME": "ACS", "DETECTOR": "HRC", "EXPTIME": 400.0} | (primary or {}))
    hdus = fits.HDUList([head])
    for i, array in enumerate(pixels):
        version = versions[i] if versions else i + 1
        science = fits.ImageHDU(array, name="SCI", ver=version)
        science.header.update((chips or [{}] * len(pixels))[i])
        hdus.append(science)
        if errors:
            hdus.append(fits.ImageHDU(np.ones(array.shape, "f4"), name="ERR", ver=version))
        if flags is not None:
            hdus.append(fits.ImageHDU(flags[i], name="DQ", ver=version))
    head.header.setdefault("NEXTEND", len(hdus) - 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    hdus.writeto(path, overwrite=True, **writing)
    return path


def instrument_exposure(
    folder: Path, row: str, seed: int, shape: tuple[int, int] = (64, 80), **more: object
) -> Path:
    """Write a small exposure for a row of the naming table, with a name of its instrument."""
    primary, chips = INSTRUMENTS[row]
    pixels = [sky(1000 * seed + i, shape) for i in range(len(chips))]
    ending = "c0m" if row == "wfpc2" else "cal" if row.startswith("nicmos") else "flt"
    path = folder / f"{row}{seed:02d}_{ending}.fits"
    return exposure(path, pixels, primary=primary, chips=chips, **more)


def association(path: Path, members: list[tuple[str, str, bool]]) -> Path:
    """Write an association table of (MEMNAME, MEMTYPE, MEMPRSNT)."""
    names, kinds, present = zip(*members, strict=True)
    columns = [
        fits.Column(name="MEMNAME", format="30A", array=list(names)),
        fits.Column(name="MEMTYPE", format="14A", array=list(kinds)),
        fits.Column(name="MEMPRSNT", format="L", array=list(present)),
    ]
    table = fits.BinTableHDU.from_columns(columns)
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path, overwrite=True)
    return path
