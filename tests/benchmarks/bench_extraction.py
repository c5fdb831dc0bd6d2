"""How well and how fast main text is found, beside trafilatura and resiliparse: all on the same pages, in turn.

    python tests/benchmarks/bench_extraction.py [--rounds N] [--pages N] [--crawl-pages N] [--json FILE]

needs ../shared/data. Word F1 is the mean over pages whose main text people have reviewed; half of them, by site, were
kept from the block model's training and tuning. Times are CPU time of one core; on a busy machine only their ratios say
much.
"""

import argparse
import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "tests" / "support"))

from flows.compiled import keep_compiled_kernels  # noqa: E402

keep_compiled_kernels()

import trafilatura  # noqa: E402
from gold_pages import GoldPage, gold_pages, word_f1  # noqa: E402
from mini_crawl_pages import mini_crawl_bodies  # noqa: E402
from resiliparse.extract.html2text import extract_plain_text  # noqa: E402
from resiliparse.parse.html import HTMLTree  # noqa: E402

from pipeline_lib.extract.charset import decode  # noqa: E402
from pipeline_lib.extract.language import identify  # noqa: E402
from pipeline_lib.extract.main_text import UnreadablePage, main_text  # noqa: E402
from pipeline_lib.extract.normalize import normalize  # noqa: E402
from pipeline_lib.extract.parameters import ExtractParameters  # noqa: E402

OURS = "ours"
HYBRID = ExtractParameters()
FIRST_MIN_RATIO = 0.1
SHARED_DATA = PROJECT.parent / "shared" / "data"


def by_trafilatura(page: str) -> str:
    return trafilatura.extract(page, include_comments=False) or ""


def by_resiliparse(page: str) -> str:
    text: str = extract_plain_text(HTMLTree.parse(page), preserve_formatting=True, main_content=True, alt_texts=False)
    return text


def by_first_hybrid(page: str) -> str:
    """resiliparse, and trafilatura where the main text is less than a tenth of all visible text."""
    tree = HTMLTree.parse(page)
    main: str = extract_plain_text(tree, preserve_formatting=True, main_content=True, alt_texts=False)
    visible: str = extract_plain_text(tree, preserve_formatting=True, main_content=False, alt_texts=False)
    return main if len(main) >= FIRST_MIN_RATIO * len(visible) else by_trafilatura(page) or main


def by_ours(page: str) -> str:
    try:
        return main_text(page, HYBRID).text
    except UnreadablePage:
        return ""


EXTRACTORS: dict[str, Callable[[str], str]] = {
    "trafilatura": by_trafilatura,
    "resiliparse": by_resiliparse,
    "first hybrid": by_first_hybrid,
    OURS: by_ours,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pages", type=int, default=500, help="reviewed pages, drawn evenly")
    parser.add_argument("--crawl-pages", type=int, default=400, help="pages of the mini crawl, drawn evenly")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    options = parser.parse_args()

    pages = gold_pages(SHARED_DATA)
    pages = pages[:: max(1, len(pages) // options.pages)]
    by_ours(pages[0].html)  # compiles, or loads what is compiled
    figures = {"f1": _scores(pages), "speed": _speed(pages, options.rounds), "crawl": _crawl(options.crawl_pages)}
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _scores(pages: list[GoldPage]) -> dict[str, Any]:
    scores: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for page in pages:
        for name, extract in EXTRACTORS.items():
            score = word_f1(extract(page.html), page.main_text)
            halves = ["all", "held out" if page.held_out else "trained on"]
            for group in (*halves, *(f"{half}: {page.page_type}" for half in halves)):
                scores[group][name].append(score)
    print(f"word F1, {len(pages)} pages\n{'':<30}{'pages':>6}" + "".join(f"{name:>14}" for name in EXTRACTORS))
    means: dict[str, Any] = {}
    for group in sorted(scores):
        means[group] = {name: statistics.mean(values) for name, values in scores[group].items()}
        row = "".join(f"{means[group][name]:>14.3f}" for name in EXTRACTORS)
        print(f"{group:<30}{len(scores[group][OURS]):>6}{row}")
    return means


def _speed(pages: list[GoldPage], rounds: int) -> dict[str, Any]:
    """CPU milliseconds a page on a tenth of the pages, and how many times as fast as trafilatura, over rounds."""
    sample = pages[::10]
    times: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        spent = dict.fromkeys(EXTRACTORS, 0.0)
        for page in sample:
            for name, extract in EXTRACTORS.items():
                spent[name] += _cpu_seconds(lambda extract=extract, page=page: extract(page.html))
        for name, seconds in spent.items():
            times[name].append(1000 * seconds / len(sample))
    print(f"\n{len(sample)} of these pages, {rounds} rounds\n{'':<30}{'ms a page':>14}{'times as fast':>14}")
    figures: dict[str, Any] = {}
    for name in EXTRACTORS:
        ratios = [slow / fast for slow, fast in zip(times["trafilatura"], times[name], strict=True)]
        figures[name] = {"milliseconds": statistics.median(times[name]), "times_as_fast": statistics.median(ratios)}
        print(f"{name:<30}{figures[name]['milliseconds']:>14.2f}{figures[name]['times_as_fast']:>14.1f}")
    return figures


def _crawl(num_pages: int) -> dict[str, float]:
    """Pages a second and core from bytes to language, ours and with trafilatura's main text."""
    step = max(1, 7_200 // num_pages)
    bodies = list(islice(mini_crawl_bodies(SHARED_DATA), 0, None, step))
    seconds = {OURS: 0.0, "trafilatura": 0.0}
    for name in seconds:  # models are loaded, kernels compiled
        _whole(*bodies[0][1:], EXTRACTORS[name])
    for _, body, content_type in bodies:
        for name in seconds:
            seconds[name] += _cpu_seconds(
                lambda body=body, content_type=content_type, name=name: _whole(body, content_type, EXTRACTORS[name])
            )
    figures = {name: len(bodies) / spent for name, spent in seconds.items()}
    size = statistics.mean(len(body) for _, body, _ in bodies) / 1000
    print(
        f"\nfrom bytes to language, {len(bodies)} pages of the mini crawl, {size:.0f} KB each: pages a second and core"
    )
    for name, figure in figures.items():
        print(f"{name:<30}{figure:>14.0f}")
    return figures


def _whole(body: bytes, content_type: str, extract: Callable[[str], str]) -> None:
    decoded = decode(body, content_type)
    if not decoded.is_garbage:
        identify(normalize(extract(decoded.text)), HYBRID.language_sample_bytes)


def _cpu_seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    main()
