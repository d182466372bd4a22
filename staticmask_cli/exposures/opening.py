"""Opening files for reading, by path or URL, and unpacking gzipped ones.

Gzipped files are unpacked faster if the package isal is installed (the extra ``fast``).
"""

from __future__ import annotations

import gzip
import os
import zlib
from contextlib import suppress
from io import BufferedReader, FileIO
from pathlib import Path

from staticmask_cli.exposures import remote
from staticmask_cli.exposures.urls import Url

_IsalError: type[Exception] | None = None
with suppress(ImportError):
    from isal import isal_zlib

    _IsalError = isal_zlib.error

#: Exceptions that the system and decompressors raise for unreadable files.
READ_ERRORS = (OSError, EOFError, zlib.error, _IsalError or zlib.error)

#: Where a file is.
FilePath = Path | Url
#: A file whose contents are read, perhaps unpacked.
Readable = BufferedReader | FileIO | gzip.GzipFile
#: Size of a file, and its time of change in nanoseconds or its ETag: one of them changes
#: if it is written to.
Stamp = tuple[int, int | str]

_BUFFER = 2**15  # bytes: holds the header of most extensions


def stamp_of(path: FilePath) -> Stamp:
    """Return the stamp of a file.

    Raises
    ------
    OSError
        If it does not exist or cannot be accessed.
    InputError
        Likewise, if it is at a URL.
    """
    if isinstance(path, Url):
        return remote.stamp_of(path)
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def exists(path: FilePath) -> bool:
    """Return whether a file exists; InputError if a server does not answer."""
    if isinstance(path, Url):
        return remote.exists(path)
    return os.path.exists(path)  # noqa: PTH110 - Path's can raise


def open_file(path: FilePath, size: int | None = None) -> BufferedReader:
    """Open a file of which small parts are read, such as headers.

    Parameters
    ----------
    path : Path or Url
        The file.
    size : int, optional
        Its size in bytes, if known: it need not be requested.
    """
    if isinstance(path, Url):
        return remote.open_file(path, remote.stamp_of(path)[0] if size is None else size)
    return BufferedReader(FileIO(path), _BUFFER)


def open_at(path: FilePath, offset: int, size: int) -> BufferedReader | FileIO:
    """Open a file of which `size` bytes are read from an offset."""
    if isinstance(path, Url):
        return remote.open_part(path, offset, size)
    file = FileIO(path)
    file.seek(offset)
    return file


def open_gzipped(path: FilePath, size: int | None = None) -> gzip.GzipFile:
    """Open a gzipped file for reading its contents; checksums are verified at their end.

    Parameters
    ----------
    path, size
        As for `open_file`.
    """
    name, packed = None, None
    if isinstance(path, Url):
        packed = remote.open_part(path, 0, remote.stamp_of(path)[0] if size is None else size)
    else:
        name = path
    if _IsalError is None:
        return gzip.GzipFile(name, fileobj=packed, mode="rb")
    from isal.igzip import IGzipFile  # noqa: PLC0415 - seldom needed

    file: gzip.GzipFile = IGzipFile(name, fileobj=packed, mode="rb")
    return file
