"""Pages whose main text people have reviewed (`html_gold`), in two halves, and how an extractor's text is scored."""

import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow as pa

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, kw_only=True)
class GoldPage:
    """A page of the Web Content Extraction Benchmark (Foley, CC-BY-4.0).

    Attributes:
        held_out: in the half on which the block model was neither trained nor tuned. Pages of one site are in one half.
            (That the text of `noscript` and of hidden elements is read at all was seen from what blocks of both halves
            lacked; the other half alone shows the same.)
    """

    id: str
    url: str
    page_type: str
    html: str
    main_text: str
    held_out: bool


def gold_pages(shared_data: Path) -> list[GoldPage]:
    """All of them, in the file's order."""
    with pa.input_stream(shared_data / "html_gold" / "wcxb_dev.jsonl.zst", compression="zstd") as stream:
        rows = [json.loads(line) for line in stream.read().splitlines()]
    return [
        GoldPage(
            id=row["id"],
            url=row["url"] or "",
            page_type=row["page_type"],
            html=row["html"],
            main_text=row["main_text"],
            held_out=site_hash(row["url"] or "", row["id"]) & 1 == 1,
        )
        for row in rows
    ]


def site_hash(url: str, name: str) -> int:
    """A byte that depends on the last two labels of a URL's host, or on the name of a page without one."""
    site = ".".join((urlsplit(url).hostname or name).split(".")[-2:])
    return hashlib.sha256(site.encode()).digest()[0]


def words_of(text: str) -> list[str]:
    """What the benchmark compares: runs of letters, digits and underscores, in lower case."""
    return _WORD.findall(text.lower())


def word_f1(found: str, expected: str) -> float:
    """Harmonic mean of precision and recall of the multiset of words; 1 where both texts have none."""
    ours, theirs = Counter(words_of(found)), Counter(words_of(expected))
    if not ours or not theirs:
        return float(not ours and not theirs)
    shared = (ours & theirs).total()
    return 2 * shared / (ours.total() + theirs.total())
