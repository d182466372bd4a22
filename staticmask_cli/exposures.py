"""FITS files, opened for reading only: what HDUs they hold, and their arrays."""

from __future__ import annotations

import gzip
import math
import stat
import threading
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from staticmask_cli.errors import InputError, printable
from staticmask_cli.hdus import Hdu, ImageArray

# All that identities, selection and constant arrays need of the headers.
_KEYWORDS = (
    *("INSTRUME", "DETECTOR", "CAMERA", "CCDCHIP", "EXPTIME", "NGOODPIX"),
    *("LTV1", "LTV2", "LTM1_1", "LTM2_2", "BINAXIS1", "BINAXIS2"),
    *("PIXVALUE", "NPIX1", "NPIX2"),
)

# What astropy and the decompressors raise on damaged files.
_DAMAGE = (
    *(OSError, EOFError, ValueError, TypeError, LookupError, AttributeError),
    *(ArithmeticError, MemoryError, RuntimeError, zlib.error, fits.VerifyError),
)

_GZIP = b"\x1f\x8b"

# Python's warning filters belong to the process, astropy's reading runs in
# several threads: one at a time where warnings are silenced.
_quiet = threading.RLock()

BLOCK_SIZE = 2880  # FITS files come in blocks of so many bytes
_CHUNK = 262144  # pixels to a read
_kept = threading.local()


@contextmanager
def _open(path: Path) -> Iterator[fits.HDUList]:
    """Open a FITS file for reading, turning every sort of damage into an InputError."""
    shown = printable(path)
    with _quiet, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            _check_regular(path)
            with fits.open(path, mode="readonly", memmap=False, lazy_load_hdus=True) as hdus:
                yield hdus
        except InputError:
            raise
        except FileNotFoundError:
            raise InputError(f"{shown}: there is no such file") from None
        except PermissionError:
            raise InputError(f"{shown}: permission to read it is denied") from None
        except _DAMAGE as error:
            reason = printable(error).rstrip(".") or type(error).__name__
            if "SIMPLE" in reason or "Empty" in reason:
                reason = "it does not begin as one"
            raise InputError(f"{shown}: is not a readable FITS file: {reason}") from None


def _check_regular(path: Path) -> None:
    if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for ever
        raise InputError(f"{printable(path)}: is not a regular file")


def scan(path: Path) -> tuple[Hdu, ...]:
    """List the HDUs of a file, reading nothing but headers.

    Parameters
    ----------
    path : Path
        A FITS file; it may be gzipped or tile-compressed.

    Returns
    -------
    tuple of Hdu

    Raises
    ------
    InputError
        If it is not FITS, damaged or truncated.
    """
    with _open(path) as hdus:
        plain, size = _size(path)
        found = []
        end = 0
        for index, hdu in enumerate(hdus):
            info = hdu.fileinfo()
            end = info["datLoc"] + info["datSpan"]
            missing = info["datLoc"] + _bytes_needed(hdu) - size
            if missing > 0:
                raise InputError(
                    f"{printable(path)}: is truncated: HDU {index} lacks {missing} bytes"
                )
            found.append(_describe(path, index, hdu, info["datLoc"] if plain else None))
        if end < size:
            _check_tail(path, end, len(found), plain=plain)
    return tuple(found)


def _size(path: Path) -> tuple[bool, int]:
    """Return whether a file is plain, not gzipped, and its unpacked size.

    A gzipped file is unpacked to its end, for astropy would take one that was
    cut for one with fewer extensions.
    """
    with path.open("rb") as file:
        if file.read(len(_GZIP)) != _GZIP:
            return True, path.stat().st_size
    size = 0
    with gzip.open(path) as file:
        while part := file.read(_CHUNK):
            size += len(part)
    return False, size


def _bytes_needed(hdu: Any) -> int:
    """Return the size of an HDU's data in its file."""
    if isinstance(hdu, fits.CompImageHDU):  # its own size is the unpacked array's
        padding: int = BLOCK_SIZE - 1  # at the most; a file may end without
        return int(hdu.fileinfo()["datSpan"]) - padding
    return int(hdu.size)


def _check_tail(path: Path, end: int, count: int, *, plain: bool) -> None:
    """Refuse a file that goes on after its last readable HDU, unless with padding.

    astropy stops at a header that it cannot read, as though the file ended there.
    """
    with path.open("rb") if plain else gzip.open(path) as file:
        file.seek(end)
        if file.read(BLOCK_SIZE).strip(b"\0 "):
            raise InputError(
                f"{printable(path)}: is damaged: the header of HDU {count} is not FITS"
            )


def _describe(path: Path, index: int, hdu: Any, offset: int | None) -> Hdu:
    header = {}
    name = str(hdu.name).strip().upper()
    version = int(hdu.ver)
    is_image = isinstance(hdu, (fits.ImageHDU, fits.PrimaryHDU, fits.CompImageHDU))
    if index == 0 or is_image:
        for keyword in _KEYWORDS:
            value = hdu.header.get(keyword)
            if value is not None and not isinstance(value, fits.card.Undefined):
                header[keyword] = value
    if not is_image:
        return Hdu(index=index, name=name, version=version, header=header, array=None)
    bitpix = int(hdu.header["BITPIX"])
    constant = None
    shape = tuple(int(n) for n in hdu.shape)
    if not shape and "PIXVALUE" in header:
        constant = _constant(header)
        shape = _constant_shape(header)
    as_it_is = (
        not isinstance(hdu, fits.CompImageHDU)
        and hdu.header.get("BSCALE", 1) == 1
        and hdu.header.get("BZERO", 0) == 0
        # Flags are bits: no value of theirs stands for "no value".
        and ("BLANK" not in hdu.header or name == "DQ")
    )
    array = ImageArray(
        path=str(path.absolute()),  # a worker may be in another folder
        index=index,
        name=f"{name or 'HDU'},{version if name else index}",
        shape=shape,
        dtype=f">{'f' if bitpix < 0 else 'u' if bitpix == 8 else 'i'}{abs(bitpix) // 8}",  # noqa: PLR2004
        offset=offset if as_it_is and constant is None else None,
        constant=constant,
    )
    return Hdu(index=index, name=name, version=version, header=header, array=array)


def _constant(header: Mapping[str, Any]) -> float:
    value = header["PIXVALUE"]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"PIXVALUE is {value!r}, not a number")
    return float(value)


def _constant_shape(header: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the shape that NPIX1 and NPIX2 tell; empty if they are missing."""
    shape = tuple(int(header.get(f"NPIX{axis}", 0)) for axis in (2, 1))
    return shape if min(shape) > 0 else ()


def read(array: ImageArray) -> NDArray[Any]:
    """Read an image's pixels.

    Returns
    -------
    ndarray
        Of the array's shape, in native byte order and the type in the file
        (after scaling). Not to be written to, and good only until the same
        thread reads the next array of that type: the memory is used again,
        for fresh pages cost more than the reading.

    Raises
    ------
    InputError
        If the file changed or cannot be read any more.
    """
    if array.constant is not None:
        return np.broadcast_to(np.float64(array.constant), array.shape)
    path = Path(array.path)
    if array.offset is None:
        with _open(path) as hdus:
            pixels = np.asarray(hdus[array.index].data)
        if pixels.shape != array.shape:
            raise InputError(f"{printable(path)}: changed while it was read; run again")
        return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    return _read_plain(path, array, array.offset)


def _read_plain(path: Path, array: ImageArray, offset: int) -> NDArray[Any]:
    """Read an array that stands in the file as it is, swapping bytes while they are in cache."""
    in_file = np.dtype(array.dtype)
    pixels = _memory(in_file.newbyteorder("="), math.prod(array.shape))
    part = np.empty(min(_CHUNK, pixels.size), in_file)
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(offset)
            for start in range(0, pixels.size, _CHUNK):
                wanted = part[: pixels.size - start]
                if file.readinto(wanted.data) != wanted.nbytes:
                    raise InputError(f"{printable(path)}: changed while it was read; run again")
                pixels[start : start + wanted.size] = wanted
    except OSError as error:
        raise InputError(f"{printable(path)}: cannot be read: {error.strerror}") from None
    return pixels.reshape(array.shape)


def _memory(dtype: np.dtype[Any], count: int) -> NDArray[Any]:
    """Return this thread's memory for arrays of a type, made anew only if it is too small."""
    kept: dict[str, NDArray[Any]] = _kept.__dict__
    if dtype.str not in kept or kept[dtype.str].size < count:
        kept.pop(dtype.str, None)  # first let go of the old
        kept[dtype.str] = np.empty(count, dtype)
    return kept[dtype.str][:count]


def read_association(path: Path) -> list[tuple[str, str, bool]]:
    """Read an association table.

    Returns
    -------
    list of tuple
        MEMNAME, MEMTYPE and MEMPRSNT of each row.

    Raises
    ------
    InputError
        If the file is no association table.
    """
    with _open(path) as hdus:
        table = next((hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU)), None)
        wanted = ("MEMNAME", "MEMTYPE", "MEMPRSNT")
        present = {name.upper() for name in table.columns.names} if table else set()
        if table is None or not present.issuperset(wanted):
            raise InputError(
                f"{printable(path)}: is not an association: no table with {', '.join(wanted)}"
            )
        columns = [table.data[name] for name in wanted]
        return [(str(n), str(t), bool(p)) for n, t, p in zip(*columns, strict=True)]
