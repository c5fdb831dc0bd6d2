"""Docstrings as HTML: house styles, markup of any sort, and text that nobody meant as markup."""

import re
from html import unescape
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_lib.crawl.docstrings import DocstringWriter

WRITER = DocstringWriter()


def text_of(html):
    """What a reader sees, tags gone, white space as single spaces."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


@pytest.mark.parametrize(
    ("docstring", "html"),
    [
        ("One line.", "<p>One line.</p>"),
        ("a < b & c_d", "<p>a &lt; b &amp; c_d</p>"),
        ("Two\n    paragraphs.\n\n    Second.\n    ", "<p>Two\nparagraphs.</p><p>Second.</p>"),
        (
            "With ``code``, *stress* and `name`.",
            "<p>With <code>code</code>, <em>stress</em> and <code>name</code>.</p>",
        ),
        ("See :class:`~a.b.C`.", "<p>See <code>C</code>.</p>"),
        ("See :meth:`!run` and :py:func:`f`.", "<p>See <code>run</code> and <code>f</code>.</p>"),
        ("See :ref:`the guide <guide-label>`.", "<p>See the guide.</p>"),
        ("Never :heard-of:`this role`.", "<p>Never <code>this role</code>.</p>"),
        (r":math:`\frac{a}{b}`", r'<p><span class="math">\frac{a}{b}</span></p>'),
        ("Unclosed *star and `tick.", "<p>Unclosed *star and `tick.</p>"),
        ("*args and **kwargs", "<p>*args and **kwargs</p>"),
        ("Cited [1]_ here.", "<p>Cited [1] here.</p>"),
        (">>> 1 < 2\nTrue", "<pre>&gt;&gt;&gt; 1 &lt; 2\nTrue</pre>"),
        ("\nThus::\n\n    x = 1\n\n    y = 2", "<p>Thus:</p><pre>x = 1\n\ny = 2</pre>"),
        ("- one\n- two", "<ul><li><p>one</p></li><li><p>two</p></li></ul>"),
        (".. versionadded:: 1.2", "<p>New in version 1.2</p>"),
        (".. deprecated:: 1.2 Use :func:`g`.", "<p>Deprecated since version 1.2: Use <code>g</code>.</p>"),
        ("\n.. versionchanged:: 1.2\n    Now *so*.", "<p>Changed in version 1.2: Now <em>so</em>.</p>"),
        ("\n.. seealso::\n\n    :func:`g`", '<p class="rubric">See also</p><p><code>g</code></p>'),
        ("\n.. plot::\n    :include-source:\n\n    >>> x", "<pre>&gt;&gt;&gt; x</pre>"),
        ("\n.. code-block:: python\n\n    x = 1", "<pre>x = 1</pre>"),
        ("\n.. unheard-of:: f(x)\n\n    Does it.", "<p><code>f(x)</code></p><p>Does it.</p>"),
        ("\n.. math::\n\n    a^2", '<pre class="math">a^2</pre>'),
        (":param int x: how many", '<ul class="fields"><li><p><strong>x</strong> (int) – how many</p></li></ul>'),
        ("link http://example.org/a", '<p>link <a href="http://example.org/a">http://example.org/a</a></p>'),
        ("`x <javascript:alert(1)>`_", "<p>x</p>"),
        ("", ""),
    ],
)
def test_docstrings_become_the_html_that_a_reader_expects(docstring, html):
    assert WRITER.html(docstring) == html


def test_numpydoc_sections_become_headings_and_lists_of_definitions():
    html = WRITER.html(
        """Add.

        Parameters
        ----------
        x, y : array_like
            What is *added*.
        out : ndarray, optional

        Returns
        -------
        ndarray
            The sum.

        See Also
        --------
        subtract : The other
            way round.

        Examples
        --------
        >>> add(1, 2)
        3
        """
    )
    assert html == (
        "<p>Add.</p>"
        "<h4>Parameters</h4><dl><dt>x, y : array_like</dt><dd><p>What is <em>added</em>.</p></dd>"
        "<dt>out : ndarray, optional</dt></dl>"
        "<h4>Returns</h4><dl><dt>ndarray</dt><dd><p>The sum.</p></dd></dl>"
        "<h4>See Also</h4><ul><li><p><strong>subtract</strong> – The other\nway round.</p></li></ul>"
        "<h4>Examples</h4><pre>&gt;&gt;&gt; add(1, 2)\n3</pre>"
    )


def test_google_sections_become_headings_and_one_line_for_each_entry():
    html = WRITER.html(
        """Add.

        Args:
            x (int): The first.
            *rest: All
                others.

        Raises:
            ValueError: Nothing given.

        Example::

            >>> add(1)

        Goes on.
        """
    )
    assert html == (
        "<p>Add.</p>"
        "<h4>Parameters</h4><ul><li><p><strong>x</strong> (int) – The first.</p></li>"
        "<li><p><strong>*rest</strong> – All\nothers.</p></li></ul>"
        "<h4>Raises</h4><ul><li><p><strong>ValueError</strong> – Nothing given.</p></li></ul>"
        "<h4>Example</h4><pre>&gt;&gt;&gt; add(1)</pre>"
        "<p>Goes on.</p>"
    )


def test_a_docstring_that_shows_it_is_markdown_is_read_as_markdown():
    html = WRITER.html("Run it:\n\n```python\nx = 1\n```\n\nSee [the guide](https://example.org).")
    assert '<code class="language-python">x = 1\n</code>' in html
    assert '<a href="https://example.org">the guide</a>' in html


@pytest.mark.parametrize(
    "docstring",
    [
        ".. include:: /etc/passwd\n\nend",
        ".. raw:: html\n\n    <script>x()</script>\n\nend",
        ".. raw:: html\n    :file: /etc/passwd\n\nend",
        ".. csv-table::\n    :file: /etc/passwd\n\nend",
        ".. literalinclude:: /etc/passwd\n\nend",
        ".. role:: raw-html(raw)\n    :format: html\n\n:raw-html:`<script>x()</script>`\n\nend",
        ".. |now| date:: %Y\n\nend",
        "<script>x()</script>\n\nend",
        "```\nfence\n```\n\n<script>x()</script>\n\nend",
    ],
)
def test_docstrings_cannot_insert_files_or_scripts_or_the_time(docstring):
    html = WRITER.html("\n" + docstring)
    assert "<script" not in html
    assert "root:" not in html
    assert not re.search(r"\b20\d\d\b", html)
    assert text_of(html).endswith("end")


def test_a_role_or_directive_of_one_docstring_means_nothing_in_the_next():
    WRITER.html(".. default-role:: math\n\n.. role:: shout\n\n:shout:`x` `y`")
    assert WRITER.html("Plain `y` and :shout:`x`.") == "<p>Plain <code>y</code> and <code>x</code>.</p>"


def test_malformed_markup_comes_out_as_its_own_text_and_spoils_nothing_around_it():
    html = WRITER.html("\nBefore.\n\n.. list-table::\n\n    not a list\n\n- after")
    assert text_of(html) == "Before. .. list-table:: not a list after"
    assert "<li><p>after</p></li>" in html


def test_readmes_lose_their_html_tags_but_not_their_text():
    html = WRITER.document_html('<p align="center"><b>Hello</b></p>\n\n# Title\n\nText <br> here', is_markdown=True)
    assert "Hello" in html
    assert "align" not in html
    assert "<h1>Title</h1>" in html


def test_a_readme_in_restructured_text_keeps_its_sections():
    html = WRITER.document_html("Title\n=====\n\nText.\n\nPart\n----\n\nMore.", is_markdown=False)
    assert "<h2>Title</h2>" in html
    assert "<h3>Part</h3>" in html


class _Balance(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open = []

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_starttag(self, tag, attrs):
        if tag not in ("br", "hr", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


HOSTILE_PIECES = (
    *("a", "word", " ", "    ", "\n", "\n\n", "\n    ", "-", "----", "====", "::", ":", "*", "**", "`", "``", "|", "_"),
    *(
        ".. ",
        ".. x:: ",
        ".. math::",
        ":x:",
        ">>> ",
        "[1]_",
        "+--+",
        "1. ",
        "Args:\n    ",
        "Returns",
        "<b>",
        "&",
        "\x00",
    ),
    *("```", "!!! note", "\\", "http://x.y", "\ud800", "\t", "é", "…", "(", ")"),
)
HOSTILE = st.lists(st.sampled_from(HOSTILE_PIECES), max_size=30).map("".join)


@settings(max_examples=150, deadline=None)
@given(HOSTILE)
def test_any_docstring_gives_balanced_html(docstring):
    parser = _Balance()
    parser.feed(WRITER.html(docstring))
    assert parser.open == []


HARMLESS_PIECES = (
    "a",
    "word",
    "Returns",
    " ",
    "\n",
    "\n\n",
    "\n    ",
    "----",
    "::",
    " : ",
    "*",
    "`",
    "|",
    ">>> ",
    "- ",
)
HARMLESS = st.lists(st.sampled_from(HARMLESS_PIECES), max_size=25).map("".join)


@settings(max_examples=150, deadline=None)
@given(HARMLESS.filter(lambda docstring: "```" not in docstring))  # a fence hides the name of its language
def test_no_word_is_lost_in_markup_that_hides_nothing(docstring):
    def words(text):
        return re.findall(r"[A-Za-z]+", text)

    assert sorted(words(text_of(WRITER.html(docstring)))) == sorted(words(docstring))
