"""The fetch stage on a selection of records and on servers that fail: what is kept, checked, lost and counted."""

import gzip
import io
import random

import pyarrow as pa
import pytest
from crawl_server import CrawlServer, storm
from published_stages import publish_stage, publish_tables

from pipeline_lib.crawl.fetch_stage import fetch_part, fetch_parts
from pipeline_lib.crawl.fetching import FetchParameters, open_range
from pipeline_lib.crawl.listing import SourceError, list_sources
from pipeline_lib.crawl.remote import FetchFailed, Remote
from pipeline_lib.crawl.warc_records import read_records
from pipeline_lib.crawl.warc_writing import Capture, write_warc
from storage.manifests import Part
from storage.schemas import LOST_SOURCES, SOURCES
from storage.store import Store

READER = Remote(FetchParameters(max_attempts=2, backoff_seconds=0.01))

NAME = "crawl-data/C/segments/1/warc/a.warc.gz"
OTHER = "crawl-data/C/segments/1/warc/b.warc.gz"


def warc_file(seed, pages=12):
    """A WARC file with a record a gzip member, and digests; its bytes and where each page begins and how long it is."""
    captures = [
        Capture(
            address=f"http://{seed}.example/{number}",
            status="200 OK",
            headers=(("Content-Type", "text/html"),),
            body=f"<p>{seed} {number} {random.Random(number).randbytes(400).hex()}</p>".encode(),
        )
        for number in range(pages)
    ]
    stream = io.BytesIO()
    write_warc(stream, "C", 0, captures)
    stream.seek(0)
    records = [record for record in read_records(stream) if record.record_type == "response"]
    return stream.getvalue(), [(record.offset, record.length) for record in records]


CONTENT, PLACES = warc_file("a")
OTHER_CONTENT, OTHER_PLACES = warc_file("b")


@pytest.fixture
def crawl(tmp_path):
    folder = tmp_path / "crawl"
    for name, content in ((NAME, CONTENT), (OTHER, OTHER_CONTENT)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "store"))


@pytest.fixture
def quick(tmp_path):
    def parameters(**changes):
        return FetchParameters(
            **{
                "requests_per_second": 2000,
                "timeout_seconds": 0.3,
                "max_attempts": 20,
                "give_up_seconds": 30,
                "backoff_seconds": 0.004,
                "pace_folder": str(tmp_path / "pace"),
                **changes,
            }
        )

    return parameters


def row(url, name, begin, length, wanted=None):
    return {
        "kind": "warc",
        "warc_path": name,
        "url": f"{url}/{name}",
        "position": begin,
        "offset": begin,
        "length": length,
        "wanted": wanted,
        "bytes": -1,
        "fingerprint": "",
    }


def selection(url):
    """Ranges of two files: two neighbours in one, with records between that nobody wants, then single records."""
    first, last = PLACES[2], PLACES[4]
    return [
        row(url, NAME, first[0], last[0] + last[1] - first[0], [first[0], last[0]]),
        row(url, NAME, *PLACES[9]),
        row(url, OTHER, *OTHER_PLACES[0], wanted=[OTHER_PLACES[0][0]]),
    ]


def fetch_selection(store, rows, parameters):
    """Run the fetch stage on a selection of one part; the published stage."""
    part = "part-00000"
    server = rows[0]["url"].removesuffix(f"/{rows[0]['warc_path']}")
    listed = [{**each, "url": each["warc_path"]} for each in rows]
    tables = {part: {"ranges": (pa.Table.from_pylist(listed, schema=SOURCES), SOURCES)}}
    selected = publish_tables(store, "select", tables)
    return publish_stage(
        store,
        "fetch",
        [Part(name=part, source={"ranges": part, "base_url": server})],
        lambda part, output: fetch_part(part, {"select": selected}, output, parameters),
    )


def bytes_of(row):
    content = CONTENT if row["warc_path"] == NAME else OTHER_CONTENT
    return content[row["offset"] : row["offset"] + row["length"]]


@pytest.mark.parametrize("mode", ["stream", "keep"])
@pytest.mark.parametrize("share", [0.0, 0.3])
def test_ranges_read_the_same_streamed_or_kept_in_calm_and_storm(crawl, store, quick, mode, share):
    with CrawlServer(crawl, faults=storm(share), seed=3, stall_seconds=0.5) as server:
        parameters = quick(mode=mode)
        stage = fetch_selection(store, selection(server.url), parameters)
        rows = stage.read("sources", "part-00000", SOURCES).to_pylist()
        for found, given in zip(rows, selection(server.url), strict=True):
            assert {**found, "url": "", "position": 0} == {**given, "url": "", "position": 0}
            with open_range(Remote(parameters, store), found) as stream:
                assert stream.read() == bytes_of(given)
    assert stage.manifest.account.documents_out == 3
    assert stage.manifest.account.unit_in == "ranges"
    assert stage.manifest.metrics["digest_mismatches" if mode == "keep" else "bytes"] >= 0


def test_kept_ranges_stand_in_one_file_and_need_no_network_any_more(crawl, store, quick):
    with CrawlServer(crawl) as server:
        stage = fetch_selection(store, selection(server.url), quick(mode="keep"))
        num_requests = len(server.requests)
    rows = stage.read("sources", "part-00000", SOURCES).to_pylist()
    assert {each["url"] for each in rows} == {"store:stages/fetch/by-hand/raw/part-00000.warc.gz"}
    assert [each["position"] for each in rows] == [0, rows[0]["length"], rows[0]["length"] + rows[1]["length"]]
    with stage.local_file("raw") as path:
        kept = path.read_bytes()
    assert kept == b"".join(bytes_of(each) for each in rows)
    assert num_requests == 3
    assert stage.manifest.metrics["bytes_fetched"] == len(kept)
    with open_range(Remote(quick(), store), rows[0]) as stream:
        offsets = [each.offset for each in read_records(stream) if each.record_type == "response"]
    assert offsets == [place[0] - PLACES[2][0] for place in PLACES[2:5]]


@pytest.mark.parametrize("mode", ["stream", "keep"])
def test_a_whole_file_that_nobody_gives_is_lost_by_reason_and_by_name(crawl, store, quick, mode):
    with CrawlServer(crawl) as server:
        sources = list_sources(READER, [f"{server.url}/{NAME}", f"{server.url}/{OTHER}"])
        server.script(*["503"] * 3)
        parameters = quick(mode=mode, max_attempts=3)
        stage = publish_stage(
            store, "fetch", fetch_parts(sources), lambda part, output: fetch_part(part, {}, output, parameters)
        )
    account = stage.manifest.account
    assert (account.documents_in, account.documents_out) == (2, 1)
    assert account.dropped == {"fetch_http_503": 1}
    assert stage.read("lost", "part-00000", LOST_SOURCES).to_pylist() == [
        {
            "warc_path": NAME,
            "url": f"{server.url}/{NAME}",
            "offset": 0,
            "length": -1,
            "reason": "fetch_http_503",
        }
    ]
    assert stage.read("sources", "part-00000", SOURCES).num_rows == 0
    assert not stage.has("lost", "part-00001")
    assert stage.manifest.parts[0].metrics["failures"] == {"fetch_http_503": 3}


def test_a_lost_range_leaves_the_kept_others_where_their_rows_say(crawl, store, quick):
    with CrawlServer(crawl) as server:
        rows = selection(server.url)
        rows.insert(1, row(server.url, "crawl-data/gone.warc.gz", 5, 10))
        rows.insert(2, row(server.url, NAME, len(CONTENT) - 20, 100))  # ends beyond the file
        stage = fetch_selection(store, rows, quick(mode="keep", max_attempts=3))
    assert stage.manifest.account.dropped == {"fetch_http_404": 1, "fetch_short_body": 1}
    for each in stage.read("sources", "part-00000", SOURCES).to_pylist():
        with open_range(Remote(quick(), store), each) as stream:
            assert stream.read() == bytes_of(each)


def test_giving_up_fails_the_part_where_the_recipe_says_so(crawl, store, quick):
    with CrawlServer(crawl) as server:
        rows = [row(server.url, "crawl-data/gone.warc.gz", 5, 10)]
        with pytest.raises(FetchFailed, match=r"gone\.warc\.gz.*404"):
            fetch_selection(store, rows, quick(mode="keep", on_give_up="fail"))


def damaged(content, begin, length):
    """The same with one record recompressed around another body, as long as before; its digests do not fit."""
    record = bytearray(gzip.decompress(content[begin : begin + length]))
    record[-20] ^= 1
    for level in range(9, -1, -1):
        packed = gzip.compress(bytes(record), level, mtime=0)
        if len(packed) <= length:
            break
    assert len(packed) <= length
    padding = length - len(packed)
    return content[:begin] + packed + bytes(padding) + content[begin + length :]


class _TransientDamage(CrawlServer):
    """Damages one record of a file in the first answers, as a bad cable or cache would."""

    remaining = 0

    def _ranged(self, content, changed, asked):
        right = super()._ranged(content, changed, asked)
        if self.remaining > 0 and len(right.body) > 10:
            self.remaining -= 1
            place = len(right.body) // 2
            right.body = right.body[:place] + bytes([right.body[place] ^ 255]) + right.body[place + 1 :]
        return right


@pytest.mark.parametrize("whole", [True, False])
def test_a_record_damaged_on_its_way_is_fetched_once_more_and_mended(crawl, store, quick, whole):
    with _TransientDamage(crawl) as server:
        if whole:
            parts = fetch_parts(list_sources(READER, [f"{server.url}/{NAME}"]))
            server.remaining = 1
            stage = publish_stage(
                store, "fetch", parts, lambda part, output: fetch_part(part, {}, output, quick(mode="keep"))
            )
        else:
            server.remaining = 1
            stage = fetch_selection(store, [row(server.url, NAME, *PLACES[4], wanted=None)], quick(mode="keep"))
    with stage.local_file("raw") as path:
        assert path.read_bytes() == (CONTENT if whole else CONTENT[PLACES[4][0] :][: PLACES[4][1]])
    assert stage.manifest.metrics["records_fetched_again"] == 1
    assert stage.manifest.metrics["digest_mismatches"] == 0


def test_damage_that_the_archive_has_is_counted_and_left_to_extraction(crawl, store, quick):
    (crawl / NAME).write_bytes(damaged(CONTENT, *PLACES[4]))
    with CrawlServer(crawl) as server:
        rows = [row(server.url, NAME, *PLACES[4]), row(server.url, NAME, *PLACES[5])]
        stage = fetch_selection(store, rows, quick(mode="keep"))
        again = fetch_selection(store, rows, quick(mode="keep", verify_digests=False))
    assert stage.manifest.account.documents_out == 2
    assert stage.manifest.metrics["records_fetched_again"] == 1
    assert stage.manifest.metrics["digest_mismatches"] == 1
    assert again.manifest.metrics["records_fetched_again"] == 0


def test_only_wanted_records_are_checked(crawl, store, quick):
    (crawl / NAME).write_bytes(damaged(CONTENT, *PLACES[3]))
    with CrawlServer(crawl) as server:
        stage = fetch_selection(store, selection(server.url), quick(mode="keep"))
    assert stage.manifest.metrics["records_fetched_again"] == 0


def test_a_file_that_changed_after_it_was_listed_ends_the_run_with_its_name(crawl, store, quick):
    with CrawlServer(crawl) as server:
        parts = fetch_parts(list_sources(READER, [f"{server.url}/{NAME}"]))
        (crawl / NAME).write_bytes(OTHER_CONTENT)
        for mode in ("stream", "keep"):
            with pytest.raises(SourceError, match=r"a\.warc\.gz"):
                publish_stage(
                    store,
                    "fetch",
                    parts,
                    lambda part, output, mode=mode: fetch_part(part, {}, output, quick(mode=mode)),
                )
