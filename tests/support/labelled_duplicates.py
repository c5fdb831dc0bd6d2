"""Documents whose true similarities are known: of all pairs, by brute force over their sets of word 5-grams.

Texts are ASCII and numbers are whole, so that all compared projects agree on what a word is: a run of letters and
digits, case folded, a number as one `0`. Otherwise their word definitions would be compared, not their dedup.
"""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain, islice
from pathlib import Path

import trafilatura
from gold_pages import gold_pages
from plain_shingles import NGRAM, shingles_of, words_of

from pipeline_lib.extract.main_text import UnreadablePage, main_text
from pipeline_lib.extract.parameters import ExtractParameters

FLOOR = 0.5
EDIT_RATES = (0.001, 0.003, 0.01, 0.02, 0.04, 0.08, 0.15)

_MAX_HTML_CHARS = 80_000  # what trafilatura reads quickly


@dataclass(frozen=True, kw_only=True)
class LabelledDocuments:
    """Documents in a shuffled order, and which of them are alike.

    Attributes:
        kinds: how each came about: `edited`, `graded`, `chain`, `template`, `reformatted`, `contained`, `short`,
            `empty`, `alone`, `extracted`.
        similar: by document, all others of a Jaccard similarity of FLOOR or more, and that similarity. Texts of fewer
            words than a shingle are similar, and that wholly, to those of the same words alone.
    """

    texts: Sequence[str]
    kinds: Sequence[str]
    similar: Sequence[Mapping[int, float]]

    def pairs(self) -> Iterator[tuple[int, int, float]]:
        """Each pair of a similarity of FLOOR or more once."""
        for one, others in enumerate(self.similar):
            yield from ((one, other, alike) for other, alike in others.items() if one < other)


def label(texts: Sequence[str], kinds: Sequence[str]) -> LabelledDocuments:
    """Find all pairs of FLOOR or more: nothing is estimated, and no pair that shares a shingle is left out."""
    sets = [shingles_of(text) for text in texts]
    holders: dict[str, list[int]] = defaultdict(list)
    for document, shingles in enumerate(sets):
        for shingle in shingles:
            holders[shingle].append(document)
    short: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for document, text in enumerate(texts):
        words = tuple(words_of(text))
        if 0 < len(words) < NGRAM:
            short[words].append(document)
    similar: list[dict[int, float]] = []
    for document, shingles in enumerate(sets):
        shared = Counter(chain.from_iterable(holders[shingle] for shingle in shingles))
        alike = {other: count / (len(shingles) + len(sets[other]) - count) for other, count in shared.items()}
        if not shingles:
            alike = dict.fromkeys(short.get(tuple(words_of(texts[document])), []), 1.0)
        similar.append({other: each for other, each in sorted(alike.items()) if each >= FLOOR and other != document})
    return LabelledDocuments(texts=texts, kinds=kinds, similar=similar)


def labelled_duplicates(seed: int, scale: float = 1.0, pages: Path | None = None) -> LabelledDocuments:
    """Some 2,400 documents times `scale`.

    Args:
        pages: the shared data, of whose reviewed pages the text of two extractors then joins, with edited copies.
    """
    rng = random.Random(seed)
    writer = Writer(rng=rng)
    made = list(writer.documents(scale))
    if pages is not None:
        made += extracted_twice(pages, rng, round(120 * scale))
    rng.shuffle(made)
    return label([text for _, text in made], [kind for kind, _ in made])


@dataclass
class Writer:
    """Writes documents of invented words, drawn as in a natural language: few words are frequent, many are rare."""

    rng: random.Random
    vocabulary: list[str] = field(init=False)
    weights: list[float] = field(init=False)

    def __post_init__(self) -> None:
        syllables = [first + second for first in "bcdfghklmnprstvw" for second in ("a", "e", "i", "o", "u", "an", "er")]
        words = {"".join(self.rng.choices(syllables, k=1 + number % 4)) for number in range(6000)}
        self.vocabulary = [*sorted(words), "7", "42", "1999", "2024"]
        self.rng.shuffle(self.vocabulary)
        self.weights = list(accumulate(1 / (rank + 5) for rank in range(len(self.vocabulary))))

    def words(self, count: int) -> list[str]:
        return self.rng.choices(self.vocabulary, cum_weights=self.weights, k=count)

    def length(self) -> int:
        """Of a page in words: from 60 to 1,500, and as often 60 to 300 as 300 to 1,500."""
        return round(60 * 25 ** self.rng.random())

    def prose(self, words: Sequence[str]) -> str:
        """Sentences and paragraphs, drawn anew each time: copies differ in what makes no word."""
        pieces = []
        start = True
        for word in words:
            pieces.append(word.capitalize() if start else word)
            end = self.rng.random()
            start = end < 0.08
            pieces.append(". " if end < 0.06 else ".\n\n" if start else ", " if end < 0.13 else " ")
        return "".join(pieces)

    def edit(self, words: Sequence[str], rate: float) -> list[str]:
        """Replace, delete or insert a word at about `rate` of all places."""
        edited: list[str] = []
        for word in words:
            if self.rng.random() >= rate:
                edited.append(word)
                continue
            kind = self.rng.randrange(3)
            edited += [self.words(1), [], [word, *self.words(1)]][kind]
        return edited

    def documents(self, scale: float) -> Iterator[tuple[str, str]]:
        def times(count: int) -> range:
            return range(round(count * scale))

        for _ in times(70):
            original = self.words(self.length())
            copies = [original, *(self.edit(original, rate) for rate in EDIT_RATES)]
            yield from (("edited", self.prose(each)) for each in copies)
        for _ in times(400):
            yield from (("graded", self.prose(each)) for each in self.graded(self.length(), FLOOR, 1.0))
        for _ in times(30):
            yield from (("chain", self.prose(each)) for each in self._chain())
        for _ in times(12):
            yield from (("template", self.prose(each)) for each in self._template(num_pages=20))
        for _ in times(40):
            words = self.words(self.length())
            yield "reformatted", self.prose(words)
            yield "reformatted", "  ".join(words).upper()
        for _ in times(40):
            outer = self.words(self.length())
            start = self.rng.randrange(len(outer) // 3)
            yield "contained", self.prose(outer)
            yield "contained", self.prose(outer[start : start + len(outer) * 2 // 3])
        for count in range(1, 13):
            for _ in times(8):
                words = self.words(count)
                yield "short", " ".join(words)
                yield "short", self.prose(self.edit(words, 0.1))
        yield from (("empty", text) for _ in times(4) for text in ("", " \n\n ", "* * *"))
        yield from (("alone", self.prose(self.words(self.length()))) for _ in times(200))

    def graded(self, length: int, least: float, most: float) -> tuple[list[str], list[str]]:
        """Two documents that differ in one block, of a similarity from `least` to `most`, but for rounding."""
        words = self.words(length)
        similarity = self.rng.uniform(least, most)
        lost = (length - NGRAM + 1) * (1 - similarity) / (1 + similarity)
        changed = max(1, round(lost) - NGRAM + 1)
        at = self.rng.randrange(NGRAM, max(NGRAM + 1, length - changed - NGRAM))
        return words, [*words[:at], *self.words(changed), *words[at + changed :]]

    def _chain(self) -> list[list[str]]:
        """Windows that move over a text: neighbours are alike, those further apart are not."""
        length = self.length()
        step = max(1, round(length * self.rng.uniform(0.04, 0.1)))
        stream = self.words(length + 6 * step)
        return [stream[number * step : number * step + length] for number in range(7)]

    def _template(self, num_pages: int) -> list[list[str]]:
        """Pages of one site: the same words around each page's own, which are few or many."""
        top, bottom = self.words(self.rng.randint(60, 200)), self.words(self.rng.randint(60, 200))
        own = [max(1, round((len(top) + len(bottom)) * self.rng.uniform(0.0, 0.4))) for _ in range(num_pages)]
        return [[*top, *self.words(count), *bottom] for count in own]


def extracted_twice(pages: Path, rng: random.Random, count: int) -> list[tuple[str, str]]:
    """The text of real pages by our extraction and by trafilatura, and lightly edited copies of ours; in ASCII."""
    found: list[tuple[str, str]] = []
    writer = Writer(rng=rng)
    small = (page for page in gold_pages(pages) if len(page.html) < _MAX_HTML_CHARS)
    for page in islice(small, count):
        try:
            ours = main_text(page.html, ExtractParameters()).text
        except UnreadablePage:
            continue
        theirs = trafilatura.extract(page.html, include_comments=False) or ""
        edited = writer.prose(writer.edit(ours.split(), 0.01))
        found += [("extracted", _plain(text)) for text in (ours, theirs, edited)]
    return found


def _plain(text: str) -> str:
    """ASCII, with no number that one project reads as one word and another as two."""
    ascii_only = text.encode("ascii", "ignore").decode()
    return re.sub(r"(?<=\d)[.,_](?=\d)", " ", ascii_only).replace("_", " ")
