"""Blocks of a page: the same that a parser's tree has, whatever is left out of the markup, and soon."""

import re
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resiliparse.parse.html import HTMLTree, NodeType

from pipeline_lib.extract.block_text import blocks_text
from pipeline_lib.extract.markup_names import BLOCK, CLASS_WORDS, TAG, TAG_FLAGS
from pipeline_lib.extract.page_blocks import (
    ALL_CLASSES,
    AREAS,
    CHARS,
    ELEMENT,
    ELEMENT_TAG,
    END_SPAN,
    FIRST_SPAN,
    LINK_CHARS,
    NOTE_KIND,
    NOTE_TITLE,
    PARENT,
    SPAN_END,
    SPAN_START,
    UNSEEN,
    page_blocks,
)

VOID = ("br", "hr", "img")


def texts(markup):
    """The text of each block, white space taken out."""
    page = markup.encode()
    found = page_blocks(page)
    return [
        "".join(page[span[SPAN_START] : span[SPAN_END]].decode() for span in spans).replace(" ", "")
        for spans in (found.spans[block[FIRST_SPAN] : block[END_SPAN]].tolist() for block in found.blocks)
    ]


def texts_of_tree(markup):
    """The same from resiliparse's tree: text is cut wherever an element of a block begins or ends."""
    pieces = [""]

    def cut():
        if pieces[-1]:
            pieces.append("")

    def walk(node):
        if node.type == NodeType.TEXT:
            pieces[-1] += re.sub(r"\s", "", node.value)
        is_block = node.tag in TAG and bool(TAG_FLAGS[TAG[node.tag]] & BLOCK)
        if is_block:
            cut()
        child = node.first_child
        while child is not None:
            walk(child)
            child = child.next
        if is_block:
            cut()

    walk(HTMLTree.parse(markup).body)
    return [piece for piece in pieces if piece]


NAMES = ("div", "p", "ul", "li", "h2", "section", "blockquote", "dl", "dt", "dd", "b", "span", "a", "form")
WORDS = st.sampled_from(["one", "two words", "3", "déjà vu", "語", "&amp;", " "])
SOUP = st.lists(
    st.one_of(
        WORDS,
        st.sampled_from([f"<{name}>" for name in NAMES]),
        # a form that ends while other elements are open in it goes on below them in a tree: here, a block may end there
        st.sampled_from([f"</{name}>" for name in NAMES if name != "form"]),
        st.sampled_from(["<hr>", "<img src=x>", "<!-- <p> -->", "<p class='a>b'>"]),
    ),
    max_size=25,
)


@settings(max_examples=500)
@given(SOUP)
def test_tag_soup_has_the_blocks_of_a_parsers_tree(pieces):
    markup = "<body>" + "".join(pieces)
    assert texts(markup) == [text.replace("&", "&amp;") for text in texts_of_tree(markup)]


ROWS = st.lists(st.lists(WORDS, min_size=1, max_size=3), min_size=1, max_size=3)


@given(ROWS, st.booleans(), st.booleans(), st.booleans())
def test_tables_have_the_blocks_of_a_parsers_tree_with_and_without_closing_tags(rows, closes, grouped, nested):
    end = (lambda name: f"</{name}>") if closes else (lambda name: "")
    body = "".join("<tr>" + "".join(f"<td>{cell}{end('td')}" for cell in row) + end("tr") for row in rows)
    table = f"<table>{'<tbody>' * grouped}{body}</table>"
    if nested:
        table = f"<table><tr><td>outer {table} after{end('td')}{end('tr')}</table>"
    markup = f"<body>before {table} behind"
    assert texts(markup) == [text.replace("&", "&amp;") for text in texts_of_tree(markup)]


@given(st.binary(max_size=300))
def test_any_bytes_give_tables_that_fit_together(noise):
    page = b"<div><table><pre>" + noise.replace(b"\xff", b"<") + b"</a><li><td></p>" + noise
    found = page_blocks(page.decode("utf-8", "replace").encode())
    assert np.all(found.elements[1:, PARENT] < np.arange(1, len(found.elements)))
    assert np.all(found.blocks[:, CHARS] > 0)
    assert np.all(found.blocks[:, LINK_CHARS] <= found.blocks[:, CHARS])
    assert np.all(found.blocks[:, FIRST_SPAN] < found.blocks[:, END_SPAN])
    assert np.all(found.blocks[:-1, END_SPAN] == found.blocks[1:, FIRST_SPAN])
    assert np.all(found.spans[:, SPAN_START] <= found.spans[:, SPAN_END])
    blocks_text(found, np.ones(len(found.blocks), np.bool_))


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("one<br>two", ["onetwo"]),
        ("one<br> <br>two", ["one", "two"]),  # as good as a paragraph
        ("<script>'<p>'</script>one<style>p{}</style>", ["one"]),
        ("<svg><title>icon</title><text>x</text></svg>one", ["one"]),
        ("<svg><path><p>one", ["one"]),  # HTML ends a drawing that nobody closed
        ("<select><option>x<option>y</select>one", ["one"]),
        ("<select><option>x<div>one", ["one"]),
        ("<template><p>x</template>one", ["one"]),
        ("<textarea><p>x</textarea>one", ["one"]),
        ("a < b > c", ["a<b>c"]),
        ("<p title='</p>'>one", ["one"]),
        ("<noscript><p>one</noscript>", ["one"]),
        ("<pre>one\n<div>two</div></pre>", ["one\ntwo"]),
        ("<!-- one", []),
        ("<p", []),
        ("", []),
    ],
)
def test_what_is_text_and_where_it_is_cut(markup, expected):
    assert texts(markup) == expected


def test_a_block_knows_its_elements_classes_and_links():
    found = page_blocks(
        b"<title>A &amp; B</title><div class='SideBar x'><ul id=main-menu><li><a href=x>Home</a> now</ul>"
        b"<p style='color: red; DISPLAY : none'>secret</p><p aria-hidden=true>too</p></div><p>seen"
    )
    home, secret, too, seen = found.blocks
    classes = found.elements[home[ELEMENT], ALL_CLASSES]
    names = [name for number, name in enumerate(CLASS_WORDS) if classes >> number & 1]
    assert {"sidebar", "nav", "main"} <= set(names)
    assert found.elements[home[ELEMENT], ELEMENT_TAG] == TAG["li"]
    assert (home[CHARS], home[LINK_CHARS]) == (7, 4)
    assert [bool(found.elements[block[ELEMENT], AREAS] & UNSEEN) for block in (home, secret, too, seen)] == [
        *(False, True, True, False)
    ]
    assert found.notes[0, NOTE_KIND] == NOTE_TITLE


@pytest.mark.parametrize(
    "unit",
    [
        *("<", "<a", "<div>", "</div>", "<p>x", "<li><li x", "<table><tr><td>x", "<b>x", "<!--", "<br>x", "&", "x "),
        *("<a href=x>x</a>", "<span>", "</span></b>", "<select><option>", "<svg>", "<pre>", "<form></form>", "<title>"),
        "<script>",
    ],
)
def test_time_grows_with_the_page_whatever_it_repeats(unit):
    def seconds(size):
        page = (unit * (size // len(unit))).encode()
        page_blocks(page)
        began = time.process_time()
        found = page_blocks(page)
        blocks_text(found, np.ones(len(found.blocks), np.bool_))
        return time.process_time() - began

    assert seconds(2_000_000) < 30 * max(seconds(200_000), 0.01)
