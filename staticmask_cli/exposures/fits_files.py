"""Reading FITS files: their HDUs and association tables; opened read-only."""

from __future__ import annotations

import math
import stat
import threading
import traceback
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import Any

import astropy
from astropy.io import fits

from staticmask_cli.errors import InputError
from staticmask_cli.exposures import instruments, observation, products
from staticmask_cli.exposures.extent import Extent, Place, measure_extent, padded, selected, walk
from staticmask_cli.exposures.gzipped import READ_ERRORS, Readable, open_gzipped
from staticmask_cli.exposures.headers import (
    Hdu,
    HeaderError,
    ImageArray,
    as_float,
    as_integer,
    as_word,
)
from staticmask_cli.exposures.opening import FilePath, Stamp, open_file
from staticmask_cli.exposures.urls import Url
from staticmask_cli.files.signals import signals_deferred

# The keywords that are read: each module declares those that it needs.
_KEYWORDS = (
    *instruments.KEYWORDS,
    *observation.KEYWORDS,
    *("PIXVALUE", "NPIX1", "NPIX2", "NEXTEND", "NGOODPIX", "DATASUM"),
)

# Keywords that determine the kind and name of an HDU, and whether it is scaled.
_STRUCTURE = ("XTENSION", "ZIMAGE", "EXTNAME", "EXTVER", "BSCALE", "BZERO", "BLANK")
_EXTENSION = padded(*_STRUCTURE, *_KEYWORDS)
_PRIMARY = _EXTENSION | padded(*products.KEYWORDS)

_LARGEST_EXTVER = 2**31 - 1  # masks store it in 32-bit table columns
_LARGEST_SIDE = 16384  # of a constant array


class _Silence:
    """Suppresses warnings in all threads while any thread wants that.

    Warning filters belong to the process: the first thread sets them, and the last
    one restores them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_threads = 0
        self._filters = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if not self._n_threads:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.simplefilter("ignore")
            self._n_threads += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._n_threads -= 1
            if not self._n_threads:
                self._filters.__exit__(None, None, None)


#: Suppresses warnings of other packages while it is entered.
silenced = _Silence()


@contextmanager
def open_fits(
    path: FilePath, most: int | None = None, **how: Any
) -> Iterator[tuple[fits.HDUList, Extent]]:
    """Open a FITS file for reading; used for exposures, associations and masks alike.

    Exceptions of the system, astropy and NumPy while the file is open become
    errors of the file; exceptions of our own code are not changed.

    Parameters
    ----------
    path : Path or Url
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
    with file_errors(path), ExitStack() as opened:
        extent = measure_extent(path, most)
        file: FilePath | Readable = path
        if isinstance(path, Url):
            size = extent.stamp[0]
            file = open_gzipped(path, size) if extent.gzipped else open_file(path, size)
            opened.callback(file.close)
        with signals_deferred():  # astropy leaves the file open if it is interrupted
            hdus = opened.enter_context(
                fits.open(file, mode="readonly", memmap=False, lazy_load_hdus=True, **how)
            )
        yield hdus, extent


@contextmanager
def file_errors(path: FilePath) -> Iterator[None]:
    """Turn exceptions of the system, astropy and NumPy into errors of a regular file."""
    with silenced:
        try:
            _check_regular(path)
            yield
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


def _check_regular(path: FilePath) -> None:
    if isinstance(path, Url):
        return
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, PermissionError):
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: cannot be read: {reason}") from None
    if not stat.S_ISREG(mode):  # opening a pipe would block
        raise InputError(f"{path}: is not a regular file")


def scan(path: FilePath) -> tuple[tuple[Hdu, ...], tuple[str, ...]]:
    """List the HDUs of a file, reading only headers.

    Parameters
    ----------
    path : Path or Url
        A FITS file, which may be gzipped or tile-compressed.

    Returns
    -------
    hdus : tuple of Hdu
    notes : tuple of str
        Warnings about the file, without its name.

    Raises
    ------
    InputError
        If it is not FITS, is damaged or truncated.
    """
    one = Scan(path)
    return tuple(one), one.notes


class Scan:
    """One pass over the HDUs of a file, reading only headers; errors as for `scan`.

    Parameters
    ----------
    path : Path or Url
        The file.

    Attributes
    ----------
    notes : tuple of str
        Warnings about the file, complete after the pass.
    unpacked : file object or None
        During the pass, if the file is gzipped: its contents, at the beginning of the
        data of the latest HDU. What is not read from it is skipped.
    """

    def __init__(self, path: FilePath) -> None:
        self.notes: tuple[str, ...] = ()
        self.unpacked: Readable | None = None
        self._path = path

    def __iter__(self) -> Iterator[Hdu]:
        path = self._path
        with file_errors(path), walk(path) as places:
            self.unpacked = places.file if places.gzipped else None
            for index, place in enumerate(places):
                try:
                    hdu = _read_hdu(path, index, place, places.stamp, gzipped=places.gzipped)
                except HeaderError as error:
                    raise InputError(f"{path}: {error}") from None
                yield hdu
            self.notes = places.notes


def _read_hdu(path: FilePath, index: int, place: Place, stamp: Stamp, *, gzipped: bool) -> Hdu:
    header = _values(selected(place.cards, _EXTENSION if index else _PRIMARY))
    name = as_word(header, "EXTNAME").upper()
    version = as_integer(header, "EXTVER", 1)
    if abs(version) > _LARGEST_EXTVER:
        raise HeaderError(f"is damaged: HDU {index} has EXTVER {version}")
    is_compressed = header.get("ZIMAGE") is True and index > 0
    if index and as_word(header, "XTENSION") != "IMAGE" and not is_compressed:
        return Hdu(index=index, name=name, version=version, header=header, array=None)
    bitpix, shape = place.bitpix, place.shape
    if not is_compressed and place.size < math.prod(shape) * abs(bitpix) // 8 * bool(shape):
        raise HeaderError(f"is damaged: HDU {index} has GCOUNT 0, but it is an image")
    constant = None
    if not shape and "PIXVALUE" in header:
        constant = as_float(header, "PIXVALUE")
        shape = _constant_shape(header)
    as_it_is = not is_compressed and header.get("BSCALE", 1) == 1 and header.get("BZERO", 0) == 0
    array = ImageArray(
        path=path.absolute(),  # workers may have another working folder
        index=index,
        name=f"{name or 'HDU'},{version if name else index}",
        shape=shape,
        dtype=f">{'f' if bitpix < 0 else 'u' if bitpix == 8 else 'i'}{abs(bitpix) // 8}",  # noqa: PLR2004
        stamp=stamp,
        # Only of extensions by which exposures are identified.
        header_hash=place.header_hash if name in ("SCI", "DQ") else "",
        datasum=str(header.get("DATASUM", "")),
        offset=place.offset if as_it_is and place.shape else None,
        has_blank=bitpix > 0 and "BLANK" in header,
        gzipped=gzipped,
        constant=constant,
    )
    return Hdu(index=index, name=name, version=version, header=header, array=array)


def _values(cards: Iterable[bytes]) -> dict[str, Any]:
    """Return the values of header cards; the first, if a keyword is repeated."""
    values: dict[str, Any] = {}
    for keyword, value in map(_value, cards):
        if value is not None:
            values.setdefault(keyword, value)
    return values


@lru_cache(maxsize=4096)
def _value(card: bytes) -> tuple[str, Any]:
    """Return keyword and value of a card; None if it has none.

    Most cards are the same in many exposures.
    """
    (parsed,) = fits.Header.fromstring(card).cards
    value = parsed.value
    return parsed.keyword, None if isinstance(value, fits.card.Undefined) else value


def _constant_shape(header: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the shape from NPIX1 and NPIX2; empty if they are missing."""
    shape = tuple(as_integer(header, f"NPIX{axis}", 0) for axis in (2, 1))
    if max(shape) > _LARGEST_SIDE:  # not limited by the size of the file
        raise HeaderError(
            f"NPIX1 and NPIX2 are {shape[1]} and {shape[0]}, larger than any detector"
        )
    return shape if min(shape) > 0 else ()


def read_association(path: FilePath) -> list[tuple[str, str, bool]]:
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
