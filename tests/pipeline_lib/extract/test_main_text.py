"""Main text: what a documentation page keeps and loses, and that hostile pages end with a reason, soon."""

import pytest
import trafilatura

from pipeline_lib.extract.main_text import UnreadablePage, main_text
from pipeline_lib.extract.normalize import normalize
from pipeline_lib.extract.parameters import ExtractParameters

DEFAULT = ExtractParameters()
DOCUMENTATION = """<!doctype html><html><head><title>numbers.fft &mdash; Numbers</title><style>p {}</style></head><body>
<header class="site"><a href="/">Numbers</a> <a href="/search">Search the documentation</a></header>
<nav role="navigation"><ul><li><a href="a.html">numbers.core</a></li>
<li><a href="b.html">numbers.linalg</a></li></ul></nav>
<main><article><h1>numbers.fft</h1>
<p>Compute the discrete transform of
   a real   input.</p>
<dl><dt><code>fft(a, n=None)</code></dt><dd><p>The transform of an array.</p></dd>
<dt>n : int</dt><dd><p>Length of the axis &amp; more.</p></dd></dl>
<pre><code>&gt;&gt;&gt; for i in range(3):
...     if i:
...         print(fft([i]))

[1.+0.j]
</code></pre>
<ul><li>First point</li><li>Second point</li></ul>
<table><tr><th>Name</th><th>Meaning</th></tr><tr><td>a</td><td>input</td></tr></table>
</article></main>
<aside class="sidebar"><a href="x">Related topics</a></aside>
<footer><p>Copyright the authors. Built with a generator.</p></footer>
<script>track("everything")</script></body></html>"""


def test_a_documentation_page_keeps_its_text_and_code_and_loses_what_stands_around_it():
    found = main_text(DOCUMENTATION, DEFAULT)
    text = normalize(found.text)
    assert (found.title, found.extractor) == ("numbers.fft — Numbers", "blocks")
    assert text.startswith("numbers.fft\n\nCompute the discrete transform of a real input.")
    code = ">>> for i in range(3):\n...     if i:\n...         print(fft([i]))\n\n[1.+0.j]"
    assert code in text
    for kept in (
        "fft(a, n=None)",
        "The transform of an array.",
        "n : int",
        "Length of the axis & more.",
        "Second point",
    ):
        assert kept in text
    for lost in ("Search", "numbers.linalg", "Related", "Copyright", "track", "p {}"):
        assert lost not in text


@pytest.mark.parametrize(
    ("extractor", "named"),
    [("hybrid", "blocks"), ("union", "blocks"), ("resiliparse", "resiliparse"), ("trafilatura", "trafilatura")],
)
def test_every_extractor_finds_an_article(extractor, named):
    paragraphs = "".join(f"<p>Sentence number {number} says something about the weather.</p>" for number in range(20))
    page = f"<html><body><nav><a href=/>Home</a></nav><article><h1>Weather</h1>{paragraphs}</article></body></html>"
    found = main_text(page, ExtractParameters(extractor=extractor))
    assert "number 19 says" in found.text
    assert "Home" not in found.text
    assert found.extractor == named


# A list where resiliparse expects an article: it takes it for navigation.
LIST_PAGE = (
    "<html><body><ul>"
    + "<li>A long item that is text, and no link at all, of the list</li>" * 30
    + "</ul></body></html>"
)


def test_a_list_is_found_by_the_hybrid_where_resiliparse_takes_it_for_navigation():
    with pytest.raises(UnreadablePage, match="no_main_text"):
        main_text(LIST_PAGE, ExtractParameters(extractor="resiliparse"))
    assert main_text(LIST_PAGE, DEFAULT).text.count("- A long item") == 30


def test_others_are_asked_where_the_chosen_blocks_are_little_of_the_page():
    menu = "".join(f"<li><a href=/{number}>Section {number} of the shop</a></li>" for number in range(200))
    page = f"<body><nav><ul>{menu}</ul></nav><p>We sell what you need, and ship it on the same day.</p>"
    assert main_text(page, DEFAULT).extractor == "blocks"
    suspicious = ExtractParameters(extractor="union", min_main_ratio=1.0)
    assert main_text(page, suspicious).extractor in ("resiliparse", "trafilatura", "blocks")
    assert len(main_text(page, suspicious).text) >= len(main_text(page, DEFAULT).text)


def test_an_error_inside_trafilatura_is_a_reason(monkeypatch):
    def fail(*arguments, **options):
        raise AttributeError("'NoneType' object has no attribute 'getnext'")

    monkeypatch.setattr(trafilatura, "extract", fail)
    with pytest.raises(UnreadablePage, match="extractor_failed"):
        main_text(LIST_PAGE, ExtractParameters(extractor="trafilatura"))
    found = main_text(LIST_PAGE, ExtractParameters(min_main_ratio=1.0))
    assert found.extractor == "blocks"  # the hybrid still has its own answer


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        ("<div>" * 200_000 + "deep", "too_deeply_nested"),
        ("<blockquote><p>" * 600 + "deep", "too_deeply_nested"),
        ("<p " + " ".join(f"a{number}" for number in range(50_000)) + ">x", "markup_too_costly"),
        ("<select>" + "<option>x" * 50_000, "markup_too_costly"),
        ("<p>" + "".join(f"<font color=c{number}>" for number in range(300)) + "<p>x" * 5_000, "markup_too_costly"),
        ("<p>text " * 700_000, "page_too_large"),
        ("<html><body></body></html>", "no_main_text"),
        ("<p> \xa0&nbsp;</p>", "no_main_text"),
    ],
)
def test_a_page_that_cannot_be_read_has_a_reason(page, reason):
    with pytest.raises(UnreadablePage) as raised:
        main_text(page, DEFAULT)
    assert raised.value.reason == reason


@pytest.mark.parametrize(
    "page",
    [
        "<form>" + "<p>some text of it</p>" * 20_000 + "</form>",  # a minute for trafilatura
        "<ul>" + "<li>x y z" * 50_000,
        "<table>" + "<tr><td>x<td>y" * 30_000,
        "<div>" * 400 + "<p>some text here</p>" * 3_000,
        "<p>" + "&#768;&#790;" * 100_000,
        "<pre>" + " " * 500_000 + "x</pre>",
        "<" * 500_000,
        "<!--" * 200_000,
        "<a href=x>" * 50_000,
        "<p>" + "<b>x" * 50_000,
    ],
)
@pytest.mark.timeout(20)
def test_a_page_of_one_thing_very_often_ends_soon(page):
    try:
        normalize(main_text(page, DEFAULT).text)
    except UnreadablePage as error:
        assert error.reason  # noqa: PT017 (a reason is as good as a text: what is asserted is that it ends)
