"""Where the bytes of one archived record are, and the command that fetches exactly them."""

import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pipeline_lib.crawl.addresses import STORE_SCHEME, is_local
from storage.store import Store

# What reads a range of any address that fsspec knows; arguments: address, first byte, end.
_ANY_RANGE = (
    "import sys, fsspec; fs, path = fsspec.url_to_fs(sys.argv[1]); "
    "sys.stdout.buffer.write(fs.cat_file(path, int(sys.argv[2]), int(sys.argv[3])))"
)


@dataclass(frozen=True, kw_only=True)
class RecordPlace:
    """The bytes [start, start + length) of a file: its address, or its path on this machine."""

    url: str
    start: int
    length: int

    def command(self) -> str:
        """What a person pastes into a shell to see the record, uncompressed if it is a member of a gzip file."""
        first, end = self.start, self.start + self.length
        unpack = " | gzip -dc" if self.url.endswith(".gz") else ""
        address = urlsplit(self.url)
        if is_local(self.url):
            return f"tail -c +{first + 1} {shlex.quote(self.url)} | head -c {self.length}{unpack}"
        if address.scheme in ("http", "https"):
            return f"curl -fsS -r {first}-{end - 1} {shlex.quote(self.url)}{unpack}"
        if address.scheme in ("s3", "s3a"):
            copy = f"record.warc{'.gz' if unpack else ''}"
            key = shlex.quote(address.path.lstrip("/"))
            unpack = f" && gzip -dc {copy}" if unpack else ""
            return (
                f"aws s3api get-object --bucket {shlex.quote(address.netloc)} --key {key} "
                f"--range bytes={first}-{end - 1} {copy}{unpack}"
            )
        if address.scheme in ("gs", "gcs"):
            return f"gcloud storage cat -r {first}-{end - 1} {shlex.quote(self.url)}{unpack}"
        words = [sys.executable, "-c", _ANY_RANGE, self.url, str(first), str(end)]
        return f"{shlex.join(words)}{unpack}"


def record_place(
    document: Mapping[str, Any], sources: Iterable[Mapping[str, Any]], store: Store | None = None
) -> RecordPlace | None:
    """Where the run that fetched these sources (rows of SOURCES) read a document's record; None: it is no record.

    A row of a file of texts has no place of its own among the bytes of that file.
    """
    for source in sources:
        end = source["offset"] + source["length"]
        is_inside = source["offset"] <= document["warc_offset"] and (
            source["length"] < 0 or document["warc_offset"] < end
        )
        if source["kind"] == "warc" and source["warc_path"] == document["warc_path"] and is_inside:
            url: str = source["url"]
            if url.startswith(STORE_SCHEME):
                assert store is not None
                url = store.full_path(url.removeprefix(STORE_SCHEME))
            start = source["position"] + document["warc_offset"] - source["offset"]
            return RecordPlace(url=url, start=start, length=document["warc_length"])
    return None
