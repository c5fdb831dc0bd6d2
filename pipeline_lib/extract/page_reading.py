"""One page: from the bytes of a response to the text of a document, or the reason why there is none.

All that a hostile page can make expensive is called from here and from nowhere else: decoding of bodies and character
sets, parsers, normalisation. The extract stage does not import this: it has pages read by page workers.
"""

from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from pipeline_lib.crawl.record_bodies import UndecodableBody, decoded_body
from pipeline_lib.extract.charset import Decoded, decode
from pipeline_lib.extract.head_tags import HeadTag, head_tags
from pipeline_lib.extract.language import identify
from pipeline_lib.extract.main_text import UnreadablePage, main_text
from pipeline_lib.extract.normalize import normalize, single_line
from pipeline_lib.extract.opt_outs import meta_opt_out, meta_words
from pipeline_lib.extract.page_frames import Page, PageAnswer
from pipeline_lib.extract.parameters import ExtractParameters
from pipeline_lib.extract.sniffing import looks_like_html

_MAX_TITLE_CHARS = 1_000
_MAX_URL_CHARS = 4_096
_ADDRESS_WORDS = ("canonical", "og:url")  # in the tags that `own_address` looks for


def read_page(page: Page, parameters: ExtractParameters) -> PageAnswer:
    """The text of a page as documents have it, or a reason; only what is wrong with the program itself raises."""
    try:
        return _read_text(page, parameters) if page.kind == "text" else _read_html(page, parameters)
    except _NoText as none:
        return PageAnswer(reason=none.reason, num_bytes=none.num_bytes)


class _NoText(ValueError):
    def __init__(self, reason: str, num_bytes: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.num_bytes = num_bytes


def _read_html(page: Page, parameters: ExtractParameters) -> PageAnswer:
    body = _body(page, parameters)
    if page.mime is None and page.kind == "response" and not looks_like_html(body):
        raise _NoText("not_html")
    if len(body) > parameters.max_page_bytes:
        raise _NoText("page_too_large")
    decoded = _checked(decode(body, page.headers.get("content-type", "")), len(body))
    tags = head_tags(decoded.text, (*meta_words(parameters.opt_outs), *_ADDRESS_WORDS))
    opted_out = meta_opt_out(tags, parameters.opt_outs)
    if opted_out is not None:
        raise _NoText(opted_out, len(body))
    try:
        found = main_text(decoded.text, parameters)
    except UnreadablePage as error:
        raise _NoText(error.reason, len(body)) from None
    answer = _answer(found.text, "no_main_text", len(body), decoded, parameters)
    return replace(
        answer,
        title=single_line(found.title, _MAX_TITLE_CHARS),
        extractor=found.extractor,
        published_at=found.published_at,
        url=own_address(tags) if page.kind == "html_file" else None,
    )


def _read_text(page: Page, parameters: ExtractParameters) -> PageAnswer:
    body = _body(page, parameters)
    # WET files and tables of texts are UTF-8 by their formats: nothing is to be guessed
    decoded = _checked(Decoded(text=body.decode("utf-8", "replace"), charset="utf-8", source="utf8"), len(body))
    answer = _answer(decoded.text, "empty_text", len(body), decoded, parameters)
    return replace(answer, title=single_line(page.title, _MAX_TITLE_CHARS), extractor="none")


def _body(page: Page, parameters: ExtractParameters) -> bytes:
    try:
        body = decoded_body(page, parameters.max_body_bytes)
    except UndecodableBody as error:
        raise _NoText(error.reason) from None
    if not body.strip():
        raise _NoText("empty_text" if page.kind == "text" else "empty_page")
    return body


def _checked(decoded: Decoded, num_bytes: int) -> Decoded:
    if decoded.is_garbage:
        raise _NoText("undecodable", num_bytes)
    return decoded


def _answer(
    found: str, where_empty: str, num_bytes: int, decoded: Decoded, parameters: ExtractParameters
) -> PageAnswer:
    text = normalize(found)
    if not text.strip():
        raise _NoText(where_empty, num_bytes)
    language = identify(text, parameters.language_sample_bytes)
    return PageAnswer(
        num_bytes=num_bytes,
        text=text,
        charset=decoded.charset,
        charset_source=decoded.source,
        language=language.code,
        language_score=language.score,
    )


def own_address(tags: Sequence[HeadTag]) -> str | None:
    """The web address that a page gives itself: its canonical link, else what it wants to be shared as (Open Graph)."""
    canonical = (
        tag.attributes.get("href", "")
        for tag in tags
        if tag.name == "link" and "canonical" in tag.attributes.get("rel", "").lower().split()
    )
    shared = (
        tag.attributes.get("content", "")
        for tag in tags
        if tag.name == "meta" and tag.attributes.get("property", "").strip().lower() == "og:url"
    )
    for address in (*canonical, *shared):
        url = address.strip()
        if len(url) <= _MAX_URL_CHARS and url.isprintable() and _is_web_address(url):
            return url
    return None


def _is_web_address(url: str) -> bool:
    try:
        split = urlsplit(url)
        return split.scheme in ("http", "https") and bool(split.hostname)
    except ValueError:  # such as an unclosed bracket
        return False
