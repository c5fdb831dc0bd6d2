"""Small crawl indexes of all kinds: lines of CDX, ZipNum files, Parquet, and a server that answers as Common Crawl's.

What the server says it finds by looking at every line, without keys: nothing in it is shared with what is tested.
"""

import functools
import gzip
import http.server
import io
import json
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qs, urlsplit

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline_lib.crawl.range_reader import ReadFailed

CRAWL = "CC-MAIN-2026-01"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One capture as an index says it; the key as somebody else computed it."""

    key: str
    timestamp: str
    value: dict[str, Any]

    @property
    def text(self) -> str:
        return f"{self.key} {self.timestamp} {json.dumps(self.value)}"

    @property
    def place(self) -> tuple[str, int, int]:
        return self.value["filename"], int(self.value["offset"]), int(self.value["length"])

    @property
    def subset(self) -> str:
        return str(self.value["filename"]).split("/")[-2]

    @property
    def host(self) -> str:
        """Without a leading www., which no index tells apart."""
        return host_of(self.value["url"])


@functools.cache
def host_of(url: str) -> str:
    return re.sub(r"^www\d*\.", "", (urlsplit(url).hostname or "").rstrip("."))


def read_lines(indexes: Path) -> list[Line]:
    """All lines of the index files in a folder."""
    lines = []
    for file in sorted(indexes.glob("cdx-*.gz")):
        for text in gzip.decompress(file.read_bytes()).decode().splitlines():
            key, timestamp, value = text.split(" ", 2)
            lines.append(Line(key=key, timestamp=timestamp, value=json.loads(value)))
    return lines


def invented_lines() -> list[Line]:
    """Captures of invented hosts: domains beside each other in the order of keys, statuses, types, languages."""
    hosts = ["example.com", "www.example.com", "news.example.com", "example-shop.com", "examples.com", "example.org"]
    hosts += ["a.co.uk", "b.a.co.uk", "aa.co.uk", "zebra.museum"]
    paths = ["", "news", "news/1", "news/2", "newsletter", "about", "shop?b=2&a=1", "ZEBRA"]
    kinds = ["text/html", "application/pdf", "application/xhtml+xml", "text/html"]
    languages = ["eng", "deu", "deu,eng", None, "eng,fra"]
    lines = []
    for number in range(len(hosts) * len(paths) * 3):
        host = hosts[number % len(hosts)]
        path = paths[number // len(hosts) % len(paths)]
        status = [200, 200, 200, 404, 301][number // 10 % 5]
        subset = "warc" if status == 200 else "crawldiagnostics"
        value = {
            "url": f"{['http', 'https'][number % 2]}://{host}/{path}",
            "mime": "text/html",
            "mime-detected": kinds[number // 7 % 4],
            "status": str(status),
            "digest": "A" * 32,
            "length": str(500 + number * 7 % 1000),
            "offset": str(number * 2000),
            "filename": f"crawl-data/{CRAWL}/segments/1.{number % 3}/{subset}/{CRAWL}-{number % 3:05d}.warc.gz",
            "languages": languages[number // 3 % 5],
        }
        if value["languages"] is None:
            del value["languages"]
        labels = re.sub(r"^www\.", "", host).split(".")[::-1]
        rest = {"shop?b=2&a=1": "shop?a=1&b=2"}.get(path, path).lower()
        key = f"{','.join(labels)})/{rest}"
        lines.append(Line(key=key, timestamp=f"202601{1 + number % 28:02d}1030{number % 60:02d}", value=value))
    return sorted(lines, key=lambda line: line.text)


def write_zipnum(root: Path, crawl: str, texts: Sequence[str], lines_per_member: int, num_files: int = 1) -> Path:
    """Index files and their cluster.idx; returns the folder."""
    folder = root / f"cc-index/collections/{crawl}/indexes"
    folder.mkdir(parents=True)
    cluster = []
    per_file = -(-len(texts) // num_files)
    for number in range(num_files):
        content = b""
        mine = texts[number * per_file : (number + 1) * per_file]
        for start in range(0, len(mine), lines_per_member):
            member = gzip.compress("".join(f"{text}\n" for text in mine[start : start + lines_per_member]).encode())
            head = " ".join(mine[start].split(" ")[:2])
            cluster.append(f"{head}\tcdx-{number:05d}.gz\t{len(content)}\t{len(member)}\t{len(cluster) + 1}\n")
            content += member
        (folder / f"cdx-{number:05d}.gz").write_bytes(content)
    (folder / "cluster.idx").write_text("".join(cluster))
    return folder


def table_of(lines: Sequence[Line]) -> pa.Table:
    """Lines as the columnar index has them, in the columns that are read and some that are not."""
    columns: dict[str, pa.Array] = {
        "url_surtkey": pa.array(line.key for line in lines),
        "url": pa.array(line.value["url"] for line in lines),
        "url_host_name": pa.array(urlsplit(line.value["url"]).hostname for line in lines),
        "fetch_time": pc.strptime([line.timestamp for line in lines], "%Y%m%d%H%M%S", "ms").cast(
            pa.timestamp("ms", tz="UTC")
        ),
        "fetch_status": pa.array((int(line.value["status"]) for line in lines), pa.int16()),
        "content_digest": pa.array(line.value["digest"] for line in lines),
        "content_mime_type": pa.array(line.value["mime"] for line in lines),
        "content_mime_detected": pa.array(line.value["mime-detected"] for line in lines),
        "content_languages": pa.array((line.value.get("languages") for line in lines), pa.string()),
        "warc_filename": pa.array(line.value["filename"] for line in lines),
        "warc_record_offset": pa.array((int(line.value["offset"]) for line in lines), pa.int32()),
        "warc_record_length": pa.array((int(line.value["length"]) for line in lines), pa.int32()),
    }
    return pa.table(columns)


def write_table(root: Path, crawl: str, lines: Sequence[Line], rows_per_group: int = 50, num_files: int = 2) -> None:
    """The columnar index in Common Crawl's layout, sorted by key over its files, with the list of its files."""
    paths = []
    for subset in sorted({line.subset for line in lines}):
        mine = [line for line in lines if line.subset == subset]
        per_file = -(-len(mine) // num_files)
        for number in range(-(-len(mine) // per_file)):
            path = f"cc-index/table/cc-main/warc/crawl={crawl}/subset={subset}/part-{number:05d}-x.c000.gz.parquet"
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            part = table_of(mine[number * per_file : (number + 1) * per_file])
            pq.write_table(part, root / path, row_group_size=rows_per_group, compression="gzip")
            paths.append(path)
    listed = root / f"crawl-data/{crawl}/cc-index-table.paths.gz"
    listed.parent.mkdir(parents=True, exist_ok=True)
    listed.write_bytes(gzip.compress("".join(f"{path}\n" for path in paths).encode()))


class PlainReader:
    """Reads through fsspec, once, without patience: a second reader beside Remote, to see that nobody needs more."""

    def describe(self, url: str) -> tuple[int, str]:
        try:
            filesystem, path = fsspec.core.url_to_fs(url)
            size = filesystem.info(path).get("size")
        except Exception as error:  # each file system and server has errors of its own
            raise _failure(url, error) from error
        return (-1 if size is None else int(size)), ""

    def read(self, url: str, start: int = 0, length: int = -1) -> bytes:
        if length == 0:
            return b""
        try:
            filesystem, path = fsspec.core.url_to_fs(url)
            content: bytes = filesystem.cat_file(path, start or None, None if length < 0 else start + length)
        except Exception as error:
            raise _failure(url, error) from error
        if length >= 0 and len(content) > length:  # a server that knows no ranges sent all of it
            content = content[start : start + length]
        return content

    def open(self, url: str, start: int = 0, length: int = -1) -> BinaryIO:
        return io.BytesIO(self.read(url, start, length))


def _failure(url: str, error: Exception) -> OSError:
    """What a file system's own error says, as a reader of ranges says it."""
    if url.startswith("http") and isinstance(error, FileNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # fsspec takes every failure of a web server's HEAD for a missing file
    status = getattr(error, "status", None)
    if isinstance(error, FileNotFoundError) or status in (404, 410):
        return FileNotFoundError(f"{url}: there is no such file")
    reason = f"fetch_http_{status}" if status else "fetch_connection"
    return ReadFailed(url, reason, f"{type(error).__name__}: {error}")


@dataclass
class CountingReader(PlainReader):
    """Reads, and remembers what of which files."""

    asked: list[tuple[str, int, int]] = field(default_factory=list)

    def read(self, url: str, start: int = 0, length: int = -1) -> bytes:
        content = super().read(url, start, length)
        self.asked.append((url, start, len(content)))
        return content

    def open(self, url: str, start: int = 0, length: int = -1) -> BinaryIO:
        raise AssertionError("nothing here is long enough for a stream")

    def num_bytes(self, ending: str = "") -> int:
        return sum(length for url, _, length in self.asked if url.endswith(ending))


class IndexHandler(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, by ranges where asked, and `/<crawl>-index`."""

    lines: Sequence[Line] = ()
    lines_per_page = 37
    crawl = CRAWL
    ignores_ranges = False

    def do_GET(self) -> None:
        split = urlsplit(self.path)
        if split.path == f"/{self.crawl}-index":
            self._answer(parse_qs(split.query))
        elif split.path == "/collinfo.json":
            self._send(200, json.dumps([{"id": self.crawl, "name": "invented"}]).encode())
        elif split.path.endswith("-index"):
            self._send(404, b'{"message": "no such index"}')
        else:
            self._file(split.path)

    def _answer(self, asked: dict[str, list[str]]) -> None:
        matching = [line for line in self.lines if matches(line, asked["url"][0], asked["matchType"][0])]
        num_pages = max(1, -(-len(matching) // self.lines_per_page))
        if "showNumPages" in asked:
            self._send(200, json.dumps({"pages": num_pages, "pageSize": 5, "blocks": num_pages}).encode())
            return
        page = int(asked["page"][0])
        if page >= num_pages:
            self._send(400, b'{"message": "Page invalid"}')
        elif not matching:
            self._send(404, b'{"message": "No Captures found for: it"}')
        else:
            self._send(
                200, "".join(map(as_server, matching[page * self.lines_per_page :][: self.lines_per_page])).encode()
            )

    def _file(self, path: str) -> None:
        file = Path(self.directory) / path.lstrip("/")
        if not file.is_file():
            self._send(404, b"no such file")
            return
        content = file.read_bytes()
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked is None or self.ignores_ranges:
            self._send(200, content)
            return
        start, end = int(asked[1]), int(asked[2] or len(content) - 1)
        self._send(206, content[start : end + 1], f"bytes {start}-{end}/{len(content)}")

    def _send(self, status: int, content: bytes, content_range: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        if content_range is not None:
            self.send_header("Content-Range", content_range)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


def matches(line: Line, url: str, match: str) -> bool:
    """Whether a line is of a URL, of URLs that begin with it, of a host or a domain: by looking at its own URL."""
    if match == "host":
        return line.host == re.sub(r"^www\d*\.", "", url)
    if match == "domain":
        return line.host == url or line.host.endswith(f".{url}")
    mine = re.sub(r"^https?://(www\d*\.)?", "", line.value["url"]).lower()
    asked = re.sub(r"^(https?://)?(www\d*\.)?", "", url).lower()
    if match == "prefix":
        return mine.startswith(asked)
    return mine.rstrip("/") == asked.rstrip("/")


def as_server(line: Line) -> str:
    return json.dumps({"urlkey": line.key, "timestamp": line.timestamp, **line.value}) + "\n"


@contextmanager
def served(folder: Path, handler: type[IndexHandler] = IndexHandler, **changes: Any) -> Iterator[str]:
    """The address of a server of a folder and an index on the loopback interface."""
    changed = type("Handler", (handler,), changes)
    making = functools.partial(changed, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), making) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.server_address[1]}"
        finally:
            running.shutdown()
            thread.join()
