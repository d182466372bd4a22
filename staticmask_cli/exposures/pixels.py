"""Reading the arrays of chips, at the positions found by scanning."""

from __future__ import annotations

import gzip
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.errors import InputError
from staticmask_cli.exposures.chips import Chip
from staticmask_cli.exposures.fits_files import READ_ERRORS, open_fits
from staticmask_cli.exposures.headers import HeaderError, ImageArray, as_float, file_stamp

_CHUNK = 262144  # pixels per read
_kept = threading.local()


@contextmanager
def chip_arrays(chip: Chip) -> Iterator[tuple[NDArray[Any], NDArray[Any] | None]]:
    """Read the arrays of a chip. After the block, their memory is reused.

    Allocating new memory pages would take longer than reading.

    Parameters
    ----------
    chip : Chip
        The chip to read.

    Yields
    ------
    science : ndarray
        Rows x columns, in native byte order and the type in the file (after
        scaling), in the unit of the file. Must not be modified.
    flags : ndarray or None
        DQ values, likewise; None if the chip has none or they are not requested.

    Raises
    ------
    InputError
        If a file changed or can no longer be read, or does not fit in memory.
    """
    try:
        yield read(chip.science), None if chip.flags is None else read(chip.flags)
    except MemoryError:
        size = " x ".join(map(str, chip.science.shape))
        raise InputError(
            f"{chip.science.path}: SCI,{chip.extver}: its {size} pixels do not fit "
            "in memory; use fewer --jobs"
        ) from None


def read(array: ImageArray) -> NDArray[Any]:
    """Read an array; its memory is reused when this thread reads the next of its kind."""
    if array.constant is not None:
        return np.broadcast_to(np.float64(array.constant), array.shape)
    path = Path(array.path)
    _check_unchanged(path, array)
    if array.is_as_stored and array.offset is not None:
        pixels = _read_plain(path, array, array.offset)
    else:
        pixels = _read_by_astropy(path, array)
    _check_unchanged(path, array)
    return pixels


def _read_by_astropy(path: Path, array: ImageArray) -> NDArray[Any]:
    """Read an array that is scaled, tile-compressed or has missing values (BLANK)."""
    scale, zero = 1.0, 0.0
    try:
        with open_fits(path, do_not_scale_image_data=array.is_flags) as (hdus, _):
            hdu = hdus[array.index]
            pixels = np.asarray(hdu.data)
            if array.is_flags:
                scale, zero = as_float(hdu.header, "BSCALE", 1), as_float(hdu.header, "BZERO", 0)
    except HeaderError as error:
        raise InputError(f"{path}: {array.name}: {error}") from None
    if pixels.shape != array.shape:  # None if a table of tiles has no rows
        raise InputError(f"{path}: is damaged: {array.name} has no pixels")
    return _scaled(pixels.astype(pixels.dtype.newbyteorder("="), copy=False), scale, zero)


def matches_datasum(array: ImageArray) -> bool:
    """Return whether the data of an array match DATASUM; True if that is missing.

    Raises
    ------
    InputError
        If the file can no longer be read.
    """
    if array.constant is not None:
        return True
    # DATASUM of a compressed image refers to its table.
    with open_fits(Path(array.path), disable_image_compression=True) as (hdus, _):
        hdu = hdus[array.index]
        datasum = str(hdu.header.get("DATASUM", "0")).strip()
        return datasum.isdecimal() and hdu.verify_datasum() != 0


def _scaled(stored: NDArray[Any], scale: float, zero: float) -> NDArray[Any]:
    """Return scaled flags; astropy's own scaling would replace values equal to BLANK."""
    if (scale, zero) == (1, 0):
        return stored
    sign_bit = 2 ** (8 * stored.dtype.itemsize - 1)
    flags: NDArray[Any]
    if stored.dtype.kind == "i" and (scale, zero) == (1, sign_bit):  # unsigned integers in FITS
        flags = stored.view(stored.dtype.str.replace("i", "u"))
        flags ^= flags.dtype.type(sign_bit)
    else:
        flags = stored * np.float64(scale) + np.float64(zero)
    return flags


def _check_unchanged(path: Path, array: ImageArray) -> None:
    """Raise if a file changed since its headers were read, or can no longer be read."""
    try:
        stamp = file_stamp(path.stat())
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if stamp != array.stamp:
        raise InputError(_changed(path))


def _changed(path: Path) -> str:
    return f"{path}: changed while it was read; run again"


def _read_plain(path: Path, array: ImageArray, offset: int) -> NDArray[Any]:
    """Read an uncompressed array, swapping bytes while they are in cache."""
    in_file = np.dtype(array.dtype)
    dtype = in_file.newbyteorder("=")
    pixels = _memory((array.is_flags, dtype.str), dtype, math.prod(array.shape))
    part = np.empty(min(_CHUNK, pixels.size), in_file)
    try:
        with gzip.open(path) if array.gzipped else path.open("rb", buffering=0) as file:
            file.seek(offset)
            for start in range(0, pixels.size, _CHUNK):
                wanted = part[: pixels.size - start]
                if file.readinto(wanted.data) != wanted.nbytes:
                    raise InputError(_changed(path))
                pixels[start : start + wanted.size] = wanted
    except READ_ERRORS as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: cannot be read: {reason}") from None
    return pixels.reshape(array.shape)


def _memory(kind: tuple[bool, str], dtype: np.dtype[Any], count: int) -> NDArray[Any]:
    """Return this thread's memory for arrays of a kind, reallocated only if too small."""
    kept: dict[tuple[bool, str], NDArray[Any]] = _kept.__dict__.setdefault("arrays", {})
    if kind not in kept or kept[kind].size < count:
        kept.pop(kind, None)  # free the old array first
        kept[kind] = np.empty(count, dtype)
    return kept[kind][:count]
