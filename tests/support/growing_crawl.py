"""Two tiny crawls, of two weeks: the later one has pages of the earlier one again, changed ones, and new ones."""

import random
from pathlib import Path

from tiny_crawl import capture, english_sentences, page, paragraphs_of

from pipeline_lib.crawl.warc_writing import paths_list, warc_path, write_warc

WEEKS = ("TINY-2026-01", "TINY-2026-02")


def write_weeks(root: Path) -> list[Path]:
    """The lists of paths of both crawls, of two files each."""
    rng = random.Random(11)
    sentences = english_sentences()
    texts = {name: paragraphs_of(rng, sentences) for name in "abcdefgh"}
    first = [("a", texts["a"]), ("b", texts["b"]), ("c", texts["c"]), ("d", texts["d"]), ("d-copy", texts["d"])]
    second = [
        ("e", texts["e"]),
        ("a-again", texts["a"]),  # an equal text
        ("b-longer", [*texts["b"], "One sentence more than there was."]),  # a similar one
        ("f", texts["f"]),
        ("f-longer", [*texts["f"], "One sentence more than there was."]),
        ("g", texts["g"]),
    ]
    return [_write(root, crawl, pages) for crawl, pages in zip(WEEKS, (first, second), strict=True)]


def _write(root: Path, crawl: str, pages: list[tuple[str, list[str]]]) -> Path:
    paths = [warc_path(crawl, index) for index in range(2)]
    for index, path in enumerate(paths):
        captures = [
            capture(f"https://{crawl.lower()}.invalid/{name}.html", "200 OK", page(name, paragraphs))
            for name, paragraphs in pages[index::2]
        ]
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as stream:
            write_warc(stream, crawl, index, captures)
    listed = root / "crawl-data" / crawl / "warc.paths.gz"
    listed.write_bytes(paths_list(paths))
    return listed
