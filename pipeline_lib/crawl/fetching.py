"""How the bytes of a WARC file are reached: streamed from where they are, or copied into the store first."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar, Literal, cast

import fsspec

from pipeline_lib.crawl.listing import STORE_SCHEME, SourceError, is_local
from storage.store import Store


@dataclass(frozen=True, kw_only=True)
class FetchParameters:
    """Whether fetching publishes the WARC files.

    Attributes:
        mode: `stream` publishes only where each file is, and extraction reads it there: the default, because a crawl is
            thousands of times larger than what is made of it. `keep` publishes the bytes too, for files that may go
            away or are slow to reach.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    mode: Literal["stream", "keep"] = "stream"

    def __post_init__(self) -> None:
        if self.mode not in ("stream", "keep"):
            raise ValueError(f"mode={self.mode!r}: expected 'stream' or 'keep'")


@contextmanager
def open_source(store: Store, url: str) -> Iterator[BinaryIO]:
    """A binary stream of a source's bytes, to be read from front to back; not always seekable.

    Args:
        store: what a URL that begins with `store:` is inside of.
        url: as in the table of sources.

    Raises:
        SourceError: the file cannot be opened.
    """
    try:
        opened = _open(store, url)
    except Exception as error:
        raise SourceError(
            f"{url} cannot be opened: {type(error).__name__}: {error}. Check that it is still there and can be read, "
            "and run again: parts that are done are not done again"
        ) from error
    with opened as stream:
        yield stream


def _open(store: Store, url: str) -> BinaryIO:
    opened: Any
    if url.startswith(STORE_SCHEME):
        opened = store.open(url.removeprefix(STORE_SCHEME))
    elif is_local(url):
        opened = fsspec.open(url, "rb").open()
    else:
        # one request that streams: by blocks, every few megabytes would be a request, which not all servers answer
        options = {"block_size": 0} if url.startswith(("http://", "https://")) else {}
        opened = fsspec.open(url, "rb", **options).open()
    return cast(BinaryIO, opened)
