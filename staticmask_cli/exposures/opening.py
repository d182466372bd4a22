"""Opening files for reading, by path or URL; what identifies their contents."""

from __future__ import annotations

import os
from io import BufferedReader, FileIO
from pathlib import Path

from staticmask_cli.exposures import remote
from staticmask_cli.exposures.urls import Url

#: Where a file is.
FilePath = Path | Url
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


def open_file(path: FilePath, size: int) -> BufferedReader:
    """Open a file of some size of which small parts are read, such as headers."""
    if isinstance(path, Url):
        return remote.open_file(path, size)
    return BufferedReader(FileIO(path), _BUFFER)


def open_at(path: FilePath, offset: int, size: int) -> BufferedReader | FileIO:
    """Open a file of which `size` bytes are read from an offset."""
    if isinstance(path, Url):
        return remote.open_part(path, offset, size)
    file = FileIO(path)
    file.seek(offset)
    return file
