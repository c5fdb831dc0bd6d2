"""Text of blocks: paragraphs, lists, tables and code as a language model is to read them."""

import numpy as np
import pytest

from pipeline_lib.extract.block_text import blocks_text
from pipeline_lib.extract.page_blocks import page_blocks


def text_of(markup):
    blocks = page_blocks(markup.encode())
    return blocks_text(blocks, np.ones(len(blocks.blocks), np.bool_))


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<h1>Title</h1><p>One <b>bo</b>ld\n  word.</p><p>Two</p>", "Title\n\nOne bold word.\n\nTwo"),
        ("<p>a<br>b<br/>c", "a\nb\nc"),
        ("<h2>a<br>b</h2>", "a b"),
        ("<p>fish &amp; chips &lt;br&gt; caf&eacute;&nbsp; &#x263A;", "fish & chips <br> café ☺"),
        ("<a href=x>Home</a><a href=y>About</a> <a href=z>us</a>", "Home About us"),
        ("<p>H<sub>2</sub>O", "H2O"),
        ("<img alt='a picture'>x<img alt='another'>", "x"),
        ("<ul><li>one<li>two</ul><p>after", "- one\n- two\n\nafter"),
        ("<p>before<ol><li>one<li>two</ol>", "before\n\n1. one\n2. two"),
        ("<ol>" + "<li>x" * 10 + "</ol>", "\n".join(f"{number}. x" for number in range(1, 11))),
        ("<ul><li>one<ul><li>in</ul><li>two</ul>", "- one\n  - in\n- two"),
        ("<ul><li><p>one</p><p>more</p><li>two</ul>", "- one\n  more\n- two"),
        ("<dl><dt>term<dd>meaning<dt>other</dl>", "term\nmeaning\nother"),
        ("<table><tr><th>a<th>b<tr><td>1<td>2</table>", "a | b\n1 | 2"),
        ("<table><tr><td>1<td><td>3<tr><td><td>2</table>", "1 | | 3\n| 2"),
        ("<table><tr><td><p>x</p><p>y</p><td>z</table>", "x y | z"),
        ("<p>before<table><tr><td>1<td>2</table>after", "before\n\n1 | 2\n\nafter"),
        ("<table><tr><td>" + "<p>x</p>" * 4 + "<td>y</table>", "x\n\nx\n\nx\n\nx\n\ny"),  # it arranges the page
        ("<table><tr><td>menu<td><table><tr><td>1<td>2</table></table>", "menu\n\n1 | 2"),
        ("<pre>\nif a:\n    b()\n\n\n    c()  \n</pre>", "if a:\n    b()\n\n\n    c()"),
        ("<pre>  indented\n</pre><p>x", "  indented\n\nx"),
        ("<pre><span>def</span> <b>f</b>():\n\treturn &lt;1&gt;</pre>", "def f():\n\treturn <1>"),
        ("<pre><div>a</div><div>  b</div></pre>", "a\n  b"),
        ("<ul><li>see<pre>a\n  b</pre></ul>", "- see\n\na\n  b"),
        ("日本語の<b>文</b>", "日本語の文"),
        ("", ""),
    ],
)
def test_structure_is_kept(markup, text):
    assert text_of(markup) == text


def test_only_chosen_blocks_are_written():
    blocks = page_blocks(b"<ul><li>one<li>two<li>three</ul><table><tr><td>a<td>b<td>c</table>")
    chosen = np.array([False, True, False, True, False, True])
    assert blocks_text(blocks, chosen) == "- two\n\na | | c"
