import json
from gzip import open as gzip_open
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.filters.conditions import measured_part
from pipeline_lib.filters.rules.url import SIGNALS, UrlRules, check_lists, lists_digest, measure
from storage.wrong_request import WrongRequest

HARD = ("porn", "xxx")
SOFT = ("cam", "adult", "live")
SUB = ("casino", "bet365")


def a_list(path: Path, *lines: str) -> str:
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return str(path)


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> UrlRules:
    folder = tmp_path_factory.mktemp("lists")
    return UrlRules(
        domains=(
            a_list(
                folder / "domains",
                "# domains",
                "",
                "bad.com",
                "Worse.co.uk",
                "blog.fine.org",
                "203.0.113.7",
                "bücher.example",
                ".dotted.net.",
            ),
        ),
        urls=(a_list(folder / "urls", "https://fine.org/Page?a=1", "fine.org/other"),),
        hard_words=(a_list(folder / "hard", *HARD),),
        soft_words=(a_list(folder / "soft", *SOFT),),
        sub_words=(a_list(folder / "sub", "Casino", "# comment", "bet-365"),),
    )


def reasons(urls: list[str | None], rules: UrlRules) -> list[str | None]:
    """The first reason, if any, for which each URL is dropped."""
    signals = pl.DataFrame(measure(pa.chunked_array([pa.array(urls, pa.string())]), rules))
    broken = [pl.when(each.broken()).then(pl.lit(each.rule.removeprefix("url."))) for each in rules.conditions()]
    return signals.with_columns(reason=pl.coalesce(*broken, pl.lit(None, pl.String)))["reason"].to_list()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://fine.org/", None),
        ("https://bad.com/", "listed_domain"),
        ("http://www.a.b.bad.com:8080/x", "listed_domain"),
        ("https://user:pw@bad.com/", "listed_domain"),
        ("https://bad.com@fine.org/", None),  # the user is bad.com, the host is not
        ("https://BAD.com./", "listed_domain"),
        ("//bad.com/x", "listed_domain"),
        ("bad.com/x", "listed_domain"),  # no scheme
        ("https://notbad.com/", None),
        ("https://fine.org/?next=bad.com", None),
        ("https://news.worse.co.uk", "listed_domain"),
        ("https://co.uk/", None),
        ("https://blog.fine.org/x", "listed_host"),
        ("https://a.blog.fine.org/x", None),  # neither the registered domain nor the host: datatrove's way
        ("http://203.0.113.7:81/", "listed_host"),  # datatrove finds no address
        ("http://203.0.113.8/", None),
        ("http://[2001:db8::1]:80/porn", "hard_words"),
        ("https://shop.dotted.net", "listed_domain"),
        ("https://bücher.example/", "listed_host"),  # `example` is no public suffix
        ("https://xn--bcher-kva.example/", "listed_host"),
        ("https://BÜCHER.example/", "listed_host"),
        ("https://fine.org/page?a=1", "listed_url"),
        ("https://fine.org/page?a=12", None),
        ("http://fine.org/other", "listed_url"),
        ("https://fine.org/other", "listed_url"),
        ("https://fine.org/other/", None),
        ("https://fine.org/porn", "hard_words"),
        ("https://fine.org/xxx-rated", "hard_words"),
        ("https://fine.org/xxxx", None),
        ("https://fine.org/cam", None),
        ("https://fine.org/cam/cam", None),  # one word, twice
        ("https://fine.org/live_cam", "soft_words"),
        ("https://fine.org/adult-live.cam", "soft_words"),
        ("https://fine.org/livecam", None),
        ("https://supercasino365.org", "sub_words"),
        ("https://fine.org/Ca-s/ino", "sub_words"),  # everything but letters and digits is passed over
        ("https://fine.org/bet365", "sub_words"),
        ("https://fine.org/bet36", None),
        ("https://bad.com/porn/live/cam", "listed_domain"),  # the first of datatrove's order
        ("https://fine.org/porn/casino/live/cam", "hard_words"),
        ("https://fine.org/casino/live/cam", "soft_words"),
        ("", None),
        (None, None),
        ("http://", None),
        ("data:text/plain,porn", "hard_words"),
        ("https://fine.org/\x00porn\x00", "hard_words"),
        ("https://fine.org/ｐｏｒｎ", None),  # fullwidth letters are none of ASCII's
    ],
)
def test_a_url_goes_for_the_first_reason_in_datatroves_order(
    url: str | None, reason: str | None, rules: UrlRules
) -> None:
    assert reasons([url], rules) == [reason]


@pytest.mark.parametrize("url", ["https://fine.org/PORN", "https://fine.org/Live/CAM", "https://fine.org/CASINO"])
def test_upper_case_does_not_hide_a_word(url: str, rules: UrlRules) -> None:
    """In datatrove the first two pass: it lower-cases its words, and of the URL only what it searches for sub words."""
    lower, upper = reasons([url.lower(), url], rules)
    assert lower is not None
    assert upper == lower


def test_words_can_be_looked_for_across_hyphens_and_dots_only(rules: UrlRules) -> None:
    strict = UrlRules(sub_words=rules.sub_words, sub_words_across="hyphens_and_dots")
    urls: list[str | None] = ["https://fine.org/ca-si.no", "https://fine.org/ca/sino", "https://fine.org/BET.365"]
    assert reasons(urls, strict) == ["sub_words", None, "sub_words"]
    assert reasons(urls, rules) == ["sub_words"] * 3


def test_thresholds_decide_and_do_not_measure(rules: UrlRules) -> None:
    lenient = UrlRules(
        **{name: getattr(rules, name) for name in UrlRules.MEASURED},
        drop_listed_domains=False,
        max_hard_words=None,
        max_soft_words=2,
    )
    assert measured_part(lenient) == measured_part(rules)
    urls: list[str | None] = ["https://bad.com/porn/live/cam", "https://fine.org/live/cam/adult"]
    assert reasons(urls, lenient) == ["listed_host", "soft_words"]


def test_without_lists_nothing_is_listed_and_nothing_dropped() -> None:
    signals = measure(pa.chunked_array([["https://bad.com/porn"]]), UrlRules())
    assert {name: values.tolist() for name, values in signals.items()} == {name: [0.0] for name in SIGNALS}
    assert len(measure(pa.chunked_array([pa.array([], pa.string())]), UrlRules())["url_listed_domain"]) == 0


PIECES = (
    "http://|https://|//|bad.com|BAD.COM|fine.org|blog.fine.org|203.0.113.7|[::1]|:80|user@|/|?|#|-|.|_| |é|ü|\x00"
    "|\u0301|\u202e|\u212a|猫|porn|PORN|xxx|cam|adult|live|casi|no|bet|365"
)


@given(
    st.lists(
        st.lists(st.sampled_from(PIECES.split("|")) | st.characters(codec="utf-8"), max_size=12).map("".join),
        max_size=5,
    )
)
def test_words_are_counted_as_a_plain_reading_of_the_rules_would(rules: UrlRules, urls: list[str]) -> None:
    column = pa.chunked_array([pa.array(["cut off", *urls], pa.large_string()).slice(1)])
    signals = measure(column, rules)
    for i, url in enumerate(urls):
        kept = [character.lower() if character.isascii() and character.isalnum() else " " for character in url]
        pieces = "".join(kept).split()
        assert signals["url_num_hard_words"][i] == sum(word in pieces for word in HARD)
        assert signals["url_num_soft_words"][i] == sum(word in pieces for word in SOFT)
        assert signals["url_num_sub_words"][i] == sum(word in "".join(pieces) for word in SUB)


def test_the_digest_follows_what_a_list_says_and_not_where_it_lies(tmp_path: Path) -> None:
    for name in ("here", "there"):
        (tmp_path / name / "adult").mkdir(parents=True)
        (tmp_path / name / "games").mkdir()
        a_list(tmp_path / name / "adult" / "domains", "bad.com")
        a_list(tmp_path / name / "games" / "domains", "play.com")
        a_list(tmp_path / name / "words", "porn")
    here, there = (
        UrlRules(domains=(f"{tmp_path}/{name}/*/domains",), hard_words=(f"{tmp_path}/{name}/words",))
        for name in ("here", "there")
    )
    before = lists_digest(here)
    assert before == lists_digest(there)
    assert list(before) == ["filters.url.domains/domains", "filters.url.hard_words/words"]

    assert reasons(["https://play.com", "https://new.com"], here) == ["listed_domain", None]
    a_list(tmp_path / "here" / "games" / "domains", "new.com")
    assert lists_digest(here) != before
    assert reasons(["https://play.com", "https://new.com"], here) == [None, "listed_domain"]  # read anew


def test_a_wrong_list_is_named_by_key_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "words"
    path.write_text("fine\n# comment\nдом\n", "utf-8")
    with pytest.raises(WrongRequest, match=r"filters\.url\.soft_words: .*words, line 3: 'дом'"):
        check_lists(UrlRules(soft_words=(str(path),)))
    path.write_text("fine.org\n0.0.0.0 bad.com\n")
    with pytest.raises(WrongRequest, match=r"filters\.url\.domains: .*words, line 2: expected one domain"):
        check_lists(UrlRules(domains=(str(path),)))


def test_real_lists_flag_what_datatrove_flags_in_real_urls(shared_data: Path) -> None:
    """Counts by datatrove 0.10.1 `URLFilter` with the same lists, over the lower-cased URLs of the index."""
    lists = shared_data / "eval" / "filters"
    if not lists.is_dir():
        pytest.skip("needs ../shared/data/eval/filters: real lists")
    rules = UrlRules(
        domains=(f"{lists}/ut1/*",),
        hard_words=(f"{lists}/refinedweb/banned_words.txt",),
        soft_words=(f"{lists}/refinedweb/soft_banned_words.txt",),
        sub_words=(f"{lists}/refinedweb/banned_subwords.txt",),
    )
    urls: set[str] = set()
    for index in sorted((shared_data / "minicc" / "cc-index").rglob("cdx-*.gz")):
        with gzip_open(index, "rt", encoding="utf-8") as lines:
            urls |= {json.loads(line.split(" ", 2)[2])["url"].lower() for line in lines}
    found = pl.Series(reasons(sorted(urls), rules), dtype=pl.String).drop_nulls().value_counts().sort("count")
    assert dict(found.iter_rows()) == {"listed_domain": 97, "listed_host": 3, "hard_words": 2}
    assert len(urls) == 7060


def test_domains_may_be_named_in_the_rules_themselves() -> None:
    rules = UrlRules(excluded_domains=("Wikipedia.org", "news.ycombinator.com"))
    urls = ["https://en.wikipedia.org/wiki/Mill", "https://news.ycombinator.com/", "https://ycombinator.com/", ""]
    signals = measure(pa.chunked_array([pa.array(urls)]), rules)
    assert signals["url_listed_domain"].tolist() == [1, 0, 0, 0]
    assert signals["url_listed_host"].tolist() == [0, 1, 0, 0]
