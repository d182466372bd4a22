"""Reading files at URLs by ranged requests, with fsspec (the extra ``remote``).

fsspec is imported when there is a URL. What a server sends is checked before it is
used, and nothing of it is shown.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import wait
from functools import lru_cache, partial
from io import BufferedReader, RawIOBase
from typing import Any

from staticmask_cli.errors import InputError
from staticmask_cli.exposures.urls import Url
from staticmask_cli.threads import stopping

_HEADERS = 2**16  # bytes of a request for headers
_PIECE = 2**24  # bytes of the longest request: what is read again if its answer breaks
_PAUSES = (0.5, 1.0, 2.0, 4.0)  # seconds between tries
_PATIENCE = 60.0  # seconds to wait for the next bytes
_SLOWEST = 1e5  # bytes per second of an answer, on average after that time
_POLL = 0.2  # seconds until a run that was stopped is noticed
_LISTING = 600.0  # seconds to wait for the names that match a pattern
_S3 = ("s3", "s3a")
_IDENTITY = {"anon", "key", "secret", "token", "profile", "session"}  # options of s3fs
_EXTRA = "pip install 'staticmask-cli[remote]'"

# A function of a file system and the name of a file in it.
_Question = Callable[[Any, str], Any]

_RANGE = r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})"
# What file systems call the property that changes with the contents.
_TAGS = ("ETag", "etag", "LastModified", "last_modified", "mtime", "modified", "created")
# HTTP statuses; after the last two kinds another try may succeed.
_ABSENT = (404, 410)
_DENIED = (401, 403)
_BUSY = (408, 425, 429)
_BROKEN = 500  # and above


class AbsentError(InputError):
    """There is no file at a URL, or no access to it."""


class _BrokenError(Exception):
    """An answer that another try may better; the message is the reason."""


def stamp_of(url: Url) -> tuple[int, str]:
    """Return the size of a file, and its ETag or what stands for it; empty if nothing does.

    Raises
    ------
    InputError
        If there is no such file, or its server does not give its size.
    """
    if url.is_web:
        stamp: tuple[int, str] = _asked(url, partial(_web_get, start=0, size=1), _PATIENCE)[1]
        return stamp
    found = _asked(url, _calling("info"), _PATIENCE)
    if found.get("type") == "directory" or not isinstance(found.get("size"), int):
        raise AbsentError(f"{url}: is not a file")
    tag = next((found[key] for key in _TAGS if found.get(key)), "")
    return found["size"], str(tag)


def exists(url: Url) -> bool:
    """Return whether a URL can be read; servers may deny access to what does not exist."""
    try:
        stamp_of(url)
    except AbsentError:
        return False
    return True


def open_file(url: Url, size: int) -> BufferedReader:
    """Open a file of some size, for reading small parts of it."""
    return BufferedReader(_Raw(url, 0, size), _HEADERS)


def open_part(url: Url, offset: int, size: int) -> BufferedReader:
    """Open a part of a file, for reading all of it in order."""
    return BufferedReader(_Raw(url, offset, offset + size), max(1, min(size, _PIECE)))


def matches(pattern: Url) -> list[Url]:
    """Return the URLs of the files that match a pattern, sorted.

    Raises
    ------
    InputError
        If they cannot be listed.
    """
    if pattern.is_web:
        raise InputError(f"{pattern}: web servers list no files; give each URL, or an @list")
    found = _asked(pattern, _calling("glob", detail=True), _LISTING)
    _, place = _file_system(pattern)
    before = pattern.address.removesuffix(place)
    return [
        Url(before + name) for name, info in sorted(found.items()) if info.get("type") == "file"
    ]


class _Raw(RawIOBase):
    """A part of a file at a URL; each read is a request, or several if it is long."""

    def __init__(self, url: Url, start: int, end: int) -> None:
        self._url = url
        self._at = start
        self._end = end

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._end}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        size = min(len(buffer), self._end - self._at, _PIECE)
        if size <= 0:
            return 0
        limit = _PATIENCE + size / _SLOWEST
        if self._url.is_web:
            data, _ = _asked(self._url, partial(_web_get, start=self._at, size=size), limit)
        else:
            question = _calling("cat_file", start=self._at, end=self._at + size)
            data = _asked(self._url, question, limit)[:size]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _asked(url: Url, question: _Question, limit: float) -> Any:
    """Return the answer to a question; it is repeated after a failure that may pass.

    Exceptions of other packages become errors of the file. Their messages, which may
    contain secrets or what a server sent, are not used.
    """
    fs, place = _file_system(url)
    for pause in (*_PAUSES, None):
        try:
            answer = question(fs, place)
            return _awaited(fs, answer, limit) if fs.async_impl else answer
        except InputError as error:
            raise type(error)(f"{url}: {error}") from None
        except FileNotFoundError:
            raise AbsentError(f"{url}: file not found") from None
        except PermissionError:
            raise AbsentError(f"{url}: access denied, or file not found") from None
        except Exception as error:  # noqa: BLE001 - of any file system
            reason = _reason(error)
        if pause is not None and stopping().wait(pause):
            break
    raise InputError(f"{url}: cannot be read: {reason}; tried {len(_PAUSES) + 1} times")


def _calling(method: str, **arguments: Any) -> _Question:
    """Return the question that a method of a file system answers, from no cache."""

    def question(fs: Any, place: str) -> Any:
        fs.invalidate_cache()
        return getattr(fs, f"_{method}" if fs.async_impl else method)(place, **arguments)

    return question


def _awaited(fs: Any, answer: Coroutine[Any, Any, Any], limit: float) -> Any:
    """Return the answer of a file system; TimeoutError after a limit in seconds."""
    import asyncio  # noqa: PLC0415 - only if there is a URL

    future = asyncio.run_coroutine_threadsafe(answer, fs.loop)
    end = time.monotonic() + limit
    try:
        while not wait([future], timeout=_POLL).done:
            if stopping().is_set():
                raise InputError("is no longer read")
            if time.monotonic() > end:
                raise TimeoutError
        return future.result()
    finally:
        future.cancel()


async def _web_get(
    fs: Any, address: str, start: int, size: int
) -> tuple[bytearray, tuple[int, str]]:
    """Return `size` bytes of a file on a web server, fewer at its end, and its stamp.

    Raises
    ------
    InputError
        If the server does not send just that; without the URL.
    FileNotFoundError, PermissionError
        If it says so.
    _BrokenError
        If another try may succeed.
    """
    from aiohttp import ClientTimeout  # noqa: PLC0415 - only if there is a URL

    patience = ClientTimeout(total=None, sock_connect=_PATIENCE, sock_read=_PATIENCE)
    options = {"timeout": patience, **fs.kwargs}
    options["headers"] = {
        **options.get("headers", {}),
        "Range": f"bytes={start}-{start + size - 1}",
        "Accept-Encoding": "identity",
    }
    session = await fs.set_session()
    async with session.get(fs.encode_url(address), **options) as answer:
        _check_status(answer.status)
        found = re.fullmatch(_RANGE, answer.headers.get("Content-Range", ""))
        if found is None:
            raise InputError("its server does not give its size; download the file")
        first, last, total = map(int, found.groups())
        if first != start or last != min(start + size, total) - 1:
            raise InputError("its server sends another part than requested; download the file")
        data = bytearray()
        async for chunk in answer.content.iter_any():
            data += chunk
            if len(data) > last - first + 1:
                raise InputError("its server sends more than it announces; download the file")
        if len(data) < last - first + 1:
            raise _BrokenError("the connection broke")
        tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified", "")
    return data, (total, tag)


def _check_status(status: int) -> None:
    """Raise an exception for every HTTP status but 206 (partial content), as `_web_get`."""
    if status == 206:  # noqa: PLR2004
        return
    if status in _ABSENT:
        raise FileNotFoundError
    if status in _DENIED:
        raise PermissionError
    if status in _BUSY or status >= _BROKEN:
        raise _BrokenError(_as_text(status))
    reasons = {
        200: "its server does not send parts of files; download the file",
        416: "is empty, or has become shorter",
    }
    raise InputError(reasons.get(status, f"cannot be read: {_as_text(status)}"))


def _as_text(status: int) -> str:
    from http import HTTPStatus  # noqa: PLC0415 - seldom needed

    known = status in HTTPStatus.__members__.values()
    return f"HTTP {status} {HTTPStatus(status).phrase}" if known else f"HTTP {status}"


def _reason(error: Exception) -> str:
    """Return the reason of an exception in words of ours and of the system."""
    import socket  # noqa: PLC0415 - seldom needed
    import ssl  # noqa: PLC0415 - likewise

    causes = (error, error.__cause__, getattr(error, "os_error", None))
    for one in causes:
        if isinstance(one, _BrokenError):
            return str(one)
        if isinstance(one, TimeoutError):
            return "its server is too slow"
        if isinstance(one, socket.gaierror):
            return "its server is not known, or there is no network"
        if isinstance(one, ssl.SSLError):
            return "the certificate of its server cannot be verified"
        answer = getattr(one, "response", None)  # of botocore
        status = answer.get("ResponseMetadata", {}) if isinstance(answer, dict) else {}
        if isinstance(code := status.get("HTTPStatusCode"), int):
            return _as_text(code)
    numbers = [one.errno for one in causes if isinstance(one, OSError) and one.errno]
    return (
        os.strerror(numbers[-1]) if numbers else f"the connection failed ({type(error).__name__})"
    )


def _file_system(url: Url) -> tuple[Any, str]:
    """Return the file system of a URL, which fsspec keeps, and the file's name in it."""
    try:
        import fsspec  # noqa: PLC0415 - only if there is a URL
    except ImportError:
        raise InputError(f"URLs need more packages: {_EXTRA}") from None
    try:
        kind = fsspec.get_filesystem_class(url.scheme)
    except ImportError:
        needs = _EXTRA if url.is_web or url.scheme in _S3 else "see the documentation of fsspec"
        raise InputError(f"{url.scheme}:// URLs need another package: {needs}") from None
    except ValueError:
        raise InputError(f"{url.scheme}:// is not a protocol that fsspec knows") from None
    try:
        options = _options(url, fsspec.config.apply_config(kind, {}))
        options |= kind._get_kwargs_from_urls(url.address)  # noqa: SLF001 - as in `fsspec.open`
        return kind(**options), kind._strip_protocol(url.address)  # noqa: SLF001 - likewise
    except OSError as error:  # some file systems connect at once
        raise InputError(f"{url}: cannot be read: {_reason(error)}") from None
    except Exception as error:  # noqa: BLE001 - of any file system
        raise InputError(
            f"the configuration for {url.scheme}:// cannot be used ({type(error).__name__})"
        ) from None


def _options(url: Url, configured: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a file system: the user's configuration of fsspec, then ours."""
    if url.is_web:
        # Proxies of the environment and passwords in ~/.netrc; bytes as they are stored.
        client = {"trust_env": True, "auto_decompress": False} | configured.get("client_kwargs", {})
        # A signature holds for the URL as it is written.
        is_encoded = url.address.isascii() and " " not in url.address
        return {"encoded": is_encoded, **configured, "client_kwargs": client}
    if url.scheme in _S3 and not _IDENTITY & configured.keys() and not _has_credentials():
        return configured | {"anon": True}
    return configured


@lru_cache(maxsize=1)
def _has_credentials() -> bool:
    """Return whether there are credentials for S3; looking for them may take a second."""
    from botocore.session import get_session  # noqa: PLC0415 - only if there is a URL

    return get_session().get_credentials() is not None
