"""Reading FITS files: their HDUs and association tables; opened read-only."""

from __future__ import annotations

import stat
import threading
import traceback
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import astropy
from astropy.io import fits

from staticmask_cli.errors import InputError
from staticmask_cli.exposures import instruments, observation, products
from staticmask_cli.exposures.extent import Extent, Place, measure_extent
from staticmask_cli.exposures.headers import (
    Hdu,
    HeaderError,
    ImageArray,
    as_float,
    as_integer,
    file_stamp,
)
from staticmask_cli.files.signals import signals_deferred

# The keywords that are read: each module declares those that it needs.
_KEYWORDS = (
    *instruments.KEYWORDS,
    *observation.KEYWORDS,
    *("PIXVALUE", "NPIX1", "NPIX2", "NEXTEND", "NGOODPIX", "DATASUM"),
)

#: Exceptions that the system and decompressors raise for unreadable files.
READ_ERRORS = (OSError, EOFError, zlib.error)

# Warning filters belong to the process, but astropy is used in several threads:
# only one thread at a time may silence warnings.
_quiet = threading.RLock()

_LARGEST_EXTVER = 2**31 - 1  # masks store it in 32-bit table columns
_LARGEST_SIDE = 16384  # of a constant array


@contextmanager
def silenced() -> Iterator[None]:
    """Suppress warnings of other packages, in one thread at a time."""
    with _quiet, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def open_fits(
    path: Path, most: int | None = None, **how: Any
) -> Iterator[tuple[fits.HDUList, Extent]]:
    """Open a FITS file for reading; used for exposures, associations and masks alike.

    Exceptions of the system, astropy and NumPy while the file is open become
    errors of the file; exceptions of our own code are not changed.

    Parameters
    ----------
    path : Path
        The file.
    most : int, optional
        Check only this many HDUs, and only the header of the last one; the rest
        of the file may be damaged.
    **how
        Passed to `astropy.io.fits.open`.

    Raises
    ------
    InputError
        If the file cannot be read, is not FITS, is damaged or truncated, or
        claims an impossible size.
    """
    with silenced():
        try:
            _check_regular(path)
            extent = measure_extent(path, most)
            with ExitStack() as opened:
                with signals_deferred():  # astropy leaves the file open if it is interrupted
                    hdus = opened.enter_context(
                        fits.open(path, mode="readonly", memmap=False, lazy_load_hdus=True, **how)
                    )
                yield hdus, extent
        except InputError:
            raise
        except FileNotFoundError:
            raise InputError(f"{path}: file not found") from None
        except PermissionError:
            raise InputError(f"{path}: permission denied") from None
        except MemoryError:
            raise InputError(f"{path}: does not fit in memory; use fewer --jobs") from None
        except Exception as error:
            if isinstance(error, READ_ERRORS):
                reason = str(error).rstrip(".")
            elif _was_raised_in_astropy(error):
                reason = (
                    f"astropy {astropy.__version__} reports: {str(error).rstrip('.')}; "
                    "if the file is valid, try a newer astropy"
                )
            else:
                raise
            raise InputError(f"{path}: is not a readable FITS file: {reason}") from None


def _was_raised_in_astropy(error: Exception) -> bool:
    """Return whether an error comes from astropy or NumPy, and so is not a bug of ours."""
    modules = (f.f_globals.get("__name__", "") for f, _ in traceback.walk_tb(error.__traceback__))
    return any(module.startswith(("astropy.", "numpy.")) for module in modules)


def _check_regular(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, PermissionError):
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: cannot be read: {reason}") from None
    if not stat.S_ISREG(mode):  # opening a pipe would block
        raise InputError(f"{path}: is not a regular file")


def scan(path: Path) -> tuple[tuple[Hdu, ...], tuple[str, ...]]:
    """List the HDUs of a file, reading only headers.

    Parameters
    ----------
    path : Path
        A FITS file, which may be gzipped or tile-compressed.

    Returns
    -------
    hdus : tuple of Hdu
    notes : tuple of str
        Warnings about the file, one line each.

    Raises
    ------
    InputError
        If it is not FITS, is damaged or truncated.
    """
    with open_fits(path) as (hdus, extent):
        try:
            found = tuple(
                _read_hdu(path, index, hdus[index], place, gzipped=extent.gzipped)
                for index, place in enumerate(extent.places)
            )
        except HeaderError as error:
            raise InputError(f"{path}: {error}") from None
    return found, tuple(f"{path}: {note}" for note in extent.notes)


def _read_hdu(path: Path, index: int, hdu: Any, place: Place, *, gzipped: bool) -> Hdu:
    name = str(hdu.name).strip().upper()
    version = as_integer({"EXTVER": hdu.ver}, "EXTVER")
    if abs(version) > _LARGEST_EXTVER:
        raise HeaderError(f"is damaged: HDU {index} has EXTVER {version}")
    is_image = isinstance(hdu, (fits.ImageHDU, fits.PrimaryHDU, fits.CompImageHDU))
    header = {}
    if index == 0 or is_image:
        # Tested first: astropy takes long to find that a keyword is missing.
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
        constant = as_float(header, "PIXVALUE")
        shape = _constant_shape(header)
    as_it_is = (
        not isinstance(hdu, fits.CompImageHDU)
        and hdu.header.get("BSCALE", 1) == 1
        and hdu.header.get("BZERO", 0) == 0
    )
    if as_it_is and hdu.fileinfo()["datLoc"] != place.offset:
        raise HeaderError(f"is damaged: HDU {index} is not at the expected position")
    array = ImageArray(
        path=str(path.absolute()),  # workers may have another working folder
        index=index,
        name=f"{name or 'HDU'},{version if name else index}",
        shape=shape,
        dtype=f">{'f' if bitpix < 0 else 'u' if bitpix == 8 else 'i'}{abs(bitpix) // 8}",  # noqa: PLR2004
        stamp=file_stamp(path.stat()),
        # Only of extensions by which exposures are identified.
        header_hash=place.header_hash if name in ("SCI", "DQ") else "",
        datasum=str(header.get("DATASUM", "")),
        offset=place.offset if as_it_is and constant is None else None,
        has_blank=bitpix > 0 and "BLANK" in hdu.header,
        gzipped=gzipped,
        constant=constant,
    )
    return Hdu(index=index, name=name, version=version, header=header, array=array)


def _constant_shape(header: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the shape from NPIX1 and NPIX2; empty if they are missing."""
    shape = tuple(as_integer(header, f"NPIX{axis}", 0) for axis in (2, 1))
    if max(shape) > _LARGEST_SIDE:  # not limited by the size of the file
        raise HeaderError(
            f"NPIX1 and NPIX2 are {shape[1]} and {shape[0]}, larger than any detector"
        )
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
        If the file is not an association table.
    """
    wanted = ("MEMNAME", "MEMTYPE", "MEMPRSNT")
    with open_fits(path) as (hdus, _):
        table = next((hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU)), None)
        present = {str(name).upper() for name in table.columns.names} if table else set()
        if table is None or table.data is None or not present.issuperset(wanted):
            raise InputError(f"{path}: is not an association: no table with {', '.join(wanted)}")
        columns = [table.data[name].tolist() for name in wanted]
    return [(str(n), str(t), bool(p)) for n, t, p in zip(*columns, strict=True)]
