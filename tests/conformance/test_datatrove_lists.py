"""Our decisions and reasons about URLs and bad words beside those of datatrove's own filters, with real lists.

URLs: those of the mini crawl, and more made of them and of what the lists hold, since few real ones are listed.
Texts: the pages of the mini crawl. What anybody can check without the peer stands in
`tests/pipeline_lib/filters/test_url_rules.py` and `test_bad_words.py`.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from peer_agreement import NEEDS_PEERS, Reasons, WriteLines, report
from peer_process import PeerProcess
from tldextract import TLDExtract

from pipeline_lib.filters.decide import rejected_by
from pipeline_lib.filters.rules import bad_words, url
from pipeline_lib.filters.rules.bad_words import BadWordsRules
from pipeline_lib.filters.rules.url import UrlRules
from pipeline_lib.filters.texts import Texts

pytestmark = NEEDS_PEERS

REASONS = {
    "domain": "url.listed_domain",
    "subdomain": "url.listed_host",
    "url": "url.listed_url",
    "hard_blacklisted": "url.hard_words",
    "soft_blacklisted": "url.soft_words",
    "blacklisted_subword": "url.sub_words",
}

# Our rules and datatrove's names of the same lists.
LISTS = {
    "domains": ("extra_domains", "ut1/*"),
    "hard_words": ("banned_words", "refinedweb/banned_words.txt"),
    "soft_words": ("soft_banned_words", "refinedweb/soft_banned_words.txt"),
    "sub_words": ("banned_subwords", "refinedweb/banned_subwords.txt"),
}

NUM_MADE = 40_000

SUFFIXES = TLDExtract(cache_dir=None, suffix_list_urls=())


@pytest.fixture(scope="module")
def peer() -> Iterator[PeerProcess]:
    with PeerProcess("datatrove_urls.py") as process:
        yield process


@pytest.fixture(scope="module")
def lists(shared_data: Path) -> Path:
    return shared_data / "eval" / "filters"


@pytest.fixture(scope="module")
def plain_lists(documents: pa.Table, lists: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """The lists unpacked, without blank lines, which datatrove takes for entries; and some of the crawl's URLs."""
    folder = tmp_path_factory.mktemp("lists")
    plain: dict[str, list[Path]] = {}
    for name, (_, pattern) in LISTS.items():
        for path in sorted(lists.glob(pattern)):
            with pa.input_stream(path, compression="detect") as stream:
                lines = stream.read().decode().splitlines()
            target = folder / path.name
            target.write_text("".join(f"{line}\n" for line in lines if line.strip()), encoding="utf-8")
            plain.setdefault(name, []).append(target)
    listed = folder / "urls.txt"
    # whole, since without a scheme none ever matches there
    listed.write_text("".join(f"{each.lower()}\n" for each in documents["url"].to_pylist()[::50]), encoding="utf-8")
    return {**plain, "urls": [listed]}


@pytest.fixture(scope="module")
def urls(documents: pa.Table, plain_lists: dict[str, list[Path]]) -> list[str]:
    """URLs of the mini crawl, then made ones: on listed hosts, and with listed words whole, in parts and within."""
    entries = {
        name: [line for path in paths for line in path.read_text(encoding="utf-8").splitlines() if line[0] != "#"]
        for name, paths in plain_lists.items()
    }
    words = [*entries["hard_words"], *entries["soft_words"], *entries["sub_words"]]
    real: list[str] = documents["url"].to_pylist()
    draw = random.Random(1)
    made = []
    for k in range(NUM_MADE):
        page, word, other = draw.choice(real).rstrip("/"), draw.choice(words), draw.choice(words)
        word = draw.choice([word, word.upper()])
        mark, cut = draw.choice("/-_.=é"), draw.randrange(len(word) + 1)
        host = draw.choice(["", "www.", "a.b."]) + draw.choice(entries["domains"])
        made.append(
            [
                f"{draw.choice(['http', 'https'])}://{host}{draw.choice(['', '/', '/x?y=1', ':8080/'])}",
                f"{page}{mark}{word}{mark}{other}",
                f"{page}{word}",
                f"{page}/{word[:cut]}{mark}{word[cut:]}",
            ][k % 4]
        )
    return [*real, *made]


def ours(urls: list[str], lists: Path, plain_lists: dict[str, list[Path]]) -> Reasons:
    files = {name: (str(lists / pattern),) for name, (_, pattern) in LISTS.items()}
    rules = UrlRules(**files, urls=tuple(map(str, plain_lists["urls"])))
    signals = pl.DataFrame(url.measure(pa.chunked_array([pa.array(urls, pa.large_string())]), rules))
    found: Reasons = signals.select(rejected_by(rules.conditions())).to_series().to_list()
    return found


def theirs(urls: list[str], plain_lists: dict[str, list[Path]], write_lines: WriteLines, peer: PeerProcess) -> Reasons:
    answer = peer.ask(
        documents=write_lines("url", urls),
        field="url",
        lists={
            "extra_urls": list(map(str, plain_lists["urls"])),
            **{list_name: list(map(str, plain_lists[rule])) for rule, (list_name, _) in LISTS.items()},
        },
    )
    return [None if reason is None else REASONS[reason] for reason in answer["reasons"]]


def test_no_reason_differs_for_urls_in_lower_case_but_for_listed_hosts_without_a_public_suffix(
    urls: list[str], lists: Path, plain_lists: dict[str, list[Path]], write_lines: WriteLines, peer: PeerProcess
) -> None:
    lower = [each.lower() for each in urls]
    mine, other = ours(lower, lists, plain_lists), theirs(lower, plain_lists, write_lines, peer)
    num_real = len(urls) - NUM_MADE
    assert report("url, mini crawl", mine[:num_real], other[:num_real]) == 0

    report("url, made", mine[num_real:], other[num_real:])
    for each, reason, their_reason in zip(lower, mine, other, strict=True):
        if reason != their_reason:
            assert reason == "url.listed_host"
            assert SUFFIXES(each).fqdn == ""


def test_where_capitals_are_kept_only_urls_with_some_differ_more_and_ours_not_at_all(
    urls: list[str], lists: Path, plain_lists: dict[str, list[Path]], write_lines: WriteLines, peer: PeerProcess
) -> None:
    mine, other = ours(urls, lists, plain_lists), theirs(urls, plain_lists, write_lines, peer)
    report("url, case kept", mine, other)
    assert mine == ours([each.lower() for each in urls], lists, plain_lists)
    for each, reason, their_reason in zip(urls, mine, other, strict=True):
        assert reason == their_reason or each != each.lower() or SUFFIXES(each).fqdn == ""


def test_no_page_differs_in_whether_it_has_bad_words_of_its_language(
    documents: pa.Table, lists: Path, write_lines: WriteLines
) -> None:
    labels = documents["language"].to_pylist()
    rules = BadWordsRules(folder=str(lists / "ldnoobw"))
    counts = bad_words.measure(Texts(documents["text"]), rules, documents["language"])["bad_words_count"]
    with PeerProcess("datatrove_bad_words.py") as peer:
        for language in sorted({path.name for path in (lists / "ldnoobw").iterdir()} & set(labels)):
            rows = [k for k, label in enumerate(labels) if label == language]
            texts = documents["text"].take(rows).to_pylist()
            path = write_lines("text", texts)
            answer = peer.ask(documents=path, folder=str(lists / "ldnoobw"), language=language)
            reason = "bad_words.too_many"
            mine = [reason if counts[k] > 0 else None for k in rows]
            other = [reason if dropped else None for dropped in answer["dropped"]]
            assert report(f"bad_words, {language}", mine, other) == 0
