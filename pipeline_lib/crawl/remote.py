"""Bytes from anywhere: polite, exact, and stubborn up to a stated budget.

A file is a local path, a `store:` path, an HTTP(S) or S3 address, or any other URL that fsspec knows. Whatever a server
does wrong, what comes out is the bytes that were asked for, or `FetchFailed` with a reason that can be counted. An
answer is checked before its bytes are taken (status, place, entity tag, length), a broken one is gone on with from the
last good byte, and every single request waits for its turn (`politeness`).
"""

import contextlib
import io
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NoReturn
from urllib.parse import urlsplit

from pipeline_lib.crawl.addresses import STORE_SCHEME, UNKNOWN_SIZE, is_local
from pipeline_lib.crawl.fetching import FetchParameters
from pipeline_lib.crawl.places import Answer, Fault, HttpPlace, OtherPlace, Place, S3Place
from pipeline_lib.crawl.politeness import MAX_PAUSE_SECONDS, Pace
from storage.store import Store
from storage.wrong_request import WrongRequest

_MAX_BACKOFF_FACTOR = 60
_PROGRESS_BYTES = 64 << 10
_SLOWEST_BYTES_PER_SECOND = 1 << 10  # a server that sends less stands still
_READ_BYTES = 1 << 20
_MAX_READ_BYTES = 1 << 30


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
        self.clock = clock
        self.sleep = sleep
        self.draw = draw
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
        budget = Budget(self, url, 0)
        while True:
            try:
                return place.describe(budget)
            except Fault as fault:
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
                    clock=self.clock,
                    sleep=self.sleep,
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

    def _place(self, url: str) -> "Place":
        try:
            if urlsplit(url).scheme in ("http", "https"):
                return HttpPlace(self, url)
            if url.startswith(("s3://", "s3a://")):
                import s3fs  # noqa: F401 (of an extra; said here if it is missing)

                return S3Place(self, url)
            return OtherPlace(self, url)
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
                stream = self._store.open(url.removeprefix(STORE_SCHEME))
            if start:
                stream.seek(start)
        except FileNotFoundError as error:
            raise FetchFailed(
                f"{url} cannot be opened: there is no such file; {advice}", "fetch_not_found", url
            ) from error
        except OSError as error:
            raise FetchFailed(f"{url} cannot be opened: {error}; {advice}", "fetch_unreadable", url) from error
        return stream


class Budget:
    """What may be spent on a file without getting on with it: attempts and seconds."""

    def __init__(self, remote: Remote, url: str, start: int) -> None:
        self._remote = remote
        self._url = url
        self._clock = remote.clock
        self._attempts = 0
        self._began = self._clock()
        self._reached = start

    @contextlib.contextmanager
    def waiting_for_turn(self) -> Iterator[None]:
        """Time that is spent on waiting for other requests to the same host is not charged."""
        began = self._clock()
        try:
            yield
        finally:
            self._began += self._clock() - began

    def spend(self, fault: Fault, position: int) -> None:
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
        if not self._attempts:  # the time before is the reader's, and that of bytes that came
            self._began = self._clock()
            self._reached = position
        self._attempts += 1
        spent = self._clock() - self._began
        longest = parameters.backoff_seconds * min(2 ** (self._attempts - 1), _MAX_BACKOFF_FACTOR)
        wait = max(longest * remote.draw(), min(fault.wait_seconds, MAX_PAUSE_SECONDS))
        if self._attempts >= parameters.max_attempts or spent + wait > parameters.give_up_seconds:
            self._fail(fault, position, f"; given up after {self._attempts} attempts in {spent:.1f} seconds")
        remote.sleep(wait)

    def _fail(self, fault: Fault, position: int, spent: str) -> NoReturn:
        raise FetchFailed(f"{self._url} at byte {position}: {fault.detail}{spent}", fault.reason, self._url)


class _Transfer:
    """A range of a file on its way, over as many attempts as it takes."""

    def __init__(self, remote: Remote, url: str, start: int, length: int, fingerprint: str) -> None:
        if start < 0 or length < UNKNOWN_SIZE:
            raise ValueError(f"{url}: no such range: {length} bytes from {start}")
        self._remote = remote
        self._place = remote._place(url)
        self._budget = Budget(remote, url, start)
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
            except Fault as fault:
                self._budget.spend(fault, self._position)

    def blocks(self, block_bytes: int) -> Iterator[bytes]:
        """Block by block; no connection is held while the reader has one, unless the server knows no ranges."""
        while not self._is_done():
            end = self._position + block_bytes
            end = end if self._end < 0 else min(end, self._end)
            pieces: list[bytes] = []
            failed: Fault | None = None
            try:
                with self._answer(end) as answer:
                    if answer.is_whole:
                        yield from self._pieces(answer, self._end)
                    else:
                        pieces.extend(self._pieces(answer, end))
            except Fault as fault:
                failed = fault
            yield from pieces
            if failed is not None:
                self._budget.spend(failed, self._position)

    def _is_done(self) -> bool:
        return 0 <= self._end <= self._position

    @contextlib.contextmanager
    def _answer(self, end: int) -> Iterator[Answer]:
        answer = self._place.get(self._position, end, self._budget)
        with answer.closing:
            self._check(answer, end)
            yield answer

    def _check(self, answer: Answer, end: int) -> None:
        if self._tag and answer.tag and answer.tag != self._tag:
            changed = f"the file was changed: its entity tag was {self._tag}, now it is {answer.tag}; run again"
            raise Fault("fetch_changed", changed, is_final=True)
        if self._size >= 0 and answer.size >= 0 and answer.size != self._size:
            changed = f"the file was changed: it had {self._size} bytes, now it has {answer.size}; run again"
            raise Fault("fetch_changed", changed, is_final=True)
        if answer.is_whole and self._position > 0:
            # once may be a slip; a server that knows no ranges gives nothing else, and the way to the place is long
            self._whole_answers += 1
            if self._whole_answers < 2:
                raise Fault("fetch_bad_range", "the whole file came instead of a range")
        if not answer.is_whole:
            self._whole_answers = 0
            if answer.begin != self._position or (0 <= end < answer.end):
                found = f"bytes [{answer.begin}, {answer.end}) came"
                raise Fault("fetch_bad_range", f"{found}, asked for were [{self._position}, {end})")
        if 0 <= answer.size < self._end:
            ends = f"the file ends at byte {answer.size}, before byte {self._end}, to where it was to be read"
            raise Fault("fetch_short_body", ends)
        self._tag = self._tag or answer.tag
        self._size = answer.size if self._size < 0 else self._size

    def _pieces(self, answer: Answer, end: int) -> Iterator[bytes]:
        """The good bytes of an answer up to `end` (-1: of the file); the position goes along."""
        if self._end < 0 <= answer.size:
            self._end = answer.size
        if 0 <= self._end < end:
            end = self._end
        place = answer.begin
        timeout = self._remote.parameters.timeout_seconds
        clock = self._remote.clock
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
                    raise Fault("fetch_timeout", f"{window_bytes} bytes in {now - window_began:.0f} seconds")
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
            raise Fault("fetch_short_body", short)


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
