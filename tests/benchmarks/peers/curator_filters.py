"""NeMo Curator's own heuristics for English as a process beside ours; how jobs look: `peer_jobs.py`.

Answers `broken`: for each document, all rules that it breaks, in the order of Curator's file for English; a rule that
fails with an error on a document stands there as `name: ZeroDivisionError`. With `"ties": "first"`, of several n-grams
that are the most frequent the first is taken; else any, as Curator does: which one, Python's hash seed decides.

The package's `__init__` imports Ray, and that of its text filters PyTorch and more; none of it is used here.
"""

import math
from collections.abc import Callable

from peer_jobs import Job, answer_jobs, without_own_imports

without_own_imports(
    "nemo_curator",
    "nemo_curator.stages",
    "nemo_curator.stages.text",
    "nemo_curator.stages.text.utils",
    "nemo_curator.stages.text.filters",
    "nemo_curator.stages.text.filters.heuristic",
    "nemo_curator.stages.text.filters.heuristic.repetition",
)

from nemo_curator.stages.text.filters.doc_filter import DocumentFilter  # noqa: E402 (needs the packages above)
from nemo_curator.stages.text.filters.heuristic import string  # noqa: E402
from nemo_curator.stages.text.filters.heuristic.repetition import repetition  # noqa: E402

# By our names. The two filters with two bounds stand here once for each.
FILTERS: dict[str, DocumentFilter] = {
    "too_many_other_chars": string.NonAlphaNumericFilter(0.25),
    "too_many_symbol_words": string.SymbolsToWordsFilter(0.1),
    "too_many_digits": string.NumbersFilter(0.15),
    "too_many_link_chars": string.UrlsFilter(0.2),
    "too_much_whitespace": string.WhiteSpaceFilter(0.25),
    "too_many_brackets": string.ParenthesesFilter(0.1),
    "boilerplate_paragraphs": string.BoilerPlateStringFilter(True, 0.4),
    "repeated_lines": repetition.RepeatedLinesFilter(0.7),
    "repeated_paragraphs": repetition.RepeatedParagraphsFilter(0.7),
    "repeated_line_chars": repetition.RepeatedLinesByCharFilter(0.8),
    "repeated_paragraph_chars": repetition.RepeatedParagraphsByCharFilter(0.8),
    "too_few_words": string.WordCountFilter(50, math.inf),
    "too_many_words": string.WordCountFilter(0, 100_000),
    "too_few_end_marks": string.PunctuationFilter(0.85),
    "too_few_alphabetic_words": string.WordsWithoutAlphabetsFilter(0.8),
    "too_few_stop_words": string.CommonEnglishWordsFilter(2, True),
    "words_too_short": string.MeanWordLengthFilter(3, math.inf),
    "words_too_long": string.MeanWordLengthFilter(0, 10),
    "long_word": string.LongWordFilter(1000),
    "too_many_ellipsis_lines": string.EllipsisFilter(0.3),
    **{
        f"top_{n}gram_chars": repetition.RepeatingTopNGramsFilter(n, most)
        for n, most in ((2, 0.2), (3, 0.18), (4, 0.16))
    },
    **{
        f"repeated_{n}gram_chars": repetition.RepeatingDuplicateNGramsFilter(n, most)
        for n, most in ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10))
    },
    "too_many_bullet_lines": string.BulletsFilter(0.9),
}

# What the filters make of a list of n-grams or lines to have each once; a dictionary does so in order.
DISTINCT: dict[str, Callable[..., object]] = {"first": dict.fromkeys, "any": set}


def broken(text: str) -> list[str]:
    found = []
    for name, each in FILTERS.items():
        try:
            if not each.keep_document(each.score_document(text)):
                found.append(name)
        except (ZeroDivisionError, ValueError) as error:
            found.append(f"{name}: {type(error).__name__}")
    return found


def do(job: Job, texts: list[str]) -> dict[str, object]:
    repetition.set = DISTINCT[job.get("ties", "any")]  # stands before Python's own there
    return {"broken": [broken(text) for text in texts]}


if __name__ == "__main__":
    answer_jobs(do)
