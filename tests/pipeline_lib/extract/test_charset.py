"""Character sets: whom to believe, and that nothing a page is made of can raise."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline_lib.extract.charset import decode

RUSSIAN = (
    "<html><p>Съешь же ещё этих мягких французских булок, да выпей чаю. Широкая электрификация южных губерний.</p>"
)
FRENCH = "<p>Dès Noël où un zéphyr haï me vêt de glaçons würmiens, je dîne d’exquis rôtis de bœuf à l’aÿ d’âge mûr.</p>"
JAPANESE = "<p>いろはにほへと ちりぬるを わかよたれそ つねならむ うゐのおくやま けふこえて</p>"
CHINESE = "<p>天地玄黃 宇宙洪荒 日月盈昃 辰宿列張</p>"


def meta(charset):
    return f'<html><head><!-- <meta charset="x-none"> --><meta charset="{charset}"></head>'.encode()


@pytest.mark.parametrize(
    ("body", "content_type", "text", "charset", "source"),
    [
        (b"\xef\xbb\xbf<p>caf\xc3\xa9", "text/html; charset=koi8-r", "<p>café", "utf-8", "bom"),
        ("\ufeff<p>café".encode("utf-16-le"), "", "<p>café", "utf-16-le", "bom"),
        ("\ufeff<p>café".encode("utf-16-be"), "", "<p>café", "utf-16-be", "bom"),
        (RUSSIAN.encode("koi8-r"), "text/html; charset=KOI8-R", RUSSIAN, "koi8-r", "http"),
        (RUSSIAN.encode("cp1251"), "text/html;charset='windows-1251'", RUSSIAN, "cp1251", "http"),
        (meta("windows-1251") + RUSSIAN.encode("cp1251"), "text/html", None, "cp1251", "meta"),
        (meta("shift_jis") + JAPANESE.encode("cp932"), "", None, "cp932", "meta"),
        (
            b"<?xml version='1.0' encoding='iso-8859-2'?>" + "<p>žluťoučký</p>".encode("iso8859-2"),
            "",
            None,
            "iso8859-2",
            "meta",
        ),
        (meta("utf-16") + FRENCH.encode(), "", None, "utf-8", "meta"),  # readable as ASCII, so not UTF-16
        (meta("x-mac-cyrillic") + RUSSIAN.encode("mac-cyrillic"), "", None, "mac-cyrillic", "meta"),
        (FRENCH.encode("cp1252"), "text/html; charset=us-ascii", FRENCH, "cp1252", "http"),  # as browsers read it
        (CHINESE.encode("big5"), "text/html; charset=big5", CHINESE, "big5hkscs", "http"),
        ("<p>镕</p>".encode("gbk"), "text/html; charset=gb2312", "<p>镕</p>", "gb18030", "http"),
        (FRENCH.encode(), "text/html; charset=iso-8859-1", FRENCH, "utf-8", "utf8"),  # the server says so of everything
        (FRENCH.encode(), "", FRENCH, "utf-8", "utf8"),
        (FRENCH.encode() * 9 + b"\xff" + FRENCH.encode(), "text/html; charset=utf-8", None, "utf-8", "http"),
        (meta("koi8-r") + RUSSIAN.encode("koi8-r"), "text/html; charset=utf-8", None, "koi8-r", "meta"),  # it cannot be
        (RUSSIAN.encode("koi8-r") * 3, "text/html; charset=no-such-thing", RUSSIAN * 3, "koi8-r", "resiliparse"),
        (JAPANESE.encode("euc-jp") * 3, "", JAPANESE * 3, "euc_jp", "resiliparse"),
        (b"<p>plain</p>", "", "<p>plain</p>", "utf-8", "utf8"),
        (b"", "", "", "utf-8", "utf8"),
        (b"a\x00b", "", "ab", "utf-8", "utf8"),
    ],
)
def test_the_most_trusted_source_that_can_read_the_page_decides(body, content_type, text, charset, source):
    decoded = decode(body, content_type)
    assert (decoded.charset, decoded.source) == (charset, source)
    assert not decoded.is_garbage
    if text is not None:
        assert decoded.text == text
    else:
        assert decoded.text.count("\ufffd") <= 1


@given(st.binary(max_size=300), st.text(max_size=40))
@example(b"<meta charset=idna>\xff", "charset=rot13")
@example(b"<meta charset=utf-7>+2AA-", "charset=utf-7")
@example("\ud800".encode("utf-16-le", "surrogatepass") * 9, "charset=utf-16le")
def test_any_bytes_become_text_that_can_be_written(body, content_type):
    text = decode(body, content_type).text
    assert "\x00" not in text
    assert text.encode().decode() == text


@given(st.text(st.characters(exclude_characters="\x00\ufeff", exclude_categories=["Cs"]), max_size=300))
def test_utf8_stays_what_it_is(text):
    assert decode(text.encode(), "text/html; charset=UTF-8").text == text


def test_an_image_that_calls_itself_a_page_is_garbage():
    image = b"\x89PNG\r\n\x1a\n" + bytes((7 * i * i + i) % 256 for i in range(4_000))
    assert decode(image, "text/html; charset=utf-8").is_garbage
    assert not decode(FRENCH.encode()).is_garbage
