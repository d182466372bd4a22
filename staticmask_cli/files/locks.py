"""The folder lock: one run at a time changes the masks of a folder, across machines.

The lock is the file ``.staticmask.lock``, locked as a whole with ``fcntl.lockf``.
The kernel releases this lock when its process ends, keeps it while the process is
stopped, and NFS forwards it to the server. The contents of the file identify the
owner for error messages only. The file is deleted while it is still locked; a run
that waited for it notices that the path refers to another file, and starts over.

Guaranteed, as long as all runs use this lock and the file system keeps its locks:
no run overwrites what another has added to a mask, and no run reads a partial
mask. If locks are lost (a network file system may lose them while a run is
suspended) or not supported, `atomic.put_in_place` still protects masks: one that
changed since it was read is not replaced; the run fails and can be repeated.

Not guaranteed: without locks, the microseconds between that comparison and the
rename; programs that do not use the lock.
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
_LONGEST_TEXT = 200  # bytes of a lock file that are read
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.02, 0.25  # seconds between attempts
_MOST_FAILURES = 4  # consecutive failures to open the lock file
_MOST_REMOVALS = 100  # after this many, attempts pause as if the lock were taken

_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}

# Kernel locks belong to the process, which loses them when it closes any
# descriptor of the lock file. So only one of its threads may have the file open;
# this is the open file for each folder (device, inode).
_open_files: dict[tuple[int, int], weakref.ref[FileIO]] = {}
_guard = threading.Lock()


def _forget() -> None:
    """Reset the state in a forked child, which has none of the parent's other threads."""
    global _guard  # noqa: PLW0603 - another thread may have held it during the fork
    _guard = threading.Lock()
    _open_files.clear()


os.register_at_fork(after_in_child=_forget)


@contextmanager
def locked(folder: Path, timeout: float) -> Iterator[None]:
    """Lock a folder, and remove parts of masks that killed runs left there.

    Parameters
    ----------
    folder : Path
        The folder whose masks are to be changed; created if missing.
    timeout : float
        Seconds to wait for another run.

    Raises
    ------
    OutputError
        If the lock is not released in time, or the folder cannot be locked.
    """
    path = folder / LOCK_NAME
    file, is_locked = _take(path, timeout)
    with file:  # closing it releases the lock in any case
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
    """Return the open lock file, and whether it is locked: some file systems have no locks."""
    until = time.monotonic() + timeout
    pause = _SHORTEST_PAUSE
    failures = removals = 0
    while True:
        try:
            file, is_locked, owner = _try(path)
        except OSError as error:
            failures += 1
            left = until - time.monotonic()
            # It may be so new that its permissions are not set yet, or have been removed.
            may_pass = isinstance(error, PermissionError | FileNotFoundError)
            if not may_pass or failures > _MOST_FAILURES or left <= 0:
                raise OutputError(_lock_problem(path, error)) from None
        else:
            if file is not None:  # no calls from here to the caller's with, so no interrupt either
                return file, is_locked
            failures = 0
            left = until - time.monotonic()
            if not owner and removals < _MOST_REMOVALS:  # it has just been removed
                removals += 1
                continue
            if left <= 0:
                raise OutputError(
                    f"{path.parent}: locked by {owner or 'another run'}; gave up after "
                    f"{timeout:g} s; run again later, or increase --lock-timeout"
                )
        time.sleep(min(pause, left))
        pause = min(2 * pause, _LONGEST_PAUSE)


def _try(path: Path) -> tuple[FileIO | None, bool, str]:
    """Return the result of `_take`; or None and the owner, empty if the file was just removed."""
    file = _opened(path)
    if file is None:
        return None, False, "another thread of this process"
    try:
        owner = _owner(file, path)
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_in_place(file, path):
                _sign(file)
                return file, True, ""
            owner = ""
        except OSError as error:
            if error.errno in _NO_LOCKS:
                log.warning(
                    "%s: this file system does not support locks; "
                    "do not let two runs write there at the same time",
                    path.parent,
                )
                return file, False, ""
            if error.errno == errno.ESTALE:
                owner = ""
            elif error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
    except BaseException:
        file.close()
        raise
    file.close()
    return None, False, owner


def _opened(path: Path) -> FileIO | None:
    """Open the lock file, created if missing; None if another thread here has it open."""
    file = None
    try:
        with _guard:
            # A run that failed may have removed the folder that it had created.
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
        created = os.open(name, flags | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        return os.open(name, flags)
    # Whoever may write to the folder may lock it, whatever the umask.
    with suppress(OSError):
        os.fchown(created, -1, folder.st_gid)
    with suppress(OSError):
        os.fchmod(created, folder.st_mode & 0o666)
    return created


def _is_in_place(file: FileIO, path: Path) -> bool:
    """Return whether an open file is still the one at its path."""
    found = os.fstat(file.fileno())
    try:
        return found.st_nlink > 0 and os.path.samestat(found, path.lstat())
    except FileNotFoundError:
        return False


def _owner(file: FileIO, path: Path) -> str:
    """Return the current or last owner of the lock, as recorded in the file."""
    text = os.pread(file.fileno(), _LONGEST_TEXT, 0)
    if text and not text.startswith(_MARK):
        raise OutputError(f"{path}: exists but is not a lock file; move it away")
    owner = text.removeprefix(_MARK).decode("utf-8", "replace").strip()
    return f"another run ({owner})" if owner else "another run"


def _sign(file: FileIO) -> None:
    """Record the owner of the lock in the file; ignored on a full disk."""
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        user = f"user {os.geteuid()}"
    text = f"process {os.getpid()} of {user} on {os.uname().nodename}\n"
    with suppress(OSError):
        os.ftruncate(file.fileno(), 0)
        os.pwrite(file.fileno(), _MARK + text.encode("utf-8", "replace"), 0)


def _lock_problem(path: Path, error: OSError) -> str:
    if os.path.lexists(path):
        return f"{path}: cannot be locked: {error.strerror}; delete it if no run is writing there"
    return f"{path.parent}: the folder cannot be locked: {error.strerror}"
