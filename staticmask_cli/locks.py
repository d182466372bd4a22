"""One run at a time changes the masks of a folder, also on file systems without flock.

The lock is a folder, ``.staticmask.lock``, that holds one empty file named by
its owner's token. It appears whole, by renaming, which fails if there is one
that is not empty; and a dead owner is removed by the name of its file, so that
two runs that wait for it cannot take each other for the dead one. Renaming and
unlinking is all it needs, which NFS does as local disks do.
"""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from staticmask_cli.errors import OutputError, printable
from staticmask_cli.owners import TOKEN, clear_litter, is_gone, part_of

LOCK_NAME = ".staticmask.lock"

# An owner touches its file so often, in seconds; one on another machine whose
# file stays untouched for so long is taken for dead. By our own clock: the
# clocks of two machines may differ.
_HEARTBEAT = 2.0
_SILENCE = 20.0
_PAUSE = 0.02  # seconds between two looks at a lock


class Lock:
    """A lock that this process holds.

    Attributes
    ----------
    folder : Path
        The folder that is locked.
    owner : Path
        The file that says that it is ours.
    """

    def __init__(self, folder: Path, token: str) -> None:
        self.folder = folder
        self.owner = folder / LOCK_NAME / token

    def check(self) -> None:
        """Make sure that no other run has taken us for dead, as when we were stopped for long.

        Raises
        ------
        OutputError
            If the lock is lost.
        """
        if not os.path.lexists(self.owner):
            raise OutputError(
                f"{printable(self.folder)}: another run took over the lock of this folder, for "
                "this one did not move; nothing was written, run again"
            )


@contextmanager
def locked(folder: Path, timeout: float) -> Iterator[Lock]:
    """Hold the lock of a folder, which must exist.

    Parameters
    ----------
    folder : Path
        The folder whose masks are to be changed.
    timeout : float
        Seconds to wait for another run.

    Yields
    ------
    Lock

    Raises
    ------
    OutputError
        If another run keeps the lock for longer, or the folder cannot hold one.
    """
    clear_litter(folder, LOCK_NAME)
    lock = _take(folder, timeout)
    done = threading.Event()
    beat = threading.Thread(target=_beat, args=(lock, done), name="staticmask-lock", daemon=True)
    try:
        beat.start()
        yield lock
    finally:
        done.set()
        beat.join()
        with suppress(OSError):
            lock.owner.unlink()
        with suppress(OSError):  # another run may have put its own in place of the empty one
            lock.owner.parent.rmdir()


def _beat(lock: Lock, done: threading.Event) -> None:
    while not done.wait(_HEARTBEAT):
        with suppress(OSError):
            os.utime(lock.owner)


def _take(folder: Path, timeout: float) -> Lock:
    staged = part_of(folder / LOCK_NAME)
    token = staged.name.removeprefix(f".{LOCK_NAME}.").removesuffix(".part")
    lock = Lock(folder, token)
    watch = _Watch(folder / LOCK_NAME)
    until = time.monotonic() + timeout
    try:
        staged.mkdir()
        (staged / token).touch()
        while not _renamed(staged, lock):
            if watch.owner_is_dead():
                continue
            if time.monotonic() >= until:
                raise OutputError(
                    f"{printable(folder)}: {watch.who()} has held {LOCK_NAME} for "
                    f"{timeout:g} s; run again when it is done, or raise --lock-timeout"
                )
            time.sleep(_PAUSE)
    except OSError as error:
        raise OutputError(
            f"{printable(folder)}: the folder cannot be locked: {error.strerror}"
        ) from None
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return lock


def _renamed(staged: Path, lock: Lock) -> bool:
    """Put a lock in place; False if there is one."""
    try:
        staged.rename(lock.owner.parent)
    except OSError as error:
        # NFS can tell of a failure after it has done what it was asked for.
        if os.path.lexists(lock.owner):
            return True
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True


class _Watch:
    """What one who waits has seen of a lock's owner."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[str, int] | None = None
        self._since = 0.0

    def owner_is_dead(self) -> bool:
        """Remove a dead owner's file and say so."""
        try:
            names = os.listdir(self._path)  # noqa: PTH208 - names alone
        except FileNotFoundError:
            return True
        if not names:  # freed, or its owner died between its two files
            with suppress(OSError):
                self._path.rmdir()  # not every file system renames onto a folder, even an empty one
            return True
        if len(names) > 1 or not TOKEN.fullmatch(names[0]):
            return False  # not ours: not to be touched
        owner = self._path / names[0]
        gone = is_gone(names[0])
        if gone is None:
            gone = self._is_silent(owner)
        if gone:
            with suppress(OSError):
                owner.unlink(missing_ok=True)
        return gone

    def _is_silent(self, owner: Path) -> bool:
        """Tell whether an owner on another machine has not moved for long."""
        try:
            now = (owner.name, owner.stat().st_mtime_ns)
        except OSError:
            return False
        if now != self._seen:
            self._seen, self._since = now, time.monotonic()
        return time.monotonic() - self._since > _SILENCE

    def who(self) -> str:
        """Return who holds the lock, for a message."""
        with suppress(OSError):
            for name in os.listdir(self._path):  # noqa: PTH208 - names alone
                match = TOKEN.fullmatch(name)
                if match:
                    where = "" if is_gone(name) is not None else " on another machine"
                    return f"another run (process {match[2]}{where})"
        return "something else than a run of staticmask"
