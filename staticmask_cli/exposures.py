"""FITS files, opened for reading only: what HDUs they hold, and their arrays."""

from __future__ import annotations

import gzip
import hashlib
import stat
import threading
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from astropy.io import fits

from staticmask_cli import products
from staticmask_cli.errors import InputError, printable
from staticmask_cli.extent import BLOCK_SIZE, Extent, measure_extent
from staticmask_cli.hdus import Hdu, ImageArray, file_stamp

# All that identities, selection and constant arrays need of the headers.
_KEYWORDS = (
    *("INSTRUME", "DETECTOR", "SEGMENT", "CAMERA", "CCDCHIP", "EXPTIME", "NGOODPIX"),
    *("LTV1", "LTV2", "LTM1_1", "LTM2_2", "BINAXIS1", "BINAXIS2"),
    *("PIXVALUE", "NPIX1", "NPIX2", "NEXTEND", "DATASUM"),
)

# What astropy and the decompressors raise on damaged files.
_DAMAGE = (
    *(OSError, EOFError, ValueError, TypeError, LookupError, AttributeError),
    *(ArithmeticError, MemoryError, RuntimeError, zlib.error, fits.VerifyError),
)

# Python's warning filters belong to the process, astropy's reading runs in
# several threads: one at a time where warnings are silenced.
_quiet = threading.RLock()

_LARGEST_EXTVER = 2**31 - 1  # the FITS tables of masks hold 32 bits of it
_LARGEST_SIDE = 16384  # of a constant array


@contextmanager
def silenced() -> Iterator[None]:
    """Keep astropy's warnings on odd files away from the user, in one thread at a time."""
    with _quiet, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def open_fits(path: Path) -> Iterator[tuple[fits.HDUList, Extent]]:
    """Open a FITS file for reading, turning every sort of damage into an InputError."""
    shown = printable(path)
    with silenced():
        try:
            _check_regular(path)
            extent = measure_extent(path)
            with fits.open(path, mode="readonly", memmap=False, lazy_load_hdus=True) as hdus:
                yield hdus, extent
        except InputError:
            raise
        except FileNotFoundError:
            raise InputError(f"{shown}: there is no such file") from None
        except PermissionError:
            raise InputError(f"{shown}: permission to read it is denied") from None
        except Exception as error:
            if not _is_damage(error):
                raise
            raise InputError(f"{shown}: is not a readable FITS file: {_reason(error)}") from None


def _is_damage(error: Exception) -> bool:
    """Tell what a damaged file can bring about in astropy from a bug of ours."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    raised_in = str(last.tb_frame.f_globals.get("__name__", "")) if last is not None else ""
    return isinstance(error, _DAMAGE) or raised_in.startswith("astropy.")


def _reason(error: Exception) -> str:
    text = printable(error).rstrip(".")
    if "SIMPLE" in text or "Empty" in text:
        return "it does not begin as one"
    if isinstance(error, (OSError, EOFError, zlib.error)) or not isinstance(error, _DAMAGE):
        return text
    return "its headers are damaged"  # the rest are matters between Python modules


def _check_regular(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, PermissionError):
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{printable(path)}: cannot be read: {reason}") from None
    if not stat.S_ISREG(mode):  # opening a pipe would wait for ever
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
    with open_fits(path) as (hdus, extent):
        found = []
        end = 0
        for index, hdu, info in _walk(path, hdus):
            end = info["datLoc"] + info["datSpan"]
            missing = info["datLoc"] + _bytes_needed(hdu) - extent.size
            if missing > 0:
                raise InputError(
                    f"{printable(path)}: is truncated: HDU {index} lacks {missing} bytes"
                )
            found.append(_describe(path, index, hdu, info["datLoc"], gzipped=not extent.plain))
        if end < extent.size:
            _check_tail(path, end, len(found), plain=extent.plain)
    return tuple(found)


def _walk(path: Path, hdus: fits.HDUList) -> Iterator[tuple[int, Any, dict[str, Any]]]:
    """Yield each HDU with its number and its place in the file."""
    last = -1
    for index, hdu in enumerate(hdus):
        info = hdu.fileinfo()
        # A negative size sends astropy back to where it was, for ever.
        if info["datSpan"] < 0 or info["hdrLoc"] <= last:
            raise InputError(f"{printable(path)}: is damaged: HDU {index} has a negative size")
        if abs(int(hdu.ver)) > _LARGEST_EXTVER:
            raise InputError(f"{printable(path)}: is damaged: HDU {index} has EXTVER {hdu.ver}")
        last = info["hdrLoc"]
        yield index, hdu, info


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


def _describe(path: Path, index: int, hdu: Any, offset: int, *, gzipped: bool) -> Hdu:
    header = {}
    name = str(hdu.name).strip().upper()
    version = int(hdu.ver)
    is_image = isinstance(hdu, (fits.ImageHDU, fits.PrimaryHDU, fits.CompImageHDU))
    if index == 0 or is_image:
        # Looked for first: astropy takes long to find out that a keyword is absent.
        wanted = _KEYWORDS if index else _KEYWORDS + products.KEYWORDS
        for keyword in filter(hdu.header.__contains__, wanted):
            value = hdu.header[keyword]
            if value is not None and not isinstance(value, fits.card.Undefined):
                header[keyword] = value
    if not is_image:
        return Hdu(index=index, name=name, version=version, header=header, array=None)
    bitpix = int(hdu.header["BITPIX"])
    constant = None
    shape = tuple(int(n) for n in hdu.shape)
    if not shape and "PIXVALUE" in header:
        constant = _constant(path, header)
        shape = _constant_shape(path, header)
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
        stamp=file_stamp(path.stat()),
        header_hash=_header_hash(hdu, name),
        datasum=printable(header.get("DATASUM", "")),
        offset=offset if as_it_is and constant is None else None,
        gzipped=gzipped,
        constant=constant,
    )
    return Hdu(index=index, name=name, version=version, header=header, array=array)


def _header_hash(hdu: Any, name: str) -> str:
    """Return a hash of the headers that tell one exposure from another: those of SCI and DQ."""
    if name not in ("SCI", "DQ"):
        return ""
    cards = hdu.header.tostring(sep="", endcard=False, padding=False)
    return hashlib.sha256(cards.encode("utf-8", "replace")).hexdigest()[:32]


def _constant(path: Path, header: Mapping[str, Any]) -> float:
    value = header["PIXVALUE"]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InputError(f"{printable(path)}: PIXVALUE is '{printable(value)}', not a number")
    return float(value)


def _constant_shape(path: Path, header: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the shape that NPIX1 and NPIX2 tell; empty if they are missing."""
    shape = tuple(int(header.get(f"NPIX{axis}", 0)) for axis in (2, 1))
    if max(shape) > _LARGEST_SIDE:  # no pixel of it is in the file: any number could stand here
        claim = f"NPIX1 and NPIX2 are {shape[1]} and {shape[0]}, more than any detector's"
        raise InputError(f"{printable(path)}: {claim}")
    return shape if min(shape) > 0 else ()


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
    with open_fits(path) as (hdus, extent):
        tables = (
            (hdu, info["datLoc"] + info["datSpan"])
            for _, hdu, info in _walk(path, hdus)
            if isinstance(hdu, fits.BinTableHDU)
        )
        table, end = next(tables, (None, 0))
        if end > -(-extent.size // BLOCK_SIZE) * BLOCK_SIZE:
            raise InputError(f"{printable(path)}: is truncated: its table is not all there")
        wanted = ("MEMNAME", "MEMTYPE", "MEMPRSNT")
        present = {name.upper() for name in table.columns.names} if table else set()
        if table is None or not present.issuperset(wanted):
            raise InputError(
                f"{printable(path)}: is not an association: no table with {', '.join(wanted)}"
            )
        columns = [table.data[name] for name in wanted]
        return [(str(n), str(t), bool(p)) for n, t, p in zip(*columns, strict=True)]
