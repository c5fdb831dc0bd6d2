"""Where remote bytes are: HTTP servers, S3, and whatever else fsspec knows; each call is one attempt.

An attempt that fails is a `Fault` with a reason and whether another could do better; what to make of that is decided by
who asked (`remote`). Every request waits for its turn.
"""

import contextlib
import errno
import functools
import importlib.metadata
import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, cast
from urllib.parse import urljoin, urlsplit

import fsspec
import httpx

from pipeline_lib.crawl.addresses import UNKNOWN_SIZE
from pipeline_lib.crawl.fetching import FetchParameters
from pipeline_lib.crawl.politeness import MAX_PAUSE_SECONDS, Pace

if TYPE_CHECKING:
    from pipeline_lib.crawl.remote import Budget, Remote

_SLOW_DOWN = frozenset({403, 429, 500, 502, 503, 504})
_TRY_AGAIN = _SLOW_DOWN | {408, 425}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 5
_SIGNED_SECONDS = 300
_CONTENT_RANGE = re.compile(r"bytes\s+(\d{1,18})-(\d{1,18})/(\d{1,18}|\*)\s*\Z", re.IGNORECASE)
_UNSATISFIED_RANGE = re.compile(r"bytes\s+\*/(\d{1,18})\s*\Z", re.IGNORECASE)
_ENTITY_TAGS = ("ETag", "etag", "Content-MD5", "md5Hash", "md5", "checksum")
_TIMES = ("LastModified", "Last-Modified", "last_modified", "mtime", "updated", "created")
# exceptions of botocore, aiohttp and asyncio, which are not always installed
_SHORT = frozenset({"IncompleteReadError", "ContentLengthError", "ClientPayloadError"})
_LATE = frozenset({"ReadTimeoutError", "ConnectTimeoutError", "TimeoutError"})
_NETWORK = frozenset({"HTTPClientError", "ClientError", "ConnectionError", "ResponseStreamingError"})
_IN_MEMORY = frozenset({"memory", "file", "local"})  # file systems that nobody has to be polite to


class Fault(Exception):
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
class Answer:
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


class Place(Protocol):
    """A file on some kind of server. Each call makes one attempt, and raises Fault if that fails."""

    def describe(self, budget: "Budget") -> tuple[int, str]: ...

    def get(self, start: int, end: int, budget: "Budget") -> Answer:
        """Ask for the bytes [start, end), or from `start` on if `end` is -1; the caller closes the answer."""
        ...


class HttpPlace:
    """A file on an HTTP server. Redirects are followed, each as a request of its own."""

    def __init__(self, remote: "Remote", url: str) -> None:
        self._remote = remote
        self._url = url
        self._client = _client(os.getpid(), remote.parameters.timeout_seconds, user_agent(remote.parameters.contact))

    def describe(self, budget: "Budget") -> tuple[int, str]:
        with contextlib.ExitStack() as closing:
            response = self._request("HEAD", {}, budget, closing)
            with _http_faults():
                response.read()  # nothing, but the connection can be used again
        headers = response.headers
        size = _number(headers.get("content-length"), UNKNOWN_SIZE)
        tag = _entity_tag(headers)
        changed = headers.get("last-modified", "unknown time")
        return size, f"etag:{tag}" if tag else f"size:{size} changed:{changed}"

    def get(self, start: int, end: int, budget: "Budget") -> Answer:
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
                    raise Fault("fetch_bad_range", f"the server has no bytes from {start} on (status 416)")
                placed, pieces = (start, start, size), iter(())
            elif response.status_code == 206:
                placed, pieces = _content_range(headers), self._body(response)
            else:
                size = _number(headers.get("content-length"), UNKNOWN_SIZE)
                placed, pieces = (0, size, size), self._body(response)
            return Answer(
                begin=placed[0],
                end=placed[1],
                size=placed[2],
                is_whole=response.status_code not in (206, 416),
                tag=_entity_tag(headers),
                pieces=pieces,
                closing=stack.pop_all(),
            )

    def _request(
        self, method: str, asked: Mapping[str, str], budget: "Budget", closing: contextlib.ExitStack
    ) -> httpx.Response:
        """The answer to one request or, after redirects, several. What holds it open is put on `closing`."""
        url = self._target(method)
        for _ in range(_MAX_REDIRECTS + 1):
            with contextlib.ExitStack() as stack:
                began = self._remote.clock()
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
                self._remote.count(seconds=self._remote.clock() - began)
                status = response.status_code
                if status in _REDIRECTS and "location" in response.headers:
                    url = _redirected(url, response.headers["location"])
                    continue
                self._judge(status, response.headers, pace, granted)
                closing.push(stack.pop_all())
                return response
        raise Fault("fetch_redirects", f"redirected more than {_MAX_REDIRECTS} times", is_final=True)

    def _target(self, method: str) -> str:
        """The address to send a request to."""
        return self._url

    def _judge(self, status: int, headers: Mapping[str, str], pace: Pace, granted: float) -> None:
        """Take a success, whose answer is to be read.

        Raises:
            Fault: it is none.
        """
        if status in (200, 206, 416):
            pace.succeeded()
            encoding = headers.get("content-encoding", "identity").strip().lower()
            is_compressed_file = urlsplit(self._url).path.endswith((".gz", ".zst", ".bz2", ".xz"))
            if status != 416 and encoding not in ("", "identity") and not is_compressed_file:
                raise Fault("fetch_encoded", f"compressed ({encoding[:40]}), which was not asked for", is_final=True)
            return
        _refuse(status, headers, pace, granted, self._remote.parameters)

    def _body(self, response: httpx.Response) -> Iterator[bytes]:
        with _http_faults():
            yield from response.iter_raw()


class S3Place(HttpPlace):
    """An object in S3 or what speaks its language: s3fs finds keys and endpoint and signs, requests are ours.

    s3fs's own requests could not be counted: what it sends them with repeats a broken one at once and unasked.
    """

    def __init__(self, remote: "Remote", url: str) -> None:
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
            raise Fault("fetch_redirects", f"status {status}; the bucket is in region {region}")
        super()._judge(status, headers, pace, granted)


class OtherPlace:
    """A file of any other fsspec file system. What that repeats by itself is its own affair."""

    def __init__(self, remote: "Remote", url: str) -> None:
        self._remote = remote
        self._filesystem, self._path = fsspec.core.url_to_fs(url)
        protocol = urlsplit(url).scheme
        self._host = "" if protocol in _IN_MEMORY else f"{protocol}://{urlsplit(url).netloc}"

    def describe(self, budget: "Budget") -> tuple[int, str]:
        with self._turn(budget), _file_system_faults():
            information: Mapping[str, Any] = self._filesystem.info(self._path)
        if information.get("type") == "directory":
            raise Fault("fetch_not_found", "it is a folder", is_final=True)
        return described(information)

    def get(self, start: int, end: int, budget: "Budget") -> Answer:
        size, fingerprint = self.describe(budget)
        if 0 <= size < end:
            end = size
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._turn(budget))
            with _file_system_faults():
                content: bytes = self._filesystem.cat_file(self._path, start=start, end=None if end < 0 else end)
            return Answer(
                begin=start,
                end=start + len(content) if end < 0 else end,
                size=size,
                is_whole=False,
                tag=fingerprint.removeprefix("etag:") if fingerprint.startswith("etag:") else "",
                pieces=iter((content,)),
                closing=stack.pop_all(),
            )

    @contextlib.contextmanager
    def _turn(self, budget: "Budget") -> Iterator[None]:
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
        Fault: there are no keys to sign with, or no such address can be.
    """
    import s3fs  # of an extra

    client = {} if region is None else {"client_kwargs": {"region_name": region}}
    filesystem = s3fs.S3FileSystem(anon=anonymous, config_kwargs={"signature_version": "s3v4"}, **client)
    try:
        address: str = filesystem.url(url, expires=_SIGNED_SECONDS, client_method=method)
    except Exception as error:
        # botocore has no common base for what can be wrong with keys, profiles and names
        hint = "set AWS keys or a profile, or fetch.s3_anonymous"
        raise Fault("fetch_unsigned", f"{type(error).__name__}: {error}; {hint}", is_final=True) from error
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
        raise Fault("fetch_timeout", f"no answer in time ({type(error).__name__})") from error
    except httpx.RemoteProtocolError as error:
        if "location header" in str(error):
            raise Fault("fetch_redirects", str(error), is_final=True) from error
        is_short = "message body" in str(error) or "chunked read" in str(error)
        raise Fault("fetch_short_body" if is_short else "fetch_connection", str(error)) from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
        raise Fault("fetch_bad_url", f"{type(error).__name__}: {error}", is_final=True) from error
    except httpx.TransportError as error:
        raise Fault("fetch_connection", f"{type(error).__name__}: {error}") from error


@contextlib.contextmanager
def _file_system_faults() -> Iterator[None]:
    """Failures of object stores, whose libraries wrap each other's exceptions, as ours."""
    try:
        yield
    except (Fault, _Refused):
        raise
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
        names = {kind.__name__ for each in _causes(error) for kind in type(each).__mro__}
        if names & _SHORT:
            raise Fault("fetch_short_body", told) from error
        refused = _refusal(error)
        if refused is not None:
            raise refused from error
        if names & _LATE:
            raise Fault("fetch_timeout", told) from error
        if isinstance(error, FileNotFoundError):
            raise Fault("fetch_not_found", "there is no such file", is_final=True) from error
        is_local_refusal = isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EINVAL)
        if names & _NETWORK or (isinstance(error, OSError) and not is_local_refusal):
            raise Fault("fetch_connection", told) from error
        raise Fault("fetch_unreadable", told, is_final=True) from error


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
        Fault: always.
    """
    wait = min(retry_after(headers), MAX_PAUSE_SECONDS)
    slows_down = status in _SLOW_DOWN or status >= 500
    if slows_down:
        pace.refused(granted, max(wait, parameters.backoff_seconds))
    detail = f"status {status}"
    raise Fault(f"fetch_http_{status}", detail, is_final=not (slows_down or status in _TRY_AGAIN), wait_seconds=wait)


def _redirected(url: str, location: str) -> str:
    try:
        target = urljoin(url, location)
        if urlsplit(target).scheme in ("http", "https"):
            return target
    except ValueError:  # such as an unclosed bracket
        pass
    raise Fault("fetch_redirects", f"redirected to {location[:200]!r}", is_final=True)


def _content_range(headers: Mapping[str, str]) -> tuple[int, int, int]:
    """First byte, byte after the last, and size of the file (-1 if not said) of a partial answer."""
    value = headers.get("content-range", "")
    found = _CONTENT_RANGE.match(value)
    if found is None or int(found[2]) < int(found[1]):
        raise Fault("fetch_bad_range", f"a partial answer whose Content-Range is {value[:80]!r}")
    begin, end = int(found[1]), int(found[2]) + 1
    return begin, end, UNKNOWN_SIZE if found[3] == "*" else int(found[3])


def _entity_tag(headers: Mapping[str, str]) -> str:
    return headers.get("etag", "").strip('"')


def _number(value: str | None, unknown: int) -> int:
    return int(value) if value is not None and re.fullmatch(r"[0-9]{1,18}", value.strip()) else unknown
