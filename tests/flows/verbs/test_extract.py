"""`gristmill extract` on files as people have them."""

import gzip
import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from flows.cli import main
from storage.schemas import DOCUMENTS, REJECTED_RECORDS, document_id
from storage.tables import read_table

TEXT = "The mill stands at the river and grinds what the farmers bring. " * 5


def gristmill(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments])


def warc_record(kind: str, number: int, block: bytes, content_type: str) -> bytes:
    header = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: https://a.example/{number}\r\n"
        f"WARC-Date: 2026-01-05T10:20:30Z\r\nContent-Type: {content_type}\r\nContent-Length: {len(block)}\r\n\r\n"
    )
    return header.encode() + block + b"\r\n\r\n"


def response(number: int, status: str = "200 OK", text: str = TEXT) -> bytes:
    block = (
        f"HTTP/1.1 {status}\r\nContent-Type: text/html\r\n\r\n<html><title>Page {number}</title><p>{text}</p></html>"
    )
    return warc_record("response", number, block.encode(), "application/http; msgtype=response")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with two WARC files of one name in different folders, a WET file, and three pages."""
    folder = tmp_path / "files"
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
    members = [response(0), response(1, "404 Not Found"), response(2), warc_record("request", 3, b"GET /", "x")]
    (folder / "a" / "crawl.warc.gz").write_bytes(b"".join(map(gzip.compress, members)))
    (folder / "b" / "crawl.warc").write_bytes(response(4) + b"lost and found\r\n" + response(5))
    wet = warc_record("conversion", 6, TEXT.encode(), "text/plain")
    (folder / "crawl.warc.wet.gz").write_bytes(gzip.compress(wet))
    page = f"<html><head>%s<title>A page</title></head><body><p>{TEXT}</p></body></html>"
    (folder / "a" / "index.html").write_text(page % "<link rel='canonical' href='https://c.example/index'>")
    (folder / "b" / "index.htm").write_text(page % "<meta property=og:url content=https://c.example/shared>")
    (folder / "b" / "plain.html").write_text(page % "<link rel=canonical href=/relative>")
    (folder / "notes.txt").write_text("not meant")
    return folder


def test_extract_writes_documents_and_what_is_none_with_reasons(files: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = gristmill("extract", files, "--out", out, "--workers", "2")
    assert done.exit_code == 0, done.stderr
    assert "11 records, 8 documents" in done.stdout
    documents = {path.name: read_table(path, DOCUMENTS).to_pylist() for path in sorted(out.glob("*.parquet"))}
    rejected = {
        path.name: read_table(path, REJECTED_RECORDS).to_pylist() for path in sorted((out / "rejected").iterdir())
    }
    assert {name: [row["url"] for row in rows] for name, rows in documents.items()} == {
        "crawl.parquet": ["https://a.example/0", "https://a.example/2"],
        "crawl-2.parquet": ["https://a.example/4", "https://a.example/5"],
        "crawl-3.parquet": ["https://a.example/6"],
        "html.parquet": ["https://c.example/index", "https://c.example/shared", "b/plain.html"],
    }
    assert {name: [row["reason"] for row in rows] for name, rows in rejected.items()} == {
        "crawl.parquet": ["status_404", "record_request"],
        "crawl-2.parquet": ["not_a_record"],
        "crawl-3.parquet": [],
        "html.parquet": [],
    }
    first, page = documents["crawl.parquet"][0], documents["html.parquet"][0]
    assert (first["warc_path"], first["doc_id"]) == ("a/crawl.warc.gz", document_id("a/crawl.warc.gz", 0))
    assert (page["warc_path"], page["doc_id"]) == ("a/index.html", document_id("a/index.html", 0))
    assert (page["host"], page["mime"], page["title"], page["text"]) == (
        "c.example",
        "text/html",
        "A page",
        TEXT.strip(),
    )
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["documents_in"], summary["documents_out"]) == (11, 8)
    assert summary["dropped"] == {"not_a_record": 1, "record_request": 1, "status_404": 1}
    assert sum(each["documents_out"] for each in summary["files"]) == 8
    assert {each["rejected"] for each in summary["files"]} == {f"rejected/{name}" for name in rejected}


def test_the_number_of_workers_changes_nothing(files: Path, tmp_path: Path) -> None:
    for workers in ("1", "3"):
        assert gristmill("extract", files, "--out", tmp_path / workers, "--workers", workers).exit_code == 0
    written = [
        {str(path.relative_to(tmp_path / workers)): path.read_bytes() for path in (tmp_path / workers).rglob("*.*")}
        for workers in ("1", "3")
    ]
    assert written[0] == written[1]


def test_extract_prints_one_json_object_and_nothing_else(files: Path, tmp_path: Path) -> None:
    done = gristmill("extract", files / "a" / "crawl.warc.gz", "--out", tmp_path / "out", "--json", "--workers", "1")
    assert done.exit_code == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed == json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (printed["documents_in"], printed["unit_in"], printed["unit_out"]) == (4, "records", "documents")
    [file] = printed["files"]
    assert (file["name"], file["output"]) == ("crawl.warc.gz", "crawl.parquet")


def test_settings_reach_the_extraction(files: Path, tmp_path: Path) -> None:
    settings = ("--set", "opt_outs.domains=[a.example]", "--set", "extract.extractor=resiliparse", "--workers", "1")
    done = gristmill("extract", files / "a", "--out", tmp_path / "out", *settings)
    assert done.exit_code == 0, done.stderr
    rejected = pl.read_parquet(tmp_path / "out" / "rejected" / "crawl.parquet")
    assert rejected["reason"].to_list() == ["opt_out_domain", "status_404", "opt_out_domain", "record_request"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.warc.gz"], "there is no such file"),
        (["a", "--set", "opt_outs.domain=[x]"], "did you mean 'opt_outs.domains'"),
        (["a", "--set", "max_depth=deep"], "max_depth"),
        (["a", "--set", "opt_outs.directives=[nope]"], "expected robots directives"),
        (["a", "--set", "opt_outs.domain_files=[none.txt]"], "there is no file"),
    ],
)
def test_a_wrong_request_is_told_before_any_work(
    arguments: list[str], message: str, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    done = gristmill("extract", *arguments, "--out", tmp_path / "out")
    assert (done.exit_code, message in done.stderr) == (2, True), done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["files"]


def test_a_folder_that_is_taken_is_left_alone(files: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    done = gristmill("extract", files, "--out", out)
    assert (done.exit_code, "not empty" in done.stderr) == (2, True)
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


def test_files_are_read_from_web_addresses(files: Path, tmp_path: Path) -> None:
    handler = partial(QuietHandler, directory=str(files))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            address = f"http://127.0.0.1:{server.server_address[1]}"
            urls = [f"{address}/a/crawl.warc.gz", f"{address}/a/index.html?from=here"]
            done = gristmill("extract", *urls, "--out", tmp_path / "out", "--workers", "1")
        finally:
            server.shutdown()
            thread.join()
    assert done.exit_code == 0, done.stderr
    assert pq.read_table(tmp_path / "out" / "crawl.parquet").num_rows == 2
    assert pq.read_table(tmp_path / "out" / "html.parquet")["warc_path"].to_pylist() == ["index.html"]


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing on the test's output."""
