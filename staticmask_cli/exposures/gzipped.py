"""Unpacking gzipped files, faster if the package isal is installed (the extra ``fast``)."""

from __future__ import annotations

import gzip
import zlib
from contextlib import suppress
from io import BufferedReader, FileIO
from pathlib import Path

_IsalError: type[Exception] | None = None
with suppress(ImportError):
    from isal import isal_zlib

    _IsalError = isal_zlib.error

#: Exceptions that the system and decompressors raise for unreadable files.
READ_ERRORS = (OSError, EOFError, zlib.error, _IsalError or zlib.error)

#: A file whose contents are read, perhaps unpacked.
Readable = BufferedReader | FileIO | gzip.GzipFile


def open_gzipped(path: Path) -> gzip.GzipFile:
    """Open a gzipped file for reading its contents; checksums are verified at their end."""
    if _IsalError is None:
        return gzip.GzipFile(path)
    from isal.igzip import IGzipFile  # noqa: PLC0415 - seldom needed

    file: gzip.GzipFile = IGzipFile(path)
    return file
