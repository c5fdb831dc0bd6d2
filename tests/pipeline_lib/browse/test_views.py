"""Addresses: each says all that a page shows, and what means nothing is refused."""

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.browse.selection import Filters
from pipeline_lib.browse.views import View, WrongAddress, check_doc_id, read_view

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
views = st.builds(
    View,
    filters=st.builds(Filters, fate=names, host=names, language=names, file=names, edited=names),
    phrase=names.map(str.strip),
    where=st.sampled_from(["title", "text"]),
    order=st.sampled_from(["source", "mixed", "host"]),
    page=st.integers(1, 10**6),
    after=st.integers(0, 10**6),
    whole=st.booleans(),
)


@given(views)
def test_a_view_comes_back_from_its_address(view):
    address = urlsplit(view.list_address("0" * 32))
    assert address.path == "/"
    assert address.fragment == f"d-{'0' * 32}"
    assert read_view(parse_qsl(address.query)) == view


def test_another_filter_begins_at_the_first_page():
    view = View(filters=Filters(host="a.test"), page=7).with_filter("language", "en")
    assert view == View(filters=Filters(host="a.test", language="en"))


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ([("nonesuch", "1")], "unknown parameter 'nonesuch'; there are fate"),
        ([("host", "a"), ("host", "b")], "host is given twice"),
        ([("page", "0")], "from 1 on"),
        ([("page", "-1")], "page"),
        ([("page", "1e9")], "page"),
        ([("page", "٣")], "page"),  # a digit, and none of ours
        ([("page", "9" * 50)], "page"),
        ([("order", "random")], "one of source, mixed, host"),
        ([("in", "body")], "one of title, text"),
        ([("q", "x" * 201)], "too many"),
        ([("file", "x" * 2001)], "too many"),
    ],
)
def test_what_means_nothing_is_refused(parameters, complaint):
    with pytest.raises(WrongAddress, match=complaint):
        read_view(parameters)


@pytest.mark.parametrize("doc_id", ["", "../../etc/passwd", "0" * 31, "G" * 32, "0" * 33, "0" * 32 + "\n"])
def test_what_is_no_document_id_is_refused(doc_id):
    with pytest.raises(WrongAddress):
        check_doc_id(doc_id)
