"""Reading the arrays of chips, at the positions found by scanning."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.errors import InputError
from staticmask_cli.exposures.chips import Chip
from staticmask_cli.exposures.fits_files import open_fits
from staticmask_cli.exposures.gzipped import READ_ERRORS, Readable, open_gzipped
from staticmask_cli.exposures.headers import HeaderError, ImageArray, as_float
from staticmask_cli.exposures.opening import FilePath, open_at, stamp_of

_CHUNK = 262144  # pixels per read
_of_thread = threading.local()
# astropy holds the GIL while it decompresses, so that several threads only need more memory.
_one_at_a_time = threading.Lock()


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
    path = array.path
    _check_unchanged(path, array)
    if not array.is_as_stored or array.offset is None:
        pixels = _read_by_astropy(path, array)
    elif (kept := _kept(array)) is not None:
        return kept
    else:
        try:
            with _opened(array) as file:
                found = read_from(file, array)
        except READ_ERRORS as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise InputError(f"{path}: cannot be read: {reason}") from None
        if found is None:
            raise InputError(_changed(path))
        pixels = found
    _check_unchanged(path, array)
    return pixels


def read_from(file: Readable, array: ImageArray) -> NDArray[Any] | None:
    """Read an uncompressed array from a file that is at its beginning.

    Until this thread reads the next array of its kind, `read` returns it without
    reading it again.

    Returns
    -------
    ndarray or None
        None if the file ends before the array does.

    Raises
    ------
    OSError, EOFError, zlib.error
        If the file cannot be read or unpacked.
    """
    in_file = np.dtype(array.dtype)
    pixels = _memory(array, in_file.newbyteorder("="))
    part = np.empty(min(_CHUNK, pixels.size), in_file)
    for start in range(0, pixels.size, _CHUNK):
        wanted = part[: pixels.size - start]
        if file.readinto(wanted.data) != wanted.nbytes:
            return None
        pixels[start : start + wanted.size] = wanted  # swaps bytes while they are in cache
    _memories()[_kind(array)].contents = array
    return pixels.reshape(array.shape)


def _read_by_astropy(path: FilePath, array: ImageArray) -> NDArray[Any]:
    """Read an array that is scaled, tile-compressed or has missing values (BLANK)."""
    scale, zero = 1.0, 0.0
    try:
        with _one_at_a_time, open_fits(path, do_not_scale_image_data=array.is_flags) as (hdus, _):
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
    with open_fits(array.path, disable_image_compression=True) as (hdus, _):
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


def _check_unchanged(path: FilePath, array: ImageArray) -> None:
    """Raise if a file changed since its headers were read, or can no longer be read."""
    try:
        stamp = stamp_of(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if stamp != array.stamp:
        raise InputError(_changed(path))


def _opened(array: ImageArray) -> Readable:
    """Open a file at the beginning of an uncompressed array."""
    if not array.gzipped:
        size = math.prod(array.shape) * np.dtype(array.dtype).itemsize
        return open_at(array.path, array.offset or 0, size)
    file = open_gzipped(array.path, array.stamp[0])
    file.seek(array.offset or 0)
    return file


def _changed(path: FilePath) -> str:
    return f"{path}: changed while it was read; run again"


@dataclass(slots=True)
class _Memory:
    """Memory of a thread for arrays of one kind, and the array that it contains."""

    values: NDArray[Any]
    contents: ImageArray | None = None


def _memories() -> dict[tuple[bool, str], _Memory]:
    memories: dict[tuple[bool, str], _Memory] = _of_thread.__dict__.setdefault("memories", {})
    return memories


def _kind(array: ImageArray) -> tuple[bool, str]:
    return array.is_flags, array.dtype


def _memory(array: ImageArray, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return this thread's memory for an array, reallocated only if it is too small."""
    memories, kind = _memories(), _kind(array)
    count = math.prod(array.shape)
    if kind not in memories or memories[kind].values.size < count:
        memories.pop(kind, None)  # free the old array first
        memories[kind] = _Memory(np.empty(count, dtype))
    memories[kind].contents = None
    return memories[kind].values[:count]


def _kept(array: ImageArray) -> NDArray[Any] | None:
    """Return an array that this thread has in memory; None if it has not."""
    memory = _memories().get(_kind(array))
    if memory is None or memory.contents != array:
        return None
    return memory.values[: math.prod(array.shape)].reshape(array.shape)


def are_kept(chip: Chip) -> bool:
    """Return whether this thread has all arrays of a chip in memory."""
    arrays = [array for array in (chip.science, chip.flags) if array is not None]
    return all(_kept(array) is not None for array in arrays)
