"""Whether bytes that nobody named a type for are HTML."""

import re

_SNIFFED_BYTES = 1024
_COMMENT = re.compile(rb"<!--.*?-->|<\?xml[^>]*>", re.DOTALL)
_HTML_START = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html|head|body|title|meta|script|style|table|div|h1|p|a|b|br)\b",
    re.IGNORECASE,
)


def looks_like_html(body: bytes) -> bool:
    """Whether a page that nobody named a type for is HTML: it begins, after comments, with a tag that HTML begins with
    (after the MIME Sniffing standard, section 7.1)."""
    return _HTML_START.match(_COMMENT.sub(b"", body[:_SNIFFED_BYTES])) is not None
