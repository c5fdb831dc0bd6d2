"""A tiny crawl made of generated English, in Common Crawl's layout."""

import random
from pathlib import Path

from pipeline_lib.crawl.warc_writing import Capture, paths_list, warc_path, write_warc

CRAWL = "TINY-2026-00"
NUM_FILES = 4
PAGES_PER_FILE = 30

_SUBJECTS = ["The miller", "A careful reader", "The old library", "Every small stream", "The engineer", "My neighbour"]
_VERBS = ["explains", "remembers", "carries", "repairs", "collects", "measures", "describes", "follows"]
_OBJECTS = [
    "the history of the river", "a table of figures", "the broken wheel", "letters from the north",
    "the price of flour", "a map of the valley", "the sound of the stones", "an unfinished argument",
]  # fmt: skip
_ENDINGS = [
    "because nobody else would do it", "and the others wait for the result", "with more patience than I have",
    "before the first snow of the winter", "so that it can be used again", "which was not what we had expected",
]  # fmt: skip


def english(rng: random.Random, sentences: int) -> list[str]:
    """Paragraphs that pass for English: distinct sentences, with stop words and full stops."""
    made: list[str] = []
    while len(made) < sentences:
        number = rng.randrange(10_000)
        made.append(
            f"{rng.choice(_SUBJECTS)} {rng.choice(_VERBS)} {rng.choice(_OBJECTS)} of the year {number}, "
            f"{rng.choice(_ENDINGS)}, and that is the point to have in mind."
        )
    return [" ".join(made[start : start + 4]) for start in range(0, sentences, 4)]


def page(title: str, paragraphs: list[str]) -> bytes:
    body = "\n".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)
    return (
        f"<!doctype html><html lang=en><head><title>{title}</title></head><body>"
        f"<nav><a href=/>Home</a> <a href=/all>All pages</a></nav><main><article><h1>{title}</h1>\n{body}\n"
        "</article></main><footer>Contact: all rights reserved</footer></body></html>"
    ).encode()


def write_tiny_crawl(root: Path) -> Path:
    """A crawl of 120 pages in 4 WARC files; returns its list of paths.

    Among them: exact and near duplicates across files, pages with addresses to mask, pages too short to keep, a page of
    nonsense bytes, missing pages.
    """
    rng = random.Random(7)
    texts = [english(rng, 24) for _ in range(NUM_FILES * PAGES_PER_FILE)]
    paths = [warc_path(CRAWL, index) for index in range(NUM_FILES)]
    for index, path in enumerate(paths):
        captures = []
        for number in range(PAGES_PER_FILE):
            place = index * PAGES_PER_FILE + number
            paragraphs = texts[place]
            if number == 3 and index:
                paragraphs = texts[3]  # an exact copy of a page of the first file
            if number == 4 and index:
                paragraphs = [*texts[4][:-1], texts[4][-1].replace("patience", f"patience{index}") + f" Copy {index}."]
            if number == 5:
                paragraphs = ["Too short."]
            if number == 6:
                paragraphs = [*paragraphs, "Write to miller@mill-house.org or look at 93.184.216.34 for more of it."]
            body = page(f"Page {place}", paragraphs)
            if number == 7:
                body = bytes(rng.randrange(256) for _ in range(2000))
            captures.append(capture(f"https://site{number % 3}.invalid/{place}.html", "200 OK", body))
        captures.append(capture(f"https://site0.invalid/gone-{index}", "404 Not Found", b"<html>gone</html>"))
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as stream:
            write_warc(stream, CRAWL, index, captures)
    listed = root / "crawl-data" / CRAWL / "warc.paths.gz"
    listed.write_bytes(paths_list(paths))
    return listed


def capture(address: str, status: str, body: bytes) -> Capture:
    return Capture(address=address, status=status, headers=(("Content-Type", "text/html"),), body=body)
