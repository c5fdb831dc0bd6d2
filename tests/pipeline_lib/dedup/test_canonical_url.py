"""Canonical URLs: what is one page and what is not, and that the compiled hashes are those of the readable rule."""

import time

import numpy as np
import pyarrow as pa
import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.dedup.canonical_url import canonical_url
from pipeline_lib.kernels.canonical_urls import canonical_url_hashes, hash_128

SESSION = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("http://example.com", "example.com/"),
        ("HTTPS://WWW.Example.COM:443/", "example.com/"),
        # the host
        ("http://www2.example.com/a", "example.com/a"),
        ("http://www.www.example.com/", "example.com/"),
        ("http://www.com/", "www.com/"),  # a domain of its own
        ("http://wwwexample.com/", "wwwexample.com/"),
        ("http://example.com./", "example.com/"),
        ("http://me:secret@example.com/", "example.com/"),
        ("http://example.com:8080/", "example.com:8080/"),
        ("http://example.com:/", "example.com/"),
        ("http://example.com:00080/", "example.com/"),
        ("http://[2001:DB8::1]:81/", "[2001:db8::1]:81/"),
        ("http://bücher.example/", "b%C3%BCcher.example/"),
        # the path
        ("http://a.example/%7euser/%c3%a4?x", "a.example/~user/%C3%A4?x"),
        ("http://a.example/ä b|", "a.example/%C3%A4%20b%7C"),
        ("http://a.example/100%/%zz", "a.example/100%25/%25zz"),
        ("http://a.example/%2F", "a.example/%2F"),  # an escaped slash is no slash
        ("http://a.example/a/./b/%2E%2E/../c", "a.example/c"),
        ("http://a.example/../../a", "a.example/a"),
        ("http://a.example/a//b", "a.example/a//b"),
        ("http://a.example/a/", "a.example/a"),
        ("http://a.example/A", "a.example/A"),  # case chooses the page
        ("http://a.example/index.html", "a.example/index.html"),
        ("http://a.example/cart;jsessionid=1A2B.node1;v=2/x;JSESSIONID=", "a.example/cart;v=2/x"),
        ("http://a.example/(S(abcdefghijklmnopqrstuvw4))/x.aspx", "a.example/x.aspx"),
        ("http://a.example/(S(short))/x.aspx", "a.example/(S(short))/x.aspx"),
        # the query
        ("http://a.example/?", "a.example/"),
        ("http://a.example?b=1", "a.example/?b=1"),
        ("http://a.example/?b=2&a=1&b=1&&a=1", "a.example/?a=1&a=1&b=2&b=1"),  # by name; of one name as they were
        ("http://a.example/?a-b=1&a=2", "a.example/?a=2&a-b=1"),
        ("http://a.example/?q=%e2%98%83+[x]&r=%5bx%5d", "a.example/?q=%E2%98%83+%5Bx%5D&r=%5Bx%5D"),
        ("http://a.example/?UTM_Source=x&utm%5Fmedium=y&amp;utm_term=z&id=7&gclid=&fbclid", "a.example/?id=7"),
        ("http://a.example/?utm=1&source=x&ref=y", "a.example/?ref=y&source=x&utm=1"),
        ("http://a.example/?PHPSESSID=x&ASPSESSIONIDABCDEFGH=y", "a.example/"),
        (f"http://a.example/?sid={SESSION}&s={SESSION[:26]}", "a.example/"),
        ("http://a.example/?sid=42&s=guitar", "a.example/?s=guitar&sid=42"),
        (f"http://a.example/?sid={SESSION[:31]}-", f"a.example/?sid={SESSION[:31]}-"),
        ("http://a.example/?sid=abcdefghijklmnopqrstuvwxyzabcdef", "a.example/?sid=abcdefghijklmnopqrstuvwxyzabcdef"),
        ("http://a.example/?cfid=1&x=2&CFTOKEN=3", "a.example/?x=2"),
        ("http://a.example/?cfid=1&x=2", "a.example/?cfid=1&x=2"),
        # the fragment
        ("http://a.example/b#c?d", "a.example/b"),
        ("http://a.example/#!/b c", "a.example/#!/b%20c"),
        ("http://a.example/#!", "a.example/"),
        # around and within
        (" \x00http://a.exa\tmple/b\r\nc\n", "a.example/bc"),
    ],
)
def test_urls_that_name_one_page_have_one_canonical_form(url, canonical):
    assert canonical_url(url) == canonical
    assert hashes_of([url]) == [hash_of(canonical)]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http",
        "http:/a.example/",
        "http://",
        "http:///a",
        "http://?a",
        "http://.../",
        "http://me@/",
        "ftp://a.example/",
        "a.example/b",
        "//a.example/b",
        "httpx://a.example/",
        "dns:a.example",
        "javascript:alert(1)",
        "http://a b/",
        "http://a.example:http/",
        "http://a.example:65536/",
        "http://a.example:99999999999999999999/",
        "http://[::1/",
        "http://[]/",
        "http://[::1]x/",
        "http://x[::1]/",
        "http://<b>/",
    ],
)
def test_what_is_no_url_of_a_page_has_no_canonical_form(url):
    assert canonical_url(url) is None
    assert hashes_of([url]) == [(0, 0)]


PIECES = (
    "http://|https://|HTTPS://|www.|www2.|a|example.com|.|..|/|//|?|&|=|#|#!|:80|:443|:8080|:0|:|@|%41|%2F|%e4|%|%z|ä|"
    f"日| |\t|\n|\x85|;jsessionid=1|;|(S(abcdefghijklmnopqrstuvw4))|utm_source=1|utm_|sid=|{SESSION}|cfid=1|cftoken=2|"
    "amp;|a=1|b=2|a=0|[::1]|[|]|\\|+|~|PHPSESSID=x|s=|!|65535|9"
)
pieces = st.lists(st.sampled_from(PIECES.split("|")) | st.characters(codec="utf-8"), max_size=14).map("".join)
urls = pieces | pieces.map("http://{}".format) | pieces.map("https://a.example/{}".format)


@given(st.lists(urls, min_size=1, max_size=50))
def test_compiled_hashes_are_those_of_the_readable_form(listed):
    assert hashes_of(listed) == [hash_of(canonical_url(url)) for url in listed]


@given(urls)
def test_a_canonical_form_is_its_own(url):
    canonical = canonical_url(url)
    if canonical is not None:
        assert canonical_url(f"http://{canonical}") == canonical
        assert canonical.isascii()
        assert " " not in canonical


def test_compiled_hashes_are_those_of_the_readable_form_on_every_url_of_the_mini_crawl(shared_data):
    crawled = []
    for path in sorted((shared_data / "minicc" / "crawl-data").rglob("*/warc/*.warc.gz")):
        with path.open("rb") as stream:
            records = ArchiveIterator(stream, record_types=WarcRecordType.response, parse_http=False)
            crawled += [record.headers["WARC-Target-URI"] for record in records]
    assert crawled
    canonical = [canonical_url(url) for url in crawled]
    assert hashes_of(crawled) == [hash_of(form) for form in canonical]
    assert None not in canonical
    # 63 pages of the crawl are there under http and https, and 18 with a campaign (its manifest)
    assert len(set(canonical)) <= len(set(crawled)) - 63 - 18


def test_any_column_of_text_will_do():
    listed = ["http://a.example/", "no page", "http://b.example/"]
    expected = hashes_of(listed)
    chunks = pa.chunked_array([pa.array(["cut off", *listed[:1]], pa.string())[1:], pa.array(listed[1:], pa.string())])
    assert as_pairs(canonical_url_hashes(chunks)) == expected
    assert as_pairs(canonical_url_hashes(pa.array([None, *listed], pa.large_string()))) == [(0, 0), *expected]
    assert canonical_url_hashes(pa.array([], pa.string())).shape == (0, 2)


@pytest.mark.parametrize(
    "piece", ["/../", "&a=", "&a", "%2e%2e/", ";jsessionid=", "/(S(", "?", "#!", "@", "www.", "%", ":"]
)
def test_ten_megabytes_of_a_hostile_url_end(piece):
    url = "http://a.example/x" + piece * (10_000_000 // len(piece))
    began = time.process_time()
    (found,) = hashes_of([url])
    assert found != (0, 0)
    assert time.process_time() - began < 60  # what is not linear takes hours


def hashes_of(listed):
    return as_pairs(canonical_url_hashes(pa.array(listed, pa.large_string())))


def hash_of(canonical):
    if canonical is None:
        return 0, 0
    data = np.array(bytearray(canonical.encode("ascii")))
    high, low = hash_128(data, len(data))
    return int(high), int(low)


def as_pairs(hashes):
    return [(int(high), int(low)) for high, low in hashes]
