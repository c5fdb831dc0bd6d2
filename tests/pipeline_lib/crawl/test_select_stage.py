"""The stage that asks an index: its work list, its account, and the same for every mirror and kind of index."""

import functools
import zlib
from dataclasses import asdict

import pytest
from crawl_index import CRAWL, PlainReader, invented_lines, served, write_table, write_zipnum
from published_stages import publish_stage

from pipeline_lib.crawl.index_query import CrawlSelection, IndexQuery
from pipeline_lib.crawl.select_stage import (
    NothingSelected,
    SelectParameters,
    select_part,
    select_parts,
    work_list_part,
    work_list_parts,
)
from pipeline_lib.crawl.work_list import WorkListParameters
from storage.digests import value_digest
from storage.schemas import SOURCES
from storage.store import Store

SMALL_PARTS = WorkListParameters(max_gap_bytes=6000, part_records=20)


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    root = tmp_path_factory.mktemp("mirror")
    lines = invented_lines()
    write_zipnum(root, CRAWL, [line.text for line in lines], lines_per_member=10)
    write_table(root, CRAWL, lines)
    return root


def select(folder, selection, index, work_list=SMALL_PARTS):
    parameters = SelectParameters(crawl=selection.crawl, index=index, work_list=work_list)
    work = functools.partial(select_part, connect=lambda store: PlainReader())
    return publish_stage(
        Store(str(folder)),
        "select",
        select_parts(selection),
        lambda part, output: work(part, {}, output, parameters),
    )


def ranges_of(stage, base_url):
    return [work_list_part(stage, part).to_pylist() for part in work_list_parts(stage, base_url)]


def test_wanted_records_become_ranges_in_parts_with_addresses_below_the_base_url(mirror, tmp_path):
    selection = CrawlSelection(crawl=CRAWL, base_url=str(mirror))
    index = IndexQuery(kind="cdx", domains=("com",), mimes=())
    stage = select(tmp_path, selection, index)
    wanted = sorted(line.place for line in invented_lines() if line.host.endswith(".com") and line.subset == "warc")
    parts = ranges_of(stage, "https://data.example/")
    assert len(parts) > 2
    assert all(sum(len(each["wanted"]) for each in part) <= 20 for part in parts)
    found = [(each["warc_path"], offset) for part in parts for each in part for offset in each["wanted"]]
    assert found == [place[:2] for place in wanted]
    assert all(each["url"] == f"https://data.example/{each['warc_path']}" for part in parts for each in part)
    metrics = stage.manifest.metrics
    assert metrics["wanted_bytes"] == sum(place[2] for place in wanted)
    assert metrics["wanted_bytes"] + metrics["wasted_bytes"] == metrics["bytes_to_read"]
    assert metrics["wasted_bytes"] > 0


def test_the_account_says_what_became_of_every_capture_of_what_was_asked_for(mirror, tmp_path):
    index = IndexQuery(
        domains=("com",),
        statuses=(200, 301),
        subsets=("warc", "crawldiagnostics"),
        languages=("deu",),
        since="2026-01-10",
        url_regex="^https",
        max_records=3,
    )
    account = select(tmp_path, CrawlSelection(crawl=CRAWL, base_url=str(mirror)), index).manifest.account
    assert (account.unit_in, account.unit_out) == ("captures", "records")
    assert account.documents_in == sum(line.host.endswith(".com") for line in invented_lines())
    assert account.documents_out == 3
    assert set(account.dropped) == {
        *("other_status", "other_mime", "other_language", "outside_dates", "other_url", "over_max_records")
    }


def test_every_kind_of_index_and_every_mirror_gives_the_same_work_list(mirror, tmp_path):
    question = {"domains": ("com",), "max_records": 40, "seed": 7}
    with served(mirror, lines=invented_lines()) as address:
        stages = [
            select(
                tmp_path / f"{kind}-{number}",
                CrawlSelection(crawl=CRAWL, base_url=base_url, index_server=address),
                IndexQuery(kind=kind, **question),
            )
            for kind in ("cdx", "columnar", "api")
            for number, base_url in enumerate([str(mirror), address])
        ]
    assert len({stage.manifest.content_digest("ranges") for stage in stages}) == 1
    assert len({value_digest(stage.manifest.account.as_json()) for stage in stages}) == 1


def test_parameters_do_not_know_where_the_crawl_is():
    parameters = SelectParameters(crawl=CRAWL, index=IndexQuery(hosts=("example.com",), since="2026"))
    assert "http" not in str(asdict(parameters))
    assert value_digest(asdict(parameters))
    with pytest.raises(ValueError, match="expected the id of a crawl"):
        SelectParameters(crawl="latest")


def test_a_mirror_may_be_named_by_a_relative_path(mirror, tmp_path, monkeypatch):
    monkeypatch.chdir(mirror.parent)
    stage = select(tmp_path, CrawlSelection(crawl=CRAWL, base_url=mirror.name), IndexQuery())
    assert ranges_of(stage, mirror.name)[0][0]["url"].startswith(f"{mirror}/crawl-data/")


def test_records_that_an_index_names_twice_are_read_once_and_counted(tmp_path):
    lines = [line.text for line in invented_lines() if line.subset == "warc"]
    write_zipnum(tmp_path / "mirror", CRAWL, sorted([*lines, *lines[:30]]), lines_per_member=10)
    selection = CrawlSelection(crawl=CRAWL, base_url=str(tmp_path / "mirror"))
    account = select(tmp_path, selection, IndexQuery(kind="cdx", mimes=())).manifest.account
    assert account.documents_out == len(lines)
    assert account.dropped == {"duplicate": 30}


def test_a_question_that_nothing_answers_says_what_there_is(mirror, tmp_path):
    selection = CrawlSelection(crawl=CRAWL, base_url=str(mirror))
    with pytest.raises(NothingSelected, match=rf"crawl {CRAWL} has no record.*15 captures .*\(15 other_language\)"):
        select(tmp_path, selection, IndexQuery(kind="cdx", hosts=("zebra.museum",), mimes=(), languages=("jpn",)))
    assert not list(tmp_path.rglob("*.parquet"))


def test_ranges_of_the_mini_crawl_begin_with_the_records_they_name(shared_data, tmp_path):
    base_url = str(shared_data / "minicc")
    selection = CrawlSelection(crawl="CC-MAIN-2025-00", base_url=base_url)
    index = IndexQuery(kind="cdx", domains=("fr", "de"), max_records=60)
    stage = select(tmp_path, selection, index, WorkListParameters(max_gap_bytes=20_000, part_records=25))
    parts = ranges_of(stage, base_url)
    assert [sum(len(each["wanted"]) for each in part) for part in parts] == [25, 25, 10]
    reader = PlainReader()
    for part in parts:
        for each in part:
            content = reader.read(each["url"], each["position"], each["length"])
            assert len(content) == each["length"]
            for offset in each["wanted"]:
                record = zlib.decompressobj(wbits=31).decompress(content[offset - each["offset"] :])
                assert record.startswith(b"WARC/1.0\r\n")
                assert b"\r\nWARC-Type: response\r\n" in record.partition(b"\r\n\r\n")[0] + b"\r\n"
    metrics = stage.manifest.metrics
    assert metrics["ranges"] < 60
    assert metrics["wasted_bytes"] <= 20_000 * 60


def test_the_published_tables_are_sources(mirror, tmp_path):
    stage = select(tmp_path, CrawlSelection(crawl=CRAWL, base_url=str(mirror)), IndexQuery(mimes=()))
    for part in work_list_parts(stage, "x"):
        table = stage.read("ranges", part.name, SOURCES)
        assert table["url"].to_pylist() == table["warc_path"].to_pylist()
        assert table["position"].to_pylist() == table["offset"].to_pylist()
