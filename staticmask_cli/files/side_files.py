"""Side files of a run: summary, report, pictures, log.

They may be in folders that other users can write to. So they are never written
through a symbolic link, and existing files are only replaced by renaming.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from staticmask_cli.errors import OutputError
from staticmask_cli.files.atomic import created_folder, folder_problems, part_of
from staticmask_cli.files.locks import LOCK_NAME

#: Endings of the names of FITS files, in lower case, which side files must not have.
FITS_ENDINGS = (".fits", ".fits.gz", ".fits.fz")
_FITS_BEGINNINGS = (b"SIMPLE", b"\x1f\x8b")  # plain or gzipped

# Folders of names such as /dev/stdout, which refer to open files.
_DESCRIPTORS = (Path("/dev"), Path(f"/proc/{os.getpid()}/fd"))


class SideFile(NamedTuple):
    """An output file other than a mask, named by an option.

    Attributes
    ----------
    name : str
        Path as given by the user.
    option : str
        The option, for messages.
    kind : str
        Kind of file, for messages.
    beginning : bytes
        First bytes of such files. An existing file that begins otherwise is not
        replaced, unless it is empty.
    """

    name: str
    option: str
    kind: str
    beginning: bytes

    @property
    def path(self) -> Path:
        """Path with ``~`` expanded."""
        return Path(os.path.expanduser(self.name))  # noqa: PTH111 - Path's can raise

    def problem(self) -> str | None:
        """Return one line on why the file cannot be written, or None if it can."""
        reason = next(self._reasons(), None)
        return f"{self.option}: {self.name}: {reason}" if reason else None

    def _reasons(self) -> Iterator[str]:
        """Yield reasons lazily, so that later checks run only if earlier ones pass."""
        if not self.name.strip() or "\0" in self.name:
            yield "is not a file name"
        path = self.path
        if link := foreign_link(path):
            yield link
        if self.is_special:
            return
        if path.is_symlink():
            yield "is a symbolic link; give the path of the file itself"
        if path.is_dir():
            yield "is a folder"
        if path.name == LOCK_NAME:
            yield "is the name of a folder's lock"
        if path.name.lower().endswith(FITS_ENDINGS):
            yield "has the name of a FITS file; choose another name"
        yield from folder_problems(path.parent)
        if path.exists() and not self._may_be_replaced():
            yield f"exists but is not a {self.kind} file; choose another name"

    @property
    def is_special(self) -> bool:
        """Whether it is a pipe, a device or an open file, which are not replaced."""
        with suppress(OSError):
            mode = self.path.lstat().st_mode
            is_open = stat.S_ISLNK(mode) and self.path.parent.resolve() in _DESCRIPTORS
            return is_open or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode))
        return False

    def _may_be_replaced(self) -> bool:
        try:
            with self.path.open("rb") as file:
                found = file.read(len(self.beginning) + len(_FITS_BEGINNINGS[0]))
        except OSError:
            return False
        return found == b"" or (
            found.startswith(self.beginning) and not found.startswith(_FITS_BEGINNINGS)
        )

    def open_at_end(self) -> int:
        """Open it for appending, in an existing folder; return the file descriptor."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_NOCTTY
        if not self.is_special:
            flags |= os.O_CREAT | os.O_NOFOLLOW
        return os.open(self.path, flags, 0o666)

    def write(self, data: bytes) -> None:
        """Write it whole or not at all; its folder is created if missing.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        if problem := self.problem():  # again, because the run may have taken long
            raise OutputError(problem)
        path = self.path
        part = part_of(path)
        try:
            if self.is_special:
                with open(self.open_at_end(), "wb") as file:  # noqa: PTH123 - a descriptor
                    file.write(data)
                return
            with created_folder(path.parent):
                try:
                    with part.open("xb") as file:
                        file.write(data)
                    part.replace(path)
                finally:
                    part.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(
                f"{self.option}: {self.name}: cannot be written: {error.strerror}"
            ) from None


def foreign_link(path: Path) -> str | None:
    """Return why a path is not followed: it contains a link that an attacker may have created.

    That is a symbolic link of another user in a sticky, world-writable folder such
    as /tmp; Linux refuses the same with ``fs.protected_symlinks``.
    """
    shared = stat.S_ISVTX | stat.S_IWOTH
    path = path.absolute()
    for place in (path, *path.parents):
        with suppress(OSError):
            if (
                place.is_symlink()
                and place.lstat().st_uid not in (0, os.geteuid())
                and place.parent.stat().st_mode & shared == shared
            ):
                return f"{place} is another user's symbolic link in a world-writable folder"
    return None
