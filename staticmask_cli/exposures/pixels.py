"""Arrays of exposures, read where scanning found them."""

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
from staticmask_cli.exposures.fits_files import READING, open_fits
from staticmask_cli.exposures.headers import HeaderError, ImageArray, as_float, file_stamp

_CHUNK = 262144  # pixels to a read
_kept = threading.local()


@contextmanager
def chip_arrays(chip: Chip) -> Iterator[tuple[NDArray[Any], NDArray[Any] | None]]:
    """Read a chip's arrays and lend them: after the block their memory is used again.

    Fresh pages would cost more than the reading.

    Parameters
    ----------
    chip : Chip
        Where the arrays are.

    Yields
    ------
    science : ndarray
        Rows x columns, in native byte order and the type in the file (after
        scaling). Not to be written to.
    flags : ndarray or None
        Likewise; None if the chip has no flags or they are not asked for.

    Raises
    ------
    InputError
        If a file changed or cannot be read any more, or memory runs out.
    """
    try:
        yield read(chip.science), None if chip.flags is None else read(chip.flags)
    except MemoryError:
        size = " x ".join(map(str, chip.science.shape))
        raise InputError(
            f"{chip.science.path}: SCI,{chip.extver}: its {size} pixels do not fit "
            "into memory; fewer --jobs need less"
        ) from None


def read(array: ImageArray) -> NDArray[Any]:
    """Read an array as `chip_arrays` does; it lives until the thread reads the next of its kind."""
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
    """Read an array that is scaled, tile-compressed or has values that stand for none."""
    scale, zero = 1.0, 0.0
    try:
        with open_fits(path, do_not_scale_image_data=array.is_flags) as (hdus, _):
            hdu = hdus[array.index]
            pixels = np.asarray(hdu.data)
            if array.is_flags:
                scale, zero = as_float(hdu.header, "BSCALE", 1), as_float(hdu.header, "BZERO", 0)
    except HeaderError as error:
        raise InputError(f"{path}: {array.name}: {error}") from None
    if pixels.shape != array.shape:  # None, if a table of tiles has no rows
        raise InputError(f"{path}: is damaged: {array.name} has no pixels")
    return _scaled(pixels.astype(pixels.dtype.newbyteorder("="), copy=False), scale, zero)


def matches_datasum(array: ImageArray) -> bool:
    """Return whether an array in a file has the DATASUM of its header, if there is one.

    Raises
    ------
    InputError
        If the file cannot be read any more.
    """
    if array.constant is not None:
        return True
    # A compressed image as the table that it is: DATASUM is of that.
    with open_fits(Path(array.path), disable_image_compression=True) as (hdus, _):
        hdu = hdus[array.index]
        datasum = str(hdu.header.get("DATASUM", "0")).strip()
        return datasum.isdecimal() and hdu.verify_datasum() != 0


def _scaled(stored: NDArray[Any], scale: float, zero: float) -> NDArray[Any]:
    """Return flags as numbers; astropy would take the value of BLANK or ZBLANK for no flag."""
    if (scale, zero) == (1, 0):
        return stored
    sign_bit = 2 ** (8 * stored.dtype.itemsize - 1)
    flags: NDArray[Any]
    if stored.dtype.kind == "i" and (scale, zero) == (1, sign_bit):  # as FITS stores unsigned ones
        flags = stored.view(stored.dtype.str.replace("i", "u"))
        flags ^= flags.dtype.type(sign_bit)
    else:
        flags = stored * np.float64(scale) + np.float64(zero)
    return flags


def _check_unchanged(path: Path, array: ImageArray) -> None:
    """Refuse a file that is not the one whose headers were read, or is gone."""
    try:
        stamp = file_stamp(path.stat())
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if stamp != array.stamp:
        raise InputError(_changed(path))


def _changed(path: Path) -> str:
    return f"{path}: changed while it was read; run again"


def _read_plain(path: Path, array: ImageArray, offset: int) -> NDArray[Any]:
    """Read an array that stands in the file as it is, swapping bytes while they are in cache."""
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
    except READING as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: cannot be read: {reason}") from None
    return pixels.reshape(array.shape)


def _memory(kind: tuple[bool, str], dtype: np.dtype[Any], count: int) -> NDArray[Any]:
    """Return this thread's memory for arrays of a kind, made anew only if it is too small."""
    kept: dict[tuple[bool, str], NDArray[Any]] = _kept.__dict__.setdefault("arrays", {})
    if kind not in kept or kept[kind].size < count:
        kept.pop(kind, None)  # first let go of the old
        kept[kind] = np.empty(count, dtype)
    return kept[kind][:count]
