"""How bytes are fetched: what a recipe says about it, and a row of a table of sources as a stream."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Literal

from storage.parameters import SHAPES_NOTHING

if TYPE_CHECKING:
    from pipeline_lib.crawl.remote import Remote


@dataclass(frozen=True, kw_only=True)
class FetchParameters:
    """Whether fetching publishes the WARC files, and how it behaves towards servers.

    Common Crawl publishes no limits. Its status page (status.commoncrawl.org) asks users to slow down at any 4xx and
    5xx, calls one retry a second polite, and says that a few thousand requests a second are what it can serve to all
    users together; cc-downloader opens 10 connections, and warns that more are answered with 403.
    The limits hold for all processes of a user on a machine together, for each host (`politeness`).

    Attributes:
        mode: `stream` publishes only where each file is, and extraction reads it there: the default, because a crawl is
            thousands of times larger than what is made of it. `keep` publishes the bytes too, for files that may go
            away or are slow to reach.
        verify_digests: with mode `keep`, compare records with the digests that their headers state; a stretch of bytes
            that does not fit is fetched once more, and counted if it still does not.
        on_give_up: what to do about a file or range that cannot be fetched within its budget. `count` leaves it out,
            by reason in the account and by name in the table `lost`, and the next run tries again (see `flows.stage`):
            the default, because among 90,000 files of a crawl some are always missing for a while, and a loss that is
            written down is better than days of work that end with nothing. `fail` ends the run.
        requests_per_second: never more than so many HTTP requests a second to one host, all of them counted: looks at
            files, redirects, retries. 5 is a thousandth of what Common Crawl can serve.
        max_connections: at once to one host; cc-downloader's 10, less a margin for a second program.
        timeout_seconds: to wait for a connection or for the next bytes; longer than CloudFront waits for S3 (30).
        max_attempts: give up after so many attempts in a row without progress (64 KiB), or
        give_up_seconds: after so long, whichever comes first; waiting for one's turn does not count. Half an hour is
            longer than most of the throttling that Common Crawl's status page tells of.
        backoff_seconds: the first wait after a failure lasts up to so long, each further one up to twice as long, and
            at most 60 times as long as the first; Common Crawl's retry a second.
        contact: an address or URL of the person behind the requests, sent with each as part of the User-Agent. Empty:
            only the program's name is sent.
        s3_anonymous: send S3 requests unsigned. Common Crawl's bucket refuses these since 2022; other public ones want
            them.
        block_bytes: what a slow reader of a file asks for at once, and holds in memory: no connection waits for it.
            Each further request may be refused, so blocks are large: a WARC file of 1 GB is some thirty.
        pace_folder: where the processes of this machine agree on their pace; null: in `/tmp`, for each user. Name one
            where several containers share an address: it has to be on a local disk that all of them see.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    mode: Literal["stream", "keep"] = "stream"
    verify_digests: bool = True
    on_give_up: Literal["count", "fail"] = field(default="count", metadata=SHAPES_NOTHING)
    requests_per_second: float = field(default=5.0, metadata=SHAPES_NOTHING)
    max_connections: int = field(default=8, metadata=SHAPES_NOTHING)
    timeout_seconds: float = field(default=60.0, metadata=SHAPES_NOTHING)
    max_attempts: int = field(default=30, metadata=SHAPES_NOTHING)
    give_up_seconds: float = field(default=1800.0, metadata=SHAPES_NOTHING)
    backoff_seconds: float = field(default=1.0, metadata=SHAPES_NOTHING)
    contact: str = field(default="", metadata=SHAPES_NOTHING)
    s3_anonymous: bool = field(default=False, metadata=SHAPES_NOTHING)
    block_bytes: int = field(default=32 << 20, metadata=SHAPES_NOTHING)
    pace_folder: str | None = field(default=None, metadata=SHAPES_NOTHING)

    def __post_init__(self) -> None:
        if self.mode not in ("stream", "keep"):
            raise ValueError(f"mode={self.mode!r}: expected 'stream' or 'keep'")
        if self.on_give_up not in ("count", "fail"):
            raise ValueError(f"on_give_up={self.on_give_up!r}: expected 'count' or 'fail'")
        for name in ("requests_per_second", "timeout_seconds", "give_up_seconds", "backoff_seconds"):
            value = getattr(self, name)
            if not 0 < value < 1e9:
                raise ValueError(f"{name}={value}: expected a number above zero")
        for name in ("max_connections", "max_attempts", "block_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: at least one is needed")
        if not self.contact.isascii() or not self.contact.isprintable() or set(self.contact) & set("()"):
            raise ValueError(
                f"contact={self.contact!r}: goes into an HTTP header; give a plain address or URL, without parentheses"
            )


def open_range(remote: "Remote", row: Mapping[str, Any]) -> BinaryIO:
    """The bytes of one row of the table `sources`, to be read from front to back.

    A file that is another than when it was listed is refused, where the row and the server tell (by entity tag).

    Raises:
        FetchFailed: also while reading.
    """
    return remote.open(row["url"], row["position"], row["length"], fingerprint=row["fingerprint"])
