"""The CDX index as files: searched, not read; and damaged lines and members are counted."""

import gzip
from collections import Counter

import pytest
from crawl_index import CRAWL, CountingReader, PlainReader, invented_lines, served, write_zipnum
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.crawl.index_query import IndexQuery, KeyRange
from pipeline_lib.crawl.index_rows import IndexUnavailable
from pipeline_lib.crawl.zipnum import answers_from_zipnum, find_members

keys = st.text("ab)", min_size=1, max_size=4)


class _InMemory:
    """A file that is bytes."""

    def __init__(self, content):
        self.content = content

    def describe(self, url):
        return len(self.content), ""

    def read(self, url, start=0, length=-1):
        return self.content[start:] if length < 0 else self.content[start : start + length]

    def open(self, url, start=0, length=-1):
        raise NotImplementedError


@given(st.lists(keys, max_size=40), st.lists(st.tuples(keys, keys), min_size=1, max_size=3), st.integers(1, 90))
def test_a_search_finds_every_member_that_can_hold_a_wanted_key(first_keys, bounds, piece_bytes):
    first_keys = sorted(first_keys)
    lines = [f"{key} 20260101000000\tcdx-00000.gz\t{10 * place}\t10\t{place}\n" for place, key in enumerate(first_keys)]
    ranges = []
    for start, end in sorted(tuple(sorted(pair)) for pair in bounds):
        if start < end and (not ranges or ranges[-1].end <= start):
            ranges.append(KeyRange(start, end))
    members, num_bad = find_members(_InMemory("".join(lines).encode()), "x/cluster.idx", ranges, piece_bytes)
    found = [member.offset // 10 for member in members]
    # a member has the keys from its first to the first of the next, both included
    following = [*first_keys, "~"][1:]
    if ranges:
        wanted = [
            place
            for place, (key, last) in enumerate(zip(first_keys, following, strict=True))
            if any(key < each.end and last >= each.start for each in ranges)
        ]
        assert set(wanted) <= set(found)
        # and at most one more a range
        assert len(found) <= len(wanted) + len(ranges)
    else:
        assert found == list(range(len(first_keys)))
    assert found == sorted(found)
    assert num_bad == 0


def test_a_search_in_a_large_file_reads_little_of_it(tmp_path):
    folder = tmp_path / f"cc-index/collections/{CRAWL}/indexes"
    folder.mkdir(parents=True)
    with (folder / "cluster.idx").open("w") as stream:
        for place in range(300_000):
            stream.write(f"com,host{place:07d})/ 20260101000000\tcdx-00000.gz\t{place * 100}\t100\t{place}\n")
    num_bytes = (folder / "cluster.idx").stat().st_size
    reader = CountingReader()
    with served(tmp_path) as address:
        url = f"{address}/cc-index/collections/{CRAWL}/indexes/cluster.idx"
        members, _ = find_members(reader, url, [KeyRange("com,host0123456)", "com,host0123459)")])
    assert [member.key for member in members] == [f"com,host{place:07d})/" for place in range(123455, 123459)]
    assert len(reader.asked) <= 12
    assert reader.num_bytes() < num_bytes / 20


def test_only_the_members_that_can_match_are_read(tmp_path):
    lines = invented_lines()
    folder = write_zipnum(tmp_path, CRAWL, [line.text for line in lines], lines_per_member=3, num_files=2)
    reader = CountingReader()
    query = IndexQuery(kind="cdx", hosts=("zebra.museum",))
    list(answers_from_zipnum(reader, str(tmp_path), CRAWL, query))
    num_bytes = sum(file.stat().st_size for file in folder.glob("*.gz"))
    assert 0 < reader.num_bytes(".gz") < num_bytes / 5


def test_a_server_that_knows_no_ranges_gives_the_same_answer(tmp_path):
    texts = [line.text for line in invented_lines()]
    write_zipnum(tmp_path, CRAWL, texts, lines_per_member=5)
    query = IndexQuery(kind="cdx", domains=("co.uk",))
    expected = [answer.records.rows() for answer in answers_from_zipnum(PlainReader(), str(tmp_path), CRAWL, query)]
    with served(tmp_path, ignores_ranges=True) as address:
        found = [answer.records.rows() for answer in answers_from_zipnum(PlainReader(), address, CRAWL, query)]
    assert found == expected
    assert sum(map(len, found)) > 10


def answered(root, **changes):
    answers = list(answers_from_zipnum(PlainReader(), str(root), CRAWL, IndexQuery(kind="cdx", mimes=(), **changes)))
    dropped = +sum((answer.dropped for answer in answers), Counter())
    return sum(len(answer.records) for answer in answers), sum(answer.rows for answer in answers), dropped


GOOD = (
    'com,a)/ 20260101000000 {"url": "http://a.com/", "mime": "text/html", "status": "200", "length": "9", '
    '"offset": "7", "filename": "crawl-data/x.warc.gz"}'
)


@pytest.mark.parametrize(
    "line",
    [
        "com,b)/",
        "com,b)/ 20260101000000",
        "com,b)/ 2026 {}",
        "com,b)/ 20260101000000 {",
        "com,b)/ 20260101000000 []",
        'com,b)/ 20260101000000 {"status": "200"}',
        GOOD.replace('"offset": "7"', '"offset": "-7"'),
        GOOD.replace('"offset": "7"', '"offset": "seven"'),
        GOOD.replace('"length": "9"', '"length": 0'),
        GOOD.replace('"length": "9"', '"length": 99999999999999999999'),
        GOOD.replace("crawl-data/", "../"),
        GOOD.replace("crawl-data/", "/etc/"),
        GOOD.replace("crawl-data/", "https://evil.example/"),
        GOOD.replace("crawl-data/", "crawl-data/\\u0000"),
        "\udcff\udcfe",
    ],
)
def test_a_damaged_line_is_counted_and_the_lines_around_it_are_read(tmp_path, line):
    folder = write_zipnum(tmp_path, CRAWL, [GOOD], lines_per_member=1)
    content = f"{GOOD}\n{line}\n\r\n{GOOD}\n".encode(errors="surrogateescape")
    (folder / "cdx-00000.gz").write_bytes(gzip.compress(content))
    (folder / "cluster.idx").write_text(f"com,a)/ 2026\tcdx-00000.gz\t0\t{len(gzip.compress(content))}\t1\n")
    assert answered(tmp_path) == (2, 3, {"bad_index_line": 1})


def test_numbers_may_stand_with_or_without_quotation_marks(tmp_path):
    bare = GOOD.replace('"200"', "200").replace('"9"', "9").replace('"7"', "7")
    write_zipnum(tmp_path, CRAWL, [GOOD, bare], lines_per_member=1)
    assert answered(tmp_path) == (2, 2, {})


def test_a_damaged_member_is_counted_and_its_first_lines_and_all_other_members_are_read(tmp_path):
    lines = [line.text for line in invented_lines() if line.subset == "warc"]
    folder = write_zipnum(tmp_path, CRAWL, lines, lines_per_member=60)
    whole = answered(tmp_path)
    assert whole == (len(lines), len(lines), {})
    file = folder / "cdx-00000.gz"
    content = bytearray(file.read_bytes())
    first = int((folder / "cluster.idx").read_text().splitlines()[0].split("\t")[3])
    content[first // 2 : first // 2 + 40] = bytes(40)
    file.write_bytes(bytes(content))
    records, rows, dropped = answered(tmp_path)
    assert dropped["bad_index_block"] == 1
    assert rows == records + dropped.total()
    assert len(lines) - 60 < records < len(lines)


def test_a_member_that_is_no_gzip_at_all_is_counted(tmp_path):
    folder = write_zipnum(tmp_path, CRAWL, [GOOD], lines_per_member=1)
    file = folder / "cdx-00000.gz"
    file.write_bytes(b"x" * file.stat().st_size)
    assert answered(tmp_path) == (0, 1, {"bad_index_block": 1})


@pytest.mark.parametrize(
    "line",
    [
        "com,b)/ 2026\tcdx-00000.gz\t0",
        "com,b)/ 2026\t../../cdx.gz\t0\t5\t1",
        "com,b)/ 2026\tcdx.gz\t-1\t5\t1",
        "com,b)/ 2026\tcdx.gz\t0\t99999999999\t1",
    ],
)
def test_a_damaged_line_of_the_cluster_file_is_counted(tmp_path, line):
    folder = write_zipnum(tmp_path, CRAWL, [GOOD], lines_per_member=1)
    with (folder / "cluster.idx").open("a") as stream:
        stream.write(f"{line}\n")
    assert answered(tmp_path) == (1, 2, {"bad_cluster_line": 1})


def test_a_crawl_without_index_files_says_where_they_were_looked_for(tmp_path):
    with pytest.raises(IndexUnavailable, match=r"no index at .*cluster\.idx; check source\.crawl and base_url"):
        answered(tmp_path)
    folder = write_zipnum(tmp_path, CRAWL, [GOOD], lines_per_member=1)
    (folder / "cdx-00000.gz").unlink()
    with pytest.raises(IndexUnavailable, match=r"cdx-00000\.gz, which cluster\.idx names, is not there"):
        answered(tmp_path)
