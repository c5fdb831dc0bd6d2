"""Estimates of markup: never far below what the real parser builds, never hostile for honest pages."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resiliparse.parse.html import HTMLTree

from pipeline_lib.extract.markup_cost import MarkupCost, markup_cost

NAMES = [
    *("div", "p", "b", "a", "span", "ul", "li", "table", "tr", "td", "dl", "dt", "dd"),
    *("svg", "path", "math", "mi", "title", "h1", "section", "form", "button", "x-y"),
]
TOKENS = st.sampled_from(
    [f"<{name}>" for name in NAMES]
    + [f"</{name}>" for name in NAMES]
    + [f"<{name}/>" for name in NAMES]
    + ["text", "<!-- <div> -->", "<br>", "<font size=1>", "<script>'<div>'</script>"]
)


def tree_size(page):
    """Depth and number of the elements and texts that resiliparse builds."""
    depth = count = 0
    stack = [(HTMLTree.parse(page).document, 0)]
    while stack:
        node, level = stack.pop()
        count += 1
        depth = max(depth, level)
        child = node.first_child
        while child is not None:
            stack.append((child, level + 1))
            child = child.next
    return depth, count


@settings(max_examples=300)
@given(st.lists(TOKENS, min_size=1, max_size=6), st.integers(1, 40))
def test_the_tree_that_is_built_is_bounded_by_the_estimate(unit, repeats):
    page = "".join(unit) * repeats
    depth, count = tree_size(page)
    cost = markup_cost(page.encode())
    # html, body and tbody come by themselves; a level of estimate is at most a few levels of tree
    assert depth <= 4 * cost.depth + 8
    assert count <= cost.reopened + 3 * page.count("<") + 20


@pytest.mark.parametrize(
    ("page", "depth"),
    [
        ("<div>" * 900, 900),
        ("<div/>" * 900, 900),  # HTML knows no such thing as an empty div
        ("<p>one" * 900, 1),
        ("<ul>" + "<li>one" * 900, 2),
        ("<table>" + "<tr><td>a<td>b" * 900, 4),
        ("<dl>" + "<dt>a<dd>b" * 900, 2),
        ("<dt></dt><span><p>" * 300, 301),  # an item ends the paragraph before it, and leaves what that was in
        ("<li></li><span><p>" * 300, 301),
        ("<br><img src=a><input>" * 900, 0),
        ("<svg>" + '<path d="M0"/>' * 900, 1),
        ("<svg><style>" + "<div>" * 900, 900),  # there, a style does not hide what is in it
        ("<p><svg><title>" * 300, 900),  # the title of a drawing holds paragraphs, which end none outside
        ("<style>" + "<div>" * 900, 0),
        ("<script>if (a<b) '<div>'</script>" * 900, 0),
        ("<!-- " + "<div>" * 900, 0),
        ("<!-->" + "<div>" * 900, 900),  # an empty comment
        ('<p title="' + "<div>" * 900 + '">', 1),
        ("<p><b>bold</p>" * 900, 5),  # three of a kind are opened again
        ("", 0),
    ],
)
def test_depth_follows_the_rules_of_html(page, depth):
    assert abs(markup_cost(page.encode()).depth - depth) <= 3


def test_attributes_options_and_reopened_formatting_are_counted():
    assert markup_cost(b"<p " + b" ".join(b"a%d='<x y=z>'" % i for i in range(77)) + b">").attributes == 77
    assert markup_cost(b"<select>" + b"<option value=1>one" * 50 + b"</select>").options == 50
    distinct = "".join(f"<font color=c{number}>" for number in range(300))
    assert markup_cost(f"<p>{distinct}{'<p>x' * 400}".encode()).reopened > 100_000
    assert markup_cost(b"<p>" + b"<b>x" * 400 + b"<p>x" * 400).reopened < 10_000  # one kind, closed by nobody


def test_broken_ends_are_read_to_the_end():
    page = b"<div class='a' <b <!-- x --> <script> </scripty> </script></div></b><a href=\"x><!DOCTYPE <p"
    for end in range(len(page)):
        assert isinstance(markup_cost(page[:end]), MarkupCost)
