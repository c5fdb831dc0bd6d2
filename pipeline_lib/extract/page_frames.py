"""What goes between the extract stage and the processes that read pages: pages, answers, and the frames around them.

A frame is two lengths, a header in JSON, and raw bytes: nothing in it can be run, and a page's own bytes are copied,
not spelled.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import orjson

_LENGTHS = struct.Struct(">II")

PageKind = Literal["response", "html_file", "text"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """What is to be read.

    Attributes:
        kind: `response`: the body of an HTTP response. `html_file`: a page that nobody sent; its answer has the address
            that it gives itself. `text`: text already, in UTF-8.
        body: as transferred; `headers` (lower-case names) and `truncated` say what was done to it.
        mime: what it was named by who should know; None where nobody named it.
        title: of a text; pages have their own.
    """

    kind: PageKind
    body: bytes
    mime: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    truncated: bool = False
    title: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class PageAnswer:
    """What became of a page: its text, or the reason why there is none.

    Attributes:
        num_bytes: of the page after decoding its transfer; 0 where that was not reached.
        published_at: ISO 8601 date or time of publication, where the page states one.
        url: the address that a page in a file gives itself.
    """

    reason: str | None = None
    num_bytes: int = 0
    text: str = ""
    title: str = ""
    charset: str = ""
    charset_source: str = ""
    language: str = ""
    language_score: float = 0.0
    extractor: str = ""
    published_at: str | None = None
    url: str | None = None


_ANSWER_FIELDS = tuple(each.name for each in fields(PageAnswer) if each.name != "text")


@dataclass(frozen=True, slots=True)
class Frame:
    header: dict[str, Any]
    body: bytes


def packed(header: Mapping[str, Any], body: bytes = b"") -> tuple[bytes, bytes]:
    """A frame as the bytes to write, in two pieces so that the body is not copied."""
    written = orjson.dumps(header)
    return _LENGTHS.pack(len(written), len(body)) + written, body


class FrameBuffer:
    """Bytes as they arrive become frames as they were sent."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, chunk: bytes) -> None:
        self._data += chunk

    def pop(self) -> Frame | None:
        """The next whole frame; None: it has not arrived yet."""
        if len(self._data) < _LENGTHS.size:
            return None
        header_bytes, body_bytes = _LENGTHS.unpack_from(self._data)
        start = _LENGTHS.size + header_bytes
        end = start + body_bytes
        if len(self._data) < end:
            return None
        header = orjson.loads(self._data[_LENGTHS.size : start])
        body = bytes(memoryview(self._data)[start:end])
        del self._data[:end]
        return Frame(header, body)


def packed_page(page: Page) -> tuple[bytes, bytes]:
    return packed(
        {
            "kind": page.kind,
            "mime": page.mime,
            "headers": dict(page.headers),
            "truncated": page.truncated,
            "title": page.title,
        },
        page.body,
    )


def page_of(frame: Frame) -> Page:
    return Page(**frame.header, body=frame.body)


def packed_answer(answer: PageAnswer, **further: float) -> tuple[bytes, bytes]:
    """An answer, and further numbers that are no part of it."""
    header = {name: getattr(answer, name) for name in _ANSWER_FIELDS}
    return packed({"further": further, **header}, answer.text.encode())


def answer_of(frame: Frame) -> tuple[PageAnswer, dict[str, float]]:
    further = frame.header.pop("further")
    return PageAnswer(**frame.header, text=frame.body.decode()), further
