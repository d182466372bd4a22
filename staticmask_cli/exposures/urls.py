"""URLs of exposures: their file names, and how they are shown, without secrets."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from urllib.parse import quote, unquote_plus

from staticmask_cli.files.side_files import FITS_ENDINGS
from staticmask_cli.settings import Settings

# Not compiled before they are used: most runs have no URL.
_SCHEME = r"[a-z][a-z0-9+.-]*://"
_USER = r"(?:[^/?#]*@)?"
# One part of a comma-separated list. Commas in a user's password belong to its URL, and
# those in a query do unless another URL follows.
_PART = rf"(?is)\s*(https?://{_USER}[^,?]*\?.*?(?=,\s*{_SCHEME}|$)|{_SCHEME}{_USER}[^,]*|[^,]+)"
_HOST = r"(?i)(?:[^\s:/?#@\[\]]+|\[[0-9a-f:.]+\])(?::\d{1,5})?"


@dataclass(frozen=True, slots=True)
class Url:
    """The URL of a file, in place of a path.

    As text it has neither the name and password of a user nor a query, which may
    contain a signature; only the part of the query that names the file.

    Attributes
    ----------
    address : str
        The whole URL: for access, not to be shown.

    Examples
    --------
    >>> url = Url("https://me:secret@example.org/hst/j8bt06nyq_flt.fits?signature=0123")
    >>> print(url, url.name)
    https://example.org/hst/j8bt06nyq_flt.fits j8bt06nyq_flt.fits
    >>> print(Url("https://example.org/get?uri=mast:HST/product/j8bt06nyq_flt.fits&key=0123"))
    https://example.org/get?uri=mast:HST/product/j8bt06nyq_flt.fits
    """

    address: str = field(repr=False)

    @property
    def scheme(self) -> str:
        """The scheme in lower case, such as ``s3``."""
        return self.address.partition("://")[0].lower()

    @property
    def is_web(self) -> bool:
        """Whether its server is asked by HTTP; only such a URL can have a query."""
        return self.scheme in ("http", "https")

    @property
    def name(self) -> str:
        """The file name, without folder."""
        return self._file.rpartition("/")[2]

    @property
    def is_pattern(self) -> bool:
        """Whether its path contains ``*`` or ``[``, or ``?`` if that begins no query."""
        return any(c in self._parts[1] for c in "*?[")

    def with_name(self, name: str) -> Url:
        """Return the URL of another file in the same folder."""
        return self._with_file(self._file.removesuffix(self.name) + name)

    def in_folder(self, folder: str) -> Url:
        """Return the URL of a file of the same name in another folder, beside its own."""
        above = self._file.removesuffix(self.name)[:-1].rpartition("/")
        return self._with_file(f"{above[0]}{above[1]}{folder}/{self.name}")

    @property
    def folder(self) -> str:
        """The name of its folder, without those above; empty if it has none."""
        return self._file.removesuffix(self.name)[:-1].rpartition("/")[2]

    def absolute(self) -> Url:
        """Return the URL itself: it depends on no working folder."""
        return self

    def __str__(self) -> str:
        if not self._has_host:  # what is not understood may be a password
            return f"{self.scheme}://..."
        netloc, path, _ = self._parts
        shown = f"{self.scheme}://{netloc.rpartition('@')[2]}{path}"
        return (
            f"{shown}?{self._argument.partition('=')[0]}={self._file}" if self._argument else shown
        )

    @property
    def why_invalid(self) -> str | None:
        """Why it names no file; None if it may name one."""
        if not self._has_host:
            return "is not a valid URL"
        if "::" in self._parts[1] and not self.is_web:
            return "chained URLs are not supported"
        return None if self.name else "is a folder; add a file name"

    @property
    def _has_host(self) -> bool:
        host = self._parts[0].rpartition("@")[2]
        return re.fullmatch(_HOST, host) is not None if host else not self.is_web

    @property
    def _parts(self) -> tuple[str, str, str]:
        """Network location, path with its first slash, and query."""
        rest, query = self.address.partition("://")[2], ""
        if self.is_web:
            rest, _, query = rest.partition("#")[0].partition("?")
        netloc, slash, path = rest.partition("/")
        return netloc, slash + path, query

    @property
    def _argument(self) -> str:
        """The part of the query that names the file, if the path does not; else empty."""
        _, path, query = self._parts
        arguments = [] if _is_fits(path) else query.split("&")
        return next((a for a in arguments if _is_fits(unquote_plus(a.partition("=")[2]))), "")

    @property
    def _file(self) -> str:
        """The path of the file, wherever it stands in the URL."""
        if argument := self._argument:
            return unquote_plus(argument.partition("=")[2])
        return self._parts[1]

    def _with_file(self, file: str) -> Url:
        netloc, path, query = self._parts
        if argument := self._argument:
            changed = f"{argument.partition('=')[0]}={quote(file, safe='/:')}"
            query = "&".join(changed if a == argument else a for a in query.split("&"))
        else:
            path = file
        return Url(f"{self.scheme}://{netloc}{path}" + (f"?{query}" if query else ""))


def _is_fits(path: str) -> bool:
    return path.lower().endswith(FITS_ENDINGS)


def is_url(text: str) -> bool:
    """Return whether a text is a URL rather than the name of a file.

    Examples
    --------
    >>> is_url("s3://stpubdata/hst/public/j8bt/j8bt06nyq/j8bt06nyq_flc.fits")
    True
    """
    return "://" in text and re.match(_SCHEME, text, re.IGNORECASE) is not None


def parts_of(text: str) -> list[str]:
    """Return the parts of a comma-separated list, which may be URLs.

    Examples
    --------
    >>> parts_of("a_flt.fits, https://example.org/get?list=1,2,s3://b/*_flt.fits")
    ['a_flt.fits', 'https://example.org/get?list=1,2', 's3://b/*_flt.fits']
    """
    return [part.strip() for part in re.findall(_PART, text) if part.strip()]


def without_secrets(settings: Settings) -> Settings:
    """Return settings that can be shown: URLs of the input as they are shown."""
    entries = (
        ",".join(str(Url(part)) if is_url(part) else part for part in parts_of(entry))
        if "://" in entry
        else entry
        for entry in settings.input
    )
    return replace(settings, input=tuple(entries))
