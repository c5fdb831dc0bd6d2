"""Which blocks of a page are its main text: gradient-boosted trees over the blocks' features, and a choice among them.

The trees are in `block_model.npz`; `tests/benchmarks/train_block_model.py` makes it (`make block-model`) and says from
which pages. A page's blocks are chosen together: those that make its expected F1 greatest, given the probability of
each.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline_lib.classifier.exponential import logistic
from pipeline_lib.extract.block_features import FEATURE_NAMES, NUM_FEATURES, fill_row, measure_page
from pipeline_lib.extract.page_blocks import AREAS, ELEMENT, REMOVED, WORDS, Ints, PageBlocks

MODEL_PATH = Path(__file__).with_name("block_model.npz")

Floats = npt.NDArray[np.float64]

_MIN_SEEN_RATIO = 0.1  # of a page's words: less in sight, and what is not counts, too


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockModel:
    """Trees, their nodes one after the other.

    Attributes:
        roots: first node of each tree, int32.
        features: the feature that a node asks for, int16; -1 for a leaf.
        thresholds: a value up to this goes left, float32; a leaf's value.
        right: the node to the right, int32; the one to the left is the next.
    """

    roots: npt.NDArray[np.int32]
    features: npt.NDArray[np.int16]
    thresholds: npt.NDArray[np.float32]
    right: npt.NDArray[np.int32]


@lru_cache(maxsize=1)
def block_model() -> BlockModel:
    """The model that is part of the package."""
    return load_block_model(MODEL_PATH)


def load_block_model(path: Path) -> BlockModel:
    """A model from a file.

    Raises:
        ValueError: it was trained for other features.
    """
    with np.load(path, allow_pickle=False) as arrays:
        names = tuple(str(arrays["feature_names"]).split())
        if names != FEATURE_NAMES:
            raise ValueError(
                f"{path}: expected a model of the {len(FEATURE_NAMES)} features in block_features.py, found one of "
                f"{len(names)}; make it anew with `make block-model`"
            )
        return BlockModel(
            roots=arrays["roots"],
            features=arrays["features"],
            thresholds=arrays["thresholds"],
            right=arrays["right"],
        )


def main_probabilities(page: PageBlocks, model: BlockModel) -> Floats:
    """For each block the probability that it is main text."""
    return _probabilities(
        page.elements, page.blocks, len(page.page), model.roots, model.features, model.thresholds, model.right
    )


def choose_blocks(page: PageBlocks, probabilities: Floats) -> npt.NDArray[np.bool_]:
    """Which blocks are taken for main text.

    What is out of sight (`hidden`, `display: none`, `visibility: hidden`) counts only on pages that have next to
    nothing else. `aria-hidden` is left to the model: it is on slides and folded answers as well as on ornaments.
    """
    unseen = page.elements[page.blocks[:, ELEMENT], AREAS] & REMOVED != 0
    seen_words = int(page.blocks[~unseen, WORDS].sum())
    if seen_words >= _MIN_SEEN_RATIO * int(page.blocks[:, WORDS].sum()):
        probabilities = np.where(unseen, 0.0, probabilities)
    return best_choice(probabilities, page.blocks[:, WORDS])  # type: ignore[no-any-return]


@njit(nogil=True, cache=True)
def _probabilities(
    elements: Ints,
    blocks: Ints,
    size: int,
    roots: npt.NDArray[np.int32],
    features: npt.NDArray[np.int16],
    thresholds: npt.NDArray[np.float32],
    right: npt.NDArray[np.int32],
) -> Floats:
    n = len(blocks)
    result = np.zeros(n, np.float64)
    if n == 0:
        return result
    sums, alike, marks, extras, page = measure_page(elements, blocks, size)
    row = np.zeros(NUM_FEATURES, np.float32)
    for b in range(n):
        fill_row(b, elements, blocks, sums, alike, marks, extras, page, row)
        total = 0.0
        for tree in range(len(roots)):
            node = roots[tree]
            while features[node] >= 0:
                node = node + 1 if row[features[node]] <= thresholds[node] else right[node]
            total += thresholds[node]
        result[b] = logistic(total)
    return result


@njit(nogil=True, cache=True)
def best_choice(probabilities: Floats, words: Ints) -> Any:
    """The blocks, most probable first, up to where the F1 that is to be expected is greatest.

    With p and w the probability and words of a block, and S the blocks that are chosen, that F1 is taken to be
    2 * sum of pw over S / (sum of w over S + sum of pw over all): the words that are right, over those that were chosen
    and those that should have been.
    """
    n = len(probabilities)
    chosen = np.zeros(n, np.bool_)
    order = np.argsort(-probabilities, kind="mergesort")
    all_right = 0.0
    for b in range(n):
        all_right += probabilities[b] * words[b]
    right = taken = best = 0.0
    num_best = 0
    for k in range(n):
        b = order[k]
        right += probabilities[b] * words[b]
        taken += words[b]
        if taken > 0 and 2.0 * right / (taken + all_right) > best:
            best = 2.0 * right / (taken + all_right)
            num_best = k + 1
    for k in range(num_best):
        chosen[order[k]] = True
    return chosen
