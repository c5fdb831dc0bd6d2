"""The bytes of a range of a source (a row of the table `sources`), to be read from front to back."""

import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from pipeline_lib.crawl.fetching import open_source
from storage.store import Store

_SKIPPED_BYTES = 1 << 20
_REASON = re.compile(r"[a-z][a-z0-9_]*")


@contextmanager
def open_range(store: Store, row: Mapping[str, Any]) -> Iterator[BinaryIO]:
    """A stream of the range's bytes and no others.

    Raises:
        SourceError: it cannot be opened.
        OSError: see `lasting_reason`.
    """
    with open_source(store, row["url"]) as stream:
        _go_to(stream, row["position"])
        yield stream if row["length"] < 0 else cast(BinaryIO, io.BufferedReader(_Bounded(stream, row["length"])))


def lasting_reason(error: Exception) -> str | None:
    """Why bytes cannot be had however often they are asked for, as a word to be counted; None: another error.

    Whoever fetches says so by an `OSError` with an attribute `reason`, such as `fetch_http_404`.
    """
    reason = getattr(error, "reason", None)
    is_word = isinstance(error, OSError) and isinstance(reason, str) and _REASON.fullmatch(reason)
    return reason if is_word else None


def _go_to(stream: BinaryIO, position: int) -> None:
    if position == 0:
        return
    if stream.seekable():
        stream.seek(position)
        return
    while position and (skipped := stream.read(min(position, _SKIPPED_BYTES))):
        position -= len(skipped)


class _Bounded(io.RawIOBase):
    """The next `length` bytes of a stream."""

    def __init__(self, stream: BinaryIO, length: int) -> None:
        self._stream = stream
        self._missing = length

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self._stream.read(min(len(buffer), self._missing))
        self._missing -= len(chunk)
        buffer[: len(chunk)] = chunk
        return len(chunk)
