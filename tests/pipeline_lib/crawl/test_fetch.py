"""Listing and fetching WARC files: from disks, memory and a real server on the loopback interface."""

import functools
import gzip
import hashlib
import http.server
import threading

import fsspec
import pytest
from published_stages import publish_stage

from pipeline_lib.crawl.fetch_stage import fetch_part, fetch_parts
from pipeline_lib.crawl.fetching import FetchParameters, open_range
from pipeline_lib.crawl.listing import SourceError, check_paths, list_sources
from pipeline_lib.crawl.remote import FetchFailed, Remote
from storage.schemas import SOURCES
from storage.store import Store

READER = Remote(FetchParameters(max_attempts=2, backoff_seconds=0.01))
NAMES = ["crawl-data/C/segments/1/warc/b.warc.gz", "crawl-data/C/segments/0/warc/a.warc.gz"]


def content_of(name):
    return gzip.compress(name.encode() * 100, mtime=0)


def lay_out(folder, names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content_of(name))


@pytest.fixture
def crawl_folder(tmp_path):
    """A crawl in Common Crawl's layout with its list of paths, out of alphabetical order."""
    folder = tmp_path / "mirror"
    lay_out(folder, NAMES)
    listed = "".join(f"{name}\n" for name in NAMES)
    (folder / "crawl-data/C/warc.paths.gz").write_bytes(gzip.compress(listed.encode(), mtime=0))
    return folder


def fetch(sources, store, mode):
    """Run all parts of the fetch stage; the rows of its table and the published stage."""
    parameters = FetchParameters(mode=mode)
    stage = publish_stage(
        store, "fetch", fetch_parts(sources), lambda part, output: fetch_part(part, {}, output, parameters), key="k"
    )
    return [row for part in stage.part_names for row in stage.read("sources", part, SOURCES).to_pylist()], stage


def test_a_list_of_paths_keeps_its_order_and_finds_its_files_beside_crawl_data(crawl_folder):
    sources = list_sources(READER, [str(crawl_folder / "crawl-data/C/warc.paths.gz")])
    assert [source.warc_path for source in sources] == NAMES
    assert [source.url for source in sources] == [str(crawl_folder / name) for name in NAMES]
    assert [source.num_bytes for source in sources] == [len(content_of(name)) for name in NAMES]
    assert sources[0].fingerprint == "sha256:" + hashlib.sha256(content_of(NAMES[0])).hexdigest()


def test_a_glob_of_lists_stands_for_the_files_that_they_name(crawl_folder):
    sources = list_sources(READER, [str(crawl_folder / "crawl-data/*/warc.paths.gz")])
    assert [source.warc_path for source in sources] == NAMES


def test_a_list_of_paths_from_elsewhere_needs_the_base_url_and_says_so(crawl_folder, tmp_path):
    elsewhere = tmp_path / "warc.paths"
    elsewhere.write_text("\n".join(NAMES))
    with pytest.raises(SourceError, match="set base_url"):
        list_sources(READER, [str(elsewhere)])
    sources = list_sources(READER, [str(elsewhere)], base_url=str(crawl_folder))
    assert [source.warc_path for source in sources] == NAMES


@pytest.mark.parametrize("named", ["", "crawl-data/C/segments/*/warc/*.warc.gz", "crawl-data/**/*.warc.gz"])
def test_folders_and_globs_are_sorted_and_logical_paths_begin_at_crawl_data(crawl_folder, named):
    sources = list_sources(READER, [str(crawl_folder / named)])
    assert [source.warc_path for source in sources] == sorted(NAMES)


def test_the_first_files_are_taken_and_none_twice(crawl_folder):
    files = [str(crawl_folder / name) for name in NAMES]
    assert [source.url for source in list_sources(READER, [*files, *files, str(crawl_folder)])] == files
    assert [source.url for source in list_sources(READER, [*files], files=1)] == files[:1]


@pytest.mark.parametrize(
    ("names", "logical"),
    [
        (["x/a.warc.gz"], ["a.warc.gz"]),
        (["x/a.warc.gz", "x/b.warc"], ["a.warc.gz", "b.warc"]),
        (["x/a.warc.gz", "y/a.warc.gz"], ["x/a.warc.gz", "y/a.warc.gz"]),
        (["x/y/a.warc.gz", "x/b.warc.gz"], ["y/a.warc.gz", "b.warc.gz"]),
        (["x/a.warc.gz", "crawl-data/C/a.warc.gz"], ["a.warc.gz", "crawl-data/C/a.warc.gz"]),
    ],
)
def test_logical_paths_elsewhere_begin_below_the_deepest_common_folder(tmp_path, names, logical):
    lay_out(tmp_path, names)
    sources = list_sources(READER, [str(tmp_path / name) for name in names])
    assert [source.warc_path for source in sources] == logical


def test_relative_paths_are_made_absolute_but_never_logical(tmp_path, monkeypatch):
    lay_out(tmp_path, ["x/a.warc.gz"])
    monkeypatch.chdir(tmp_path)
    (source,) = list_sources(READER, ["x/../x/a.warc.gz"])
    assert source.url == str(tmp_path / "x/a.warc.gz")
    assert source.warc_path == "a.warc.gz"


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("no.warc.gz", "no such file"),
        ("no*.warc.gz", "no file matches"),
        ("empty", "holds no file named"),
        ("empty.paths", "list of paths is empty"),
        ("torn.paths.gz", "not a list of paths"),
        ("outward.paths", "leads out of its root"),
        ("no.paths.gz", "no such file"),
        ("memory://no/such.warc.gz", "no such file"),
        ("memory://no/*.warc.gz", "no file matches"),
        ("http://127.0.0.1:9/a.warc.gz", "127.0.0.1:9"),
        ("nosuchscheme://a/b.warc.gz", "nosuchscheme"),
    ],
)
def test_what_cannot_be_read_is_a_clear_error_before_any_work(tmp_path, named, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.paths").write_text("\n\n")
    (tmp_path / "outward.paths").write_text("crawl-data/../../a.warc.gz\n")
    (tmp_path / "torn.paths.gz").write_bytes(gzip.compress(b"crawl-data/a.warc.gz")[:-9])
    path = named if "://" in named else str(tmp_path / named)
    with pytest.raises(SourceError, match=message):
        list_sources(READER, [path])
    with pytest.raises(SourceError, match=message):
        check_paths(READER, [path])


def test_two_files_that_would_have_one_name_are_refused(tmp_path):
    lay_out(tmp_path, ["x/crawl-data/C/a.warc.gz", "y/crawl-data/C/a.warc.gz"])
    with pytest.raises(SourceError, match=r"x/crawl-data/C/a\.warc\.gz and .*y/crawl-data"):
        list_sources(READER, [str(tmp_path)])


def test_checking_paths_counts_files_without_reading_them(crawl_folder):
    assert check_paths(READER, [str(crawl_folder / "crawl-data/C/warc.paths.gz")]) == 2
    assert check_paths(READER, [str(crawl_folder / NAMES[0]), str(crawl_folder)]) == 2


def test_streaming_publishes_only_where_the_files_are(crawl_folder, tmp_path):
    store = Store(str(tmp_path / "store"))
    rows, stage = fetch(list_sources(READER, [str(crawl_folder)]), store, "stream")
    assert [row["warc_path"] for row in rows] == sorted(NAMES)
    assert {record.table for record in stage.manifest.files()} == {"sources"}
    for row in rows:
        with open_range(Remote(FetchParameters(), store), row) as stream:
            assert stream.read() == content_of(row["warc_path"])


def test_keeping_publishes_the_bytes_and_reads_them_from_the_store_when_the_files_are_gone(crawl_folder, tmp_path):
    store = Store(str(tmp_path / "store"))
    rows, _ = fetch(list_sources(READER, [str(crawl_folder)]), store, "keep")
    for name in NAMES:
        (crawl_folder / name).unlink()
    for row in rows:
        assert row["url"] == f"store:stages/fetch/k/raw/{row['warc_path']}"
        with open_range(Remote(FetchParameters(), store), row) as stream:
            assert stream.read() == content_of(row["warc_path"])


@pytest.mark.parametrize("mode", ["stream", "keep"])
@pytest.mark.parametrize("change", ["remove", "grow"])
def test_a_file_that_went_or_changed_after_it_was_listed_is_an_error_that_names_it(
    crawl_folder, tmp_path, mode, change
):
    sources = list_sources(READER, [str(crawl_folder / NAMES[0])])
    if change == "remove":
        (crawl_folder / NAMES[0]).unlink()
    else:
        (crawl_folder / NAMES[0]).write_bytes(b"longer than before" * 100)
    store = Store(str(tmp_path / "store"))
    with pytest.raises(SourceError, match=r"b\.warc\.gz"):
        fetch(sources, store, mode)
    assert not [path for path in (tmp_path / "store").rglob("*") if path.is_file()]


def test_keeping_refuses_bytes_of_the_listed_length_that_are_others(crawl_folder, tmp_path):
    sources = list_sources(READER, [str(crawl_folder / NAMES[0])])
    path = crawl_folder / NAMES[0]
    path.write_bytes(path.read_bytes()[::-1])
    with pytest.raises(SourceError, match="changed after it was listed"):
        fetch(sources, Store(str(tmp_path / "store")), "keep")


def test_a_source_in_the_store_is_read_from_the_store(tmp_path):
    store = Store(str(tmp_path / "store"))
    store.publish_bytes("stages/crawl/k/warc/a.warc.gz", b"warc")
    remote = Remote(FetchParameters(), store)
    assert remote.read("store:stages/crawl/k/warc/a.warc.gz", 1, 2) == b"ar"
    with remote.open("store:stages/crawl/k/warc/a.warc.gz") as stream:
        assert stream.read() == b"warc"
    with pytest.raises(FetchFailed, match="run again"):
        remote.open("store:stages/crawl/k/warc/b.warc.gz")


@pytest.mark.parametrize("mode", ["stream", "keep"])
def test_files_of_other_file_systems_are_listed_and_fetched(tmp_path, mode):
    memory = fsspec.filesystem("memory")
    for name in NAMES:
        memory.pipe(f"/bucket/{name}", content_of(name))
    store = Store(str(tmp_path / "store"))
    sources = list_sources(READER, ["memory://bucket/crawl-data/**/*.warc.gz"])
    assert [source.warc_path for source in sources] == sorted(NAMES)
    rows, _ = fetch(sources, store, mode)
    for row in rows:
        with open_range(Remote(FetchParameters(), store), row) as stream:
            assert stream.read() == content_of(row["warc_path"])


class _TaggingHandler(http.server.SimpleHTTPRequestHandler):
    """Files of a folder with entity tags, and no word on standard error."""

    def end_headers(self):
        if self.path.endswith("a.warc.gz"):
            self.send_header("ETag", '"tag-of-a"')
        super().end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(crawl_folder):
    handler = functools.partial(_TaggingHandler, directory=str(crawl_folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("mode", ["stream", "keep"])
def test_a_list_on_a_server_gives_files_on_the_server(server, tmp_path, mode):
    sources = list_sources(READER, [f"{server}/crawl-data/C/warc.paths.gz"])
    assert [source.warc_path for source in sources] == NAMES
    assert {(source.num_bytes, source.fingerprint) for source in sources} == {(-1, "path")}
    store = Store(str(tmp_path / "store"))
    rows, _ = fetch(sources, store, mode)
    for row in rows:
        with open_range(Remote(FetchParameters(), store), row) as stream:
            assert stream.read() == content_of(row["warc_path"])


def test_files_named_on_a_server_are_told_apart_by_their_tags_or_their_size_and_time(server):
    sources = list_sources(READER, [f"{server}/{name}" for name in NAMES])
    assert [source.num_bytes for source in sources] == [len(content_of(name)) for name in NAMES]
    assert sources[0].fingerprint.startswith("size:")
    assert sources[1].fingerprint == "etag:tag-of-a"


def test_a_file_missing_on_a_server_is_named_before_any_work(server):
    with pytest.raises(SourceError, match=r"nothing\.warc\.gz: there is no such file"):
        list_sources(READER, [f"{server}/nothing.warc.gz"])
