"""SURT keys as Common Crawl writes them."""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.crawl.surt import host_key, surt_key


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("http://www.archive.org/", "org,archive)/"),
        ("http://archive.org", "org,archive)/"),
        ("archive.org/goo", "org,archive)/goo"),
        ("https://WWW34.Archive.ORG/Goo/?", "org,archive)/goo"),
        ("http://www2.www2foo.com/", "com,www2foo)/"),
        ("http://www2foo.com/", "com,www2foo)/"),
        ("ftp://example.com/x", "com,example)/x"),
        ("whois://whois.isoc.org.il/shaveh.co.il", "il,org,isoc,whois)/shaveh.co.il"),
        # arguments by name, then by value; none without a name gets lost
        ("http://archive.org/goo/?a=2&b&a=1", "org,archive)/goo?a=1&a=2&b"),
        ("http://a.example/?b=&a-c=1&a=1&", "example,a)/?&a=1&a-c=1&b="),
        # ports
        ("http://a.example:80/", "example,a)/"),
        ("https://a.example:443/", "example,a)/"),
        ("https://a.example:80/", "example,a:80)/"),
        ("http://a.example:8080", "example,a:8080)/"),
        ("http://a.example:/b", "example,a)/b"),
        # users, fragments, blanks
        ("http://me:secret@a.example/b#c?d", "example,a)/b"),
        ("  http://a.example/b\tc\r\nd  ", "example,a)/bcd"),
        ("http:////a.example", "example,a)/"),
        ("http://https://order.1and1.com", "com,1and1,order)/"),
        # escapes
        ("http://host/%25%32%35", "host)/%25"),
        ("http://host/%2525252525252525", "host)/%25"),
        ("http://host/%%%25%32%35asd%%", "host)/%25%25%25asd%25%25"),
        ("http://host/a%20b c%zz", "host)/a%20b%20c%25zz"),
        ("http://host/%D0%92\u0439", "host)/%d0%92%d0%b9"),
        ("http://host.com/ab%23cd", "com,host)/ab%23cd"),
        # paths
        ("http://a.example/b/../c/./d//e/", "example,a)/c/d/e"),
        ("http://a.example/../..", "example,a)/"),
        ("http://a.example//two?more//slashes", "example,a)/two?more//slashes"),
        # hosts
        ("http://B\u00fccher.ch/", "ch,xn--bcher-kva)/"),
        ("http://www.google.com.../", "com,google)/"),
        ("http://a..b.example/", "example,b,a)/"),
        ("http://168.188.99.26/", "26,99,188,168)/"),
        ("http://3279880203/blah", "11,0,127,195)/blah"),
        ("http://017.0.0.1/", "1,0,0,15)/"),
        ("http://10.0.258/", "2,1,0,10)/"),
        ("http://1.2.3.256/", "256,3,2,1)/"),
        # sessions
        ("http://a.example/index.php?PHPSESSID=0123456789abcdefghijklemopqrstuv&b=1", "example,a)/index.php?b=1"),
        ("http://a.example/?one=two&sid=9682993c8daa2c5497996114facdc805", "example,a)/?&one=two"),
        (
            "http://a.example/?sid=9682993c8daa2c5497996114facdc805x",
            "example,a)/?sid=9682993c8daa2c5497996114facdc805x",
        ),
        ("http://a.example/?CFID=1169580&CFTOKEN=48630702&dt=1", "example,a)/?dt=1"),
        ("http://a.example/(S(4hqa0555fwsecu455xqckv45))/mileg.aspx", "example,a)/mileg.aspx"),
        ("http://a.example/(4hqa0555fwsecu455xqckv45)/mileg.aspx?b", "example,a)/mileg.aspx?b"),
        ("http://a.example/b;jsessionid=0123456789abcdefghijklemopqrstuv", "example,a)/b"),
        # what is no address of a host
        ("dns:archive.org", "dns:archive.org"),
        ("mailto:foo@example.com", "mailto:foo@example.com"),
        ("", "-"),
    ],
)
def test_urls_have_the_keys_that_the_surt_package_gives_them(url, key):
    assert surt_key(url) == key


def test_every_url_of_the_mini_crawl_has_the_key_that_its_index_says(shared_data):
    num_lines = 0
    for file in (shared_data / "minicc/cc-index").rglob("cdx-*.gz"):
        for line in gzip.decompress(file.read_bytes()).decode().splitlines():
            key, _, value = line.split(" ", 2)
            assert surt_key(json.loads(value)["url"]) == key
            num_lines += 1
    assert num_lines == 7423


def test_the_recorded_answers_of_common_crawls_server_have_the_keys_of_their_urls(shared_data):
    keys = 0
    for file in sorted((shared_data / "eval/commoncrawl/cdx_toolkit_mock").glob("*.jsonl")):
        for line in file.read_text().splitlines():
            answer = json.loads(line)
            if "-index" in answer["url"] and '"urlkey"' in answer["response_text"]:
                for capture in map(json.loads, answer["response_text"].splitlines()):
                    assert surt_key(capture["url"]) == capture["urlkey"]
                    keys += 1
    assert keys > 20


@given(st.text(max_size=80))
def test_any_text_has_a_key_without_blanks_that_a_line_of_an_index_can_hold(text):
    key = surt_key(f"http://{text}")
    assert key
    assert key.isascii()
    assert not any(character.isspace() for character in key)


@given(
    st.from_regex(r"[a-z][a-z0-9]{0,8}(\.[a-z][a-z0-9]{0,8}){1,3}", fullmatch=True),
    st.from_regex(r"(/[A-Za-z0-9._~-]{1,5}){0,4}/?", fullmatch=True),
)
def test_scheme_case_www_user_and_fragment_make_no_difference(host, path):
    key = surt_key(f"http://{host}{path}")
    assert surt_key(f"HTTPS://me@www.{host.upper()}{path.upper()}#top") == key
    assert key.startswith(f"{host_key(host)})/")
