"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from staticmask_cli.errors import OutputError, printable
from staticmask_cli.owners import part_of
from staticmask_cli.threads import Threads


class Writable(Protocol):
    """What can write itself into a file: an HDUList."""

    def writeto(self, file: Any) -> None:
        """Write everything into a file opened for writing."""


def write_masks(
    files: Sequence[tuple[Path, Callable[[], Writable]]], jobs: int, check: Callable[[], None]
) -> None:
    """Write mask files so that each is there whole or not at all.

    All are written beside their targets first and only then renamed into
    place: a reader never sees half a mask, and if one cannot be written the
    old ones all stay.

    Parameters
    ----------
    files : sequence of tuple
        Each file's path, and what makes its contents: called late, so that no
        more masks are in memory than are being written.
    jobs : int
        How many may be written at a time.
    check : callable
        Called before the first is renamed; what it raises keeps the old ones.

    Raises
    ------
    OutputError
        All files that cannot be written beside their targets, and then none
        is; or all that cannot be renamed.
    """
    parts = [part_of(path) for path, _ in files]
    threads = Threads(jobs)
    staged: list[Future[None]] = []
    try:
        try:
            for part, file in zip(parts, files, strict=True):
                staged.append(threads.submit(_stage, part, *file))
            wait(staged)
        finally:
            # Interrupted, no thread may write a part after the parts are removed.
            wait([future for future in staged if not future.cancel()])
            threads.shutdown()
        errors = [error for future in staged if (error := future.exception())]
        for error in errors:
            if not isinstance(error, OutputError):
                raise error
        if errors:
            raise OutputError(*(p for error in errors for p in error.args))
        check()
        problems: list[str] = []
        for part, (path, _) in zip(parts, files, strict=True):
            try:
                with _writing(path):
                    part.replace(path)
            except OutputError as error:
                problems += error.problems
        if problems:
            raise OutputError(*problems)
    finally:
        for part in parts:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)


def _stage(part: Path, path: Path, make: Callable[[], Writable]) -> None:
    """Write a file beside its target."""
    with _writing(path), part.open("wb") as file:
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
        raise OutputError(f"{printable(path)}: cannot be written: {printable(reason)}") from None


@contextlib.contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """Make a folder, and those above it, if it is not there; take it away if nothing comes of it.

    Raises
    ------
    OutputError
        If it cannot be made.
    """
    is_new = not os.path.lexists(folder)
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        if is_new:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def folder_problems(folder: Path) -> list[str]:
    """Return why masks cannot be written to a folder, or it cannot be made; empty if they can."""
    existing = folder
    while not os.path.exists(existing) and existing != existing.parent:  # noqa: PTH110 - never raises
        existing = existing.parent
    if not existing.is_dir():
        return [f"{printable(folder)}: {printable(existing)} is a file, not a folder"]
    if not os.access(existing, os.W_OK | os.X_OK):
        what = "cannot be written to" if existing == folder else "cannot be made"
        return [f"{printable(folder)}: the output folder {what}: permission denied"]
    return []
