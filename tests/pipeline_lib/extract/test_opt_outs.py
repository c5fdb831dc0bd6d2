"""Opt-outs on the archived record, as the specifications write them."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.extract.head_tags import head_tags
from pipeline_lib.extract.opt_outs import (
    OptOutParameters,
    check_opt_out_lists,
    domain_opt_out,
    header_opt_out,
    meta_opt_out,
    meta_words,
)
from storage.wrong_request import WrongRequest

DEFAULTS = OptOutParameters()


@pytest.mark.parametrize(
    ("value", "is_out"),
    [
        ("noai", True),
        ("NoAI", True),
        ("noindex", True),
        ("none", True),
        ("noarchive", True),
        ("nofollow, noindex", True),
        ("noindex,nofollow", True),
        ("nofollow", False),
        ("all", False),
        ("index, follow", False),
        ("nosnippet", False),  # not among the defaults
        ("noimageai", False),
        ("googlebot: noindex", False),  # for another agent
        ("googlebot: nofollow, noindex", False),  # an agent's name goes for all that follows
        ("ccbot: noindex", True),
        ("CCBot : noai", True),
        ("googlebot: nofollow, ccbot: noindex", True),
        ("ccbot: nofollow, googlebot: noindex", False),
        ("googlebot: noindex\nnoai", True),  # two headers
        ("noai\ngooglebot: nofollow", True),
        ("max-snippet: 20, noindex", True),  # a directive with a value is no agent
        ("unavailable_after: 25 Jun 2010 15:00:00 PST", False),
        ("unavailable_after: 25 Jun 2010 15:00:00 PST, noai", True),
        ("noindexing", False),
        ("", False),
    ],
)
def test_robots_headers_opt_out_everybody_or_the_agents_they_name(value, is_out):
    found = header_opt_out({"x-robots-tag": value}, DEFAULTS)
    assert found == ("opt_out_robots_header" if is_out else None)


@pytest.mark.parametrize(
    ("value", "is_out"), [("1", True), (" 1 ", True), ("0", False), ("", False), ("10", False), ("0, 1", True)]
)
def test_rights_to_mining_are_reserved_by_header(value, is_out):
    headers = {"tdm-reservation": value}
    assert header_opt_out(headers, DEFAULTS) == ("opt_out_tdm_header" if is_out else None)
    assert header_opt_out(headers, OptOutParameters(tdm=False)) is None


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ('<meta name="robots" content="noindex">', "opt_out_robots_meta"),
        ("<META CONTENT='NOINDEX, NOFOLLOW' NAME=Robots />", "opt_out_robots_meta"),
        ("<meta content=noai name=robots>", "opt_out_robots_meta"),
        ("<meta name=ccbot content=noarchive>", "opt_out_robots_meta"),
        ("<meta name=googlebot content=noindex>", None),
        ("<meta name=robots content='index, follow'>", None),
        ("<meta name=robots content='no&#105;ndex'>", "opt_out_robots_meta"),
        ("<meta name=description content='noindex > noai'>", None),
        ("<meta name=description content='a > b'><meta name=robots content=noai>", "opt_out_robots_meta"),
        ("<meta name=tdm-reservation content=1>", "opt_out_tdm_meta"),
        ("<meta name='TDM-Reservation' content=' 1 '>", "opt_out_tdm_meta"),
        ("<meta name=tdm-reservation content=0>", None),
        ("<meta name=tdm-reservation content=1><meta name=robots content=noai>", "opt_out_robots_meta"),
        ("<!-- <meta name=robots content=noindex> -->", None),
        ("<!--><meta name=robots content=noindex>", "opt_out_robots_meta"),  # an empty comment
        ("<script>'<meta name=robots content=noindex>'</script>", None),
        ("<title><meta name=robots content=noindex></title>", None),
        ("<style>" + "p{} " * 100_000 + "</style><meta name=robots content=noindex>", "opt_out_robots_meta"),
        ("<noscript><meta name=robots content=noindex></noscript>", "opt_out_robots_meta"),
        ("</head><body><p>How to: <code><meta name=robots content=noindex></code>", None),
        ("<metadata name=robots content=noindex>", None),
        ("<meta name=robots name=x content=noindex content=all>", "opt_out_robots_meta"),  # the first counts
        ("<meta name=robots", None),
        ("<meta name=robots content='noindex", None),
    ],
)
def test_robots_and_reservations_are_read_from_the_head(head, expected):
    page = f"<!doctype html><html><head>{head}"
    assert meta_opt_out(head_tags(page), DEFAULTS) == expected
    assert meta_opt_out(head_tags(page, meta_words(DEFAULTS)), DEFAULTS) == expected


def test_the_parameters_say_which_directives_and_agents_count():
    parameters = OptOutParameters(directives=("nosnippet",), agents=("GPTBot",))
    assert header_opt_out({"x-robots-tag": "noindex"}, parameters) is None
    assert header_opt_out({"x-robots-tag": "nosnippet"}, parameters) == "opt_out_robots_header"
    assert header_opt_out({"x-robots-tag": "gptbot: nosnippet"}, parameters) == "opt_out_robots_header"
    assert header_opt_out({"x-robots-tag": "ccbot: nosnippet"}, parameters) is None
    assert meta_opt_out(head_tags("<meta name=gptbot content=nosnippet>"), parameters) == "opt_out_robots_meta"
    nothing = OptOutParameters(directives=(), tdm=False)
    assert header_opt_out({"x-robots-tag": "noai", "tdm-reservation": "1"}, nothing) is None


@pytest.mark.parametrize(
    "page",
    [
        "<!--" * 300_000,
        "<meta " * 200_000,
        '<meta a="' * 120_000,
        "<meta " + "a=1 " * 300_000,
        "<script>" * 150_000,
        "<title>" * 100_000 + "</titl" * 100_000,
        "<link rel='" + "&amp;" * 250_000,
        "<" * 1_000_000,
    ],
)
def test_no_head_takes_long(page):
    began = time.process_time()
    head_tags(page)
    head_tags(page, meta_words(DEFAULTS))
    assert time.process_time() - began < 2.0


@given(st.text(alphabet="<>!-/ ='\"ametlinkscrptbody&#;\n", max_size=300))
def test_any_head_is_read(page):
    assert {tag.name for tag in [*head_tags(page), *head_tags(page, ("a",))]} <= {"meta", "link"}


@pytest.fixture
def listed(tmp_path):
    path = tmp_path / "domains.txt"
    path.write_text("# asked us by mail\nexample.org\n.bücher.example\n")
    return str(path)


@pytest.mark.parametrize(
    ("host", "is_out"),
    [
        ("example.org", True),
        ("www.deep.example.org", True),
        ("notexample.org", False),
        ("org", False),
        ("xn--bcher-kva.example", True),
        ("www.bücher.example", True),
        ("inline.example", True),
        ("a.inline.example", True),
        ("example", False),
        ("", False),
        ("." * 300, False),
    ],
)
def test_listed_domains_opt_out_with_all_hosts_below_them(host, is_out, listed):
    parameters = OptOutParameters(domains=("Inline.example",), domain_files=(listed,))
    assert domain_opt_out(host, parameters) == ("opt_out_domain" if is_out else None)


def test_lists_have_a_digest_and_wrong_ones_are_refused(listed, tmp_path):
    [(name, digest)] = check_opt_out_lists(OptOutParameters(domain_files=(listed,))).items()
    assert name.endswith("domains.txt")
    assert len(digest) == 64
    assert check_opt_out_lists(DEFAULTS) == {}
    with pytest.raises(WrongRequest, match="there is no file"):
        check_opt_out_lists(OptOutParameters(domain_files=(str(tmp_path / "none.txt"),)))
    wrong = tmp_path / "urls.txt"
    wrong.write_text("https://example.org/page\n")
    with pytest.raises(WrongRequest, match="line 1: expected one domain"):
        check_opt_out_lists(OptOutParameters(domain_files=(str(wrong),)))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"directives": ("no-ai",)}, "directives has 'no-ai'"),
        ({"directives": ("max-snippet",)}, "directives has 'max-snippet'"),
        ({"agents": ("cc bot",)}, "agents has 'cc bot'"),
        ({"domains": ("https://a.example/",)}, "domains has"),
        ({"domains": (".",)}, "domains has"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        OptOutParameters(**parameters)
