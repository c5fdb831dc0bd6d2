"""Trains the block model, `pipeline_lib/extract/block_model.npz`: which blocks of a page are its main text.

    python tests/benchmarks/train_block_model.py [--out FILE]

needs ../shared/data and LightGBM (`make block-model` sees to both). The labels come from two sources:

- the half of the Web Content Extraction Benchmark's pages (Foley, CC-BY-4.0) that is not held out: a block is main text
  as far as its words are in the text that people have reviewed;
- pages of the mini crawl, at most six of a host, weighted lower: the same with the text that trafilatura gives, and
  less weight where resiliparse's says otherwise.

One seed, one thread: the same pages, libraries and code give the same file.
"""

import argparse
import html
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "tests" / "support"))

from flows.compiled import keep_compiled_kernels  # noqa: E402

keep_compiled_kernels()

import lightgbm  # noqa: E402
import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402
from gold_pages import gold_pages, words_of  # noqa: E402
from mini_crawl_pages import mini_crawl_pages  # noqa: E402

from pipeline_lib.extract.block_features import FEATURE_NAMES, all_rows  # noqa: E402
from pipeline_lib.extract.block_model import MODEL_PATH  # noqa: E402
from pipeline_lib.extract.main_text import UnreadablePage, main_text  # noqa: E402
from pipeline_lib.extract.page_blocks import (  # noqa: E402
    END_SPAN,
    FIRST_SPAN,
    SPAN_BREAKS,
    SPAN_END,
    SPAN_START,
    PageBlocks,
    page_blocks,
)
from pipeline_lib.extract.parameters import ExtractParameters  # noqa: E402

_NUM_TREES = 150
_PARAMETERS: dict[str, Any] = {
    "objective": "binary",
    "learning_rate": 0.06,
    "num_leaves": 31,
    "min_data_in_leaf": 40,
    "max_bin": 63,
    "feature_fraction": 0.25,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "seed": 1,
    "deterministic": True,
    "force_col_wise": True,
    "num_threads": 1,
    "verbose": -1,
}
_CRAWL_WEIGHT = 0.15
_DISPUTED_WEIGHT = 0.15  # of blocks about which the two libraries differ
_MAX_PAGES_OF_HOST = 6
_MAX_CRAWL_BLOCKS = 1_200
_MIN_CRAWL_CHARS = 200
_WORDS_POWER = 0.75  # between counting blocks and counting words

_SHORT = 6  # words: blocks of fewer are looked for as wholes, and by what stands beside them
_SOME, _MOST = 0.25, 0.75  # of a block's triples of words: less are chance, more are all
_REACH = 4  # blocks to each side that speak for a short one

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Blocks of one page: features, the probability that each is main text, and weight."""

    rows: npt.NDArray[np.float32]
    labels: Floats
    weights: Floats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=MODEL_PATH)
    options = parser.parse_args()
    shared_data = PROJECT.parent / "shared" / "data"
    examples = [
        *(reviewed(page.html, page.main_text) for page in gold_pages(shared_data) if not page.held_out),
        *crawled(shared_data),
    ]
    np.savez_compressed(options.out, **nodes_of(fit(examples)))
    print(f"{options.out}: {len(examples)} pages, {options.out.stat().st_size:,} bytes")


def reviewed(page: str, main: str) -> Examples:
    blocks = page_blocks(page.encode())
    words = block_words(blocks)
    return Examples(
        rows=all_rows(blocks.elements, blocks.blocks, len(blocks.page)),
        labels=labels_of(words, main),
        weights=weights_of(words),
    )


def crawled(shared_data: Path) -> list[Examples]:
    """Pages of the mini crawl that both libraries can read."""
    found: list[tuple[str, Examples]] = []
    seen: Counter[str] = Counter()
    for url, page in mini_crawl_pages(shared_data):
        host = urlsplit(url).hostname or url
        if seen[host] == _MAX_PAGES_OF_HOST:
            continue
        try:
            first, second = (
                main_text(page, ExtractParameters(extractor=extractor)).text
                for extractor in ("trafilatura", "resiliparse")
            )
        except UnreadablePage:
            continue
        blocks = page_blocks(page.encode())
        if len(first) < _MIN_CRAWL_CHARS or len(blocks.blocks) > _MAX_CRAWL_BLOCKS:
            continue
        seen[host] += 1
        words = block_words(blocks)
        labels = labels_of(words, first)
        agree = np.abs(labels - labels_of(words, second)) < 0.3
        example = Examples(
            rows=all_rows(blocks.elements, blocks.blocks, len(blocks.page)),
            labels=labels,
            weights=_CRAWL_WEIGHT * weights_of(words) * np.where(agree, 1.0, _DISPUTED_WEIGHT),
        )
        found.append((host, example))
    return [
        Examples(rows=page.rows, labels=page.labels, weights=page.weights / np.sqrt(seen[host])) for host, page in found
    ]


def block_words(blocks: PageBlocks) -> list[list[str]]:
    raw = blocks.page.tobytes()
    return [
        words_of(
            html.unescape(
                "".join(
                    (" " if span[SPAN_BREAKS] else "") + raw[span[SPAN_START] : span[SPAN_END]].decode()
                    for span in blocks.spans[block[FIRST_SPAN] : block[END_SPAN]].tolist()
                )
            )
        )
        for block in blocks.blocks
    ]


def weights_of(words: list[list[str]]) -> Floats:
    """All pages weigh the same, and long blocks more than short ones."""
    weights = (np.array([len(block) for block in words], np.float64) + 1.0) ** _WORDS_POWER
    return weights / max(weights.sum(), 1e-9)


def labels_of(blocks: list[list[str]], main: str) -> Floats:
    """How much of each block is in the main text.

    Long blocks by their triples of words. Short ones are in it if they are a line of it (as often as they are), or go
    on there as they do on the page; one that merely occurs in it counts for less, and only among blocks that are main.
    """
    expected = words_of(main)
    triples = set(zip(expected, expected[1:], expected[2:], strict=False))
    pairs = set(pairwise(expected))
    lines = Counter(" ".join(words_of(line)) for line in main.split("\n"))
    joined = f" {' '.join(expected)} "
    labels = np.zeros(len(blocks))
    for k, words in enumerate(blocks):
        if len(words) >= _SHORT:
            share = np.mean([triple in triples for triple in zip(words, words[1:], words[2:], strict=False)])
            labels[k] = 0.0 if share < _SOME else 1.0 if share > _MOST else share
    long_labels = labels.copy()

    def support(k: int) -> float:
        near = range(max(0, k - _REACH), min(len(blocks), k + _REACH + 1))
        return float(sum(long_labels[other] / abs(other - k) for other in near if other != k))

    places: dict[str, list[int]] = defaultdict(list)
    for k, words in enumerate(blocks):
        if 0 < len(words) < _SHORT and lines[" ".join(words)]:
            places[" ".join(words)].append(k)
    for phrase, candidates in places.items():
        for k in sorted(candidates, key=lambda k: (-support(k), k))[: lines[phrase]]:
            labels[k] = 1.0
    for k, words in enumerate(blocks):
        if labels[k] > 0 or not 0 < len(words) < _SHORT or f" {' '.join(words)} " not in joined:
            continue
        beside = 0.0
        for other in (k - 1, k + 1):
            if not 0 <= other < len(blocks) or not blocks[other]:
                continue
            run = blocks[other][-2:] + words[:2] if other < k else words[-2:] + blocks[other][:2]
            if len(run) == 2:
                beside += 0.5 * (tuple(run) in pairs)
            else:
                beside += all(triple in triples for triple in zip(run, run[1:], run[2:], strict=False))
        around = support(k)
        if beside >= 1 or (beside > 0 and around > 0.5):
            labels[k] = 1.0
        elif len(words) >= 4 and around > 0.3:
            labels[k] = 0.8
        elif len(words) == 3 and around > 0.8:
            labels[k] = 0.5
    return labels


def fit(examples: list[Examples]) -> lightgbm.Booster:
    """A block that is half main text is two examples, one of each kind."""
    rows = np.concatenate([page.rows for page in examples])
    labels = np.concatenate([page.labels for page in examples])
    weights = np.concatenate([page.weights for page in examples])
    divided = (labels > 0.02) & (labels < 0.98)
    larger = np.maximum(labels, 1.0 - labels)
    data = lightgbm.Dataset(
        np.concatenate([rows, rows[divided]]),
        np.concatenate([labels >= 0.5, labels[divided] < 0.5]).astype(np.float64),
        weight=np.concatenate([np.where(divided, larger, 1.0) * weights, ((1.0 - larger) * weights)[divided]])
        / weights.mean(),
    )
    return lightgbm.train(_PARAMETERS, data, _NUM_TREES)


def nodes_of(model: lightgbm.Booster) -> dict[str, npt.NDArray[Any]]:
    """The arrays of `BlockModel`, and the names of the features."""
    roots: list[int] = []
    nodes: list[list[float]] = []  # feature, threshold or value, node to the right

    def add(node: dict[str, Any]) -> None:
        here = [-1, node.get("leaf_value", 0.0), 0]
        nodes.append(here)
        if "split_feature" in node:
            here[0], here[1] = node["split_feature"], at_most(node["threshold"])
            add(node["left_child"])
            here[2] = len(nodes)
            add(node["right_child"])

    for tree in model.dump_model()["tree_info"]:
        roots.append(len(nodes))
        add(tree["tree_structure"])
    return {
        "roots": np.array(roots, np.int32),
        "features": np.array([node[0] for node in nodes], np.int16),
        "thresholds": np.array([node[1] for node in nodes], np.float32),
        "right": np.array([node[2] for node in nodes], np.int32),
        "feature_names": np.array(" ".join(FEATURE_NAMES)),
    }


def at_most(threshold: float) -> float:
    """The largest float32 up to a threshold: it parts float32 values as the threshold does."""
    rounded = np.float32(threshold)
    return float(rounded if float(rounded) <= threshold else np.nextafter(rounded, np.float32(-np.inf)))


if __name__ == "__main__":
    main()
