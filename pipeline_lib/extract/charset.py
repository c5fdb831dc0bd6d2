"""From bytes to text: which character set a page is in, in the order in which its sources deserve trust."""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import chardet
from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

CharsetSource = Literal["bom", "http", "meta", "utf8", "resiliparse", "chardet", "fallback"]

# The Python codec that reads what browsers read under a label, where it has another name or is a superset
# (https://encoding.spec.whatwg.org/#names-and-labels).
_SUPERSETS = {
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
    "iso8859-11": "cp874",
    "iso8859-9": "cp1254",
}
# What resiliparse's table of the standard's labels lacks, and one that was common in Cyrillic mail and news.
_FURTHER_LABELS = {
    "x-mac-cyrillic": "mac-cyrillic",
    "x-mac-ukrainian": "mac-cyrillic",
    "maccyrillic": "mac-cyrillic",
    "ibm855": "cp855",
    "cp855": "cp855",
}
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_MULTIBYTE = frozenset({"gb18030", "cp932", "cp949", "big5hkscs", "euc_jp", "iso2022_jp", "utf-16-le", "utf-16-be"})
_FALLBACK = "cp1252"  # what browsers assume in most locales

_HEAD_BYTES = 4096  # the standard looks at 1024; real pages put scripts before
_COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)
_META = re.compile(rb"<meta\b[^>]{0,500}?\bcharset\s*=\s*[\"']?\s*([a-z0-9_:.()-]{1,40})", re.IGNORECASE)
_XML_ENCODING = re.compile(rb"\A\s*<\?xml[^>]{0,200}?\bencoding\s*=\s*[\"']([a-z0-9_:.()-]{1,40})[\"']", re.IGNORECASE)
_HTTP_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([a-z0-9_:.()-]{1,40})", re.IGNORECASE)
_SURROGATE = re.compile("[\ud800-\udfff]")
_REPLACEMENT = "\ufffd"
_CONTROLS = bytes([*range(1, 9), *range(14, 27), *range(28, 32)])

_MAX_DAMAGE_RATIO = 0.1  # of the characters that are not ASCII: more, and the declared character set is wrong
_MAX_GARBAGE_RATIO = 0.05
_DETECTED_BYTES = 64 << 10  # chardet takes 1 ms for some KB


@dataclass(frozen=True, kw_only=True, slots=True)
class Decoded:
    """Text of a page, without lone surrogates and NUL.

    Attributes:
        charset: the Python codec that read it.
        source: who named that character set.
    """

    text: str
    charset: str
    source: CharsetSource

    @property
    def is_garbage(self) -> bool:
        """Whether more than a twentieth of it is control characters and damage: other bytes taken for text."""
        encoded = self.text.encode()
        controls = len(encoded) - len(encoded.translate(None, _CONTROLS))
        return controls + self.text.count(_REPLACEMENT) > _MAX_GARBAGE_RATIO * len(self.text)


def decode(body: bytes, content_type: str = "") -> Decoded:
    """The text of a page, whatever its bytes are.

    In this order: byte order mark; the charset of the HTTP `content_type`; of an XML declaration or `meta` element in
    the first 4096 bytes; UTF-8, if the bytes are; what resiliparse (uchardet) guesses; what chardet guesses. A source
    is passed over if its character set cannot read the page, that is, if more than a tenth of the characters that are
    not ASCII turn out damaged. One that names a single-byte character set is passed over as well if the bytes are UTF-8
    beyond ASCII: no legacy text is so by accident, and servers name ISO-8859-1 for all they have. A page that none can
    read is read as windows-1252, with U+FFFD for what even that does not know.
    """
    for mark, codec in _BOMS:
        if body.startswith(mark):
            return _decoded(body[len(mark) :].decode(codec, "replace"), codec, "bom")
    utf8 = _strict_utf8(body)
    for source, codec in _declared(body, content_type):
        if utf8 is not None and (codec == "utf-8" or (codec not in _MULTIBYTE and not utf8.isascii())):
            return _decoded(utf8, "utf-8", source if codec == "utf-8" else "utf8")
        text = _tolerably_read(body, codec)
        if text is not None:
            return _decoded(text, codec, source)
    if utf8 is not None:
        return _decoded(utf8, "utf-8", "utf8")
    for source, codec in _guessed(body):
        text = _tolerably_read(body, codec)
        if text is not None:
            return _decoded(text, codec, source)
    return _decoded(body.decode(_FALLBACK, "replace"), _FALLBACK, "fallback")


def _decoded(text: str, codec: str, source: CharsetSource) -> Decoded:
    text = text.replace("\x00", "").removeprefix("\ufeff")
    # no codec above makes surrogates today; one that did would fail much later, when the text is written
    text = _SURROGATE.sub(_REPLACEMENT, text)
    return Decoded(text=text, charset=codec, source=source)


def _declared(body: bytes, content_type: str) -> Iterator[tuple[CharsetSource, str]]:
    named = _HTTP_CHARSET.search(content_type)
    codec = _codec(named.group(1)) if named else None
    if codec is not None:
        yield "http", codec
    head = body[:_HEAD_BYTES]
    for pattern, place in ((_XML_ENCODING, head), (_META, _COMMENT.sub(b"", head))):
        found = pattern.search(place)
        codec = _codec(found.group(1).decode("ascii")) if found else None
        if codec is not None:
            # a page in which ASCII can be read is not UTF-16, whatever it says (HTML standard, prescan)
            yield "meta", "utf-8" if codec.startswith("utf-16") else codec


def _guessed(body: bytes) -> Iterator[tuple[CharsetSource, str]]:
    name = detect_encoding(body, html5_compatible=False)
    codec = _codec(name) if name else None
    if codec is not None:
        yield "resiliparse", codec
    name = chardet.detect(body[:_DETECTED_BYTES])["encoding"]
    codec = _codec(name) if name else None
    if codec is not None:
        yield "chardet", codec


def _codec(label: str) -> str | None:
    """The Python codec for a label as browsers understand it; None for labels they do not know."""
    label = label.strip().lower()
    name = map_encoding_to_html5(label, fallback_utf8=False) or _FURTHER_LABELS.get(label)
    return None if name is None else _SUPERSETS.get(name, name)


def _strict_utf8(body: bytes) -> str | None:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _tolerably_read(body: bytes, codec: str) -> str | None:
    text = body.decode(codec, "replace")
    damage = text.count(_REPLACEMENT)
    if damage == 0:
        return text
    foreign = len(text) - len(text.encode("ascii", "ignore"))
    return text if damage <= _MAX_DAMAGE_RATIO * foreign else None
