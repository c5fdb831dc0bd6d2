"""Bytes from anywhere: polite, exact, and stubborn up to a stated budget.

A file is a local path, a `store:` path, an HTTP(S) or S3 address, or any other URL that fsspec knows. Whatever a server
does wrong, what comes out is the bytes that were asked for, or `FetchFailed` with a reason that can be counted. An
answer is checked before its bytes are taken (status, place, entity tag, length), a broken one is gone on with from the
last good byte, and every single request waits for its turn (`politeness`).
"""

import contextlib
import errno
import functools
import importlib.metadata
import io
import logging
import os
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, Protocol, cast
from urllib.parse import urljoin, urlsplit

import fsspec
import httpx

from pipeline_lib.crawl.addresses import STORE_SCHEME, UNKNOWN_SIZE, is_local
from pipeline_lib.crawl.fetching import FetchParameters
from pipeline_lib.crawl.politeness import MAX_PAUSE_SECONDS, Pace
from storage.store import Store
from storage.wrong_request import WrongRequest

_SLOW_DOWN = frozenset({403, 429, 500, 502, 503, 504})
_TRY_AGAIN = _SLOW_DOWN | {408, 425}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 5
_SIGNED_SECONDS = 300
_MAX_BACKOFF_FACTOR = 60
_PROGRESS_BYTES = 64 << 10
_SLOWEST_BYTES_PER_SECOND = 1 << 10  # a server that sends less stands still
_READ_BYTES = 1 << 20
_MAX_READ_BYTES = 1 << 30
_CONTENT_RANGE = re.compile(r"bytes\s+(\d{1,18})-(\d{1,18})/(\d{1,18}|\*)\s*\Z", re.IGNORECASE)
_UNSATISFIED_RANGE = re.compile(r"bytes\s+\*/(\d{1,18})\s*\Z", re.IGNORECASE)
_ENTITY_TAGS = ("ETag", "etag", "Content-MD5", "md5Hash", "md5", "checksum")
_TIMES = ("LastModified", "Last-Modified", "last_modified", "mtime", "updated", "created")
# exceptions of botocore, aiohttp and asyncio, which are not always installed
_SHORT = frozenset({"IncompleteReadError", "ContentLengthError", "ClientPayloadError"})
_LATE = frozenset({"ReadTimeoutError", "ConnectTimeoutError", "TimeoutError"})
_NETWORK = frozenset({"HTTPClientError", "ClientError", "ConnectionError", "ResponseStreamingError"})
_IN_MEMORY = frozenset({"memory", "file", "local"})  # file systems that nobody has to be polite to


class FetchFailed(WrongRequest, OSError):
    """Bytes that cannot be had: not there, refused for good, or not within the budget.

    Attributes:
        reason: short, for counting: `fetch_http_<status>`, `fetch_timeout`, `fetch_connection`, `fetch_short_body`,
            `fetch_bad_range`, `fetch_changed`, `fetch_not_found`, `fetch_unreadable`, `fetch_redirects`,
            `fetch_bad_url`, `fetch_too_large`, `fetch_encoded`, `fetch_unsigned`.
        url: of the file.
    """

    def __init__(self, message: str, reason: str, url: str) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.url = url

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[type["FetchFailed"], tuple[str, str, str]]:
        return type(self), (self.message, self.reason, self.url)


@dataclass(kw_only=True)
class Traffic:
    """What a `Remote` has moved so far; of files that are local or in the store, nothing."""

    requests: int = 0
    bytes: int = 0  # good ones
    seconds: float = 0.0  # in which something was waited for or moved, summed over threads
    failures: Counter[str] = field(default_factory=Counter)  # of single attempts, by reason, survived or not

    def as_json(self) -> dict[str, Any]:
        return {
            "bytes_fetched": self.bytes,
            "requests": self.requests,
            "failures": dict(sorted(self.failures.items())),
        }


class Remote:
    """Reads files wherever they are. For several threads at once; cheap to make: connections are kept by process.

    Args:
        store: what `store:` paths are inside of.
        clock: seconds, the same for all processes.
        draw: a random number in [0, 1), for waits that differ between workers. It shapes no output.
    """

    def __init__(
        self,
        parameters: FetchParameters,
        store: Store | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.parameters = parameters
        self.traffic = Traffic()
        self.regions: dict[str, str] = {}  # of S3 buckets that are not where the settings say
        self._store = store
        self._clock = clock
        self._sleep = sleep
        self._draw = draw
        self._paces: dict[str, Pace] = {}
        self._lock = threading.Lock()

    def describe(self, url: str) -> tuple[int, str]:
        """Size in bytes (-1: the server does not say) and fingerprint, without reading the file.

        The fingerprint is the entity tag, or else size and time of change; of local files and files in the store it is
        empty, as their digest takes reading them.

        Raises:
            FetchFailed: there is no such file, or it cannot be looked at.
        """
        if is_local(url) or url.startswith(STORE_SCHEME):
            with self._open_here(url, 0, UNKNOWN_SIZE) as stream:
                return stream.seek(0, os.SEEK_END), ""
        place = self._place(url)
        budget = _Budget(self, url)
        while True:
            try:
                return place.describe(budget)
            except _Fault as fault:
                budget.spend(fault, 0)

    def read(self, url: str, start: int = 0, length: int = -1, *, max_bytes: int = _MAX_READ_BYTES) -> bytes:
        """The bytes [start, start + length) of a file, or all from `start`: all of them, or an error.

        Args:
            max_bytes: refuse more: a server may have no end.

        Raises:
            FetchFailed: also where the file ends before the range does.
        """
        pieces = []
        num_bytes = 0
        for piece in self.chunks(url, start, length):
            num_bytes += len(piece)
            if num_bytes > max_bytes:
                raise FetchFailed(f"{url} is longer than {max_bytes} bytes", "fetch_too_large", url)
            pieces.append(piece)
        return b"".join(pieces)

    def open(self, url: str, start: int = 0, length: int = -1, *, fingerprint: str = "") -> BinaryIO:
        """A stream of a range of a file, to be read from front to back; not seekable.

        For readers that take their time: it asks for `block_bytes` at once, and no connection waits for the reader
        unless the server knows no ranges.

        Args:
            fingerprint: as `describe` gave it: a file that has another entity tag now is refused.

        Raises:
            FetchFailed: also while reading.
        """
        if is_local(url) or url.startswith(STORE_SCHEME):
            return io.BufferedReader(_Stream(self._here(url, start, length)), _READ_BYTES)
        transfer = _Transfer(self, url, start, length, fingerprint)
        return io.BufferedReader(_Stream(transfer.blocks(self.parameters.block_bytes)), _READ_BYTES)

    def chunks(self, url: str, start: int = 0, length: int = -1, *, fingerprint: str = "") -> Iterator[bytes]:
        """A range of a file in pieces, in one request if all goes well: for readers that do not let a server wait.

        Raises:
            FetchFailed: also after some pieces.
        """
        if is_local(url) or url.startswith(STORE_SCHEME):
            return self._here(url, start, length)
        return _Transfer(self, url, start, length, fingerprint).chunks()

    def pace(self, host: str) -> Pace:
        """The pace of this machine towards a host."""
        with self._lock:
            if host not in self._paces:
                folder = self.parameters.pace_folder
                self._paces[host] = Pace(
                    host,
                    requests_per_second=self.parameters.requests_per_second,
                    max_connections=self.parameters.max_connections,
                    folder=None if folder is None else Path(folder),
                    clock=self._clock,
                    sleep=self._sleep,
                )
            return self._paces[host]

    def count(self, *, requests: int = 0, num_bytes: int = 0, seconds: float = 0.0, failure: str | None = None) -> None:
        """Add to `traffic`."""
        with self._lock:
            self.traffic.requests += requests
            self.traffic.bytes += num_bytes
            self.traffic.seconds += seconds
            if failure is not None:
                self.traffic.failures[failure] += 1

    def _place(self, url: str) -> "_Place":
        try:
            if urlsplit(url).scheme in ("http", "https"):
                return _HttpPlace(self, url)
            if url.startswith(("s3://", "s3a://")):
                import s3fs  # noqa: F401 (of an extra; said here if it is missing)

                return _S3Place(self, url)
            return _OtherPlace(self, url)
        except (ImportError, ValueError) as error:
            raise FetchFailed(f"{url} cannot be read: {error}", "fetch_bad_url", url) from error

    def _here(self, url: str, start: int, length: int) -> Iterator[bytes]:
        """A range of a local file or one in the store, which is opened at once and read later."""
        stream = self._open_here(url, start, length)

        def pieces() -> Iterator[bytes]:
            missing = length
            with stream:
                while missing:
                    piece = stream.read(_READ_BYTES if missing < 0 else min(missing, _READ_BYTES))
                    if not piece:
                        break
                    missing -= len(piece) if missing > 0 else 0
                    yield piece
            if missing > 0:
                raise FetchFailed(
                    f"{url} ends {missing} bytes before byte {start + length}, to where it was to be read",
                    "fetch_short_body",
                    url,
                )

        return pieces()

    def _open_here(self, url: str, start: int, length: int) -> BinaryIO:
        advice = "check that it is still there and can be read, and run again: parts that are done are not done again"
        try:
            if not url.startswith(STORE_SCHEME):
                stream: BinaryIO = Path(url).open("rb")  # noqa: SIM115 (the caller closes it)
            elif self._store is None:
                raise ValueError(f"{url} is inside a store, and none was given")
            else:
                stream = cast(BinaryIO, self._store.open(url.removeprefix(STORE_SCHEME)))
            if start:
                stream.seek(start)
        except FileNotFoundError as error:
            raise FetchFailed(
                f"{url} cannot be opened: there is no such file; {advice}", "fetch_not_found", url
            ) from error
        except OSError as error:
            raise FetchFailed(f"{url} cannot be opened: {error}; {advice}", "fetch_unreadable", url) from error
        return stream


class _Fault(Exception):
    """One attempt that failed.

    Attributes:
        is_final: another attempt would fail alike.
        wait_seconds: what the server asked to wait for.
    """

    def __init__(self, reason: str, detail: str, *, is_final: bool = False, wait_seconds: float = 0.0) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.is_final = is_final
        self.wait_seconds = wait_seconds


@dataclass(kw_only=True)
class _Answer:
    """What a server gives for a range, before its bytes are read.

    Attributes:
        begin: the place in the file of the first byte that comes.
        end: the place after the last one; -1: the server does not say.
        size: of the whole file; -1 likewise.
        is_whole: the server gives the file from its start, whatever was asked.
        tag: tells versions of the file apart; may be empty.
    """

    begin: int
    end: int
    size: int
    is_whole: bool
    tag: str
    pieces: Iterator[bytes]
    closing: contextlib.ExitStack


class _Place(Protocol):
    """A file on some kind of server. Each call makes one attempt, and raises _Fault if that fails."""

    def describe(self, budget: "_Budget") -> tuple[int, str]: ...

    def get(self, start: int, end: int, budget: "_Budget") -> _Answer:
        """Ask for the bytes [start, end), or from `start` on if `end` is -1; the caller closes the answer."""
        ...


class _Budget:
    """What may be spent on a file without getting on with it: attempts and seconds."""

    def __init__(self, remote: Remote, url: str) -> None:
        self._remote = remote
        self._url = url
        self._clock = remote._clock
        self._attempts = 0
        self._began = self._clock()
        self._reached = 0

    @contextlib.contextmanager
    def waiting_for_turn(self) -> Iterator[None]:
        """Time that is spent on waiting for other requests to the same host is not charged."""
        began = self._clock()
        try:
            yield
        finally:
            self._began += self._clock() - began

    def spend(self, fault: _Fault, position: int) -> None:
        """Count a failed attempt, and wait before the next.

        Raises:
            FetchFailed: there will be no next one.
        """
        remote, parameters = self._remote, self._remote.parameters
        remote.count(failure=fault.reason)
        if fault.is_final:
            self._fail(fault, position, "")
        if position - self._reached >= _PROGRESS_BYTES:
            self._attempts = 0
            self._began = self._clock()
            self._reached = position
        self._attempts += 1
        spent = self._clock() - self._began
        longest = parameters.backoff_seconds * min(2 ** (self._attempts - 1), _MAX_BACKOFF_FACTOR)
        wait = max(longest * remote._draw(), min(fault.wait_seconds, MAX_PAUSE_SECONDS))
        if self._attempts >= parameters.max_attempts or spent + wait > parameters.give_up_seconds:
            self._fail(fault, position, f"; given up after {self._attempts} attempts in {spent:.1f} seconds")
        remote._sleep(wait)

    def _fail(self, fault: _Fault, position: int, spent: str) -> NoReturn:
        raise FetchFailed(f"{self._url} at byte {position}: {fault.detail}{spent}", fault.reason, self._url)


class _Transfer:
    """A range of a file on its way, over as many attempts as it takes."""

    def __init__(self, remote: Remote, url: str, start: int, length: int, fingerprint: str) -> None:
        if start < 0 or length < UNKNOWN_SIZE:
            raise ValueError(f"{url}: no such range: {length} bytes from {start}")
        self._remote = remote
        self._place = remote._place(url)
        self._budget = _Budget(remote, url)
        self._budget._reached = start
        self._position = start
        self._end = UNKNOWN_SIZE if length < 0 else start + length
        self._size = UNKNOWN_SIZE
        self._tag = fingerprint.removeprefix("etag:") if fingerprint.startswith("etag:") else ""
        self._whole_answers = 0

    def chunks(self) -> Iterator[bytes]:
        """Piece by piece as they come; the connection is held meanwhile."""
        while not self._is_done():
            try:
                with self._answer(self._end) as answer:
                    yield from self._pieces(answer, self._end)
            except _Fault as fault:
                self._budget.spend(fault, self._position)

    def blocks(self, block_bytes: int) -> Iterator[bytes]:
        """Block by block; no connection is held while the reader has one, unless the server knows no ranges."""
        while not self._is_done():
            end = self._position + block_bytes
            end = end if self._end < 0 else min(end, self._end)
            pieces: list[bytes] = []
            failed: _Fault | None = None
            try:
                with self._answer(end) as answer:
                    if answer.is_whole:
                        yield from self._pieces(answer, self._end)
                    else:
                        pieces.extend(self._pieces(answer, end))
            except _Fault as fault:
                failed = fault
            yield from pieces
            if failed is not None:
                self._budget.spend(failed, self._position)

    def _is_done(self) -> bool:
        return 0 <= self._end <= self._position

    @contextlib.contextmanager
    def _answer(self, end: int) -> Iterator[_Answer]:
        answer = self._place.get(self._position, end, self._budget)
        with answer.closing:
            self._check(answer, end)
            yield answer

    def _check(self, answer: _Answer, end: int) -> None:
        if self._tag and answer.tag and answer.tag != self._tag:
            changed = f"the file was changed: its entity tag was {self._tag}, now it is {answer.tag}; run again"
            raise _Fault("fetch_changed", changed, is_final=True)
        if self._size >= 0 and answer.size >= 0 and answer.size != self._size:
            changed = f"the file was changed: it had {self._size} bytes, now it has {answer.size}; run again"
            raise _Fault("fetch_changed", changed, is_final=True)
        if answer.is_whole and self._position > 0:
            # once may be a slip; a server that knows no ranges gives nothing else, and the way to the place is long
            self._whole_answers += 1
            if self._whole_answers < 2:
                raise _Fault("fetch_bad_range", "the whole file came instead of a range")
        if not answer.is_whole:
            self._whole_answers = 0
            if answer.begin != self._position or (0 <= end < answer.end):
                found = f"bytes [{answer.begin}, {answer.end}) came"
                raise _Fault("fetch_bad_range", f"{found}, asked for were [{self._position}, {end})")
        if 0 <= answer.size < self._end:
            ends = f"the file ends at byte {answer.size}, before byte {self._end}, to where it was to be read"
            raise _Fault("fetch_short_body", ends)
        self._tag = self._tag or answer.tag
        self._size = answer.size if self._size < 0 else self._size

    def _pieces(self, answer: _Answer, end: int) -> Iterator[bytes]:
        """The good bytes of an answer up to `end` (-1: of the file); the position goes along."""
        if self._end < 0 <= answer.size:
            self._end = answer.size
        if 0 <= self._end < end:
            end = self._end
        place = answer.begin
        timeout = self._remote.parameters.timeout_seconds
        clock = self._remote._clock
        window_began, window_bytes = clock(), 0
        pieces = iter(answer.pieces)
        while end < 0 or self._position < end:
            began = clock()
            piece = next(pieces, b"")
            now = clock()
            if not piece:
                break
            window_bytes += len(piece)
            if now - window_began > timeout:
                if window_bytes < _SLOWEST_BYTES_PER_SECOND * (now - window_began):
                    raise _Fault("fetch_timeout", f"{window_bytes} bytes in {now - window_began:.0f} seconds")
                window_began, window_bytes = now, 0
            good = piece[max(0, self._position - place) : None if end < 0 else max(0, end - place)]
            place += len(piece)
            self._position += len(good)
            self._remote.count(num_bytes=len(good), seconds=now - began)
            if good:
                yield good
                window_began += clock() - now  # the reader's own time
        if place == answer.end:
            next(pieces, None)  # read to its very end, the connection can be used again
        if end < 0:
            self._end = self._position  # nobody said how much there is: what came was all
        elif self._position < end:
            short = f"the answer ended at byte {self._position}, before byte {end}"
            raise _Fault("fetch_short_body", short)


class _Stream(io.RawIOBase):
    """Pieces of bytes as a stream."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__()
        self._pieces = pieces
        self._piece = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._piece:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._piece = memoryview(piece)
        size = min(len(buffer), len(self._piece))
        buffer[:size] = self._piece[:size]
        self._piece = self._piece[size:]
        return size

    def close(self) -> None:
        if not self.closed:
            close = getattr(self._pieces, "close", None)  # of a generator: gives a connection back
            if close is not None:
                close()
            self._piece = memoryview(b"")
        super().close()


class _HttpPlace:
    """A file on an HTTP server. Redirects are followed, each as a request of its own."""

    def __init__(self, remote: Remote, url: str) -> None:
        self._remote = remote
        self._url = url
        self._client = _client(os.getpid(), remote.parameters.timeout_seconds, user_agent(remote.parameters.contact))

    def describe(self, budget: _Budget) -> tuple[int, str]:
        with contextlib.ExitStack() as closing:
            response = self._request("HEAD", {}, budget, closing)
            with _http_faults():
                response.read()  # nothing, but the connection can be used again
        headers = response.headers
        size = _number(headers.get("content-length"), UNKNOWN_SIZE)
        tag = _entity_tag(headers)
        changed = headers.get("last-modified", "unknown time")
        return size, f"etag:{tag}" if tag else f"size:{size} changed:{changed}"

    def get(self, start: int, end: int, budget: _Budget) -> _Answer:
        asked = {}
        if start or end >= 0:
            asked = {"Range": f"bytes={start}-" if end < 0 else f"bytes={start}-{end - 1}"}
        pieces: Iterator[bytes]
        with contextlib.ExitStack() as stack:
            response = self._request("GET", asked, budget, stack)
            headers = response.headers
            if response.status_code == 416:
                unsatisfied = _UNSATISFIED_RANGE.match(headers.get("content-range", ""))
                size = int(unsatisfied[1]) if unsatisfied else self.describe(budget)[0]
                if size != start:  # where it is, nothing is missing
                    raise _Fault("fetch_bad_range", f"the server has no bytes from {start} on (status 416)")
                placed, pieces = (start, start, size), iter(())
            elif response.status_code == 206:
                placed, pieces = _content_range(headers), self._body(response)
            else:
                size = _number(headers.get("content-length"), UNKNOWN_SIZE)
                placed, pieces = (0, size, size), self._body(response)
            return _Answer(
                begin=placed[0],
                end=placed[1],
                size=placed[2],
                is_whole=response.status_code not in (206, 416),
                tag=_entity_tag(headers),
                pieces=pieces,
                closing=stack.pop_all(),
            )

    def _request(
        self, method: str, asked: Mapping[str, str], budget: _Budget, closing: contextlib.ExitStack
    ) -> httpx.Response:
        """The answer to one request or, after redirects, several. What holds it open is put on `closing`."""
        url = self._target(method)
        for _ in range(_MAX_REDIRECTS + 1):
            with contextlib.ExitStack() as stack:
                began = self._remote._clock()
                pace = self._remote.pace(urlsplit(url).netloc.rpartition("@")[2])
                with budget.waiting_for_turn():
                    stack.enter_context(pace.connection())
                    granted = pace.wait()
                self._remote.count(requests=1)
                with _http_faults():
                    # not compressed: what is served is files, and many servers take `.gz` for a compressed answer
                    request = self._client.build_request(method, url, headers={"Accept-Encoding": "identity", **asked})
                    response = self._client.send(request, stream=True)
                stack.callback(response.close)
                self._remote.count(seconds=self._remote._clock() - began)
                status = response.status_code
                if status in _REDIRECTS and "location" in response.headers:
                    url = _redirected(url, response.headers["location"])
                    continue
                self._judge(status, response.headers, pace, granted)
                closing.push(stack.pop_all())
                return response
        raise _Fault("fetch_redirects", f"redirected more than {_MAX_REDIRECTS} times", is_final=True)

    def _target(self, method: str) -> str:
        """The address to send a request to."""
        return self._url

    def _judge(self, status: int, headers: Mapping[str, str], pace: Pace, granted: float) -> None:
        """Take a success, whose answer is to be read.

        Raises:
            _Fault: it is none.
        """
        if status in (200, 206, 416):
            pace.succeeded()
            encoding = headers.get("content-encoding", "identity").strip().lower()
            is_compressed_file = urlsplit(self._url).path.endswith((".gz", ".zst", ".bz2", ".xz"))
            if status != 416 and encoding not in ("", "identity") and not is_compressed_file:
                raise _Fault("fetch_encoded", f"compressed ({encoding[:40]}), which was not asked for", is_final=True)
            return
        _refuse(status, headers, pace, granted, self._remote.parameters)

    def _body(self, response: httpx.Response) -> Iterator[bytes]:
        with _http_faults():
            yield from response.iter_raw()


class _S3Place(_HttpPlace):
    """An object in S3 or what speaks its language: s3fs finds keys and endpoint and signs, requests are ours.

    s3fs's own requests could not be counted: what it sends them with repeats a broken one at once and unasked.
    """

    def __init__(self, remote: Remote, url: str) -> None:
        super().__init__(remote, url)
        self._bucket = urlsplit(url).netloc
        self._sign = functools.partial(_signed, url, remote.parameters.s3_anonymous)

    def _target(self, method: str) -> str:
        return self._sign("head_object" if method == "HEAD" else "get_object", self._remote.regions.get(self._bucket))

    def _judge(self, status: int, headers: Mapping[str, str], pace: Pace, granted: float) -> None:
        region = headers.get("x-amz-bucket-region")
        known = self._remote.regions.get(self._bucket)
        if status in (301, 400, 403) and region and known is None:
            self._remote.regions[self._bucket] = region  # perhaps we asked elsewhere, and signed for there
            raise _Fault("fetch_redirects", f"status {status}; the bucket is in region {region}")
        super()._judge(status, headers, pace, granted)


class _OtherPlace:
    """A file of any other fsspec file system. What that repeats by itself is its own affair."""

    def __init__(self, remote: Remote, url: str) -> None:
        self._remote = remote
        self._filesystem, self._path = fsspec.core.url_to_fs(url)
        protocol = urlsplit(url).scheme
        self._host = "" if protocol in _IN_MEMORY else f"{protocol}://{urlsplit(url).netloc}"

    def describe(self, budget: _Budget) -> tuple[int, str]:
        with self._turn(budget), _file_system_faults():
            information: Mapping[str, Any] = self._filesystem.info(self._path)
        if information.get("type") == "directory":
            raise _Fault("fetch_not_found", "it is a folder", is_final=True)
        return described(information)

    def get(self, start: int, end: int, budget: _Budget) -> _Answer:
        size, fingerprint = self.describe(budget)
        if 0 <= size < end:
            end = size
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._turn(budget))
            with _file_system_faults():
                content: bytes = self._filesystem.cat_file(self._path, start=start, end=None if end < 0 else end)
            return _Answer(
                begin=start,
                end=start + len(content) if end < 0 else end,
                size=size,
                is_whole=False,
                tag=fingerprint.removeprefix("etag:") if fingerprint.startswith("etag:") else "",
                pieces=iter((content,)),
                closing=stack.pop_all(),
            )

    @contextlib.contextmanager
    def _turn(self, budget: _Budget) -> Iterator[None]:
        if not self._host:
            yield
            return
        pace = self._remote.pace(self._host)
        with contextlib.ExitStack() as stack:
            with budget.waiting_for_turn():
                stack.enter_context(pace.connection())
                granted = pace.wait()
            self._remote.count(requests=1)
            try:
                yield
            except _Refused as refused:
                _refuse(refused.status, refused.headers, pace, granted, self._remote.parameters)
            else:
                pace.succeeded()


class _Refused(Exception):
    """A file system told of an answer with an HTTP status that is no success."""

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.headers = headers


def user_agent(contact: str) -> str:
    """What requests say of who sends them: program, version, and whom to write to."""
    name = f"gristmill/{importlib.metadata.version('gristmill')}"
    return f"{name} (+{contact})" if contact else name


def described(information: Mapping[str, Any]) -> tuple[int, str]:
    """Size and fingerprint from what an fsspec file system says of a file."""
    size = information.get("size")
    num_bytes = UNKNOWN_SIZE if size is None else int(size)
    for key in _ENTITY_TAGS:
        if information.get(key):
            tag = str(information[key]).strip('"')
            return num_bytes, f"etag:{tag}"
    changed = next((str(information[key]) for key in _TIMES if information.get(key)), "unknown time")
    return num_bytes, f"size:{num_bytes} changed:{changed}"


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds to wait that a `Retry-After` asks for (RFC 9110, section 10.2.3); 0 where there is none that is readable.

    A date is compared with the server's own clock, if its answer carries that: ours may be wrong.
    """
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value):
        return float(value)
    until, now = _date(value), _date(headers.get("date", "")) or datetime.now(UTC)
    return 0.0 if until is None else max(0.0, (until - now).total_seconds())


def _date(value: str) -> datetime | None:
    try:
        parsed = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)


def _signed(url: str, anonymous: bool, method: str, region: str | None) -> str:
    """The HTTP address of an S3 object, signed for a few minutes unless `anonymous`; made without any request.

    Raises:
        _Fault: there are no keys to sign with, or no such address can be.
    """
    import s3fs  # of an extra

    client = {} if region is None else {"client_kwargs": {"region_name": region}}
    filesystem = s3fs.S3FileSystem(anon=anonymous, config_kwargs={"signature_version": "s3v4"}, **client)
    try:
        address: str = filesystem.url(url, expires=_SIGNED_SECONDS, client_method=method)
    except Exception as error:
        # botocore has no common base for what can be wrong with keys, profiles and names
        hint = "set AWS keys or a profile, or fetch.s3_anonymous"
        raise _Fault("fetch_unsigned", f"{type(error).__name__}: {error}; {hint}", is_final=True) from error
    return address


@functools.lru_cache(maxsize=8)
def _client(pid: int, timeout_seconds: float, agent: str) -> httpx.Client:
    """The process's own client: connections stay open from one file to the next. `pid`: a forked child's is another."""
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs each address, signatures and all
    return httpx.Client(
        timeout=timeout_seconds,
        headers={"User-Agent": agent},
        follow_redirects=False,
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=32, keepalive_expiry=15.0),
    )


@contextlib.contextmanager
def _http_faults() -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException as error:
        raise _Fault("fetch_timeout", f"no answer in time ({type(error).__name__})") from error
    except httpx.RemoteProtocolError as error:
        if "location header" in str(error):
            raise _Fault("fetch_redirects", str(error), is_final=True) from error
        is_short = "message body" in str(error) or "chunked read" in str(error)
        raise _Fault("fetch_short_body" if is_short else "fetch_connection", str(error)) from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
        raise _Fault("fetch_bad_url", f"{type(error).__name__}: {error}", is_final=True) from error
    except httpx.TransportError as error:
        raise _Fault("fetch_connection", f"{type(error).__name__}: {error}") from error


@contextlib.contextmanager
def _file_system_faults() -> Iterator[None]:
    """Failures of object stores, whose libraries wrap each other's exceptions, as ours."""
    try:
        yield
    except (_Fault, _Refused):
        raise
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
        names = {kind.__name__ for each in _causes(error) for kind in type(each).__mro__}
        if names & _SHORT:
            raise _Fault("fetch_short_body", told) from error
        refused = _refusal(error)
        if refused is not None:
            raise refused from error
        if names & _LATE:
            raise _Fault("fetch_timeout", told) from error
        if isinstance(error, FileNotFoundError):
            raise _Fault("fetch_not_found", "there is no such file", is_final=True) from error
        is_local_refusal = isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EINVAL)
        if names & _NETWORK or (isinstance(error, OSError) and not is_local_refusal):
            raise _Fault("fetch_connection", told) from error
        raise _Fault("fetch_unreadable", told, is_final=True) from error


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = cast(BaseException, error.__cause__ or error.__context__)


def _refusal(error: BaseException) -> _Refused | None:
    """The HTTP status behind a library's exception, if there is one."""
    for each in _causes(error):
        response = getattr(each, "response", None)
        if isinstance(response, dict):  # botocore's
            metadata = response.get("ResponseMetadata", {})
            status, headers = metadata.get("HTTPStatusCode"), metadata.get("HTTPHeaders", {})
        else:  # aiohttp's, gcsfs's
            status, headers = getattr(each, "status", None) or getattr(each, "code", None), {}
        if isinstance(status, int) and 400 <= status < 600:
            return _Refused(status, {str(name).lower(): str(value) for name, value in dict(headers).items()})
    return None


def _refuse(
    status: int, headers: Mapping[str, str], pace: Pace, granted: float, parameters: FetchParameters
) -> NoReturn:
    """A status that is no success: everybody slows down where the server wants that.

    Raises:
        _Fault: always.
    """
    wait = min(retry_after(headers), MAX_PAUSE_SECONDS)
    slows_down = status in _SLOW_DOWN or status >= 500
    if slows_down:
        pace.refused(granted, max(wait, parameters.backoff_seconds))
    detail = f"status {status}"
    raise _Fault(f"fetch_http_{status}", detail, is_final=not (slows_down or status in _TRY_AGAIN), wait_seconds=wait)


def _redirected(url: str, location: str) -> str:
    try:
        target = urljoin(url, location)
        if urlsplit(target).scheme in ("http", "https"):
            return target
    except ValueError:  # such as an unclosed bracket
        pass
    raise _Fault("fetch_redirects", f"redirected to {location[:200]!r}", is_final=True)


def _content_range(headers: Mapping[str, str]) -> tuple[int, int, int]:
    """First byte, byte after the last, and size of the file (-1 if not said) of a partial answer."""
    value = headers.get("content-range", "")
    found = _CONTENT_RANGE.match(value)
    if found is None or int(found[2]) < int(found[1]):
        raise _Fault("fetch_bad_range", f"a partial answer whose Content-Range is {value[:80]!r}")
    begin, end = int(found[1]), int(found[2]) + 1
    return begin, end, UNKNOWN_SIZE if found[3] == "*" else int(found[3])


def _entity_tag(headers: Mapping[str, str]) -> str:
    return headers.get("etag", "").strip('"')


def _number(value: str | None, unknown: int) -> int:
    return int(value) if value is not None and re.fullmatch(r"[0-9]{1,18}", value.strip()) else unknown
