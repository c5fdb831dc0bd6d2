"""What a page shows, as it stands in its address: so that every page can be sent to somebody and gone back to."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar
from urllib.parse import quote, urlencode

from pipeline_lib.browse.documents import ORDERS, Order
from pipeline_lib.browse.selection import Filters

Where = Literal["title", "text"]
Value = TypeVar("Value", bound=str)

FILTERS = ("fate", "host", "language", "file", "edited")
_WHERES: tuple[Where, ...] = ("title", "text")
_MAX_CHARS = 2_000
_MAX_PHRASE_CHARS = 200
_NUMBER = re.compile(r"[0-9]{1,9}")
_DOC_ID = re.compile(r"[0-9a-f]{32}")


class WrongAddress(ValueError):
    """An address that this server does not give; the message says what is wrong with it."""


@dataclass(frozen=True, kw_only=True)
class View:
    """
    Attributes:
        filters: which documents.
        phrase: what they have to have in the title or URL, or in the text; empty: nothing.
        where: which of the two is searched.
        page: of the list, from 1.
        after: where in the run a search in texts goes on: a position.
        whole: show a long text to its end.
    """

    filters: Filters = field(default_factory=Filters)
    phrase: str = ""
    where: Where = "title"
    order: Order = "source"
    page: int = 1
    after: int = 0
    whole: bool = False

    @property
    def searches_texts(self) -> bool:
        return bool(self.phrase) and self.where == "text"

    def with_filter(self, name: str, value: str) -> "View":
        """The first page with another value of a filter."""
        return replace(self, filters=replace(self.filters, **{name: value}), page=1, after=0)

    def list_address(self, document: str = "") -> str:
        """The address of the list; `document`: scrolled to that one."""
        return f"/{self._query()}{f'#d-{document}' if document else ''}"

    def document_address(self, doc_id: str) -> str:
        return f"/documents/{quote(doc_id)}{replace(self, page=1, after=0, whole=False)._query()}"

    def parameters(self) -> list[tuple[str, str]]:
        """Name and value of what is not as it is by itself."""
        given = [(name, getattr(self.filters, name)) for name in FILTERS]
        given += [("q", self.phrase), ("in", self.where if self.where != "title" else "")]
        given += [("order", self.order if self.order != "source" else "")]
        given += [("page", str(self.page) if self.page > 1 else ""), ("after", str(self.after) if self.after else "")]
        given += [("whole", "1" if self.whole else "")]
        return [(name, value) for name, value in given if value]

    def _query(self) -> str:
        parameters = self.parameters()
        return f"?{urlencode(parameters)}" if parameters else ""


def read_view(parameters: Sequence[tuple[str, str]]) -> View:
    """
    Raises:
        WrongAddress: an unknown parameter, one given twice, or a value that it cannot have.
    """
    given: dict[str, str] = {}
    known = (*FILTERS, "q", "in", "order", "page", "after", "whole")
    for name, value in parameters:
        if name not in known:
            raise WrongAddress(f"unknown parameter {name[:40]!r}; there are {', '.join(known)}")
        if name in given:
            raise WrongAddress(f"{name} is given twice")
        if len(value) > (_MAX_PHRASE_CHARS if name == "q" else _MAX_CHARS):
            raise WrongAddress(f"{name} has {len(value)} characters, too many")
        given[name] = value
    return View(
        filters=Filters(**{name: given.get(name, "") for name in FILTERS}),
        phrase=given.get("q", "").strip(),
        where=_one_of("in", given.get("in") or "title", _WHERES),
        order=_one_of("order", given.get("order") or "source", ORDERS),
        page=_number("page", given.get("page") or "1", least=1),
        after=_number("after", given.get("after") or "0", least=0),
        whole=_one_of("whole", given.get("whole") or "0", ("0", "1")) == "1",
    )


def check_doc_id(doc_id: str) -> str:
    """
    Raises:
        WrongAddress: not 32 lower-case hex digits.
    """
    if not _DOC_ID.fullmatch(doc_id):
        raise WrongAddress(f"a document's id is 32 hex digits, not {doc_id[:60]!r}")
    return doc_id


def _one_of(name: str, value: str, allowed: Sequence[Value]) -> Value:
    for each in allowed:
        if each == value:
            return each
    raise WrongAddress(f"{name}={value[:40]!r}: expected one of {', '.join(allowed)}")


def _number(name: str, value: str, *, least: int) -> int:
    if not _NUMBER.fullmatch(value) or int(value) < least:
        raise WrongAddress(f"{name}={value[:40]!r}: expected a whole number from {least} on")
    return int(value)
