"""A server on the loopback interface that serves a crawl as Common Crawl does, and misbehaves on command.

It serves the files of a folder by their path (`/crawl-data/...`) with ranges and entity tags, `/collinfo.json` for the
crawls in it, and `/<crawl>-index` where a function that answers queries is handed in; or it stands before another
server and passes on what that says. Faults are drawn from a seeded generator, request by request, or scripted for the
next requests. Everything that was asked is in `requests`.
"""

import contextlib
import http.client
import http.server
import json
import random
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

STATUS_FAULTS = ("403", "429", "500", "502", "503", "504")
RANGE_FAULTS = ("416", "short_range", "wrong_range", "unranged")
BODY_FAULTS = ("reset", "reset_midway", "stall", "stall_midway", "short")
FAULTS = (*STATUS_FAULTS, *RANGE_FAULTS, *BODY_FAULTS)

CdxAnswer = Callable[[str, Mapping[str, Sequence[str]]], tuple[int, bytes]]  # crawl, query -> status, body


def storm(share: float) -> dict[str, float]:
    """Probabilities of all kinds of faults together, as likely as each other."""
    return dict.fromkeys(FAULTS, share / len(FAULTS))


@dataclass(kw_only=True)
class Request:
    """One request as the server saw it."""

    at: float  # monotonic
    method: str
    path: str
    range: tuple[int, int | None] | None  # first byte, last byte
    headers: Mapping[str, str]
    fault: str | None
    port: int  # of the client: the same for requests on one connection
    sent: int = 0  # bytes of body


@dataclass(kw_only=True)
class _Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class CrawlServer:
    """A running server; a context manager.

    Attributes:
        faults: probability of each kind of fault; see FAULTS.
        is_faulty: whether chance may strike a request, by method and path.
        retry_after: value of that header in refusals; None: no such header.
        upstream: address of a server whose answers are passed on, instead of a folder.
        stall_seconds: how long a stalled connection stays open.
        redirects: path -> where it is now.
    """

    folder: Path | None = None
    faults: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0
    is_faulty: Callable[[str, str], bool] = lambda method, path: True
    retry_after: str | None = None
    cdx: CdxAnswer | None = None
    upstream: str | None = None
    stall_seconds: float = 2.0
    redirects: Mapping[str, str] = field(default_factory=dict)
    knows_ranges: bool = True
    requests: list[Request] = field(default_factory=list)
    scripted: deque[str | None] = field(default_factory=deque)  # None: no fault

    def __enter__(self) -> "CrawlServer":
        self._lock = threading.Lock()
        self._random = random.Random(self.seed)
        self._stopping = threading.Event()
        self._connections: set[socket.socket] = set()
        outer = self

        class Handler(_Handler):
            server_of_crawl = outer

        self._http = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
        with self._lock:
            for connection in self._connections:  # that clients keep
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def script(self, *faults: str | None) -> None:
        """The faults of the next requests, one each, before chance decides again."""
        self.scripted.extend(faults)

    def bytes_sent(self) -> int:
        return sum(request.sent for request in self.requests)

    def draw(self, method: str, path: str) -> str | None:
        with self._lock:
            if self.scripted:
                return self.scripted.popleft()
            if not self.is_faulty(method, path):
                return None
            chance = self._random.random()
        for fault, probability in self.faults.items():
            chance -= probability
            if chance < 0:
                return fault
        return None

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> _Answer:
        """The right answer."""
        path = unquote(urlsplit(target).path)
        if path in self.redirects:
            return _Answer(status=302, headers={"Location": self.redirects[path]}, body=b"")
        if self.upstream is not None:
            return self._passed_on(method, target, headers, body)
        if path == "/collinfo.json":
            return _Answer(status=200, headers={"Content-Type": "application/json"}, body=self._collections())
        if path.endswith("-index") and self.cdx is not None:
            status, found = self.cdx(path[1:].removesuffix("-index"), parse_qs(urlsplit(target).query))
            return _Answer(status=status, headers={"Content-Type": "text/x-ndjson"}, body=found)
        assert self.folder is not None
        file = self.folder / path.lstrip("/")
        if ".." in file.parts or not file.is_file():
            return _Answer(status=404, headers={}, body=b"no such key")
        return self._ranged(file.read_bytes(), file.stat().st_mtime, headers.get("range"))

    def _ranged(self, content: bytes, changed: float, asked: str | None) -> _Answer:
        headers = {
            "ETag": f'"{len(content):x}-{hash_of(content)}"',
            "Last-Modified": formatdate(changed, usegmt=True),
            "Content-Type": "application/octet-stream",
        }
        if not self.knows_ranges:
            return _Answer(status=200, headers=headers, body=content)
        headers["Accept-Ranges"] = "bytes"
        wanted = parsed_range(asked)
        if wanted is None:
            return _Answer(status=200, headers=headers, body=content)
        first, last = wanted
        last = len(content) - 1 if last is None else min(last, len(content) - 1)
        if first >= len(content) or last < first:
            return _Answer(status=416, headers={"Content-Range": f"bytes */{len(content)}"}, body=b"")
        headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        return _Answer(status=206, headers=headers, body=content[first : last + 1])

    def _collections(self) -> bytes:
        assert self.folder is not None
        crawls = sorted((entry.name for entry in (self.folder / "crawl-data").iterdir()), reverse=True)
        return json.dumps(
            [
                {
                    "id": crawl,
                    "name": f"{crawl} Index",
                    "timegate": f"{self.url}/{crawl}/",
                    "cdx-api": f"{self.url}/{crawl}-index",
                }
                for crawl in crawls
            ]
        ).encode()

    def _passed_on(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> _Answer:
        assert self.upstream is not None
        connection = http.client.HTTPConnection(urlsplit(self.upstream).netloc, timeout=30)
        try:
            kept = {name: value for name, value in headers.items() if name != "connection"}
            connection.request(method, target, body or None, kept)
            response = connection.getresponse()
            content = response.read()
            dropped = {"connection", "transfer-encoding", "date", "server"}
            found = {name: value for name, value in response.getheaders() if name.lower() not in dropped}
            if method != "HEAD":
                found = {name: value for name, value in found.items() if name.lower() != "content-length"}
            return _Answer(status=response.status, headers=found, body=content)
        finally:
            connection.close()


def hash_of(content: bytes) -> str:
    """Something short that differs between contents."""
    return f"{sum(content[::101]):x}{content[:4].hex()}"


def parsed_range(value: str | None) -> tuple[int, int | None] | None:
    if value is None or not value.startswith("bytes="):
        return None
    first, _, last = value.removeprefix("bytes=").partition("-")
    return int(first), int(last) if last else None


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients may leave."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server_of_crawl: CrawlServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16

    def setup(self) -> None:
        super().setup()
        with self.server_of_crawl._lock:
            self.server_of_crawl._connections.add(self.connection)

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()
        with self.server_of_crawl._lock:
            self.server_of_crawl._connections.discard(self.connection)

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        at = time.monotonic()
        crawl = self.server_of_crawl
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        fault = crawl.draw(self.command, self.path)
        asked = parsed_range(headers.get("range"))
        if (fault in RANGE_FAULTS and asked is None) or (fault in BODY_FAULTS[1:] and self.command != "GET"):
            fault = None
        request = Request(
            at=at,
            method=self.command,
            path=self.path,
            range=asked,
            headers=headers,
            fault=fault,
            port=self.client_address[1],
        )
        with crawl._lock:
            crawl.requests.append(request)
        self._fail_or_send(request, fault, headers, body)

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815

    def _fail_or_send(self, request: Request, fault: str | None, headers: dict[str, str], body: bytes) -> None:
        crawl = self.server_of_crawl
        if fault in STATUS_FAULTS or fault == "416":
            refused = {} if crawl.retry_after is None else {"Retry-After": crawl.retry_after}
            self._send(request, _Answer(status=int(fault), headers=refused, body=b"Please reduce your request rate."))
            return
        if fault == "reset":
            self._reset()
            return
        if fault == "stall":
            self._stall()
            return
        asked = dict(headers)
        if fault == "unranged":
            asked.pop("range")
        if fault == "wrong_range" and request.range is not None:
            first, last = request.range
            moved = max(0, first - 1000) if first else 1
            asked["range"] = f"bytes={moved}-{'' if last is None else last}"
        if fault == "short_range" and request.range is not None:
            first, last = request.range
            last = first + 99 if last is None else first + (last - first) // 2
            asked["range"] = f"bytes={first}-{last}"
        answer = crawl.answer(self.command, self.path, asked, body)
        if fault in ("short", "stall_midway", "reset_midway") and answer.body:
            self._send(request, answer, upto=len(answer.body) // 2)
            if fault == "stall_midway":
                self._stall()
            elif fault == "reset_midway":
                self._reset()
            self.close_connection = True
            return
        self._send(request, answer)

    def _send(self, request: Request, answer: _Answer, upto: int | None = None) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if "content-length" not in {name.lower() for name in answer.headers}:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            sent = answer.body[:upto]
            request.sent = len(sent)
            self.wfile.write(sent)
        self.wfile.flush()

    def _stall(self) -> None:
        self.server_of_crawl._stopping.wait(self.server_of_crawl.stall_seconds)
        self.close_connection = True

    def _reset(self) -> None:
        self.wfile.flush()
        time.sleep(0.005)  # so that what was sent arrives before the reset, which overtakes it
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """A port on which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]
