"""Unpacking gzipped files, faster if the package isal is installed (the extra ``fast``)."""

from __future__ import annotations

import gzip
import zlib
from contextlib import suppress
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Any

from staticmask_cli.exposures.opening import FilePath, open_at

_IsalError: type[Exception] | None = None
with suppress(ImportError):
    from isal import isal_zlib

    _IsalError = isal_zlib.error

#: Exceptions that the system and decompressors raise for unreadable files.
READ_ERRORS = (OSError, EOFError, zlib.error, _IsalError or zlib.error)

#: A file whose contents are read, perhaps unpacked.
Readable = BufferedReader | FileIO | gzip.GzipFile


def open_gzipped(path: FilePath, size: int) -> gzip.GzipFile:
    """Open a gzipped file of some size; checksums are verified at the end of its contents."""
    source: dict[str, Any] = (
        {"filename": path} if isinstance(path, Path) else {"fileobj": open_at(path, 0, size)}
    )
    if _IsalError is None:
        return gzip.GzipFile(mode="rb", **source)
    from isal.igzip import IGzipFile  # noqa: PLC0415 - seldom needed

    file: gzip.GzipFile = IGzipFile(mode="rb", **source)
    return file
