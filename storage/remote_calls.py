"""Calls to a store elsewhere, made again where a failure may pass.

What the file systems do by themselves (s3fs: botocore's five attempts at a request that is refused with 5xx or cannot
connect, five more while a body is read; gcsfs: six attempts; adlfs: azure-core's four) covers single requests. A call
here is an operation, such as a file that is put in many requests, and is repeated as a whole: every operation of a
store writes the same bytes to the same place, so that doing it twice is doing it once.
"""

import errno
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

Result = TypeVar("Result")

_PASSING_STATUS = {408, 425, 429}
_NOT_IMPLEMENTED = 501  # of a store that knows no such request: it will not learn it
_PASSING_ERRNO = {
    getattr(errno, name)
    for name in (
        "EAGAIN", "EBUSY", "ECONNABORTED", "ECONNREFUSED", "ECONNRESET", "EHOSTUNREACH", "EIO", "ENETUNREACH", "EPIPE",
        "EREMOTEIO", "ETIMEDOUT",
    )
    if hasattr(errno, name)
}  # fmt: skip
# S3 says these with a status of its 400s: what arrived was not what was sent, or came too slowly.
_PASSING_CODES = {
    "BadDigest", "IncompleteBody", "InternalError", "RequestTimeout", "SlowDown", "XAmzContentSHA256Mismatch",
    "ConditionalRequestConflict", "OperationAborted",  # another request for the same key was under way
}  # fmt: skip
# Of libraries that need not be installed; a failure on the way, without an answer.
_PASSING_CLASSES = {
    "aiohttp.client_exceptions.ClientError",
    "azure.core.exceptions.IncompleteReadError",
    "azure.core.exceptions.ServiceRequestError",
    "azure.core.exceptions.ServiceResponseError",
    "botocore.exceptions.ConnectionError",
    "botocore.exceptions.HTTPClientError",
    "botocore.parsers.ResponseParserError",
    "fsspec.exceptions.FSTimeoutError",
    "gcsfs.retry.ChecksumError",
    "google.auth.exceptions.TransportError",
    "http.client.IncompleteRead",
    "requests.exceptions.RequestException",
}
_FINAL = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError)


class StoreUnavailable(OSError):
    """A store elsewhere did not do what it was asked, time and again, or refused for good."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How often a failing operation is tried, and how long is waited between: twice as long each time, less a random
    part of it, so that many workers do not come back at once."""

    attempts: int = 8
    first_wait_seconds: float = 0.25
    longest_wait_seconds: float = 20.0

    def waits(self) -> Iterator[float]:
        """Seconds to wait before each further attempt."""
        for attempt in range(self.attempts - 1):
            longest = min(self.longest_wait_seconds, self.first_wait_seconds * 2**attempt)
            yield longest * (0.5 + 0.5 * random.random())


PATIENCE = Patience()


def repeated(
    what: str, call: Callable[..., Result], *arguments: Any, patience: Patience | None = None, **named: Any
) -> Result:
    """The result of an operation, after as many attempts as it takes.

    Args:
        what: the operation and the file, for messages.

    Raises:
        FileNotFoundError, FileExistsError, PermissionError: the store's answer; asking again would not change it.
        StoreUnavailable: it failed for good, or each time.
    """
    waits = (patience or PATIENCE).waits()
    began = time.monotonic()
    attempt = 0
    while True:
        attempt += 1
        try:
            return call(*arguments, **named)
        except Exception as error:  # each file system has its own; what it was goes on as the cause
            if isinstance(error, _FINAL) and not may_pass(error):
                raise
            if _is_absence(error):
                raise FileNotFoundError(errno.ENOENT, f"{what}: not found") from error
            wait = next(waits, None) if may_pass(error) else None
            if wait is None:
                spent = f" ({attempt} attempts in {time.monotonic() - began:.0f} s)" if attempt > 1 else ""
                raise StoreUnavailable(
                    getattr(error, "errno", None) or errno.EIO, f"{what}: {type(error).__name__}: {error}{spent}"
                ) from error
            time.sleep(wait)


def may_pass(error: BaseException) -> bool:
    """Whether an operation that failed so may succeed another time."""
    cause = error.__cause__
    if isinstance(error, _FINAL):
        # it was completed, and the answer was lost: the upload is not there any more, the file is
        return _code(cause) == "NoSuchUpload"
    status = http_status(error)
    if status is None and cause is not None:
        status = http_status(cause)
    if status is not None:
        if status == _NOT_IMPLEMENTED:
            return False
        return status >= 500 or status in _PASSING_STATUS or bool({_code(error), _code(cause)} & _PASSING_CODES)
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    names = {f"{each.__module__}.{each.__qualname__}" for each in type(error).__mro__}
    if names & _PASSING_CLASSES:
        return True
    return isinstance(error, OSError) and error.errno in _PASSING_ERRNO


def http_status(error: BaseException) -> int | None:
    """The status of the answer that an error is about, as botocore, azure-core, aiohttp and gcsfs carry it."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        given = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        given = next(
            (each for each in (getattr(error, name, None) for name in ("status_code", "status", "code")) if each), None
        )
    text = str(given)
    return int(text) if text.isdigit() and 100 <= int(text) <= 599 else None


def is_unsupported(error: BaseException) -> bool:
    """Whether a store has no such operation at all."""
    causes = (error, error.__cause__, getattr(error.__cause__, "__cause__", None))
    return any(
        isinstance(each, NotImplementedError) or http_status(each) == _NOT_IMPLEMENTED
        for each in causes
        if each is not None
    )


def _code(error: BaseException | None) -> str:
    """S3's own name of an error."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def _is_absence(error: BaseException) -> bool:
    return http_status(error) == 404
