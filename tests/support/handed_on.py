"""Masks with given bad pixels, and plain readers of the forms in which they are exported."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from astropy.io import fits

from staticmask_cli.exposures.instruments import ChipIdentity
from staticmask_cli.masks.editing import Edit, Operation
from staticmask_cli.masks.fits_form import write_mask
from staticmask_cli.masks.naming import documented_name
from staticmask_cli.masks.static_mask import StaticMask


def identity(
    shape: tuple[int, int] = (16, 20), detector: str = "ACS HRC", number: int = 1, **more: int
) -> ChipIdentity:
    """Return the identity of a chip."""
    instrument, _, name = detector.partition(" ")
    return ChipIdentity(
        instrument=instrument,
        detector=name,
        number=number,
        rows=shape[0],
        columns=shape[1],
        **more,
    )


def mask_file(folder: Path, bad: np.ndarray, *arguments: object, **more: int) -> Path:
    """Write a mask with the given bad pixels and identity; it has no exposures."""
    chip = identity(bad.shape, *arguments, **more)
    edit = Edit(Operation.IMPORT, "mine.csv", "0" * 64, int(bad.sum()), 0)
    mask = StaticMask(shape=bad.shape, bits=np.packbits(bad), identity=chip, edits=(edit,))
    path = folder / documented_name(chip, None)
    folder.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        write_mask(mask, file)
    return path


def bare_mask(path: Path, bad: np.ndarray) -> Path:
    """Write a mask as DrizzlePac does: an array, without identity."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.PrimaryHDU((~bad).astype(np.int16)).writeto(path)
    return path


def some_bad(seed: int, shape: tuple[int, int] = (16, 20), share: float = 0.1) -> np.ndarray:
    """Return random bad pixels and a bad column."""
    bad = np.random.default_rng(seed).random(shape) < share
    bad[: shape[0] * 3 // 4, shape[1] // 2] = True
    return bad


def bad_in_table(path: Path, chip: int) -> np.ndarray:
    """Return the flags that a bad-pixel table gives to a CCDCHIP, in unbinned pixels."""
    head, rows = fits.getheader(path, 1), fits.getdata(path, 1)
    flags = np.zeros((head["SIZAXIS2"], head["SIZAXIS1"]), np.int16)
    for row in rows:
        if "CCDCHIP" in rows.names and row["CCDCHIP"] not in (-999, chip):
            continue
        for n in range(row["LENGTH"]):
            x, y = (n, 0) if row["AXIS"] == 1 else (0, n)
            flags[row["PIX2"] - 1 + y, row["PIX1"] - 1 + x] |= row["VALUE"]
    return flags


def bad_in_regions(text: str, shape: tuple[int, int]) -> np.ndarray:
    """Return the pixels whose centres are inside the boxes of a region file."""
    y, x = np.mgrid[1 : shape[0] + 1, 1 : shape[1] + 1]
    bad = np.zeros(shape, bool)
    head, boxes = text.split("image\n")
    assert head.startswith("# Region file format: DS9")
    for line in boxes.splitlines():
        at, up, width, height, angle = map(float, re.fullmatch(r"box\((.*)\)", line)[1].split(","))
        assert angle == 0
        bad |= (abs(x - at) < width / 2) & (abs(y - up) < height / 2)
    return bad
