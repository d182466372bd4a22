"""One run at a time changes the masks of a folder, on all machines that see it.

The lock is one file, ``.staticmask.lock``, locked whole by ``fcntl.lockf``: a
lock of the kernel, which ends with its process, stopped ones keep, and NFS
hands on to its server. What is written in the file only tells a person who has
it; nothing is decided by it. The file is removed while it is still locked: one
who waited for it finds that its name leads elsewhere, and starts again.

Guaranteed: while runs use this lock, and the file system keeps its locks, no
run overwrites what another one has added to a mask, and none sees half of a
mask. If locks are lost (a network file system may lose them while a run stands
still) or there are none, the fence of `writing` is left: a mask that is not as
it was when it was read is not replaced, and the run fails and can be repeated.

Not guaranteed: without locks, the microseconds between that comparison and
the renaming of a mask; and what programs do that do not take the lock.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import pwd
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from io import FileIO
from pathlib import Path

from staticmask_cli.errors import OutputError
from staticmask_cli.files.atomic import clear_parts

log = logging.getLogger(__name__)

LOCK_NAME = ".staticmask.lock"

_MARK = b"staticmask: "
_LONGEST_TEXT = 200  # bytes of a lock file that are looked at
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.02, 0.25  # seconds between two tries
_MOST_FAILURES = 4  # one after the other, to open the lock file
_MOST_REMOVALS = 100  # after which a wait counts as one for a holder

_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}

# Locks of the kernel belong to the process, and go when it closes any file
# object of the lock file. So its threads open that one at a time; here is which
# one has it open, by the folder's device and inode.
_open_files: dict[tuple[int, int], weakref.ref[FileIO]] = {}
_guard = threading.Lock()


def _forget() -> None:
    """Start anew in the child of a fork, which has none of the other threads."""
    global _guard  # noqa: PLW0603 - it may have been taken by one of them
    _guard = threading.Lock()
    _open_files.clear()


os.register_at_fork(after_in_child=_forget)


@contextmanager
def locked(folder: Path, timeout: float) -> Iterator[None]:
    """Hold the lock of a folder; parts of masks that dead runs left there are removed.

    Parameters
    ----------
    folder : Path
        The folder whose masks are to be changed.
    timeout : float
        Seconds to wait for another run.

    Raises
    ------
    OutputError
        If another run keeps the lock for longer, or the folder cannot be locked.
    """
    path = folder / LOCK_NAME
    file, is_locked = _take(path, timeout)
    with file:  # closing it frees the lock, however this ends
        try:
            if is_locked:
                clear_parts(folder)
            yield
        finally:
            if is_locked:
                with suppress(OSError):
                    if _is_in_place(file, path):
                        path.unlink()


def _take(path: Path, timeout: float) -> tuple[FileIO, bool]:
    """Return the lock file, open, and whether it is locked: not every file system can."""
    until = time.monotonic() + timeout
    pause = _SHORTEST_PAUSE
    failures = removals = 0
    while True:
        try:
            file, is_locked, holder = _try(path)
        except OSError as error:
            failures += 1
            left = until - time.monotonic()
            # It may just have been made, and not have its permissions yet, or been removed.
            may_pass = isinstance(error, PermissionError | FileNotFoundError)
            if not may_pass or failures > _MOST_FAILURES or left <= 0:
                raise OutputError(_why_not(path, error)) from None
        else:
            if file is not None:  # no call before the caller's with: no interrupt comes between
                return file, is_locked
            failures = 0
            left = until - time.monotonic()
            if not holder and removals < _MOST_REMOVALS:  # it has been removed just now
                removals += 1
                continue
            if left <= 0:
                who = holder or "another run"
                raise OutputError(
                    f"{path.parent}: {who} has held {LOCK_NAME} for {timeout:g} s; "
                    "run again when it is done, or raise --lock-timeout"
                )
        time.sleep(min(pause, left))
        pause = min(2 * pause, _LONGEST_PAUSE)


def _try(path: Path) -> tuple[FileIO | None, bool, str]:
    """Return what `_take` does; or None, and who has the lock, if it is not just gone."""
    file = _opened(path)
    if file is None:
        return None, False, "another thread of this process"
    try:
        holder = _holder(file, path)
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_in_place(file, path):
                _sign(file)
                return file, True, ""
            holder = ""
        except OSError as error:
            if error.errno in _NO_LOCKS:
                log.warning(
                    "%s: this file system has no locks: let one run at a time write there",
                    path.parent,
                )
                return file, False, ""
            if error.errno == errno.ESTALE:
                holder = ""
            elif error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
    except BaseException:
        file.close()
        raise
    file.close()
    return None, False, holder


def _opened(path: Path) -> FileIO | None:
    """Open the lock file, made if missing; None if another thread of this process has it open."""
    file = None
    try:
        with _guard:
            # A run that came to nothing may have removed the folder that it had made.
            path.parent.mkdir(parents=True, exist_ok=True)
            folder = path.parent.stat()
            key = folder.st_dev, folder.st_ino
            other = _open_files[key]() if key in _open_files else None
            if other is not None and not other.closed:
                return None
            file = FileIO(path, "r+", opener=partial(_descriptor, folder))
            _open_files[key] = weakref.ref(file)
    except BaseException:
        if file is not None:
            file.close()
        raise
    return file


def _descriptor(folder: os.stat_result, name: str, flags: int) -> int:
    flags |= os.O_NOFOLLOW
    try:
        made = os.open(name, flags | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        return os.open(name, flags)
    # Who may write into the folder may lock it, whatever our umask is.
    with suppress(OSError):
        os.fchown(made, -1, folder.st_gid)
    with suppress(OSError):
        os.fchmod(made, folder.st_mode & 0o666)
    return made


def _is_in_place(file: FileIO, path: Path) -> bool:
    """Say whether the file is the one that everybody finds under its name."""
    found = os.fstat(file.fileno())
    try:
        return found.st_nlink > 0 and os.path.samestat(found, path.lstat())
    except FileNotFoundError:
        return False


def _holder(file: FileIO, path: Path) -> str:
    """Return who has the lock, or had it last, as far as that has been written down."""
    text = os.pread(file.fileno(), _LONGEST_TEXT, 0)
    if text and not text.startswith(_MARK):
        raise OutputError(f"{path}: is in the way and no lock; move it away")
    who = text.removeprefix(_MARK).decode("utf-8", "replace").strip()
    return f"another run ({who})" if who else "another run"


def _sign(file: FileIO) -> None:
    """Write down who has the lock; on a full disk it does without."""
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        user = f"user {os.geteuid()}"
    text = f"process {os.getpid()} of {user} on {os.uname().nodename}\n"
    with suppress(OSError):
        os.ftruncate(file.fileno(), 0)
        os.pwrite(file.fileno(), _MARK + text.encode("utf-8", "replace"), 0)


def _why_not(path: Path, error: OSError) -> str:
    if os.path.lexists(path):
        return (
            f"{path}: cannot be used as a lock: {error.strerror}; "
            "remove it if no run is writing there"
        )
    return f"{path.parent}: the folder cannot be locked: {error.strerror}"
