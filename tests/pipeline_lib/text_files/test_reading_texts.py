"""What was written comes back, in order, from any kind of file and whatever the size of the batches."""

import functools
import gzip
import http.server
import io
import json
import threading

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_lib.text_files.opening import TextFileError
from pipeline_lib.text_files.reading import check_file, read_batches
from storage.schemas import document_id

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=40) | st.sampled_from(
    ["", "\x00", "a\x00b", "\r\n", "\u2028\x85\x0b", "e\u0301" * 9, "שלום", "猫" * 50, "🐈\ufeff", "\ufeff", '"\\/']
)
DOCUMENTS = st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=30)
PATH = "file"


def zstd(content):
    return pa.Codec("zstd").compress(content, asbytes=True)


COMPRESS = {"plain": bytes, "gzip": gzip.compress, "zstd": zstd}


def json_lines(rows, line_end="\n", ensure_ascii=True):
    return "".join(json.dumps(row, ensure_ascii=ensure_ascii) + line_end for row in rows).encode()


def parquet(table, **options):
    content = io.BytesIO()
    pq.write_table(table, content, **options)
    return content.getvalue()


@pytest.fixture
def write(tmp_path):
    def write_file(content, name=PATH):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return write_file


def read(file, **options):
    """All documents of a file, as (id, text)."""
    documents = []
    for batch in read_batches(file, **options):
        assert batch.file == file
        assert batch.first_row == len(documents)
        assert batch.texts.type == batch.ids.type == pa.large_string()
        assert batch.texts.num_chunks == 1
        assert batch.extra.num_rows == len(batch.ids) == len(batch.texts) > 0
        batch.texts.validate(full=True)
        documents += zip(batch.ids.to_pylist(), batch.texts.to_pylist(), strict=True)
    return documents


def refusal(file, **options):
    with pytest.raises(TextFileError) as caught:
        read(file, **options)
    assert str(caught.value).startswith(file)
    return str(caught.value)


@pytest.mark.parametrize("compression", COMPRESS)
@given(
    documents=DOCUMENTS,
    batch_bytes=st.integers(1, 300) | st.just(1 << 25),
    line_end=st.sampled_from(["\n", "\r\n", "\n\n", "\n \t\r\n"]),
    ensure_ascii=st.booleans(),
    mark=st.booleans(),
    last_line_ends=st.booleans(),
)
@settings(max_examples=60)
def test_json_lines_come_back_as_written(
    tmp_path_factory, compression, documents, batch_bytes, line_end, ensure_ascii, mark, last_line_ends
):
    rows = [{"id": document, "text": text, "other": [1, {"a": text}]} for document, text in documents]
    content = json_lines(rows, line_end, ensure_ascii)
    content = b"\xef\xbb\xbf" * mark + (content if last_line_ends else content.rstrip())
    file = tmp_path_factory.getbasetemp() / f"lines-{compression}"
    file.write_bytes(COMPRESS[compression](content))
    assert read(str(file), batch_bytes=batch_bytes) == documents


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view(), "dictionary"], ids=str)
@given(documents=DOCUMENTS, batch_bytes=st.integers(1, 20_000) | st.just(1 << 25), row_group_size=st.integers(1, 40))
@settings(max_examples=30)
def test_parquet_comes_back_as_written(tmp_path_factory, kind, documents, batch_bytes, row_group_size):
    ids, texts = zip(*documents, strict=True)
    columns = {"other": [[text] for text in texts], "text": texts, "id": ids}
    table = pa.table(columns | {name: pa.array(columns[name], pa.string()) for name in ("text", "id")})
    for index in (1, 2):
        column = table.column(index)
        column = column.dictionary_encode() if kind == "dictionary" else column.cast(kind)
        table = table.set_column(index, table.column_names[index], column)
    file = str(tmp_path_factory.getbasetemp() / "table")
    pq.write_table(table, file, row_group_size=row_group_size)
    assert read(file, batch_bytes=batch_bytes) == documents


def test_batches_hold_about_the_asked_bytes_and_end_at_the_same_places_every_time(write):
    rows = [{"id": str(row), "text": "x" * (row % 97)} for row in range(3000)]
    table = pa.Table.from_pylist(rows)
    for file in (write(json_lines(rows), "lines"), write(parquet(table, row_group_size=700), "table")):
        sizes = [batch.texts.nbytes for batch in read_batches(file, batch_bytes=20_000)]
        assert len(sizes) > 5
        assert max(sizes) < 60_000
        assert sizes == [batch.texts.nbytes for batch in read_batches(file, batch_bytes=20_000)]


def test_a_line_far_longer_than_a_batch_is_read_whole(write):
    long = "0123456789 猫 " * 700_000  # 11 MB
    rows = [{"id": "1", "text": "a"}, {"id": "2", "text": long}, {"id": "3", "text": "b"}]
    expected = [("1", "a"), ("2", long), ("3", "b")]
    assert read(write(json_lines(rows, ensure_ascii=False)), batch_bytes=1 << 16) == expected
    assert read(write(parquet(pa.Table.from_pylist(rows))), batch_bytes=1 << 16) == expected


def test_a_line_longer_than_memory_should_hold_is_refused(write, monkeypatch):
    monkeypatch.setattr("pipeline_lib.text_files.jsonl.MAX_LINE_BYTES", 1 << 20)
    bomb = gzip.compress(json_lines([{"text": "a"}]) + bytes(3 << 20))
    assert "line 2: the line is longer than 1 MiB" in refusal(write(bomb), batch_bytes=1000)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('"a"', "a"),
        ("7", "7"),
        ("-7", "-7"),
        ("18446744073709551616", "18446744073709551616"),  # 2**64: no machine integer
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("1.50", "1.50"),
        ('""', ""),
    ],
)
def test_json_ids_keep_their_spelling_and_may_be_of_mixed_types(write, value, expected):
    lines = f'{{"id": "first", "text": "a"}}\n{{"id": {value}, "text": "b"}}\n'
    assert read(write(lines)) == [("first", "a"), (expected, "b")]


@pytest.mark.parametrize("value", ["null", "[1]", "{}", "true", None])
def test_json_ids_that_are_none_are_refused_with_their_line(write, value):
    lines = '{"id": 1, "text": "a"}\n\n' + ('{"text": "b"}' if value is None else f'{{"id": {value}, "text": "b"}}')
    assert "line 3: the id 'id' is " in refusal(write(lines))


def test_an_id_that_begins_in_the_middle_of_a_file_is_refused(write):
    assert "line 2: here is an id, 'doc_id'" in refusal(write('{"text": "a"}\n{"doc_id": "1", "text": "b"}\n'))


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"id": pa.array([3, -4])}, ["3", "-4"]),
        ({"id": pa.array([2**63 + 1, 0], pa.uint64())}, ["9223372036854775809", "0"]),
        ({"doc_id": ["a", "a"]}, ["a", "a"]),  # twice the same is the file's own business
        ({"doc_id": ["a", "b"], "id": ["c", "d"]}, ["c", "d"]),
    ],
)
def test_ids_of_parquet_are_those_of_id_or_doc_id(write, columns, expected):
    file = write(parquet(pa.table({**columns, "text": ["x", "y"]})))
    assert [document for document, _ in read(file)] == expected


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        (pa.array(["a", None]), "row 2: 'id' is null"),
        (pa.array([1, None]), "row 2: 'id' is null"),
        (pa.array([1.0, float("nan")]), "row 2: 'id' is null"),
        (pa.array([[1], [2]]), "are list<"),
        (pa.array([True, False]), "are bool"),
    ],
)
def test_ids_of_parquet_that_are_none_are_refused(write, ids, said):
    assert said in refusal(write(parquet(pa.table({"id": ids, "text": ["x", "y"]}))))


def test_the_field_of_ids_can_be_named_and_must_then_be_there(write):
    for content in (
        json_lines([{"url": "u", "id": 1, "text": "x"}]),
        parquet(pa.table({"url": ["u"], "id": [1], "text": ["x"]})),
    ):
        assert read(write(content), id_field="url") == [("u", "x")]
        assert "no column 'uid' for the ids. The columns are" in refusal(write(content), id_field="uid")


def test_derived_ids_depend_on_content_and_row_and_on_nothing_else(write, tmp_path):
    content = json_lines([{"text": "a"}, {"text": "b"}], "\n\n")
    (tmp_path / "folder").mkdir()
    one, other = read(write(content)), read(write(content, "folder/other.jsonl"), batch_bytes=1)
    assert one == other
    assert len({document for document, _ in one}) == 2
    changed = read(write(content.replace(b"b", b"c")))
    assert changed[0][0] != one[0][0]
    table = read(write(parquet(pa.table({"text": ["a"]}))), digest="0f")
    assert table == [(document_id("sha256:0f", 0), "a")]


JSON_ERRORS = [
    (b'{"text": 1}', "line 2: 'text' is a number, expected text"),
    (b'{"text": 1e400}', "line 2: 'text' is a number, expected text"),
    (b'{"text": ["a"]}', "line 2: 'text' is a list, expected text"),
    (b'{"text": {"a": 1}}', "line 2: 'text' is an object, expected text"),
    (b'{"text": false}', "line 2: 'text' is true or false, expected text"),
    (b'{"text": null}', "line 2: 'text' is null, expected text"),
    (b'{"txet": "b"}', "line 2: there is no column 'text'. The columns are 'txet'. Is it 'txet'?"),
    (b"{}", "line 2: there is no column 'text'. It has no columns."),
    (b'{"text": "a\xff"}', "line 2: byte 12 of the line (0xff) is not UTF-8"),
    (b'{"text": "b", "other": "\xc3"}', "is not UTF-8"),
    (b'{"text": "\xed\xa0\x80"}', "line 2: byte 11 of the line (0xed) is not UTF-8"),
    (rb'{"text": "ab\ud800"}', "line 2: 'text' has \\ud800 at character 3, half of a surrogate pair"),
    (rb'{"text": "\udc00x"}', "line 2: 'text' has \\udc00 at character 1"),
    (b'{"text": "b"', "line 2: no JSON object ("),
    (b'{"text": "b"}{"text": "c"}', "line 2: no JSON object ("),
    (b'{"text": "a\x01b"}', "line 2: no JSON object ("),
    (b'"text"', "line 2: no JSON object (it is text)"),
    (b"[]", "line 2: no JSON object (it is a list)"),
    (b"7", "line 2: no JSON object (it is a number)"),
    (b"null", "line 2: no JSON object (it is null)"),
    (b"\x00\x00", "line 2: no JSON object ("),
    (b'{"text": "b", "o": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "line 2: no JSON object (its values are nested"),
]


@pytest.mark.parametrize(("line", "said"), JSON_ERRORS, ids=range(len(JSON_ERRORS)))
@pytest.mark.parametrize("batch_bytes", [1, 1 << 20])
def test_what_is_wrong_with_a_line_is_said_with_its_number(write, line, said, batch_bytes):
    message = refusal(write(b'{"text": "a"}\r\n' + line + b'\n{"text": "z"}\n'), batch_bytes=batch_bytes)
    assert said in message
    assert len(message) < 500


@pytest.mark.parametrize(
    "other",
    ["NaN", "-Infinity", "123456789012345678901234567890", "1e999", r'"\ud800"', '[1, "a", {"b": null}]', r'"\u0000"'],
)
def test_fields_nobody_asked_for_may_hold_anything_that_parsers_take(write, other):
    assert read(write(f'{{"id": 1, "o": 5, "text": "a"}}\n{{"o": {other}, "text": "\\u0000é", "id": 2}}')) == [
        ("1", "a"),
        ("2", "\x00é"),
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'[{"text": "a"},\n{"text": "b"}]', "one JSON array"),
        (b'{\n  "text": "a"\n}\n', "may not go over several lines"),
        (gzip.compress(parquet(pa.table({"text": ["a"]}))), "Parquet inside a compressed file"),
        ('{"text": "a"}\n'.encode("utf-16"), "UTF-16"),
        (b"BZh91AY&SY", "bzip2"),
        (b"PK\x03\x04 and so on", "ZIP"),
        (b"id,text\n1,a\n", "expected JSON Lines"),
        (b"\x89PNG\r\n\x1a\n", "expected JSON Lines"),
    ],
)
def test_files_of_other_kinds_are_refused_with_what_to_do(write, content, said):
    message = refusal(write(content))
    assert "line 1: " in message
    assert said in message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty (0 bytes)"),
        (b"\n \r\n\n", "holds no documents"),
        (b"\xef\xbb\xbf", "holds no documents"),
        (b"\xef", "is not UTF-8"),
        (gzip.compress(b""), "holds no documents"),
        (zstd(b"\n"), "holds no documents"),
        (parquet(pa.table({"text": pa.array([], pa.string())})), "holds no documents (0 rows)"),
    ],
)
def test_files_without_documents_are_refused(write, content, said):
    assert said in refusal(write(content))


@pytest.mark.parametrize("compress", [gzip.compress, zstd], ids=["gzip", "zstd"])
def test_compressed_files_that_are_cut_off_or_damaged_are_refused(write, compress):
    whole = compress(json_lines([{"text": str(row)} for row in range(5000)]))
    for content in (whole[:-1], whole[:-9], whole[: len(whole) // 2], whole[:5], whole + b"garbage", whole + whole[:9]):
        assert "cannot be read to its end" in refusal(write(content))
    assert len(read(write(whole + whole))) == 10_000  # members one after another are one file


def test_a_zstd_file_may_begin_with_a_frame_to_skip(write):
    skipped = b"\x52\x2a\x4d\x18\x02\x00\x00\x00xy"
    assert read(write(skipped + zstd(b'{"id": 1, "text": "a"}'))) == [("1", "a")]


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl", "a.json.gz", "a.txt", "a"])
def test_what_a_file_is_its_first_bytes_say(write, name):
    assert read(write(parquet(pa.table({"id": [1], "text": ["a"]})), name)) == [("1", "a")]
    if name != "a.parquet":
        for compress in COMPRESS.values():
            assert read(write(compress(b'{"id": 1, "text": "a"}'), name)) == [("1", "a")]


def test_parquet_files_that_are_none_are_refused(write):
    assert "not a Parquet file: it does not begin with PAR1" in refusal(write('{"text": "a"}', "a.parquet"))
    whole = parquet(pa.table({"text": [str(row) * 50 for row in range(2000)]}))
    assert "is not a whole Parquet file" in refusal(write(whole[:-40]))
    assert "is not a whole Parquet file" in refusal(write(b"PAR1"))
    damaged = whole[:40] + bytes(200) + whole[240:]
    assert "cannot be read from row 1 on" in refusal(write(damaged))


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, 2]),
        pa.array([["a"], ["b"]]),
        pa.array([{"a": "b"}, {"a": "c"}]),
        pa.array([b"a", b"b"]),
        pa.array([None, None]),
    ],
    ids=lambda column: str(column.type),
)
def test_a_parquet_column_that_is_not_text_is_refused(write, column):
    message = refusal(write(parquet(pa.table({"text": column}))))
    assert f"the column 'text' is {str(column.type).replace('item', 'element')}, expected text" in message


def test_two_columns_of_one_name_are_refused(write):
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    assert "2 columns are called 'text'" in refusal(write(parquet(table)))


def test_nulls_in_parquet_are_refused_with_their_row(write):
    texts = ["a"] * 1500 + [None, "b", None]
    for column in (pa.array(texts), pa.array(texts).dictionary_encode(), pa.array(texts, pa.string_view())):
        assert "row 1501: 'text' is null" in refusal(write(parquet(pa.table({"text": column}), row_group_size=400)))


@pytest.mark.parametrize("name", ["text", "id", "url"])
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), "dictionary"], ids=str)
def test_invalid_utf8_in_parquet_is_refused_with_its_row(write, name, kind):
    careless = pa.array([b"a"] * 700 + [b"ab\xff", b"c"])
    values = pa.StringArray.from_buffers(len(careless), careless.buffers()[1], careless.buffers()[2])
    column = values.dictionary_encode() if kind == "dictionary" else values.cast(kind)
    columns = {"text": ["a"] * len(careless), "id": ["a"] * len(careless), "url": ["a"] * len(careless), name: column}
    message = refusal(write(parquet(pa.table(columns), row_group_size=300)), extra=["url"])
    assert f"row 701: byte 3 of {name!r} (0xff) is not UTF-8" in message


@pytest.mark.parametrize(
    ("columns", "text_field", "likely"),
    [
        (["id", "content"], "text", "content"),
        (["id", "url", "raw_content"], "text", "raw_content"),
        (["Text", "n"], "text", "Text"),
        (["texts", "n"], "text", "texts"),
        (["text", "n"], "contents", "text"),
        (["n", "m"], "text", None),
    ],
)
def test_a_missing_field_of_texts_is_said_with_the_columns_and_the_likely_one(write, columns, text_field, likely):
    table = pa.table({name: ["a"] for name in columns})
    for content in (parquet(table), json_lines(table.to_pylist())):
        message = refusal(write(content), text_field=text_field)
        assert f"there is no column {text_field!r}. The columns are {', '.join(map(repr, columns))}." in message
        assert ("Is it" in message) == (likely is not None)
        assert likely is None or f"Is it {likely!r}?" in message


def test_extra_columns_come_along_where_the_file_has_them(write):
    rows = [
        {"id": 1, "text": "a", "url": "u", "score": 1, "list": [1]},
        {"id": 2, "text": "b", "score": 0.5},
        {"id": 3, "text": "c", "url": None, "score": None},
    ]
    for content in (json_lines(rows), parquet(pa.Table.from_pylist(rows))):
        (batch,) = read_batches(write(content), extra=["score", "host", "url"])
        assert batch.extra.schema == pa.schema([("score", pa.float64()), ("url", pa.large_string())])
        assert batch.extra.to_pydict() == {"score": [1.0, 0.5, None], "url": ["u", None, None]}
        assert "'list' is " in refusal(write(content), extra=["list"])


def test_an_extra_column_of_changing_type_is_refused(write):
    lines = '{"text": "a", "url": null}\n{"text": "a", "url": "u"}\n{"text": "a", "url": 5}\n'
    for batch_bytes in (1, 1000):
        message = refusal(write(lines), extra=["url"], batch_bytes=batch_bytes)
        assert "line 3: 'url' is a number and on other lines text" in message


def test_folders_missing_files_and_pipes_are_no_files(tmp_path):
    assert "is a folder" in refusal(str(tmp_path))
    assert "there is no such file" in refusal(str(tmp_path / "none.jsonl"))
    assert "is a pipe or device" in refusal("/dev/null")


def test_checking_a_file_looks_at_its_first_documents_only(write):
    lines = json_lines([{"text": "a" * 1000}] * 200)
    check_file(write(lines + b"broken"))
    with pytest.raises(TextFileError, match="no column 'content'"):
        check_file(write(lines), text_field="content")


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the client of fsspec's web addresses leaves sockets to the end
def test_files_behind_urls_are_read_like_local_ones(write, tmp_path):
    documents = [(str(row), f"text {row} " * 50) for row in range(2000)]
    rows = [{"id": document, "text": text} for document, text in documents]
    contents = {"a.jsonl.gz": gzip.compress(json_lines(rows)), "a.parquet": parquet(pa.Table.from_pylist(rows))}
    for name, content in contents.items():
        fsspec.filesystem("memory").pipe_file(f"/texts-{name}", content)
        assert read(f"memory://texts-{name}", batch_bytes=5000) == documents

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=tmp_path))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        write(contents["a.jsonl.gz"], "a.jsonl.gz")
        address = f"http://127.0.0.1:{server.server_address[1]}"
        assert read(f"{address}/a.jsonl.gz?signature=x", batch_bytes=5000) == documents
        assert "no such file" in refusal(f"{address}/none.jsonl")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
