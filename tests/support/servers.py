"""A web server on the loopback that counts what it sends, and can be at fault."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote


@dataclass
class Answer:
    """An answer, which a fault may change before it is sent.

    Attributes
    ----------
    number : int
        Number of the request, from 1.
    target : str
        Path and query, as requested.
    start, stop : int or None
        The requested range; None without one.
    status, phrase, headers, body
        What is sent; without phrase, the usual one.
    cut : int or None
        Close the connection after this many bytes of the body.
    wait : float
        Seconds to wait before each 64 KiB of the body.
    """

    number: int
    target: str
    start: int | None
    stop: int | None
    status: int
    headers: dict[str, str]
    body: bytes | memoryview = b""
    phrase: str | None = None
    cut: int | None = None
    wait: float = 0.0


@dataclass
class Server:
    """What a web server is asked and sends.

    Attributes
    ----------
    url : str
        Its address, without slash at the end.
    fault : callable
        Called with every answer before it is sent.
    requests : list of str
        Path and query of every request.
    answers : list of Answer
        What was sent.
    n_bytes : int
        Number of bytes of all bodies.
    """

    folder: Path
    url: str = ""
    fault: Callable[[Answer], None] = lambda _: None
    answers: list[Answer] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    n_bytes: int = 0
    stopping: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    contents: dict[str, bytes] = field(default_factory=dict)

    def answer(self, target: str, requested: str) -> Answer:
        """Return the right answer to a request."""
        with self.lock:
            self.requests.append(target)
            number = len(self.requests)
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", requested)
        start, stop = (int(match[1]), int(match[2]) + 1) if match else (None, None)
        path = self.folder / unquote(target.partition("?")[0]).lstrip("/")
        one = Answer(number, target, start, stop, 404, {})
        if not path.is_file():
            return one
        if str(path) not in self.contents:
            self.contents[str(path)] = path.read_bytes()
        body = memoryview(self.contents[str(path)])
        one.headers["ETag"] = f'"{hashlib.md5(body[:4096], usedforsecurity=False).hexdigest()}"'
        one.status, one.body = 200, body
        if start is not None and start >= len(body):
            one.status, one.body = 416, b""
            one.headers["Content-Range"] = f"bytes */{len(body)}"
        elif start is not None:
            one.status, one.body = 206, body[start:stop]
            last = start + len(one.body) - 1
            one.headers["Content-Range"] = f"bytes {start}-{last}/{len(body)}"
        return one

    def reset(self) -> None:
        """Forget what was asked and sent."""
        self.requests.clear()
        self.answers.clear()
        self.n_bytes = 0


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Serve the files in a folder while the block runs."""
    server = Server(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answer = server.answer(self.path, self.headers.get("Range", ""))
            server.fault(answer)
            server.answers.append(answer)
            self.send_response(answer.status, answer.phrase)
            answer.headers.setdefault("Content-Length", str(len(answer.body)))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            body = memoryview(answer.body)[: answer.cut]
            step = 2**16 if answer.wait else max(1, len(body))
            for begin in range(0, len(body), step):
                server.stopping.wait(answer.wait)
                self.wfile.write(body[begin : begin + step])
                server.n_bytes += len(body[begin : begin + step])
            if answer.cut is not None:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    class Listener(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Print nothing if a client closes the connection."""

    with Listener(("127.0.0.1", 0), Handler) as listener:
        server.url = f"http://127.0.0.1:{listener.server_port}"
        thread = threading.Thread(target=listener.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.stopping.set()
            listener.shutdown()
            thread.join()
