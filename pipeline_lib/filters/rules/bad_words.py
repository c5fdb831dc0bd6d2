"""Bad words: how often a text has the words and phrases of lists in LDNOOBW's format, a file a language.

The semantics are those of datatrove's `C4BadWordsFilter` (and so of C4, Raffel et al. 2020, JMLR 21(140), section 2.2):
in lower-case text, a phrase counts where no word character stands before or behind it; in Japanese, Thai and Chinese
anywhere. What differs:
- phrases are lower-cased too; there `MILF` in a list never matches.
- word characters are the letters and decimal digits of our frozen table, and `_`; Python's `\\w` has other numbers
  (`²`, `Ⅷ`) too. Combining marks are no word characters in either.
- pages with bad words are dropped by a count, none of them kept by chance.
- a language without a list has no bad words; there it stops the run.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from pipeline_lib.filters.conditions import Condition, Signals, bounds, check_thresholds, ratio
from pipeline_lib.filters.rules.word_lists import ListFile, digests, list_files, read_entries
from pipeline_lib.filters.texts import Texts
from pipeline_lib.kernels.arrow import Bytes, string_buffers
from pipeline_lib.kernels.unicode_tables import ALPHABETIC, DECIMAL, character_classes

SIGNALS = (
    "bad_words_count",  # places where a listed phrase begins
    "bad_words_ratio",  # of that to the words of the text
)

_WITHOUT_SPACES = frozenset({"ja", "th", "zh"})
_UNDERSCORE = ord("_")
_PHRASES_A_PATTERN = 500  # a pattern has ten megabytes, compiled

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class BadWordsRules:
    """Which phrases are bad, and how many of them a text may have.

    Defaults: none of them, as in C4. No list comes with Gristmill; without lists nothing is dropped.

    Attributes:
        lists: list files that all texts are searched for: paths, globs or fsspec URLs. A file named ja, th or zh has
            phrases of a language without spaces.
        folder: a folder of list files, each named by its language (`en`, `pt`), for texts in that language only.
        allowed: phrases that are passed over in all lists, in lower case. Default: what C4's code takes out of the
            Japanese and Chinese lists.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    MEASURED: ClassVar[tuple[str, ...]] = ("lists", "folder", "allowed")

    lists: tuple[str, ...] = ()
    folder: str | None = None
    allowed: tuple[str, ...] = ("sm", "グロ", "女の子", "性")
    max_count: int | None = 0
    max_ratio: float | None = None

    def __post_init__(self) -> None:
        check_thresholds(self)

    def conditions(self) -> tuple[Condition, ...]:
        return bounds(
            "bad_words",
            [
                ("too_many", "bad_words_count", ">", self.max_count),
                ("too_dense", "bad_words_ratio", ">", self.max_ratio),
            ],
        )


@dataclass(frozen=True, kw_only=True)
class _Phrases:
    spaced: tuple[str, ...]
    unspaced: tuple[str, ...]  # of languages without spaces


def lists_digest(rules: BadWordsRules) -> dict[str, str]:
    """What the lists say, for the key of a stage: SHA-256 of each file, by rule key and file name.

    Raises:
        WrongRequest: a file is not there.
    """
    return {**digests(_listed(rules)), **digests(tuple(_by_language(rules).values()))}


def check_lists(rules: BadWordsRules) -> None:
    """Read all lists.

    Raises:
        WrongRequest: names rule key, file and line: a file that is not there or no text in UTF-8, an empty list.
    """
    _phrases(_listed(rules), rules.allowed)
    for file in _by_language(rules).values():
        _phrases((file,), rules.allowed)


def measure(texts: Texts, rules: BadWordsRules, languages: pa.ChunkedArray | None = None) -> Signals:
    """Signals of texts; `languages`, a label such as `pt` or `pt-BR` for each, choose among the lists of the folder.

    Raises:
        ValueError: the rules name a folder, and there are no languages.
    """
    counts = np.zeros(len(texts), np.int64)
    lower: pl.Series | None = None
    for chosen, phrases in _searches(len(texts), rules, languages):
        if lower is None:
            lower = pl.Series(texts.column).str.to_lowercase()
        counts[chosen] += _count(lower.filter(pl.Series(chosen)), phrases)
    columns = [counts.astype(np.float64), ratio(counts, texts.num_words)]
    return dict(zip(SIGNALS, columns, strict=True))


def _searches(
    num_texts: int, rules: BadWordsRules, languages: pa.ChunkedArray | None
) -> list[tuple[npt.NDArray[np.bool_], _Phrases]]:
    """Which texts are searched for what: each text once, for what is listed for all and for its language."""
    for_all, by_language = _listed(rules), _by_language(rules)
    if not by_language:
        return [(np.ones(num_texts, np.bool_), _phrases(for_all, rules.allowed))] if for_all else []
    if languages is None:
        raise ValueError("filters.bad_words.folder has a list for each language, but the documents have no language")
    labels = pl.Series(languages).cast(pl.String).fill_null("").str.to_lowercase()
    known = labels.is_in(list(by_language))
    labels = pl.select(pl.when(known).then(labels).otherwise(labels.str.extract(r"^([^_-]*)"))).to_series()
    searches = []
    for label in labels.unique().sort():
        files = (*for_all, by_language[label]) if label in by_language else for_all
        if files:
            searches.append(((labels == label).to_numpy(), _phrases(files, rules.allowed)))
    return searches


def _listed(rules: BadWordsRules) -> tuple[ListFile, ...]:
    return list_files("filters.bad_words.lists", rules.lists)


def _by_language(rules: BadWordsRules) -> dict[str, ListFile]:
    if rules.folder is None:
        return {}
    files = list_files("filters.bad_words.folder", (f"{rules.folder.rstrip('/')}/*",))
    return {_language(file): file for file in files}


def _language(file: ListFile) -> str:
    """fr-ca of fr-CA, fr-CA.txt or fr-CA.txt.zst."""
    return file.name.partition(".")[0].lower()


@lru_cache(maxsize=64)
def _phrases(files: tuple[ListFile, ...], allowed: tuple[str, ...]) -> _Phrases:
    spaced: set[str] = set()
    unspaced: set[str] = set()
    for file in files:
        entries = read_entries(file)
        # the same lower case as the texts'
        lower = pl.Series(entries.text).str.to_lowercase().to_list()
        (unspaced if _language(file) in _WITHOUT_SPACES else spaced).update(lower)
    passed_over = set(allowed)
    return _Phrases(spaced=tuple(sorted(spaced - passed_over)), unspaced=tuple(sorted(unspaced - passed_over)))


def _count(lower: pl.Series, phrases: _Phrases) -> Counts:
    """Places in each text where one of the phrases begins."""
    found = [_places_between_words(lower, phrases.spaced), _places(lower, phrases.unspaced)]
    places = pl.DataFrame({name: np.concatenate([each[name] for each in found]) for name in ("text", "start")}).unique()
    return np.bincount(places["text"].to_numpy(), minlength=len(lower))


def _places_between_words(lower: pl.Series, phrases: tuple[str, ...]) -> dict[str, Counts]:
    may_have = np.zeros(len(lower), np.bool_)
    for pattern in _patterns(phrases):
        may_have |= lower.str.contains(pattern).to_numpy()
    texts = may_have.nonzero()[0]
    some = lower.filter(pl.Series(may_have, dtype=pl.Boolean))
    found = _places(some, phrases)
    if not len(found["text"]):
        return found
    # the same search once more: Polars gives either places or phrases, in one order
    lengths = some.str.extract_many(list(phrases), overlapping=True).explode(empty_as_null=False).str.len_bytes()
    data, offsets = string_buffers(pa.chunked_array([some.to_arrow().cast(pa.large_string())]))
    text, start = found["text"], found["start"]
    first = offsets[text] + start
    last = first + lengths.to_numpy()
    alone = ~(_is_word(data, _character_before(data, first)) & (start > 0))
    alone &= ~(_is_word(data, last) & (last < offsets[text + 1]))
    return {"text": texts[text[alone]], "start": start[alone]}


def _places(lower: pl.Series, phrases: tuple[str, ...]) -> dict[str, Counts]:
    """Text and start in bytes of each occurrence, overlapping ones too."""
    if not phrases or not len(lower):
        return {"text": np.zeros(0, np.int64), "start": np.zeros(0, np.int64)}
    starts = lower.str.find_many(list(phrases), overlapping=True)
    num_found = starts.list.len().to_numpy().astype(np.int64)
    return {
        "text": np.repeat(np.arange(len(lower)), num_found),
        "start": starts.explode(empty_as_null=False).to_numpy().astype(np.int64),
    }


@lru_cache(maxsize=64)
def _patterns(phrases: tuple[str, ...]) -> tuple[str, ...]:
    """Regular expressions of which one matches where a phrase stands between characters that are no word characters,
    and in few texts else: four times as fast as to look at all places."""
    groups = [phrases[i : i + _PHRASES_A_PATTERN] for i in range(0, len(phrases), _PHRASES_A_PATTERN)]
    return tuple(rf"(?:^|[^0-9a-z_])(?:{'|'.join(map(pl.escape_regex, group))})(?:[^0-9a-z_]|$)" for group in groups)


def _character_before(data: Bytes, end: Counts) -> Counts:
    """Where the character begins that ends before data[end]."""
    start = np.maximum(end - 1, 0)
    for _ in range(3):
        start = start - ((data[start] & 0xC0) == 0x80)
    return start


def _is_word(data: Bytes, start: Counts) -> npt.NDArray[np.bool_]:
    """Whether the characters that begin at data[start] are word characters; anything where that is its end."""
    byte = [data[np.minimum(start + k, len(data) - 1)].astype(np.int64) for k in range(4)]
    low = [each & 0x3F for each in byte]
    code_points = np.select(
        [byte[0] < 0x80, byte[0] < 0xE0, byte[0] < 0xF0],
        [
            byte[0],
            (byte[0] & 0x1F) << 6 | low[1],
            (byte[0] & 0x0F) << 12 | low[1] << 6 | low[2],
        ],
        (byte[0] & 0x07) << 18 | low[1] << 12 | low[2] << 6 | low[3],
    )
    classes = character_classes()[code_points]
    is_word: npt.NDArray[np.bool_] = (classes & (ALPHABETIC | DECIMAL) != 0) | (code_points == _UNDERSCORE)
    return is_word
