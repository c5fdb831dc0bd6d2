"""Remote bytes: a real server on the loopback interface that misbehaves, and a real S3 interface."""

import pickle
import random
import secrets
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import boto3
import fsspec
import pytest
import s3fs
from crawl_server import FAULTS, STATUS_FAULTS, CrawlServer, closed_port, storm
from moto.server import ThreadedMotoServer

from pipeline_lib.crawl.fetching import FetchParameters, open_range
from pipeline_lib.crawl.places import retry_after, user_agent
from pipeline_lib.crawl.remote import FetchFailed, Remote

CONTENT = random.Random(1).randbytes(150_000)
KEY = "crawl-data/a+b c~é.warc.gz"
PLACES = [(0, -1), (0, 150_000), (1, -1), (70_000, 1), (149_999, 1), (12_345, 100_000), (150_000, -1), (9, 0)]


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "crawl"
    (folder / "crawl-data").mkdir(parents=True)
    (folder / "crawl-data/a.warc.gz").write_bytes(CONTENT)
    (folder / "empty").write_bytes(b"")
    return folder


@pytest.fixture
def server(folder):
    with CrawlServer(folder, stall_seconds=1.0) as server:
        yield server


@pytest.fixture
def quick(tmp_path):
    """Parameters with all times made small."""

    def parameters(**changes):
        return FetchParameters(
            **{
                "requests_per_second": 2000,
                "timeout_seconds": 0.3,
                "max_attempts": 12,
                "give_up_seconds": 20,
                "backoff_seconds": 0.004,
                "block_bytes": 40_000,
                "pace_folder": str(tmp_path / "pace"),
                **changes,
            }
        )

    return parameters


def address(server):
    return f"{server.url}/crawl-data/a.warc.gz"


def part(start, length):
    return CONTENT[start:] if length < 0 else CONTENT[start : start + length]


@pytest.mark.parametrize(("start", "length"), PLACES)
def test_any_range_comes_whole_by_reading_streaming_and_in_pieces(server, quick, start, length):
    remote = Remote(quick())
    assert remote.read(address(server), start, length) == part(start, length)
    with remote.open(address(server), start, length) as stream:
        assert stream.read() == part(start, length)
    assert b"".join(remote.chunks(address(server), start, length)) == part(start, length)


@pytest.mark.parametrize("size", [0, 1, 39_999, 40_000, 40_001, 80_000])
def test_files_of_every_size_around_a_block_end_where_they_end(server, folder, quick, size):
    (folder / "file").write_bytes(CONTENT[:size])
    with Remote(quick()).open(f"{server.url}/file") as stream:
        assert stream.read() == CONTENT[:size]
    assert Remote(quick()).read(f"{server.url}/file") == CONTENT[:size]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("way", ["read", "open"])
def test_every_fault_alone_is_survived_with_the_exact_bytes(server, quick, fault, way):
    remote = Remote(quick())
    server.script(fault, fault, None, fault)
    if way == "read":
        assert remote.read(address(server), 500, 120_000) == part(500, 120_000)
    else:
        with remote.open(address(server), 500) as stream:
            assert stream.read() == part(500, -1)
    assert sum(remote.traffic.failures.values()) >= 1
    assert remote.traffic.requests == len(server.requests)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_under_a_storm_every_byte_is_as_on_a_calm_day(folder, quick, seed):
    names = [f"crawl-data/{number}.warc" for number in range(6)]
    for number, name in enumerate(names):
        (folder / name).write_bytes(CONTENT[number * 7000 :])
    with CrawlServer(folder, faults=storm(0.3), seed=seed, stall_seconds=0.4) as server:
        remote = Remote(quick(max_attempts=40, block_bytes=20_000))
        found = {}

        def fetch(number):
            with remote.open(f"{server.url}/{names[number]}") as stream:
                found[number] = stream.read()

        threads = [threading.Thread(target=fetch, args=(number,)) for number in range(len(names))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        kinds = {request.fault for request in server.requests}
    assert found == {number: CONTENT[number * 7000 :] for number in range(len(names))}
    assert len(kinds) > 6


def test_a_server_that_knows_no_ranges_is_read_all_the_same(folder, quick):
    with CrawlServer(folder, knows_ranges=False) as server:
        remote = Remote(quick())
        with remote.open(address(server)) as stream:
            assert stream.read() == CONTENT
        assert len(server.requests) == 1
        assert remote.read(address(server), 100_000, 50) == part(100_000, 50)
        server.script("short")
        assert remote.read(address(server)) == CONTENT


def test_resuming_asks_for_the_missing_bytes_only(server, quick):
    server.script("short", None)
    assert Remote(quick()).read(address(server)) == CONTENT
    first, second = server.requests
    assert first.sent == 75_000
    assert second.range == (75_000, 149_999)
    assert server.bytes_sent() == len(CONTENT)


def test_connections_are_kept_and_no_connection_waits_for_a_slow_reader(server, quick):
    remote = Remote(quick(max_connections=1))
    with remote.open(address(server)) as slow:
        slow.read(10)
        assert remote.read(address(server), 5, 5) == part(5, 5)  # would wait for ever
        assert slow.read() == CONTENT[10:]
    assert len({request.port for request in server.requests}) == 1


def test_a_left_stream_gives_its_connection_back(folder, quick):
    with CrawlServer(folder, knows_ranges=False) as server:
        remote = Remote(quick(max_connections=1))
        stream = remote.open(address(server))
        stream.read(10)
        stream.close()
        assert remote.read(address(server), 0, 5) == part(0, 5)


@pytest.mark.parametrize("status", STATUS_FAULTS)
def test_giving_up_names_the_reason_the_file_and_the_place(server, quick, status):
    server.script(*["short_range"] * 2, *[status] * 5)
    with pytest.raises(FetchFailed) as failed:
        Remote(quick(max_attempts=5)).read(address(server), 1000, 1000)
    assert failed.value.reason == f"fetch_http_{status}"
    assert failed.value.url == address(server)
    assert f"status {status}" in str(failed.value)
    assert "byte 1750" in str(failed.value)
    assert "5 attempts" in str(failed.value)


def test_attempts_count_from_the_last_progress(server, quick):
    for _ in range(2):
        server.script("503", "503", None)
    with Remote(quick(max_attempts=3, block_bytes=70_000)).open(address(server)) as stream:
        assert stream.read() == CONTENT


def test_a_reader_may_take_longer_than_the_budget(server, quick):
    with Remote(quick(give_up_seconds=0.3, block_bytes=30_000)).open(address(server)) as stream:
        begun = stream.read(10)
        time.sleep(0.4)
        server.script("503")
        assert begun + stream.read() == CONTENT


def test_seconds_are_a_budget_too(server, quick):
    server.retry_after = "30"
    server.script(*["503"] * 3)
    began = time.monotonic()
    with pytest.raises(FetchFailed, match="given up") as failed:
        Remote(quick(give_up_seconds=5)).read(address(server))
    assert failed.value.reason == "fetch_http_503"
    assert time.monotonic() - began < 2  # a wait that would outlast the budget is not begun


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("no-such-file", "fetch_http_404"),
        ("loop", "fetch_redirects"),
        ("out", "fetch_redirects"),
        ("torn", "fetch_redirects"),
    ],
)
def test_what_will_not_change_is_not_asked_again(server, quick, path, reason):
    server.redirects = {"/loop": "/loop", "/out": "file:///etc/passwd", "/torn": "http://[::1/"}
    with pytest.raises(FetchFailed) as failed:
        Remote(quick()).read(f"{server.url}/{path}")
    assert failed.value.reason == reason
    assert len(server.requests) == (6 if path == "loop" else 1)


def test_addresses_that_are_none_are_refused_by_name(quick):
    for url in ("http://[::1/a", "http://", "https:///a", "nosuchscheme://a/b"):
        with pytest.raises(FetchFailed) as failed:
            Remote(quick()).read(url)
        assert failed.value.reason == "fetch_bad_url"


def test_a_file_larger_than_the_reader_can_bear_is_refused(server, folder, quick):
    for url in (address(server), str(folder / "crawl-data/a.warc.gz")):
        with pytest.raises(FetchFailed) as failed:
            Remote(quick()).read(url, max_bytes=1000)
        assert failed.value.reason == "fetch_too_large"


def test_nobody_listening_and_nobody_answering_are_reasons(quick, server):
    with closed_port() as port, pytest.raises(FetchFailed) as refused:
        Remote(quick(max_attempts=2)).read(f"http://127.0.0.1:{port}/a")
    assert refused.value.reason == "fetch_connection"
    server.script("stall", "stall")
    with pytest.raises(FetchFailed) as stalled:
        Remote(quick(max_attempts=2)).read(address(server))
    assert stalled.value.reason == "fetch_timeout"


def test_redirects_are_followed_and_counted(server, quick):
    server.redirects = {"/moved": "/crawl-data/a.warc.gz"}
    remote = Remote(quick())
    assert remote.read(f"{server.url}/moved", 10, 20) == part(10, 20)
    assert remote.traffic.requests == len(server.requests) == 2


def test_a_file_that_changes_in_the_middle_is_refused_not_mixed(server, folder, quick):
    with Remote(quick()).open(address(server)) as stream:
        begun = stream.read(1000)
        (folder / "crawl-data/a.warc.gz").write_bytes(CONTENT[::-1])
        with pytest.raises(FetchFailed, match=r"entity tag was .*, now it is") as failed:
            stream.read()
    assert begun == CONTENT[:1000]
    assert failed.value.reason == "fetch_changed"


def test_a_row_of_sources_is_refused_if_its_file_is_another_than_was_listed(server, folder, quick):
    remote = Remote(quick())
    _, fingerprint = remote.describe(address(server))
    row = {"url": address(server), "position": 7, "length": 9, "fingerprint": fingerprint}
    with open_range(remote, row) as stream:
        assert stream.read() == part(7, 9)
    (folder / "crawl-data/a.warc.gz").write_bytes(CONTENT[::-1])
    with open_range(remote, row) as stream, pytest.raises(FetchFailed, match="run again"):
        stream.read()


def test_a_range_beyond_the_end_is_an_error_not_fewer_bytes(server, folder, quick):
    remote = Remote(quick(max_attempts=2))
    for url in (address(server), str(folder / "crawl-data/a.warc.gz")):
        with pytest.raises(FetchFailed) as failed:
            remote.read(url, 149_000, 2000)
        assert failed.value.reason == "fetch_short_body"


def test_describing_takes_one_look_that_survives_a_fault(server, quick):
    remote = Remote(quick())
    server.script("503", "reset", None)
    size, fingerprint = remote.describe(address(server))
    assert size == len(CONTENT)
    assert fingerprint.startswith("etag:")
    assert {request.method for request in server.requests} == {"HEAD"}
    assert remote.describe(f"{server.url}/collinfo.json")[1] == "size:-1 changed:unknown time".replace(
        "-1", str(len(remote.read(f"{server.url}/collinfo.json")))
    )


def test_requests_say_who_sends_them_and_want_no_compression(server, quick):
    Remote(quick(contact="crawl@example.org")).read(address(server))
    assert server.requests[0].headers["user-agent"] == user_agent("crawl@example.org")
    assert server.requests[0].headers["user-agent"].startswith("gristmill/")
    assert server.requests[0].headers["user-agent"].endswith("(+crawl@example.org)")
    assert server.requests[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("contact", ["a\nX-Evil: 1", "ä@example.org", "a) evil (b"])
def test_a_contact_that_would_break_the_header_is_refused(contact):
    with pytest.raises(ValueError, match="contact"):
        FetchParameters(contact=contact)


def test_retry_after_holds_back_every_request_to_the_host(server, quick):
    server.retry_after = "1"
    server.script("503")
    remote = Remote(quick())
    threads = [threading.Thread(target=remote.read, args=(address(server), 0, 10)) for _ in range(4)]
    threads[0].start()
    while not server.requests:
        time.sleep(0.001)
    time.sleep(0.05)
    for thread in threads[1:]:
        thread.start()
    for thread in threads:
        thread.join()
    times = sorted(request.at for request in server.requests)
    assert len(times) == 5
    assert all(later - times[0] >= 0.99 for later in times[1:])


NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0.0),
        ({"retry-after": "120"}, 120.0),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after": "soon"}, 0.0),
        (
            {"retry-after": format_datetime(NOW + timedelta(seconds=90), usegmt=True), "date": format_datetime(NOW)},
            90.0,
        ),
        ({"retry-after": format_datetime(NOW - timedelta(seconds=90), usegmt=True), "date": format_datetime(NOW)}, 0.0),
        ({"retry-after": "Fri, 99 Foo 2026 00:00:00 GMT"}, 0.0),
    ],
)
def test_retry_after_is_read_in_seconds_and_as_a_date(headers, seconds):
    assert retry_after(headers) == seconds


def test_failures_travel_between_processes_as_they_are():
    failed = pickle.loads(pickle.dumps(FetchFailed("it is gone", "fetch_http_404", "http://a/b")))
    assert (str(failed), failed.reason, failed.url) == ("it is gone", "fetch_http_404", "http://a/b")
    assert isinstance(failed, OSError)


def test_other_file_systems_give_ranges_and_streams(quick):
    path = f"memory://{secrets.token_hex(4)}/a.warc.gz"
    with fsspec.open(path, "wb") as stream:
        stream.write(CONTENT)
    remote = Remote(quick())
    for start, length in PLACES:
        assert remote.read(path, start, length) == part(start, length)
        with remote.open(path, start, length) as stream:
            assert stream.read() == part(start, length)
    assert remote.describe(path)[0] == len(CONTENT)
    with pytest.raises(FetchFailed) as failed:
        remote.read(f"{path}.not")
    assert failed.value.reason == "fetch_not_found"
    with pytest.raises(FetchFailed, match="nosuchscheme"):
        remote.read("nosuchscheme://a/b")


@pytest.fixture(scope="module")
def bucket():
    """A bucket with one object, behind a server that can misbehave; s3fs finds it by the environment."""
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    upstream = f"http://{host}:{port}"
    with CrawlServer(upstream=upstream, stall_seconds=1.0) as server, pytest.MonkeyPatch.context() as environment:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": server.url,
        }.items():
            environment.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()  # those of other tests remember their endpoint
        client = boto3.client("s3", endpoint_url=upstream)
        client.create_bucket(Bucket="crawl", ACL="public-read")
        client.put_object(Bucket="crawl", Key=KEY, Body=CONTENT, ACL="public-read")
        yield server
        s3fs.S3FileSystem.clear_instance_cache()
    moto.stop()


@pytest.fixture
def stormy_s3(bucket):
    bucket.requests.clear()
    bucket.scripted.clear()
    return bucket


@pytest.mark.parametrize("anonymous", [False, True])
def test_s3_objects_give_ranges_signed_or_not(stormy_s3, quick, anonymous):
    url = f"s3://crawl/{KEY}"
    remote = Remote(quick(s3_anonymous=anonymous, timeout_seconds=5))
    size, fingerprint = remote.describe(url)
    assert size == len(CONTENT)
    for start, length in PLACES:
        assert remote.read(url, start, length) == part(start, length)
        with remote.open(url, start, length, fingerprint=fingerprint) as stream:
            assert stream.read() == part(start, length)
    assert {"X-Amz-Signature=" in request.path for request in stormy_s3.requests} == {not anonymous}
    assert remote.traffic.requests == len(stormy_s3.requests)
    with pytest.raises(FetchFailed) as failed:
        remote.read(f"{url}.not")
    assert failed.value.reason == "fetch_http_404"


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_of_an_object_store_is_survived_with_the_exact_bytes(stormy_s3, quick, fault):
    remote = Remote(quick(timeout_seconds=0.5))
    stormy_s3.script(fault, None, fault)
    with remote.open(f"s3://crawl/{KEY}", 500) as stream:
        assert stream.read() == part(500, -1)
    assert sum(remote.traffic.failures.values()) >= 1
    assert remote.traffic.requests == len(stormy_s3.requests)


def test_giving_up_on_an_object_store_names_the_status(stormy_s3, quick):
    stormy_s3.script(*["503"] * 3)
    with pytest.raises(FetchFailed) as failed:
        Remote(quick(max_attempts=3)).read(f"s3://crawl/{KEY}")
    assert failed.value.reason == "fetch_http_503"
    assert len(stormy_s3.requests) == 3
