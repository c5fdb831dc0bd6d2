"""An S3 server that is having a bad day: a proxy on the loopback interface before a real one.

Of the requests it passes on, a seeded share fails: refused, cut off before or after the server did what was asked, cut
short, or never answered. And its listings can be of a while ago. Clients need no change: it speaks what they speak.
"""

import collections
import http.client
import http.server
import random
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from urllib.parse import urlsplit

FAULTS = ("503", "500", "reset", "lost_answer", "short", "stall")
_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive", "expect", "server", "date"}
_ERROR = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>have a rest</Message></Error>'
_CODES = {503: "SlowDown", 500: "InternalError", 501: "NotImplemented"}


@dataclass(kw_only=True)
class FailingStore:
    """A running proxy; a context manager.

    Attributes:
        upstream: address of the server behind it.
        share: of requests that fail.
        faults: kinds of failures, as likely as each other.
        stale_seconds: a listing is answered as it was when it was first asked for, for so long.
        knows_conditions: False: it does not implement If-None-Match, and says so.
        stall_seconds: how long a request that is never answered holds its connection.
        is_struck: which requests chance may strike, by method and path.
        counts: what was done, by kind of failure; `passed` and `stale` too.
    """

    upstream: str
    share: float = 0.2
    seed: int = 0
    faults: Sequence[str] = FAULTS
    stale_seconds: float = 0.0
    knows_conditions: bool = True
    stall_seconds: float = 8.0
    is_struck: Callable[[str, str], bool] = lambda method, path: True
    counts: collections.Counter[str] = field(default_factory=collections.Counter)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)
        self._lock = threading.Lock()
        self._listings: dict[str, tuple[float, tuple[int, list[tuple[str, str]], bytes]]] = {}
        self._local = threading.local()

    def __enter__(self) -> "FailingStore":
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def draw(self, method: str, path: str) -> str | None:
        """The failure that befalls a request; None: it is passed on and answered."""
        with self._lock:
            strikes = self._rng.random() < self.share
            fault = self._rng.choice(list(self.faults))
            if not strikes or not self.is_struck(method, path):
                return None
            if fault == "short" and method != "GET":
                fault = "reset"
            self.counts[fault] += 1
            return fault

    def answer(
        self, method: str, target: str, headers: list[tuple[str, str]], body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """What the server behind says: status, headers, body."""
        is_listing = method == "GET" and re.search(r"[?&](list-type|prefix)=", target) is not None
        if is_listing and self.stale_seconds:
            with self._lock:
                then, answer = self._listings.get(target, (float("-inf"), (0, [], b"")))
                if time.monotonic() - then < self.stale_seconds:
                    self.counts["stale"] += 1
                    return answer
        answer = self._ask(method, target, headers, body)
        with self._lock:
            self.counts["passed"] += 1
            if is_listing and self.stale_seconds:
                self._listings[target] = time.monotonic(), answer
        return answer

    def _ask(
        self, method: str, target: str, headers: list[tuple[str, str]], body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        for attempt in range(2):  # the server may have closed a connection that was kept
            connection = getattr(self._local, "connection", None)
            if connection is None:
                address = urlsplit(self.upstream)
                connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
                self._local.connection = connection
            try:
                connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
                for name, value in headers:
                    connection.putheader(name, value)
                connection.putheader("Content-Length", str(len(body)))
                connection.endheaders(body)
                response = connection.getresponse()
                return response.status, response.getheaders(), response.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                self._local.connection = None
                if attempt:
                    raise
        raise AssertionError


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    proxy: FailingStore

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a client that goes away, as one that was cut off does


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: object) -> None:
        pass

    def _handle(self) -> None:
        proxy = self.server.proxy
        body = self._body()
        fault = proxy.draw(self.command, self.path)
        if fault == "stall":
            time.sleep(proxy.stall_seconds)
            fault = "reset"
        if fault == "reset":
            self._cut()
            return
        if fault in ("500", "503"):
            self._refuse(int(fault))
            return
        if "If-None-Match" in self.headers and not proxy.knows_conditions:
            self._refuse(501)
            return
        headers = [(name, value) for name, value in self.headers.items() if name.lower() not in _HOP]
        status, answered, content = proxy.answer(self.command, self.path, headers, body)
        if fault == "lost_answer":
            self._cut()
            return
        self._send(status, answered, content, content[: len(content) // 2] if fault == "short" else content)
        if fault == "short":
            self._cut()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _handle  # noqa: N815 (names of http.server)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(pieces)

    def _send(self, status: int, headers: list[tuple[str, str]], content: bytes, sent: bytes) -> None:
        self.send_response_only(status)
        length = str(len(content))
        for name, value in headers:
            if name.lower() == "content-length":
                length = value if self.command == "HEAD" else length
            elif name.lower() not in _HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(sent)

    def _refuse(self, status: int) -> None:
        content = b"" if self.command == "HEAD" else _ERROR.format(code=_CODES[status]).encode()
        self._send(status, [("Content-Type", "application/xml")], content, content)

    def _cut(self) -> None:
        """End the connection without a word, as a server that is killed does."""
        self.close_connection = True
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
