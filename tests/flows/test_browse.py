"""The document browser as programs and strangers meet it: pages, refusals, and what it never gives away."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path

import fsspec
import httpx
import pyarrow as pa
import pytest
from browse_server import serving
from large_run import record_run
from made_run import ADDRESS, HOSTILE, MadeRun, publish_run
from published_stages import document_row, publish_tables

from flows.browse import Browser, NoSuchDocument, PortTaken, is_own, listen, own_names
from pipeline_lib.browse.selection import Filters
from pipeline_lib.browse.views import View
from storage.runs import EarlierRun, Run, save_run
from storage.schemas import DOCUMENTS, DUPLICATES
from storage.store import Store
from storage.wrong_request import WrongRequest


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[MadeRun, Run]:
    run = publish_run(Store(str(tmp_path_factory.mktemp("browse") / "store")), per_part=60, hostile="")
    return run, record_run(run.store, run.stages)


@pytest.fixture(scope="module")
def client(made: tuple[MadeRun, Run]) -> Iterator[httpx.Client]:
    run, record = made
    with serving(run.store, record) as address, httpx.Client(base_url=address, timeout=120) as client:
        yield client


def documents_in(html: str) -> list[str]:
    return re.findall(r'id="d-([0-9a-f]{32})"', html)


def test_the_list_leads_to_every_document_page_by_page(client, made):
    run, _ = made
    address, seen = "/", []
    while address:
        page = client.get(address)
        assert page.status_code == 200
        seen += documents_in(page.text)
        (address,) = re.findall(r'rel="next" href="([^"]*)">Next', page.text) or [None]
        address = address and unescape(address)
    assert seen == run.documents["doc_id"].to_pylist()


def test_filters_stand_in_the_address_and_name_the_documents(client, made):
    run, _ = made
    page = client.get("/", params={"fate": "dedup:near_duplicate", "language": "en"})
    found = documents_in(page.text)
    assert found
    assert set(found) <= set(run.duplicates)
    assert f"{len(found)} documents, of 120 in the run" in page.text


def test_a_dropped_document_shows_the_rule_its_value_and_the_line(client, made):
    run, _ = made
    doc_id, rule = next(iter(run.dropped.items()))
    page = client.get(f"/documents/{doc_id}").text
    assert f"Dropped by the stage judge, by the rule {rule}: 0.123457, the line is at" in page
    assert "Rules and signals" in page


def test_a_duplicate_links_to_the_kept_one_and_shows_what_differs(client, made):
    run, _ = made
    page = ""
    for doc_id, kept_id in run.duplicates.items():
        page = client.get(f"/documents/{doc_id}").text
        assert f'href="/documents/{kept_id}' in page
        if "One more line." in page:
            break
    assert "<mark>" in page
    assert "similarity" in page
    # its cluster: itself and the kept one
    assert documents_in(page) == [kept_id, doc_id]


def test_addresses_that_no_stage_masked_are_masked(client, made):
    run, _ = made
    for doc_id in [*run.dropped, *run.duplicates]:
        page = client.get(f"/documents/{doc_id}").text
        assert ADDRESS not in page
    assert ADDRESS in run.text_of(next(iter(run.dropped)))
    found = client.get("/", params={"q": ADDRESS, "in": "text"}).text
    assert len(documents_in(found)) > 0
    assert found.count(ADDRESS) == 2  # the field that was typed in, and the filter's name: no passage


def test_a_search_in_texts_shows_the_passage(client):
    page = client.get("/", params={"q": "FUNCTION 31 of part-00001", "in": "text"}).text
    assert len(documents_in(page)) == 1
    assert "<mark>Function 31 of part-00001</mark>" in page
    assert "1 found in all 120 documents" in page


def test_a_search_in_texts_goes_on_where_it_stopped(client, made):
    run, _ = made
    address, seen = "/?q=function&in=text", []
    while address:
        page = client.get(address).text
        seen += documents_in(page)
        (address,) = re.findall(r'rel="next" href="([^"]*)">Look further', page) or [None]
        address = address and unescape(address)
    having = [doc_id for doc_id in run.documents["doc_id"].to_pylist() if "function" in run.text_of(doc_id).lower()]
    assert seen == having


@pytest.mark.parametrize(
    ("address", "status", "told"),
    [
        ("/documents/" + "0" * 32, 404, "has no document"),
        ("/documents/nonsense", 400, "32 hex digits"),
        ("/documents/..%2f..%2fetc%2fpasswd", 404, "nothing at this address"),
        ("/etc/passwd", 404, "nothing at this address"),
        ("/report", 404, "no report yet"),
        ("/?page=x", 400, "whole number"),
        ("/?fate=judge:nonesuch", 400, "no document of this run met that"),
        ("/?path=/etc/passwd", 400, "unknown parameter"),
        ("/?page=9999", 200, "There is no page 9,999: the last one is 3"),
        ("/?host=docs.invalid", 200, '<a href="/?host=numpy.docs.invalid"><bdi>numpy.docs.invalid</bdi></a>'),
    ],
)
def test_what_is_not_there_is_said_clearly(client, address, status, told):
    page = client.get(address)
    assert page.status_code == status
    assert told in page.text
    assert page.headers["content-type"].startswith("text/html")


def test_only_reading_is_possible(client):
    assert client.post("/").status_code == 405
    assert client.delete("/documents/" + "0" * 32).status_code == 405
    head = client.head("/")
    assert head.status_code == 200
    assert head.text == ""


def test_a_name_that_is_not_ours_is_refused(client):
    for name in ("evil.test", "localhost.evil.test", "127.0.0.1.evil.test", "evil.test:80", ""):
        answer = client.get("/", headers={"host": name})
        assert answer.status_code == 421, name
        assert "documents" not in answer.text
    assert client.get("/", headers={"host": "localhost:99"}).status_code == 200


def test_pages_of_others_may_link_here_and_not_fetch(client):
    assert client.get("/", headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}).status_code == 403
    assert client.get("/", headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}).status_code == 200


@pytest.mark.parametrize(
    ("header", "own"),
    [
        ("127.0.0.1:4280", True),
        ("[::1]:4280", True),
        ("10.0.0.7", True),
        ("LOCALHOST", True),
        ("mill.lan", True),
        ("mill.lan.evil.test", False),
        ("[::1", True),
        ("[evil.test]", False),
        ("2130706433", False),
    ],
)
def test_own_names_are_addresses_and_what_the_server_was_given(header, own):
    assert is_own(header, own_names("mill.lan")) == own


def test_every_answer_tells_the_browser_to_run_and_load_nothing_else(client):
    for address in ("/", "/documents/" + "0" * 32, "/look.css", "/browse.js", "/nowhere"):
        headers = client.get(address).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


def test_nothing_that_was_crawled_is_markup(tmp_path):
    run = publish_run(Store(str(tmp_path / "store")), per_part=20, hostile=HOSTILE)
    browser = Browser(run.store, record_run(run.store, run.stages))
    pages = [browser.list_page(View()), browser.list_page(View(phrase="function", where="text"))]
    pages += [browser.document_page(doc_id, View()) for doc_id in run.documents["doc_id"].to_pylist()]
    hosts = run.documents["host"].to_pylist()
    pages.append(browser.list_page(View(filters=Filters(host=hosts[0]), phrase=HOSTILE)))
    for page in pages:
        assert page.count("<script") == 1  # our own, by its address
        assert '<script src="/browse.js" defer></script>' in page
        assert "<img" not in page
        assert "onerror=&#34;" in page or "onerror" not in page
        assert "\u202e" not in re.sub(r'value="[^"]*"', "", page)  # what is in a field, turns round that field alone
        assert "\x00" not in re.sub(r'value="[^"]*"', "", page)


def test_a_link_leads_out_only_to_the_web(client, made):
    run, _ = made
    page = client.get(f"/documents/{run.documents['doc_id'][0].as_py()}").text
    (link,) = re.findall(r'<a href="(https://[^"]*)" rel="([^"]*)"', page)
    assert link[1].split()[0] == "noreferrer"


@pytest.mark.parametrize("last", ["extract", "signals", "judge", "dedup"])
@pytest.mark.parametrize("status", ["running", "failed"])
def test_a_run_in_any_state_can_be_looked_at(made, last, status):
    run, record = made
    names = [stage.name for stage in record.stages]
    unfinished = replace(record, status=status, stages=record.stages[: names.index(last) + 1], error="a reason")
    save_run(run.store, replace(unfinished, run_id="unfinished"))
    browser = Browser(run.store, replace(unfinished, run_id="unfinished"))
    page = browser.list_page(View())
    assert f"its last finished stage is {last}" in page
    for doc_id in documents_in(page)[:6]:
        assert doc_id in browser.document_page(doc_id, View())


def test_a_run_that_goes_on_is_read_again(made, monkeypatch):
    run, record = made
    monkeypatch.setattr("flows.browse._LOOK_SECONDS", 0)
    going = replace(record, run_id="going", status="running", stages=[])
    save_run(run.store, going)
    browser = Browser(run.store, going)
    assert "no stage of it has finished yet" in browser.list_page(View())
    save_run(run.store, replace(going, stages=record.stages[:2]))
    assert len(documents_in(browser.list_page(View()))) == 50
    save_run(run.store, replace(record, run_id="going"))
    page = browser.list_page(View(filters=Filters(fate="kept:validation")))
    assert "still going" not in page
    assert "8 documents" in page


def test_a_run_that_extracted_nothing_is_refused(made):
    run, record = made
    with pytest.raises(WrongRequest, match="extracted nothing"):
        Browser(run.store, replace(record, status="failed", stages=[]))
    with pytest.raises(NoSuchDocument):
        Browser(run.store, record).document_page("0" * 32, View())


def test_a_run_that_was_judged_by_unknown_rules_is_refused(tmp_path):
    run = publish_run(Store(str(tmp_path)), per_part=10, hostile="")
    judge = run.stages["judge"]
    unknown = {**judge.manifest.parameters, "rules": ["of tomorrow"]}
    stages = {**run.stages, "judge": replace(judge, manifest=replace(judge.manifest, parameters=unknown))}
    with pytest.raises(WrongRequest, match="not ones that this version reads; run it again"):
        Browser(run.store, record_run(run.store, stages))


def test_a_duplicate_of_an_earlier_runs_document_names_that_run(tmp_path):
    store = Store(str(tmp_path))
    document = document_row(0, text="A text.")
    duplicate = {
        "doc_id": document["doc_id"],
        "rule": "near_duplicate",
        "kept_id": "ab" * 16,
        "kept_run": "entry-1",
        "similarity": 0.9,
        "threshold": 0.8,
        "bands_shared": 3,
        "cluster_id": "ab" * 16,
    }
    tables = {"extract": ("documents", document, DOCUMENTS), "dedup": ("duplicates", duplicate, DUPLICATES)}
    stages = {
        name: publish_tables(store, name, {"p": {table: (pa.Table.from_pylist([row], schema), schema)}})
        for name, (table, row, schema) in tables.items()
    }
    record = record_run(store, stages)
    record.earlier = [EarlierRun(entry="entry-1", run_id="weekly-1", kept="")]
    page = Browser(store, record).document_page(document["doc_id"], View())
    assert "gristmill browse weekly-1 shows it, at /documents/" + "ab" * 16 in page


def test_a_store_elsewhere_is_read_through_its_own_filesystem():
    store = Store("memory://browse-store")
    try:
        run = publish_run(store, per_part=20, hostile="")
        browser = Browser(store, record_run(store, run.stages))
        assert len(documents_in(browser.list_page(View(order="mixed")))) == 40
        doc_id = next(iter(run.duplicates))
        assert "The document kept in its place" in browser.document_page(doc_id, View())
    finally:
        fsspec.filesystem("memory").rm("/browse-store", recursive=True)


def test_a_damaged_file_is_named_and_the_rest_can_be_looked_at(tmp_path):
    run = publish_run(Store(str(tmp_path / "store")), per_part=20, hostile="")
    record = record_run(run.store, run.stages)
    with serving(run.store, record) as address:
        path = Path(run.store.full_path("stages/signals/signals-key/signals/part-00000.parquet"))
        path.write_bytes(path.read_bytes()[:100])
        page = httpx.get(f"{address}/documents/{run.documents['doc_id'][0].as_py()}", timeout=120)
        assert page.status_code == 503
        assert "signals/part-00000.parquet" in page.text
        assert "run again" in page.text
        assert httpx.get(f"{address}/").status_code == 200


def test_a_taken_port_is_said_and_without_one_another_is_found():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=f"port {port}.*--port"):
            listen("127.0.0.1", port)
    with listen("127.0.0.1", None) as first, listen("127.0.0.1", None) as second:
        assert first.getsockname()[1] != second.getsockname()[1]


def test_the_command_tells_its_address_serves_and_ends_with_ctrl_c(made):
    run, record = made
    command = [sys.executable, "-m", "flows.cli", "browse", record.run_id, "--port", "0"]
    environment = {**os.environ, "GRISTMILL_STORE": run.store.url, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        told = process.stdout.readline()
        (address,) = re.findall(r"http://127\.0\.0\.1:\d+/", told)
        assert told.startswith(f"120 documents of {record.run_id}")
        assert httpx.get(address, timeout=60).status_code == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
        assert process.stderr.read() == ""


def test_a_wrong_run_is_refused_with_code_2(made):
    run, _ = made
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", "browse", "nonesuch", "--store", run.store.url],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "no run 'nonesuch'" in done.stderr
