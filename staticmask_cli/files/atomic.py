"""Files that are there whole or not at all, and that replace only what was looked at.

Parts of masks are written only while their folder is locked (see `locks`): one
that lies there when the lock is had is what a dead run left.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from staticmask_cli.errors import OutputError
from staticmask_cli.threads import Threads

#: What a file was when it was looked at: device, inode, size, time of change; None: missing.
State = tuple[int, int, int, int] | None


# Making FITS tables has NumPy read their formats with the module ast, in which Python
# 3.11 mixes threads up (SystemError: "AST constructor recursion depth mismatch").
_one_at_a_time = threading.Lock()


class Writable(Protocol):
    """What can write itself into a file: an HDUList."""

    def writeto(self, file: Any) -> None:
        """Write everything into a file opened for writing."""


def state_of(path: Path) -> State:
    """Return what identifies a file's contents without reading them.

    Raises
    ------
    OutputError
        If the file system fails.
    """
    # Opened because that makes a network file system ask its server; not waiting for a pipe.
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    with _writing(path):
        try:
            found = path.lstat()
        except FileNotFoundError:
            return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


@contextlib.contextmanager
def staged(files: Mapping[Path, Callable[[], Writable]], jobs: int) -> Iterator[dict[Path, Path]]:
    """Write files beside their names, to be renamed by `put_in_place`.

    Parameters
    ----------
    files : mapping
        For each path what makes the file's contents: called late, so that no
        more masks are in memory than are being written.
    jobs : int
        How many may be written at a time.

    Yields
    ------
    dict
        For each path the file that was written for it; removed in the end.

    Raises
    ------
    OutputError
        All files that cannot be written.
    """
    parts = {path: part_of(path) for path in files}
    threads = Threads(jobs)
    tasks: list[Future[None]] = []
    try:
        try:
            for path, make in files.items():
                tasks.append(threads.submit(_stage, parts[path], path, make))
            wait(tasks)
        finally:
            # Interrupted, no thread may write a part after the parts are removed.
            wait([task for task in tasks if not task.cancel()])
            threads.shutdown()
        errors = [error for task in tasks if (error := task.exception())]
        for error in errors:
            if not isinstance(error, OutputError):
                raise error
        if errors:
            raise OutputError(*(p for error in errors for p in error.args))
        yield parts
    finally:
        for part in parts.values():
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)


def put_in_place(
    parts: Mapping[Path, Path], before: Mapping[Path, State]
) -> tuple[list[Path], list[str]]:
    """Rename files that were written beside their names, if nobody was here meanwhile.

    This is the fence behind the folder's lock: a file that is not as it was
    before is left as it is, and if that is seen in time so are all others.

    Parameters
    ----------
    parts : mapping
        As `staged` yields it.
    before : mapping
        For each path its state before anything was read of it.

    Returns
    -------
    written : list of Path
        Those that are in place.
    problems : list of str
        Why others are not, and what became of which.
    """
    problems = [line for path in parts for line in _overtaken(path, before[path])]
    if problems:
        return [], problems
    written: list[Path] = []
    for path, part in parts.items():
        try:
            problems += (lines := _overtaken(path, before[path]))
            if not lines:
                with _writing(path):
                    part.replace(path)
                written.append(path)
        except OutputError as error:
            problems += error.problems
    if problems and written:
        old = ", ".join(path.name for path in parts if path not in written)
        new = ", ".join(path.name for path in written)
        problems.append(f"{new}: new; {old}: as before; run again")
    return written, problems


def _overtaken(path: Path, before: State) -> list[str]:
    if state_of(path) == before:
        return []
    return [f"{path}: changed since it was read, and is left as it is; run again"]


def part_of(path: Path) -> Path:
    """Return a name, used by nobody else, under which a file is written before it gets its own."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")


def clear_parts(folder: Path) -> None:
    """Remove parts of masks from a folder whose lock is had."""
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208 - names alone
            if re.fullmatch(r"\..+\.fits\.[0-9a-f]{8}\.part", name, re.DOTALL):
                with contextlib.suppress(OSError):
                    (folder / name).unlink()


def _stage(part: Path, path: Path, make: Callable[[], Writable]) -> None:
    """Write a file beside its target."""
    with _writing(path), part.open("xb") as file:
        with _one_at_a_time:
            make().writeto(_Sink(file))
        file.flush()
        os.fsync(file.fileno())  # or a power cut might leave the new name with nothing behind it


class _Sink:
    """A file that astropy does not know for one, and so writes with Python, not with C.

    NumPy's own writing of arrays does not tell why it failed.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.write = file.write
        self.flush = file.flush
        self.tell = file.tell
        self.name = file.name


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # astropy puts a sentence and the number before what the system said.
        reason = error.strerror or re.sub(r".*\[Errno \d+\] ", "", str(error))
        raise OutputError(f"{path}: cannot be written: {reason}") from None


@contextlib.contextmanager
def created_folder(folder: Path) -> Iterator[None]:
    """Make a folder, and those above it, if it is not there; take it away if nothing comes of it.

    Raises
    ------
    OutputError
        If it cannot be made.
    """
    new = [place for place in (folder, *folder.parents) if not os.path.lexists(place)]
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            for place in new:
                place.rmdir()
        raise


def folder_problems(folder: Path) -> list[str]:
    """Return why files cannot be written to a folder, or it cannot be made; empty if they can."""
    existing = folder
    while not os.path.exists(existing) and existing != existing.parent:  # noqa: PTH110 - never raises
        existing = existing.parent
    if not existing.is_dir():
        return [f"{folder}: {existing} is a file, not a folder"]
    if not os.access(existing, os.W_OK | os.X_OK):
        what = "cannot be written to" if existing == folder else "cannot be made"
        read_only = os.statvfs(existing).f_flag & os.ST_RDONLY
        why = "read-only file system" if read_only else "permission denied"
        return [f"{folder}: the folder {what}: {why}"]
    return []
