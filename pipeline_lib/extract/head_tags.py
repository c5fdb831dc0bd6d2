"""The `meta` and `link` tags of a page's head, found in one bounded scan, without a parse of the page.

What stands in comments, scripts, styles and titles is passed over. The scan ends where the body begins. Every step is
linear in what it passes, whatever a page does.
"""

import html
import re
from dataclasses import dataclass

_MAX_HEAD_CHARS = 1 << 20  # the longest heads hold style sheets; Common Crawl cuts pages at five times as much
_MAX_TAG_CHARS = 4_096
_MAX_ATTRIBUTES = 50
_MAX_TAGS = 2_000

# `(?i:` behind the `<`, and not for all of it: so the search goes from one `<` to the next
_OPENING = re.compile(
    r"<(?i:(!--)|(script|style|title|textarea|template|xmp|iframe|noembed|noframes)\b|(meta|link)(?=[\s/])|(body)\b)"
)
_CLOSING = {
    name: re.compile(rf"</(?i:{name})\b")
    for name in ("script", "style", "title", "textarea", "template", "xmp", "iframe", "noembed", "noframes")
}
_WHOLE_TAG = re.compile(r"(?:[^>\"']++|\"[^\"]*+\"|'[^']*+')*+>")
_ATTRIBUTE = re.compile(r"[\s/]*([^\s/>=]+)(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>\"']*)))?")


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadTag:
    """A tag: its name and attributes in lower case, values with their character references resolved. Of an attribute
    that comes twice, the first counts."""

    name: str
    attributes: dict[str, str]


def head_tags(page: str, words: tuple[str, ...] = ()) -> list[HeadTag]:
    """The `meta` and `link` tags of the page's head, in order.

    Args:
        words: only tags that have one of these in them, in any case; none named: all. Most tags of a head are about
            something else, and taking them apart is nine tenths of the work.
    """
    wanted = tuple(word.lower() for word in words)
    end = min(len(page), _MAX_HEAD_CHARS)
    found: list[HeadTag] = []
    position = 0
    while len(found) < _MAX_TAGS and (opening := _OPENING.search(page, position, end)):
        comment, raw, tag, body = opening.groups()
        position = opening.end()
        if body is not None:
            break
        if comment is not None:
            # `<!-->` and `<!--->` are whole comments (HTML standard, section 13.2.5.43)
            close = page.find("-->", position - 2, end)
            if close < 0:
                break
            position = close + 3
        elif raw is not None:
            closing = _CLOSING[raw.lower()].search(page, position, end)
            if closing is None:
                break
            position = closing.end()
        elif (
            wanted
            and (whole := _WHOLE_TAG.match(page, position, min(end, position + _MAX_TAG_CHARS)))
            and not _has_any(whole.group().lower(), wanted)
        ):
            position = whole.end()
        else:
            attributes, position = _attributes(page, position, min(end, position + _MAX_TAG_CHARS))
            found.append(HeadTag(name=tag.lower(), attributes=attributes))
    return found


def _has_any(text: str, words: tuple[str, ...]) -> bool:
    return any(word in text for word in words)  # five searches, and faster than one for a pattern in any case


def _attributes(page: str, position: int, end: int) -> tuple[dict[str, str], int]:
    """The attributes from a place inside a tag on, and where they end."""
    attributes: dict[str, str] = {}
    for _ in range(_MAX_ATTRIBUTES):
        match = _ATTRIBUTE.match(page, position, end)
        if match is None:
            break
        name, double, single, bare = match.groups()
        value = next((each for each in (double, single, bare) if each is not None), "")
        attributes.setdefault(name.lower(), html.unescape(value))
        position = match.end()
    return attributes, position
