"""Rows of files, one by one: what each holds or why it holds nothing, found again by number, and copied as they are."""

import gzip
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.text_files import json_rows, parquet_rows
from pipeline_lib.text_files.json_rows import JsonRows
from pipeline_lib.text_files.opening import TextFileError, open_stream, sniff
from pipeline_lib.text_files.parquet_rows import ParquetRows
from pipeline_lib.text_files.rows import REASONS, RowFields, RowFile

FIELDS = RowFields(url_field="url", time_fields=("fetched_at", "date"), quality_field="score")


def opened(file: Path, scratch: Path, fields: RowFields = FIELDS) -> RowFile:
    kind, compression = sniff(str(file))
    if kind == "parquet":
        return ParquetRows(str(file), file, fields, scratch)
    return JsonRows(str(file), file, compression, fields, scratch)


def read(rows: RowFile) -> tuple[list[str], list[dict[str, Any]]]:
    """Reasons of all rows, and all documents; remembers what is needed later."""
    reasons, documents, first_row = [], [], 0
    with rows.remembering() as remember:
        for piece in rows.pieces():
            assert piece.first_row == first_row
            first_row += piece.num_rows
            found = rows.rows(piece)
            remember(piece, found)
            reasons += [REASONS[number] for number in found.reasons]
            documents += found.documents.to_pylist()
    return reasons, documents


def write_lines(path: Path, content: bytes, compression: str | None) -> None:
    if compression == "gzip":
        content = gzip.compress(content)
    elif compression == "zstd":
        half = len(content) // 2  # in two frames, as parallel compressors write
        content = b"".join(bytes(pa.compress(part, "zstd")) for part in (content[:half], content[half:]) if part)
    path.write_bytes(content)


def decompressed(path: Path) -> bytes:
    with open_stream(str(path), sniff(str(path))[1]) as stream:
        return bytes(stream.read(1 << 30))


GOOD = [
    b'{"text": "one"}',
    b'{"text":"tw\\u00f6\\n", "id":"b"}\r',
    b'{"text":"","id":7.50}',
    '{"text":"drei✓"}'.encode(),
]
BAD = {
    b"no json": "bad_json",
    b'{"text": "\xff"}': "bad_json",
    b"[1]": "bad_json",
    b'{"id": 1}': "no_text",
    b'{"text": null}': "no_text",
    b'{"text": 3}': "text_not_string",
    b'{"text": ["a"]}': "text_not_string",
    b'{"text": "' + b"x" * 90 + b'"}': "row_too_large",
}
lines = st.lists(st.sampled_from([*GOOD, *BAD, b"", b" \t"]), min_size=1, max_size=12)


@given(
    lines=lines,
    ended=st.booleans(),
    marked=st.booleans(),
    compression=st.sampled_from([None, "gzip", "zstd"]),
    seed=st.integers(0, 9),
)
def test_lines_are_read_counted_found_again_and_copied_byte_for_byte(
    lines: list[bytes], ended: bool, marked: bool, compression: str | None, seed: int
) -> None:
    content = b"\n".join(lines) + (b"\n" if ended else b"")
    rows_in = [line for line in lines if line.strip()]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_rows, "PIECE_BYTES", 16)  # less than a line
        patch.setattr(json_rows, "MAX_LINE_BYTES", 80)
        path, copy = Path(folder) / "file", Path(folder) / "copy"
        write_lines(path, b"\xef\xbb\xbf" * marked + content, compression)
        if not path.stat().st_size:
            return
        rows = opened(path, Path(folder), RowFields())
        reasons, documents = read(rows)
        assert reasons == [BAD.get(line, "") for line in rows_in]
        good = [(number, json.loads(line)) for number, line in enumerate(rows_in) if line in GOOD]
        assert [document["text"] for document in documents] == [row["text"] for _, row in good]
        chosen = [each for each in good if np.random.RandomState(seed + each[0]).rand() < 0.5]
        numbers = np.array([number for number, _ in chosen], np.int64)
        assert rows.texts(numbers).to_pylist() == [row["text"] for _, row in chosen]
        spelled = [str(row["id"]).replace("7.5", "7.50") if "id" in row else None for _, row in chosen]
        assert rows.ids(numbers).to_pylist() == spelled
        wanted = np.isin(np.arange(len(rows_in)), numbers)
        rows.copy(wanted, copy)
        kept = [line + b"\n" for line, is_wanted in zip(rows_in, wanted, strict=True) if is_wanted]
        last = lines[-1] if not ended and lines[-1].strip() and wanted[-1] else None
        assert decompressed(copy) == b"".join(kept)[: -1 if last is not None else None]


def test_fields_of_lines_are_text_numbers_and_times(tmp_path: Path) -> None:
    rows_in = [
        {"text": "a", "id": "x", "doc_id": "y", "url": "https://a", "date": "2026-01-05", "score": 0.5},
        {"text": "b", "id": None, "doc_id": 12, "url": 3, "fetched_at": 1_700_000_000, "date": "2020-01-01"},
        {"text": "c", "id": ["x"], "fetched_at": "yesterday", "date": "2026-01-05T01:00:00+01:00", "score": "1"},
        {"text": "d", "fetched_at": True, "score": 10**400},
    ]
    path = tmp_path / "file.jsonl"
    path.write_text("\n".join(map(json.dumps, rows_in)))
    _, documents = read(opened(path, tmp_path))
    assert [document["id"] for document in documents] == ["x", "12", None, None]
    assert [document["url"] for document in documents] == ["https://a", None, None, None]
    assert [document["fetched_at"] for document in documents] == [
        datetime(2026, 1, 5, tzinfo=UTC),
        datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC),
        datetime(2026, 1, 5, tzinfo=UTC),
        None,
    ]
    assert np.array([document["quality"] for document in documents])[[0, 3]].tolist() == [0.5, np.inf]
    assert np.isnan([document["quality"] for document in documents[1:3]]).all()


def test_rows_of_parquet_are_found_again_and_copied_with_all_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_rows, "PIECE_BYTES", 64)  # so that there are several
    number = 1000
    texts: list[str | None] = [f"text {row}" for row in range(number)]
    texts[3] = None
    table = pa.table(
        {
            "nested": pa.array([[{"a": row}] for row in range(number)]),
            "text": pa.array(texts).dictionary_encode(),
            "id": pa.array([None if row == 7 else row for row in range(number)], pa.int32()),
            "url": pa.array([f"https://a/{row}" for row in range(number)]),
            "date": pa.array([datetime(2026, 1, 5)] * number, pa.timestamp("us")),
            "score": pa.array(np.arange(number), pa.int8(), safe=False),
        }
    ).replace_schema_metadata({"mine": "kept"})
    path, copy = tmp_path / "file.parquet", tmp_path / "copy.parquet"
    pq.write_table(table, path, row_group_size=300)
    rows = opened(path, tmp_path)
    reasons, documents = read(rows)
    assert reasons == ["no_text" if row == 3 else "" for row in range(number)]
    assert len(documents) == number - 1
    assert documents[6] == {
        "text": "text 7",
        "id": None,
        "url": "https://a/7",
        "fetched_at": datetime(2026, 1, 5, tzinfo=UTC),
        "quality": 7.0,
    }
    numbers = np.array([0, 2, 4, 7, 255, 256, 299, 300, 999])
    assert rows.texts(numbers).to_pylist() == [f"text {row}" for row in numbers]
    assert rows.ids(numbers).to_pylist() == [None if row == 7 else str(row) for row in numbers]
    wanted = np.isin(np.arange(number), numbers)
    rows.copy(wanted, copy)
    copied = pq.read_table(copy)
    original = pq.read_table(path)
    assert copied.schema.equals(original.schema, check_metadata=True)
    assert copied.to_pylist() == original.take(pa.array(numbers)).to_pylist()


def test_texts_of_parquet_that_are_not_utf8_are_counted(tmp_path: Path) -> None:
    values = pa.array([b"good", b"\xff", b"also good"])
    broken = pa.Array.from_buffers(pa.string(), 3, values.buffers())
    ids = pa.Array.from_buffers(pa.string(), 3, pa.array([b"\xc3", b"b", b"c"]).buffers())
    path = tmp_path / "file.parquet"
    pq.write_table(pa.table({"text": broken, "id": ids}), path)
    rows = opened(path, tmp_path)
    reasons, documents = read(rows)
    assert reasons == ["", "text_not_utf8", ""]
    assert [(document["id"], document["text"]) for document in documents] == [(None, "good"), ("c", "also good")]
    assert rows.texts(np.array([2])).to_pylist() == ["also good"]


def test_a_file_without_rows_gives_none(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "empty.parquet")
    write_lines(tmp_path / "blank.jsonl", b"\n \n", None)
    write_lines(tmp_path / "empty.jsonl.gz", b"", "gzip")
    for name in ("empty.parquet", "blank.jsonl", "empty.jsonl.gz"):
        scratch = tmp_path / f"scratch-{name}"
        scratch.mkdir()
        rows = opened(tmp_path / name, scratch)
        assert read(rows) == ([], [])
        assert rows.texts(np.zeros(0, np.int64)).to_pylist() == []
        rows.copy(np.zeros(0, bool), scratch / "copy")
    assert pq.read_table(tmp_path / "scratch-empty.parquet" / "copy").num_rows == 0
    assert decompressed(tmp_path / "scratch-blank.jsonl" / "copy") == b""


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    write_lines(tmp_path / "file.jsonl.gz", b'{"text": "one"}\n' * 1000, "gzip")
    whole = (tmp_path / "file.jsonl.gz").read_bytes()
    (tmp_path / "file.jsonl.gz").write_bytes(whole[:-20])
    with pytest.raises(TextFileError, match=r"file\.jsonl\.gz cannot be read to its end"):
        read(opened(tmp_path / "file.jsonl.gz", tmp_path))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"content": ["a"]}, "there is no column 'text'.*Is it 'content'"),
        ({"text": [1]}, "the column 'text' is int64, expected text"),
    ],
)
def test_a_parquet_file_without_texts_is_refused(columns: dict[str, list[Any]], message: str, tmp_path: Path) -> None:
    pq.write_table(pa.table(columns), tmp_path / "file.parquet")
    with pytest.raises(TextFileError, match=message):
        read(opened(tmp_path / "file.parquet", tmp_path))


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    table = pa.table({"text": ["a", "b"]})
    pq.write_table(table, tmp_path / "file.parquet")
    write_lines(tmp_path / "file.jsonl", b'{"text": "one"}\n' * 2, None)
    for name in ("file.parquet", "file.jsonl"):
        rows = opened(tmp_path / name, tmp_path)
        read(rows)
        if name.endswith("parquet"):
            pq.write_table(table.slice(1), tmp_path / name)
        else:
            (tmp_path / name).write_bytes(b'{"text": "one"}\n')
        with pytest.raises(TextFileError, match="changed while it was read"):
            rows.copy(np.ones(2, bool), tmp_path / "copy")
