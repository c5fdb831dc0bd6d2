"""DCLM's own filters and modifiers as a process beside ours; how jobs look: `peer_jobs.py`.

DCLM is no package: GRISTMILL_DCLM names a checkout of mlfoundations/dclm. The steps and numbers are those of its
`dclm_baseline_refinedweb.yaml`, but that the words are what str.split gives.

With `"clean": true` texts are cleaned of addresses first. Answers `cleaned`, the texts as they are judged; `broken`,
for each text all quality and repetition rules that it breaks, in order; `corrected`, the texts with lines corrected,
and `correction`, why a text is dropped by that, or null.
"""

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from peer_jobs import Job, answer_jobs, stand_in, without_own_imports

Page = dict[str, Any]
Step = Callable[[Page], list[Page]]

checkout = Path(os.environ["GRISTMILL_DCLM"]).resolve()
os.chdir(checkout)  # it reads its lists from there
sys.path[:0] = [str(checkout), str(checkout / "baselines")]
# Their `__init__` import every other mapper: models, splitters, crawls.
without_own_imports(
    *("core", "baselines", "baselines.core", "baselines.mappers"),
    *("baselines.mappers.filters", "baselines.mappers.enrichers"),
)
# Imported beside what is compared, for other functions: tokens of a model, HTML, transliteration.
stand_in("transformers", "AutoTokenizer")
stand_in("bs4", "BeautifulSoup")
stand_in("unidecode", "unidecode")

from baselines.mappers import core_utils, modifiers  # noqa: E402 (needs all of the above)
from baselines.mappers.enrichers import enrichers  # noqa: E402
from baselines.mappers.filters import content_filters as filters  # noqa: E402


def split_words(text: str, model: str = "", **options: Any) -> list[str]:
    return core_utils.split_words(text, model="split", **options)


for module in (filters, modifiers, enrichers):
    module.split_words = split_words

CLEANING: list[Step] = [modifiers.url_removal_modifier(), modifiers.newline_removal_modifier(max_consecutive=2)]

word_count = partial(filters.page_length_filter, length_type="word", ignore_punctuation=True)
QUALITY: dict[str, Step] = {
    "dclm_quality.too_few_words": partial(word_count, min_length=50),
    "dclm_quality.too_many_words": partial(word_count, min_length=0, max_length=100_000),
    "dclm_quality.words_too_short": partial(filters.word_length_filter, min_length=3),
    "dclm_quality.words_too_long": partial(filters.word_length_filter, max_length=10),
    "dclm_quality.too_many_symbols": partial(filters.symbol_ratio_filter, max_symbol_to_word_ratio=0.1),
    "dclm_quality.too_many_bullet_lines": partial(filters.bullet_count_filter, max_bullet_start_ratio=0.9),
    "dclm_quality.too_many_ellipsis_lines": partial(filters.ellipsis_count_filter, max_ellipsis_end_ratio=0.3),
    "dclm_quality.too_many_unalphabetic_words": partial(filters.alphabetic_word_ratio_filter, max_ratio=0.2),
    "dclm_quality.too_few_stop_words": partial(filters.stop_word_filter, count_unique=False, min_stop_word=2),
}

# What DCLM calls massive_web_repetition_filters, one by one: it says of a page only that it drops it.
REPETITION: dict[str, tuple[str | int, float, bool]] = {
    "dclm_repetition.repeated_lines": ("line", 0.3, False),
    "dclm_repetition.repeated_paragraphs": ("paragraph", 0.3, False),
    "dclm_repetition.repeated_line_chars": ("line", 0.2, True),
    "dclm_repetition.repeated_paragraph_chars": ("paragraph", 0.2, True),
    **{f"dclm_repetition.top_{n}gram_chars": (n, most, True) for n, most in ((2, 0.2), (3, 0.18), (4, 0.16))},
    **{
        f"dclm_repetition.repeated_{n}gram_chars": (n, most, True)
        for n, most in ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10))
    },
}

phrase = partial(modifiers.substring_line_modifier, max_length=10, remove_substring_only=True)
CORRECTIONS: list[Step] = [
    partial(modifiers.uppercase_ratio_line_modifier, max_ratio=0.5),
    partial(modifiers.numeric_ratio_line_modifier, max_ratio=0.999999),
    modifiers.counter_line_modifier(),
    partial(modifiers.line_length_modifier, min_length=2),
    phrase(banlist="items in cart"),
    phrase(banlist="Read more...", location="suffix"),
    phrase(banlist="Sign-in", location="prefix"),
]


def modified(text: str, steps: list[Step], **more: object) -> Page | None:
    """The page after the steps; None: one of them dropped it."""
    page: Page = {"text": text, **more}
    return page if all(step(page) for step in steps) else None


def broken(text: str) -> list[str]:
    found = [name for name, step in QUALITY.items() if not step({"text": text})]
    cache: dict[str, object] = {}
    for name, (granularity, most, by_chars) in REPETITION.items():
        if not filters.repetition_filter({"text": text}, granularity, most, count_characters=by_chars, cache=cache):
            found.append(name)
    return found


def corrected(text: str) -> tuple[str, str | None]:
    counted = {"text": text}
    enrichers.word_counter_enricher(counted, key="before")
    page = modified(text, CORRECTIONS, before=counted["before"])
    if page is None:
        return "", "line_corrections.empty"
    kept = filters.word_removal_ratio_filter(page, prev_word_count_key="before", max_removed_ratio=0.05)
    return page["text"], None if kept else "line_corrections.too_many_words_dropped"


def do(job: Job, texts: list[str]) -> dict[str, object]:
    if job["clean"]:
        pages = [modified(text, CLEANING) for text in texts]
        texts = ["" if page is None else page["text"] for page in pages]
    corrections = [corrected(text) for text in texts] if job["judge"] else []
    return {
        "cleaned": texts,
        "broken": [broken(text) for text in texts] if job["judge"] else [],
        "corrected": [text for text, _ in corrections],
        "correction": [reason for _, reason in corrections],
    }


if __name__ == "__main__":
    answer_jobs(do)
