"""A tiny crawl made of English, in Common Crawl's layout."""

import random
import re
from pathlib import Path
from pydoc_data.topics import topics

from pipeline_lib.crawl.warc_writing import Capture, paths_list, warc_path, write_warc

CRAWL = "TINY-2026-00"
NUM_FILES = 4
PAGES_PER_FILE = 30


def english_sentences() -> list[str]:
    """Sentences of real English that every Python brings along: those of its own language reference."""
    sentences = set()
    for topic in topics.values():
        for paragraph in topic.split("\n\n"):
            if not paragraph.startswith(" "):
                sentences.update(re.findall(r"[A-Z][a-z][\w ,]{40,200}\.(?= [A-Z])", " ".join(paragraph.split())))
    return sorted(sentences)


def paragraphs_of(rng: random.Random, sentences: list[str]) -> list[str]:
    drawn = rng.sample(sentences, 12)
    return [" ".join(drawn[start : start + 3]) for start in range(0, 12, 3)]


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
    sentences = english_sentences()
    texts = [paragraphs_of(rng, sentences) for _ in range(NUM_FILES * PAGES_PER_FILE)]
    paths = [warc_path(CRAWL, index) for index in range(NUM_FILES)]
    for index, path in enumerate(paths):
        captures = []
        for number in range(PAGES_PER_FILE):
            place = index * PAGES_PER_FILE + number
            paragraphs = texts[place]
            if number == 3 and index:
                paragraphs = texts[3]  # an exact copy of a page of the first file
            if number == 4 and index:
                paragraphs = [*texts[4], f"This is copy {index} of it."]
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
