"""What a person means by a word, and the one form in which it stands on the list."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.dedup.canonical_url import canonical_url
from pipeline_lib.withdrawn.targets import UnclearTarget, canonical_host, parse_target, spellings
from storage.exclusions import Exclusion


@pytest.mark.parametrize(
    ("word", "kind", "value"),
    [
        # a page: a scheme, or a path behind a host
        ("https://www.Example.org/page/?utm_source=x#part", "url", "example.org/page"),
        ("http://example.org/page", "url", "example.org/page"),
        ("example.org/page", "url", "example.org/page"),
        ("example.org/", "url", "example.org/"),
        ("example.org?id=1", "url", "example.org/?id=1"),
        ("https://me:secret@example.org:443/a", "url", "example.org/a"),
        ("https://example.org:8080/a", "url", "example.org:8080/a"),
        ("https://bücher.example/ä", "url", "xn--bcher-kva.example/%C3%A4"),
        ("https://BÜCHER.example/", "url", "xn--bcher-kva.example/"),
        ("http://[2001:DB8::1]/a", "url", "[2001:db8::1]/a"),
        ("https://example.org/data.jsonl.gz", "url", "example.org/data.jsonl.gz"),
        ("dns://example.org", "url", "dns://example.org"),  # none of http: to the letter
        # a domain: a bare host
        ("example.org", "domain", "example.org"),
        (" WWW.Example.ORG. ", "domain", "www.example.org"),
        ("a_b.example.org", "domain", "a_b.example.org"),
        ("bücher.example", "domain", "xn--bcher-kva.example"),
        ("github.io", "domain", "github.io"),  # registered by somebody, though many publish below it
        ("192.0.2.1", "domain", "192.0.2.1"),
        ("[2001:DB8:0::1]", "domain", "2001:db8::1"),
        ("2001:db8::1", "domain", "2001:db8::1"),
        # a file: its logical path
        ("crawl-data/C/segments/1/warc/a.warc.gz", "file", "crawl-data/C/segments/1/warc/a.warc.gz"),
        ("s3://commoncrawl/crawl-data/C/a.warc.gz", "file", "crawl-data/C/a.warc.gz"),
        ("https://data.commoncrawl.org/crawl-data/C/a.warc.gz?x=1", "file", "crawl-data/C/a.warc.gz"),
        ("/mnt/crawl-data/C/a.warc.wet.gz", "file", "crawl-data/C/a.warc.wet.gz"),
        ("texts.jsonl.zst", "file", "texts.jsonl.zst"),
        ("./docs/texts.parquet", "file", "docs/texts.parquet"),
        ("s3://mine/texts", "file", "s3://mine/texts"),
    ],
)
def test_a_word_is_what_it_looks_like(word: str, kind: str, value: str) -> None:
    assert parse_target(word) == Exclusion(kind, value)


@pytest.mark.parametrize(
    ("word", "kind", "value"),
    [
        ("localhost", "domain", "localhost"),
        ("docs.v1/a.jsonl", "file", "docs.v1/a.jsonl"),
        ("example.org", "url", "example.org/"),
        ("example.gz", "url", "example.gz/"),
    ],
)
def test_a_word_can_be_said_to_be_something_else(word: str, kind: str, value: str) -> None:
    assert parse_target(word, kind) == Exclusion(kind, value)


@pytest.mark.parametrize(
    ("word", "kind", "message"),
    [
        ("", None, "neither a page"),
        ("localhost", None, "neither a page .* --as url, domain or file"),
        ("an example", None, "neither a page"),
        ("1.2.3", None, "neither a page"),
        ("com", "domain", "public suffix"),
        ("co.uk", None, "public suffix: below it are the sites of everybody"),
        ("xn--p1ai", "domain", "public suffix"),
        ("*.example.org", "domain", "give 'example.org'"),
        ("example.org:80", "domain", "all its ports; give 'example.org'"),
        ("https://example.org", "domain", "expected a host alone"),
        ("me@example.org", "domain", "expected a host alone"),
        ("-a.example.org", "domain", "expected letters, digits and hyphens"),
        ("a..example.org", "domain", "expected letters, digits and hyphens"),
        (f"{'a.' * 130}org", "domain", "expected letters, digits and hyphens"),
        ("1.2.3", "domain", "ends in a number, and is no IPv4 address"),
        ("2.0x1", "domain", "ends in a number"),
        ("1::2::3", "domain", "no IPv6 address"),
        ("http://", None, "no URL of a page"),
        ("http://a b/", None, "no URL of a page"),
        ("docs/", "file", "is no file"),
    ],
)
def test_what_is_unclear_is_refused_with_what_would_do(word: str, kind: str | None, message: str) -> None:
    with pytest.raises(UnclearTarget, match=message):
        parse_target(word, kind)


labels = st.sampled_from(["a", "www", "bücher", "xn--bcher-kva", "例え", "a-b", "xn--", "xn--a", "xn--99999999"])
hosts = st.lists(labels, min_size=2, max_size=4).map(".".join)


@given(hosts, st.sampled_from(["", ":8080", ":80"]), st.sampled_from(["", "/", "/a?b=1", "/ü%20"]))
def test_a_page_is_its_own_canonical_form_and_has_it_among_its_spellings(host: str, port: str, path: str) -> None:
    page = parse_target(f"http://{host}{port}{path}")
    assert parse_target(f"https://{page.value}") == page
    forms = [canonical_url(url) for url in spellings(page.value)]
    assert canonical_url(f"http://{host}{port}{path}") in forms or "--" in host  # undecodable ones are as they are
    assert page.value in forms


@given(st.text(max_size=40) | hosts)
def test_any_word_is_something_or_refused(word: str) -> None:
    try:
        found = parse_target(word)
    except UnclearTarget:
        return
    assert parse_target(found.value, found.kind) == found


@given(st.text(max_size=30))
def test_a_host_is_its_own_canonical_form(host: str) -> None:
    assert canonical_host(canonical_host(host)) == canonical_host(host)
