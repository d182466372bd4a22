"""Complete runs, and the expected masks."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
from astropy.io import fits

from staticmask_cli import create_masks
from staticmask_cli.reports.report import Report
from staticmask_cli.statistics.sky import low_pixels, sky_statistics
from tests.support.makers import exposure, sky

#: Type of the fixtures `staticmask` and `staticmask_process`, which run the command.
Run = Callable[..., subprocess.CompletedProcess[str]]


def expected(arrays: Iterable[np.ndarray], static_sig: float = 4.0) -> np.ndarray:
    """Return the mask of several arrays of one chip, from their statistics.

    Other tests compare the statistics with DrizzlePac's; this checks that the right
    pixels are combined into the right mask.
    """
    low = [low_pixels(a, sky_statistics(a), static_sig) for a in arrays]
    return 1 - np.any(low, axis=0).astype(np.int16)


def flagged(flags: np.ndarray, good: int = 0) -> np.ndarray:
    """Return the mask of DQ flags alone; `good` bits are ignored."""
    return 1 - ((flags.astype(np.int64) & 0xFFFF & ~good) != 0).astype(np.int16)


def run(*inputs: Path | str, out: Path, **options: object) -> Report:
    """Make masks in `out`."""
    return create_masks([*inputs], output_dir=out, **options)


def masks(report: Report) -> dict[str, np.ndarray]:
    """Return a run's masks by file name."""
    return {Path(mask.path).name: mask.read() for mask in report.masks}


def only(report: Report) -> np.ndarray:
    """Return the mask of a run that made one."""
    (mask,) = report.masks
    return mask.read()


def files_used(report: Report) -> list[str]:
    """Return the file name of every chip in the masks of a run, sorted."""
    return sorted(record.file for exposure in report.exposures for _, record in exposure.chips)


def header(path: Path | str, index: int = 0) -> fits.Header:
    """Return one header of a file."""
    return fits.getheader(path, index)


def small(path: Path, seed: int = 1, **more: object) -> Path:
    """Write a small exposure of one chip."""
    return exposure(path, [sky(seed, (16, 20), low=5, high=5)], errors=False, **more)


def simple(path: Path, hdus: list[fits.ImageHDU], **primary: object) -> Path:
    """Write HDUs after a primary header of one instrument."""
    first = fits.PrimaryHDU()
    usual = {"INSTRUME": "ACS", "DETECTOR": "HRC", "EXPTIME": 400.0, "NEXTEND": len(hdus)}
    first.header.update(usual | primary)
    fits.HDUList([first, *hdus]).writeto(path, overwrite=True)
    return path


def science(array: np.ndarray | None, version: int = 1, **keywords: object) -> fits.ImageHDU:
    """Return a SCI extension."""
    hdu = fits.ImageHDU(array, name="SCI", ver=version)
    hdu.header.update(keywords)
    return hdu


def constant(name: str, value: float, shape: tuple[int, int] | None = None) -> fits.ImageHDU:
    """Return an extension without array whose header gives the value of all pixels."""
    hdu = fits.ImageHDU(None, name=name, ver=1)
    hdu.header["PIXVALUE"] = value
    if shape is not None:
        hdu.header["NPIX1"] = shape[1]
        hdu.header["NPIX2"] = shape[0]
    return hdu


def tree(folder: Path) -> Mapping[str, tuple[bytes | None, int, int]]:
    """Return the contents, modification time and mode of every path in a folder."""
    return {
        str(path.relative_to(folder)): (
            path.read_bytes() if path.is_file() else None,
            path.lstat().st_mtime_ns,
            path.lstat().st_mode,
        )
        for path in sorted(folder.rglob("*"))
        if not path.is_fifo()
    }
