"""Files in, a folder of judgements out: all of it or nothing, in order, the same for any number of workers."""

import gzip
import hashlib
import json
import threading
import time
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipeline_lib.filters.judged_files import JudgedBatch, judge_files
from pipeline_lib.text_files.opening import TextFileError
from pipeline_lib.text_files.output_names import file_name, output_names
from storage.new_folder import OutputRefused
from storage.wrong_request import WrongRequest


def judge(batch):
    """Rejects short texts, and of the others those with a 7 in them."""
    length = pc.utf8_length(batch.texts).to_numpy().astype(np.float64)
    sevens = pc.count_substring(batch.texts, "7").to_numpy().astype(np.float64)
    reasons = [
        "length.too_short" if chars < 6 else "sevens.too_many" if seven else None
        for chars, seven in zip(length, sevens, strict=True)
    ]
    return JudgedBatch(signals={"length": length, "sevens": sevens}, rejected_by=pa.array(reasons, pa.string()))


def judge_slowly_by_turns(batch):
    """The earlier of two batches is ready last."""
    time.sleep(0.002 * (batch.first_row % 3))
    return judge(batch)


def judge_edited(batch):
    judged = judge(batch)
    edited = pa.chunked_array([pc.replace_substring(chunk, "text", "TEXT") for chunk in batch.texts.chunks])
    return JudgedBatch(signals=judged.signals, rejected_by=judged.rejected_by, texts=edited)


def judged(files, out, judge_batch=judge, **options):
    defaults = {"workers": 2, "progress": lambda _: None, "rules_digest": "d1", "batch_bytes": 2000}
    return judge_files([str(file) for file in files], out, judge_batch, **{**defaults, **options})


@pytest.fixture
def sources(tmp_path):
    """Two files of other kinds whose names differ in nothing but folder and extension."""
    rows = [{"id": f"d{row}", "text": f"text {row}"} for row in range(1000)]
    lines = tmp_path / "a" / "part.jsonl.gz"
    table = tmp_path / "b" / "part.parquet"
    for path in (lines, table):
        path.parent.mkdir()
    lines.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode(), mtime=0))
    pq.write_table(pa.table({"doc_id": range(300), "text": [f"{row}" * 4 for row in range(300)]}), table)
    return [lines, table]


@pytest.fixture
def folder(tmp_path):
    """An empty folder: all that stands in it afterwards was left there."""
    path = tmp_path / "work"
    path.mkdir()
    return path


def contents(out):
    return {path.name: path.read_bytes() for path in Path(out).iterdir()}


def test_every_document_is_a_row_in_order_with_its_signals_and_what_rejects_it(sources, folder):
    judged(sources, folder / "out")
    assert sorted(contents(folder / "out")) == ["part-2.parquet", "part.parquet", "summary.json"]
    first = pl.read_parquet(folder / "out" / "part.parquet")
    assert first.schema == {"id": pl.String, "length": pl.Float64, "sevens": pl.Float64, "rejected_by": pl.String}
    assert first["id"].to_list() == [f"d{row}" for row in range(1000)]
    assert first["sevens"].to_list() == [str(row).count("7") for row in range(1000)]
    assert first["rejected_by"].to_list() == ["sevens.too_many" if "7" in str(row) else None for row in range(1000)]
    second = pl.read_parquet(folder / "out" / "part-2.parquet")
    assert second["id"].to_list() == [str(row) for row in range(300)]
    assert second["rejected_by"].to_list()[5:8] == ["length.too_short"] * 3


def test_the_summary_accounts_for_every_document_by_file_and_rule(sources, folder):
    summary = judged(sources, folder / "out", rules_digest="abc")
    written = json.loads((folder / "out" / "summary.json").read_text())
    assert written == summary.as_json()
    assert written["rules_digest"] == "abc"
    assert [file["name"] for file in written["files"]] == ["part.jsonl.gz", "part.parquet"]
    for counts in (written, *written["files"]):
        assert counts["documents_in"] == counts["documents_kept"] + sum(counts["rejected_by"].values())
    assert written["documents_in"] == 1300
    assert list(written["rejected_by"]) == ["length.too_short", "sevens.too_many"]
    for file, source in zip(written["files"], sources, strict=True):
        assert file["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
        rejected = pl.read_parquet(folder / "out" / file["output"])["rejected_by"]
        assert file["documents_kept"] == rejected.null_count()


def test_the_bytes_are_the_same_for_any_number_of_workers_and_any_place(sources, folder, tmp_path):
    judged(sources, folder / "one", workers=1)
    judged(sources, folder / "four", judge_slowly_by_turns, workers=4)
    moved = [tmp_path / "moved" / source.relative_to(tmp_path) for source in sources]
    for source, path in zip(sources, moved, strict=True):
        path.parent.mkdir(parents=True)
        source.rename(path)
    judged(moved, tmp_path / "deep" / "er" / "elsewhere")
    assert contents(folder / "one") == contents(folder / "four") == contents(tmp_path / "deep" / "er" / "elsewhere")


@pytest.mark.parametrize(("judge_batch", "expected"), [(judge, "text 12"), (judge_edited, "TEXT 12")])
def test_texts_stand_beside_their_judgement_when_asked_for_as_edited(sources, folder, judge_batch, expected):
    judged(sources, folder / "out", judge_batch, with_text=True)
    assert pl.read_parquet(folder / "out" / "part.parquet")["text"][12] == expected


def test_row_groups_stay_small_however_large_a_batch_is(tmp_path, folder):
    source = tmp_path / "short.jsonl"
    source.write_text('{"id":1,"text":""}\n' * 150_000)
    judged([source], folder / "out", batch_bytes=1 << 30)
    metadata = pq.ParquetFile(folder / "out" / "short.parquet").metadata
    assert metadata.num_rows == 150_000
    assert max(metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)) <= 1 << 16


def test_progress_counts_up_to_all_documents_and_files(sources, folder):
    seen = []
    judged(sources, folder / "out", progress=seen.append)
    assert [each.documents for each in seen] == sorted(each.documents for each in seen)
    assert len(seen) > 4
    assert (seen[-1].documents, seen[-1].file_number, seen[-1].num_files) == (1300, 2, 2)
    assert seen[-1].file == str(sources[1])
    assert 0 < seen[-1].documents_kept < 1300
    assert seen[-1].text_bytes == sum(len(f"text {row}") for row in range(1000)) + sum(
        len(f"{row}" * 4) for row in range(300)
    )


def test_only_a_few_batches_are_in_memory_at_once(tmp_path, folder):
    source = tmp_path / "many.jsonl"
    source.write_text('{"id":1,"text":"a text of some length"}\n' * 2000)
    written, furthest = [0], [0]

    def judge_first_last(batch):
        furthest[0] = max(furthest[0], batch.first_row - written[0])
        if batch.first_row == 0:
            time.sleep(0.3)
        return judge(batch)

    def note(progress):
        written[0] = progress.documents

    judged([source], folder / "out", judge_first_last, workers=3, batch_bytes=400, progress=note)
    assert furthest[0] <= 60  # of about ten documents a batch: four batches, and one more being read


class Interrupted(BaseException):
    """Stands for Ctrl-C."""


@pytest.mark.parametrize("error", [RuntimeError, Interrupted, KeyboardInterrupt])
@pytest.mark.parametrize("raised_in", ["judge", "progress"])
def test_an_error_or_interrupt_leaves_nothing(sources, folder, error, raised_in):
    def fail(each):
        if (each.first_row if raised_in == "judge" else each.documents) > 400:
            raise error("stop")
        return judge(each) if raised_in == "judge" else None

    options = {"judge_batch" if raised_in == "judge" else "progress": fail}
    threads = threading.active_count()
    with pytest.raises(error, match="stop"):
        judged(sources, folder / "new" / "out", **options)
    assert list(folder.iterdir()) == []
    assert threading.active_count() == threads


def test_a_file_that_turns_out_bad_after_others_were_judged_leaves_nothing(sources, folder, tmp_path):
    late = tmp_path / "late.jsonl"
    late.write_text('{"id": 1, "text": "a"}\n' * 20_000 + '{"id": 2, "text": 5}\n')
    out = folder / "out"
    out.mkdir()  # empty, so fine, and it stays as it was
    with pytest.raises(TextFileError, match="line 20001: 'text' is a number"):
        judged([*sources, late], out)
    assert list(folder.iterdir()) == [out]
    assert list(out.iterdir()) == []
    judged(sources, out)
    assert "summary.json" in contents(out)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b'{"id": 1}\n', "there is no column 'text'"),
        (b'{"text": null}\n', "'text' is null"),
        (b"id,text\n", "line 1: no JSON object"),
    ],
)
def test_all_files_are_checked_before_any_is_judged(sources, folder, tmp_path, content, said):
    bad = tmp_path / "z.jsonl"
    bad.write_bytes(content)

    def never(_):
        raise AssertionError("a batch was judged")

    with pytest.raises(TextFileError, match=said):
        judged([*sources, bad], folder / "out", never)
    assert list(folder.iterdir()) == []


def test_a_folder_that_holds_something_is_refused_before_any_work_and_stays(sources, folder):
    (folder / "notes.txt").write_text("mine")
    for out in (folder, folder / "notes.txt"):
        with pytest.raises(OutputRefused, match=r"not empty|is a file"):
            judged(["/nowhere/at/all.jsonl"], out)
    assert contents(folder) == {"notes.txt": b"mine"}
    assert list(folder.parent.glob(".*")) == []


def test_a_folder_that_cannot_be_made_and_no_files_are_refused(sources, folder):
    (folder / "file").write_text("")
    with pytest.raises(OutputRefused, match="cannot be made"):
        judged(sources, folder / "file" / "out")
    with pytest.raises(WrongRequest, match="no files"):
        judged([], folder / "out")


@pytest.mark.parametrize("signals", [{"id": np.zeros(1)}, {"length": np.zeros(5)}])
def test_results_that_do_not_fit_their_texts_are_an_error(tmp_path, folder, signals):
    source = tmp_path / "one.jsonl"
    source.write_text('{"text": "a"}')
    with pytest.raises(ValueError, match=r"may not be called|results|length"):
        judged([source], folder / "out", lambda _: JudgedBatch(signals=signals, rejected_by=pa.array([None])))
    assert list(folder.iterdir()) == []


def test_outputs_are_named_after_their_files_and_numbered_where_alike():
    files = [
        "/a/x.jsonl.gz",
        "/b/X.parquet",
        "/c/x-2.json",
        "/d/x.ndjson",
        "s3://bucket/a.b.c.jsonl.zst",
        "https://host/page.parquet?signature=secret",
        "/e/table.csv",
        "/f/.jsonl",
        "/g/plain",
    ]
    assert output_names(files) == [
        f"{name}.parquet" for name in ["x", "X-2", "x-2-2", "x-3", "a.b.c", "page", "table", "documents", "plain"]
    ]
    assert file_name("https://host/page.parquet?signature=secret") == "page.parquet"
