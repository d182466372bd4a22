"""Atomic writes: files appear whole or not at all, and never replace concurrent changes.

Files are written under temporary names, "parts", and then renamed. Parts of masks
are only written while their folder is locked (see `locks`), so that any part found
after locking was left behind by a run that was killed.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from pathlib import Path
from typing import BinaryIO

from staticmask_cli.errors import OutputError
from staticmask_cli.threads import Threads

#: State of a file: device, inode, size and modification time; None if it is missing.
State = tuple[int, int, int, int] | None


def state_of(path: Path) -> State:
    """Return the state of a file, which changes whenever its contents do.

    Raises
    ------
    OutputError
        If the file system fails.
    """
    # Opening makes a network file system ask its server; O_NONBLOCK, or a pipe would block.
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    with _writing(path):
        try:
            found = path.lstat()
        except FileNotFoundError:
            return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


@contextlib.contextmanager
def staged(files: Mapping[Path, Callable[[Sink], None]], jobs: int) -> Iterator[dict[Path, Path]]:
    """Write files under temporary names, to be renamed by `put_in_place`.

    Parameters
    ----------
    files : mapping
        For each path, a function that writes the contents to an open file.
    jobs : int
        Number of files to write at a time.

    Yields
    ------
    dict
        For each path, its temporary file; removed when the context ends.

    Raises
    ------
    OutputError
        Lists all files that cannot be written.
    """
    parts = {path: part_of(path) for path in files}
    threads = Threads(jobs)
    tasks: list[Future[None]] = []
    try:
        try:
            for path, write in files.items():
                tasks.append(threads.submit(_stage, parts[path], path, write))
            wait(tasks)
        finally:
            # After an interrupt, no thread may create a part once parts are removed.
            threads.stop()
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
    """Rename temporary files to their final names, unless another run changed these.

    This is the second safeguard after the folder lock: a file that changed since
    it was read is not replaced. If a change is noticed before the first rename,
    no file is replaced.

    Parameters
    ----------
    parts : mapping
        The temporary file of each path, from `staged`.
    before : mapping
        The state of each path before it was read.

    Returns
    -------
    written : list of Path
        Files that were replaced or created.
    problems : list of str
        Why the others were not.
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
        problems.append(f"replaced: {new}; unchanged: {old}; run again")
    return written, problems


def _overtaken(path: Path, before: State) -> list[str]:
    if state_of(path) == before:
        return []
    return [f"{path}: changed since it was read; not replaced; run again"]


def part_of(path: Path) -> Path:
    """Return a unique temporary name for a file, in its folder."""
    return path.with_name(f".{path.name}.{os.urandom(4).hex()}.part")


def clear_parts(folder: Path) -> None:
    """Remove parts of masks and flagged exposures from a locked folder."""
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208 - names alone
            if re.fullmatch(r"\..+\.(fits(\.fz)?|csv|reg)\.[0-9a-f]{8}\.part", name, re.DOTALL):
                with contextlib.suppress(OSError):
                    (folder / name).unlink()


def _stage(part: Path, path: Path, write: Callable[[Sink], None]) -> None:
    """Write a temporary file."""
    with _writing(path), part.open("xb") as file:
        write(Sink(file))
        file.flush()
        os.fsync(file.fileno())  # otherwise a power failure could leave an empty file


class Sink:
    """A file object that astropy does not recognise, so that it writes through Python.

    `numpy.ndarray.tofile` does not report why it failed.
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
        # astropy prepends a sentence and the error number to the system's message.
        reason = error.strerror or re.sub(r".*\[Errno \d+\] ", "", str(error))
        raise OutputError(f"{path}: cannot be written: {reason}") from None


@contextlib.contextmanager
def created_folder(folder: Path) -> Iterator[None]:
    """Create a folder and its parents if missing; remove the empty ones if the block fails.

    Raises
    ------
    OutputError
        If it cannot be created.
    """
    new = [place for place in (folder, *folder.parents) if not os.path.lexists(place)]
    try:
        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for place in new:
            with contextlib.suppress(OSError):
                place.rmdir()
        raise


def folder_problems(folder: Path) -> list[str]:
    """Return why a folder cannot be written to or created; empty if it can."""
    existing = folder
    while not os.path.exists(existing) and existing != existing.parent:  # noqa: PTH110 - never raises
        existing = existing.parent
    if not existing.is_dir():
        return [f"{folder}: {existing} is a file, not a folder"]
    if not os.access(existing, os.W_OK | os.X_OK):
        what = "cannot be written to" if existing == folder else "cannot be created"
        read_only = os.statvfs(existing).f_flag & os.ST_RDONLY
        why = "read-only file system" if read_only else "permission denied"
        return [f"{folder}: the folder {what}: {why}"]
    return []
