"""Inputs as users give them (names, patterns, lists, associations) to paths of files."""

from __future__ import annotations

import codecs
import glob
import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from staticmask_cli.errors import InputError
from staticmask_cli.exposures import remote
from staticmask_cli.exposures.opening import FilePath, exists
from staticmask_cli.exposures.products import MASK_ENDING, MASK_ENDINGS, calibration_of, flags_twin
from staticmask_cli.exposures.urls import Url, is_url, parts_of
from staticmask_cli.files.side_files import FITS_ENDINGS

ASSOCIATION_SUFFIXES = ("_asn.fits", "_asc.fits", "_asn.fits.gz", "_asc.fits.gz")

#: Suffixes of members of an association, in the order in which they are tried (as in
#: DrizzlePac). Only the first that exists is used: _flc rather than _flt.
MEMBER_SUFFIXES = ("_flc", "_flt", "_crj", "_sfl", "_cal", "_c0m")
#: The input that means a list on standard input.
STANDARD_INPUT = "@-"

_DEEPEST_LIST = 50

# A name in an @list: in quotes, or up to the next blank or a comma before one.
_NAME = re.compile(r"""(?:"([^"]+)"|'([^']+)')(?=[\s,]|$)|((?:[^\s,]|,(?![\s"',]|$))+)""")
_COMMAS = re.compile(r"\s*(?:,\s*)+")
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UNMARKED_UTF_16 = re.compile(rb"f\0i\0t\0s", re.IGNORECASE)
_ENCODINGS = "is not text in UTF-8, or in UTF-16 with a byte order mark; convert it with iconv"

#: Reads an association table: (MEMNAME, MEMTYPE, MEMPRSNT) of each row.
AssociationReader = Callable[[FilePath], list[tuple[str, str, bool]]]


def resolve(
    entries: Iterable[str], read_association: AssociationReader
) -> tuple[list[FilePath], dict[str, str]]:
    """Find the exposures given by the user.

    Parameters
    ----------
    entries : iterable of str
        Names, patterns, comma-separated lists of those, @lists (``@-`` reads
        standard input) and association tables; names may be URLs. ``$VAR`` and ``~``
        are expanded.
    read_association : callable
        Reads an association table.

    Returns
    -------
    paths : list of Path or Url
        Each exposure once, in the given order; matches of a pattern are sorted.
    problems : dict
        One line for each input that cannot be used, with the input as value.
    """
    walk = _Walk(read_association)
    for entry in entries:
        walk.entry(entry, ())
    for twin in [flags_twin(path) for path in walk.paths.values()]:
        # The DQ file of a WFPC2 exposure is not an exposure.
        walk.paths.pop(_key(twin) if twin else "", None)
    if not walk.paths and not walk.problems:
        nothing = "no input: give exposures, patterns, @lists or associations"
        walk.problems[nothing] = "no input"
    return list(walk.paths.values()), walk.problems


def are_masks(entries: Iterable[str]) -> bool:
    """Return whether all entries are masks or folders, not exposures."""
    return all(entry.endswith(MASK_ENDINGS) or is_folder(entry) for entry in entries)


def names_in(entries: Iterable[str]) -> set[str]:
    """Return the names of files, including lists, that entries may refer to literally."""
    words = {part for entry in entries for part in (entry, *entry.split(","))}
    names = {name for word in words for name in (word, _expand(word.strip()))}
    return {name.removeprefix("@") for name in names if "\0" not in name}


def is_folder(entry: str) -> bool:
    """Return whether an entry is a folder."""
    return any(map(os.path.isdir, (entry, _expand(entry))))


def resolve_masks(entries: Iterable[str]) -> tuple[list[Path], dict[str, str]]:
    """Find the masks given by the user: like `resolve`, but a folder means all masks in it."""
    walk = _Walk(None)
    for entry in entries:
        walk.entry(entry, ())
    if not walk.paths and not walk.problems:
        walk.problems["no input: give masks or folders of masks"] = "no input"
    return [path for path in walk.paths.values() if isinstance(path, Path)], walk.problems


class _Walk:
    """A walk through the entries given by the user; lists may include lists.

    Parameters
    ----------
    read_association : callable or None
        Reads an association table; None to find masks instead of exposures.
    """

    def __init__(self, read_association: AssociationReader | None) -> None:
        self.paths: dict[str, FilePath] = {}  # by `_key`, so that a file counts once
        self.problems: dict[str, str] = {}
        self._read_association = read_association
        self._standard_input_was_read = False
        self._folders: dict[Path, dict[str, str]] = {}  # names by lower-case name

    def entry(self, text: str, lists: tuple[Path, ...]) -> None:
        """Follow one entry; `lists` are the @lists that include it."""
        if text == STANDARD_INPUT:
            self._standard_input(lists)
            return
        literal, text = text, _expand(text.strip())
        # A literal name may contain commas, blanks, $ or @.
        existing = next(filter(os.path.lexists, (literal, text)), None)
        if existing is not None:
            self._file(Path(existing), lists)
        elif text.startswith("@") and os.path.lexists(_expand(text[1:])):
            self._list(Path(_expand(text[1:])), lists)
        elif "," in text and (parts := parts_of(text)) != [text]:
            for part in parts:
                self.entry(part, lists)
        elif is_url(text.removeprefix("@")):
            self._url(Url(text.removeprefix("@")), lists, is_list=text.startswith("@"))
        elif text.startswith("@"):
            self._list(Path(_expand(text[1:])), lists)
        elif glob.has_magic(text):
            self._pattern(text, lists)
        elif text:
            self._problem(text, _why_absent(text), lists)

    def _url(self, url: Url, lists: tuple[Path, ...], *, is_list: bool = False) -> None:
        if is_list or self._read_association is None:
            what = "@lists" if is_list else "masks"
            self._problem(url, f"{what} are not read from URLs; download it", lists)
        elif reason := url.why_invalid:
            self._problem(url, reason, lists)
        elif not url.is_pattern:
            self._file(url, lists)
        else:
            try:
                files = [m for m in remote.matches(url) if not m.name.endswith(MASK_ENDINGS)]
            except InputError as error:
                self.problems |= dict.fromkeys(error.problems, str(url))
                return
            for file in files:
                self._file(file, lists)
            if not files:
                self._problem(url, "matches no file", lists)

    def _problem(self, path: FilePath | str, reason: str, lists: tuple[Path, ...]) -> None:
        origin = f" (named in {lists[-1]})" if lists else ""
        line = f"{path}: {reason}{origin}"
        self.problems.setdefault(line, str(path))

    def _pattern(self, pattern: str, lists: tuple[Path, ...]) -> None:
        try:
            matches = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - str patterns
        except ValueError:  # a NUL byte
            matches = []
        # Masks are skipped, so that a run over '*.fits' can be repeated in the output folder.
        wants_masks = self._read_association is None
        files = [
            m
            for m in matches
            if m.endswith(MASK_ENDINGS) == wants_masks and not os.path.isdir(m)  # noqa: PTH112
        ]
        for match in files:
            self._file(Path(match), lists)
        if not files:
            what = "mask" if wants_masks else "file"
            self._problem(pattern, f"matches no {what}", lists)

    def _standard_input(self, lists: tuple[Path, ...]) -> None:
        if self._standard_input_was_read:
            self._problem(STANDARD_INPUT, "standard input is given twice", lists)
            return
        self._standard_input_was_read = True
        try:
            content = _read_standard_input()
            are_names = b"\0" in content and not _is_utf_16(content)
            text = None if are_names else _decoded(content)
        except UnicodeDecodeError:
            self._problem(STANDARD_INPUT, f"{_ENCODINGS}, or use find -print0", lists)
            return
        except (OSError, ValueError, AttributeError) as error:
            self._problem(STANDARD_INPUT, f"standard input cannot be read: {error}", lists)
            return
        if text is not None:
            self._lines(Path(STANDARD_INPUT), text, lists)
            return
        # Output of find -print0: literal names.
        for path in map(os.fsdecode, filter(None, content.split(b"\0"))):
            if os.path.lexists(path):
                self._file(Path(path), lists)
            elif is_url(path):
                self._url(Url(path), lists)
            else:
                self._problem(path, _why_absent(path), lists)

    def _list(self, path: Path, lists: tuple[Path, ...]) -> None:
        try:
            text = _decoded(path.read_bytes())
        except UnicodeDecodeError:
            self._problem(path, f"this @list {_ENCODINGS}", lists)
            return
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            self._problem(path, f"this @list cannot be read: {reason}", lists)
            return
        if os.path.realpath(path) in map(os.path.realpath, lists):
            self._problem(path, "this @list includes itself", lists)
        elif len(lists) == _DEEPEST_LIST:
            self._problem(path, f"@lists are nested more than {_DEEPEST_LIST} levels deep", lists)
        else:
            self._lines(path, text, lists)

    def _lines(self, path: Path, text: str, lists: tuple[Path, ...]) -> None:
        names = [name for line in text.splitlines() for name in _names(line)]
        if not names:
            self._problem(path, "this @list contains no file names", lists)
        for name in names:
            self.entry(name, (*lists, path))

    def _file(self, path: FilePath, lists: tuple[Path, ...]) -> None:
        # A server is asked when the exposure is opened.
        is_dir = isinstance(path, Path) and os.path.isdir(path)  # noqa: PTH112 - Path's can raise
        if is_dir and self._read_association is None:
            masks = glob.glob(f"{glob.escape(str(path))}/*{MASK_ENDING}*")  # noqa: PTH207 - as above
            for mask in sorted(m for m in masks if m.endswith(MASK_ENDINGS)):
                self._file(Path(mask), lists)
            if not masks:
                self._problem(path, "this folder contains no masks", lists)
        elif is_dir:
            example = f"{path}/*flt.fits"
            self._problem(path, f"is a folder; use a pattern such as '{example}'", lists)
        elif self._read_association and path.name.lower().endswith(ASSOCIATION_SUFFIXES):
            self._association(path, self._read_association, lists)
        else:
            self.paths.setdefault(_key(path), path)

    def _association(
        self, path: FilePath, read_association: AssociationReader, lists: tuple[Path, ...]
    ) -> None:
        try:
            rows = read_association(path)
        except InputError as error:
            self.problems |= dict.fromkeys(error.problems, str(path))
            return
        kinds = [(name, kind.strip().upper(), is_there) for name, kind, is_there in rows]
        members = [name for name, kind, is_there in kinds if is_there and kind.startswith("EXP")]
        what = "member"
        if not members:
            # STIS stores all exposures of an association in one file, named as its product.
            members = [name for name, kind, _ in kinds if kind == "PRODUCT"]
            what = "product (all exposures of a STIS association)"
        if not members:
            self._problem(path, "this association has no member with MEMPRSNT true", lists)
        for member in (name.strip().lower() for name in members):
            if "/" in member or not member:
                self._problem(path, f"'{member}' is not a valid member name", lists)
                continue
            stem, suffixes = _candidates(member)
            candidates = [stem + s + e for s in suffixes for e in FITS_ENDINGS]
            try:
                found = self._first_existing(path, candidates)
            except InputError as error:
                self.problems |= dict.fromkeys(error.problems, str(path))
                return
            if found is None:
                tried = f"no file with suffix {', '.join(suffixes)}"
                reason = tried if any(suffixes) else "file not found"
                self._problem(path, f"{what} {stem} is missing: {reason}", lists)
            else:
                self._file(found, lists)

    def _first_existing(self, path: FilePath, candidates: Iterable[str]) -> FilePath | None:
        """Return the first of several names that exists in the folder of a file, in any case."""
        if isinstance(path, Url):
            urls = (_member(path, name) for name in candidates)
            return next((url for url in urls if exists(url)), None)
        folder = path.parent
        if folder not in self._folders:
            try:
                entries = sorted((p.name for p in folder.iterdir()), reverse=True)
            except OSError:  # known names can be opened in a folder without read permission
                entries = []
            self._folders[folder] = {entry.lower(): entry for entry in entries}
        for name in candidates:
            for spelled in (name, self._folders[folder].get(name)):
                if spelled and exists(folder / spelled):
                    return folder / spelled
        return None


def _key(path: FilePath) -> str:
    """Return a text that is equal for two paths of the same file."""
    return path.address if isinstance(path, Url) else os.path.realpath(path)


def _member(association: Url, name: str) -> Url:
    """Return the URL of a member of an association.

    In the public bucket, each data set has a folder that is named after it.
    """
    url = association.with_name(name)
    if association.folder == association.name.partition("_")[0]:
        return url.in_folder(name.partition("_")[0].partition(".")[0])
    return url


def _candidates(member: str) -> tuple[str, tuple[str, ...]]:
    """Return the stem of the file name of a member, and the suffixes to try.

    DrizzlePac writes names with suffix, and accepts complete file names.
    """
    stem = next((member.removesuffix(e) for e in FITS_ENDINGS if member.endswith(e)), member)
    is_complete = stem != member or calibration_of(stem)
    return stem, ("",) if is_complete else MEMBER_SUFFIXES


def _decoded(content: bytes) -> str:
    """Return the text of a list: UTF-8, or UTF-16 with a byte order mark."""
    if not _is_utf_16(content):
        return content.decode("utf-8-sig")
    if not content.startswith(_UTF_16):
        raise UnicodeDecodeError("utf-16", content, 0, 1, "no byte order mark")
    return content.decode("utf-16")


def _is_utf_16(content: bytes) -> bool:
    # Every line break and every ".fits" contains zero bytes in UTF-16.
    is_marked = content.startswith(_UTF_16) and b"\0" in content
    return is_marked or _UNMARKED_UTF_16.search(content) is not None


def _names(line: str) -> list[str]:
    """Return the names in a line of an @list.

    These are the first word, as in DrizzlePac, and the words after it that are
    separated by commas. Quotes around a name are removed; it may contain blanks
    and commas. A line that begins with ``#`` is a comment.
    """
    names: list[str] = []
    rest = line.strip().lstrip(",").lstrip()
    while not rest.startswith("#") and (match := _NAME.match(rest)):
        names.append(next(filter(None, match.groups())))
        comma = _COMMAS.match(rest, match.end())
        rest = rest[comma.end() :] if comma else ""
    return names


def _expand(text: str) -> str:
    try:
        return os.path.expanduser(os.path.expandvars(text))  # noqa: PTH111 - patterns are str
    except ValueError:  # a NUL byte
        return text


def _why_absent(text: str) -> str:
    try:
        os.lstat(text)
    except PermissionError:
        return "permission denied"
    except (OSError, ValueError):
        pass
    return "file not found"


def _read_standard_input() -> bytes:
    if sys.stdin is None:
        raise ValueError("it is closed")
    if sys.stdin.isatty():
        raise ValueError("it is a terminal; pipe names to it")
    return sys.stdin.buffer.read()
