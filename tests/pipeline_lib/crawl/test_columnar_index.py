"""The columnar index: what cannot match is not read, and neither are columns that nobody asks for."""

from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crawl_index import CRAWL, CountingReader, Line, PlainReader, invented_lines, table_of, write_table

from pipeline_lib.crawl.columnar_index import answers_from_file, answers_from_table, table_files
from pipeline_lib.crawl.index_query import IndexQuery, key_ranges
from pipeline_lib.crawl.index_rows import IndexUnavailable

NUM_HOSTS = 4000
FOOTER = 65536  # what pyarrow reads first, at the end of a file


@pytest.fixture(scope="module")
def large_file(tmp_path_factory):
    """80,000 captures of 4000 hosts, sorted by key, in 40 row groups; a sixteenth of the size of a real part."""
    lines = [
        Line(
            key=f"com,host{number // 20:05d})/{number:07d}",
            timestamp="20260105103000",
            value={
                "url": f"https://host{number // 20:05d}.com/{number:07d}",
                "mime": "text/html",
                "mime-detected": "text/html",
                "status": "200",
                "digest": f"{number * 2654435761 % 2**32:032d}",
                "length": str(1000 + number % 5000),
                "offset": str(number * 7919 % 2**30),
                "filename": f"crawl-data/{CRAWL}/segments/1/warc/{number * 31 % 900:05d}.warc.gz",
                "languages": "deu" if number // 20 == 1234 else "eng",
            },
        )
        for number in range(20 * NUM_HOSTS)
    ]
    file = tmp_path_factory.mktemp("table") / "part-00000.parquet"
    pq.write_table(table_of(lines), file, row_group_size=2000, compression="gzip")
    return file


def ask(file, query):
    reader = CountingReader()
    answers = list(answers_from_file(reader, str(file), query, key_ranges(query.targets())))
    return sum(len(answer.records) for answer in answers), sum(answer.rows for answer in answers), reader


def group_bytes(metadata, number):
    group = metadata.row_group(number)
    return sum(group.column(place).total_compressed_size for place in range(group.num_columns))


def test_row_groups_that_cannot_hold_a_wanted_host_are_not_read(large_file):
    records, rows, reader = ask(large_file, IndexQuery(hosts=("host02000.com",)))
    assert (records, rows) == (20, 20)
    metadata = pq.ParquetFile(large_file).metadata
    assert reader.num_bytes() <= metadata.serialized_size + FOOTER + group_bytes(metadata, 20)
    assert reader.num_bytes() < large_file.stat().st_size / 10


def test_only_the_columns_that_decide_are_read_where_nothing_is_wanted(large_file):
    metadata = pq.ParquetFile(large_file).metadata
    records, rows, reader = ask(large_file, IndexQuery(languages=("fra",)))
    assert (records, rows) == (0, 20 * NUM_HOSTS)
    decide = {"fetch_status", "content_mime_type", "content_mime_detected", "content_languages"}
    num_bytes = sum(
        metadata.row_group(group).column(place).total_compressed_size
        for group in range(metadata.num_row_groups)
        for place in range(metadata.num_columns)
        if metadata.row_group(group).column(place).path_in_schema in decide
    )
    assert reader.num_bytes() <= metadata.serialized_size + FOOTER + num_bytes
    assert reader.num_bytes() < large_file.stat().st_size / 8


def test_places_are_read_only_of_row_groups_where_a_record_is_wanted(large_file):
    nothing = ask(large_file, IndexQuery(languages=("fra",)))[2].num_bytes()
    records, rows, reader = ask(large_file, IndexQuery(languages=("deu",)))
    assert (records, rows) == (20, 20 * NUM_HOSTS)
    assert nothing < reader.num_bytes() <= nothing + group_bytes(pq.ParquetFile(large_file).metadata, 0)


def test_a_file_without_statistics_is_read_whole_and_gives_the_same(tmp_path):
    table = table_of(invented_lines())
    query = IndexQuery(hosts=("example.org",))
    pq.write_table(table, tmp_path / "with.parquet", row_group_size=10)
    pq.write_table(table, tmp_path / "without.parquet", row_group_size=10, write_statistics=False)
    assert ask(tmp_path / "with.parquet", query)[:2] == ask(tmp_path / "without.parquet", query)[:2] == (11, 24)


def test_old_files_without_detected_types_are_judged_by_declared_ones(tmp_path):
    table = table_of(invented_lines())
    old = table.drop_columns(["content_mime_detected", "content_languages"])
    pq.write_table(old, tmp_path / "old.parquet")
    assert ask(tmp_path / "old.parquet", IndexQuery())[0] == sum(
        line.value["status"] == "200" for line in invented_lines()
    )
    with pytest.raises(IndexUnavailable, match="knows no languages"):
        ask(tmp_path / "old.parquet", IndexQuery(languages=("deu",)))


def test_damaged_places_are_counted(tmp_path):
    lines = [line for line in invented_lines() if line.subset == "warc"][:10]
    table = table_of(lines)
    names = ["../../etc/passwd", "/etc/passwd", *table["warc_filename"].to_pylist()[2:]]
    offsets = pa.array([0, 0, -5, *table["warc_record_offset"].to_pylist()[3:]], pa.int32())
    table = table.set_column(table.column_names.index("warc_filename"), "warc_filename", pa.array(names))
    table = table.set_column(table.column_names.index("warc_record_offset"), "warc_record_offset", offsets)
    pq.write_table(table, tmp_path / "damaged.parquet")
    reader = PlainReader()
    (answer,) = answers_from_file(reader, str(tmp_path / "damaged.parquet"), IndexQuery(mimes=()), [])
    assert (len(answer.records), answer.rows, +answer.dropped) == (7, 10, Counter({"bad_index_line": 3}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>not found</html>" * 10, "is no whole Parquet file"),
        (None, "there is no column url_surtkey; expected the columns of Common Crawl's index"),
    ],
)
def test_what_is_no_index_is_a_clear_error(tmp_path, content, message):
    file = tmp_path / "part.parquet"
    if content is None:
        pq.write_table(pa.table({"url": ["x"]}), file)
    else:
        file.write_bytes(content)
    with pytest.raises(IndexUnavailable, match=message):
        ask(file, IndexQuery())


def test_files_are_found_by_the_crawls_list_or_in_a_folder(tmp_path):
    write_table(tmp_path, CRAWL, invented_lines())
    listed = table_files(PlainReader(), str(tmp_path), CRAWL, ("warc",))
    (tmp_path / f"crawl-data/{CRAWL}/cc-index-table.paths.gz").unlink()
    assert table_files(PlainReader(), str(tmp_path), CRAWL, ("warc",)) == listed
    assert len(listed) == 2
    assert all("/subset=warc/" in url for url in listed)


def test_a_crawl_without_a_columnar_index_says_what_else_to_ask(tmp_path):
    with pytest.raises(IndexUnavailable, match=r"crawl CC-NONE has no columnar index.*source\.index\.kind=cdx"):
        list(answers_from_table(PlainReader(), str(tmp_path), "CC-NONE", IndexQuery()))
