"""Items of evaluation sets made ready to be looked for: cut into pieces, their n-grams indexed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.decontaminate.evaluation_files import FoundSet, ItemText, read_items
from pipeline_lib.decontaminate.parameters import NgramParameters
from pipeline_lib.kernels.arrow import Offsets, string_buffers
from pipeline_lib.kernels.fold_tables import fold_tables
from pipeline_lib.kernels.item_ngrams import ItemNgrams, Numbers, count_item_words, index_ngrams, read_only
from storage.schemas import EVALUATION_INDEX, EVALUATION_ITEMS, EVALUATION_PIECES
from storage.tables import DamagedFile, check_schema
from storage.wrong_request import WrongRequest

NO_WORDS, TOO_SHORT, NO_LETTERS = "no_words", "too_short", "no_letters"
_BETWEEN = "\n"  # fields of an item


@dataclass(frozen=True)
class EvaluationItems:
    """All items that are looked for.

    Attributes:
        items: EVALUATION_ITEMS.
        pieces: EVALUATION_PIECES.
        index: the n-grams of the P pieces.
        gram_pieces, gram_bounds: for each n-gram the pieces that have it, one entry a place (`index_ngrams`).
    """

    items: pa.Table
    pieces: pa.Table
    index: ItemNgrams
    gram_pieces: Numbers
    gram_bounds: Offsets

    @property
    def num_ngrams(self) -> int:
        return len(self.gram_bounds) - 1

    @property
    def num_pieces(self) -> int:
        return int(self.pieces["piece"][-1].as_py()) + 1 if self.pieces.num_rows else 0


def read_sets(sets: Sequence[FoundSet], parameters: NgramParameters) -> EvaluationItems:
    """The items of sets, in order.

    Raises:
        WrongRequest: a file cannot be read, or a set has no item that could be looked for.
    """
    items = build_items(((each.name, item) for each in sets for item in read_items(each)), parameters)
    for each in sets:
        of_set = items.items.filter(pc.equal(items.items["set"], each.name))
        if of_set["reason"].null_count == 0:
            raise WrongRequest(
                f"evaluation set {each.name!r} ({', '.join(each.files)}): none of its {of_set.num_rows:,} items has "
                f"{parameters.min_words} words or more, so that nothing could be found; name fields with more "
                "text, or lower min_words"
            )
    return items


def build_items(items: Iterable[tuple[str, ItemText]], parameters: NgramParameters) -> EvaluationItems:
    """Cut items, each with the name of its set, into pieces, and index these.

    A piece is a field, or fields in a row, with at least `ngram` words; what is left at the end is not looked for: who
    has the question need not have the choices. An item with fewer words in all is one piece; with fewer than
    `min_words` it is left out, with a reason, as is one of numbers alone.
    """
    sets: list[str] = []
    ids: list[str] = []
    fields: list[tuple[str, str]] = []
    first_field = [0]
    for name, item in items:
        sets.append(name)
        ids.append(item.item)
        fields.extend(item.fields)
        first_field.append(len(fields))
    words = _count_words([text for _, text in fields])
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(words)])
    num_words = before[first_field[1:]] - before[first_field[:-1]]

    piece_of: dict[str, int] = {}  # by text
    belongs: list[tuple[int, int, str]] = []
    for number, total in enumerate(num_words.tolist()):
        if total < parameters.min_words:
            continue
        first, end = first_field[number], first_field[number + 1]
        for start, stop in _cuts(words[first:end].tolist(), parameters.ngram):
            of_piece = fields[first + start : first + stop]
            text = _BETWEEN.join(text for _, text in of_piece)
            piece = piece_of.setdefault(text, len(piece_of))
            belongs.append((piece, number, "+".join(name for name, _ in of_piece)))
    belongs.sort(key=lambda each: each[:2])
    data, offsets = string_buffers(pa.array(list(piece_of), pa.large_string()))
    index, gram_pieces, gram_bounds = index_ngrams(
        data, offsets, count_item_words(data, offsets, fold_tables()), parameters.ngram, fold_tables()
    )
    with_ngrams = np.bincount(gram_pieces, minlength=len(piece_of)) > 0
    is_indexed = np.zeros(len(ids), np.bool_)
    is_indexed[[item for piece, item, _ in belongs if with_ngrams[piece]]] = True
    reasons = np.select([num_words == 0, num_words < parameters.min_words], [NO_WORDS, TOO_SHORT], NO_LETTERS)
    texts = [_BETWEEN.join(text for _, text in fields[first:end]) for first, end in pairwise(first_field)]
    return EvaluationItems(
        items=pa.table(
            {
                "set": pa.array(sets, pa.string()),
                "item": pa.array(ids, pa.large_string()),
                "num_words": pa.array(num_words),
                "reason": pa.array(reasons, pa.string(), mask=is_indexed),
                "text": pa.array(texts, pa.large_string()),
            },
            schema=EVALUATION_ITEMS,
        ),
        pieces=pa.table(
            {
                "piece": pa.array([piece for piece, _, _ in belongs], pa.int32()),
                "item": pa.array([item for _, item, _ in belongs], pa.int32()),
                "fields": pa.array([label for _, _, label in belongs], pa.string()),
            },
            schema=EVALUATION_PIECES,
        ),
        index=index,
        gram_pieces=gram_pieces,
        gram_bounds=gram_bounds,
    )


def write_index(items: EvaluationItems, path: Path) -> None:
    """Write the arrays as an uncompressed Arrow IPC file: workers that map it share its memory."""
    arrays = {**items.index._asdict(), "gram_pieces": items.gram_pieces, "gram_bounds": items.gram_bounds}
    columns = [
        pa.LargeListArray.from_arrays(pa.array([0, len(arrays[field.name])], pa.int64()), arrays[field.name])
        for field in EVALUATION_INDEX
    ]
    table = pa.Table.from_arrays(
        [column.cast(field.type) for column, field in zip(columns, EVALUATION_INDEX, strict=True)],
        schema=EVALUATION_INDEX,
    )
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, EVALUATION_INDEX) as writer:
        writer.write_table(table)


def open_items(items: pa.Table, pieces: pa.Table, index: Path) -> EvaluationItems:
    """Items that were written; the index is mapped, not read.

    Raises:
        DamagedFile: it is no whole Arrow IPC file.
    """
    try:
        table = pa.ipc.open_file(pa.memory_map(str(index), "r")).read_all()
        check_schema(table.schema, EVALUATION_INDEX, str(index))
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DamagedFile(f"{index}: not a whole Arrow IPC file: {error}") from error
    arrays = {name: table[name].chunk(0).values.to_numpy(zero_copy_only=True) for name in table.column_names}
    gram_pieces, gram_bounds = arrays.pop("gram_pieces"), arrays.pop("gram_bounds")
    return EvaluationItems(
        items=items,
        pieces=pieces,
        index=read_only(ItemNgrams(**arrays)),
        gram_pieces=gram_pieces,
        gram_bounds=gram_bounds,
    )


def _count_words(texts: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    data, offsets = string_buffers(pa.array(texts, pa.large_string()))
    return count_item_words(data, offsets, fold_tables())


def _cuts(words: Sequence[int], ngram: int) -> list[tuple[int, int]]:
    """Which fields [start, stop) make each piece, given how many words each field has."""
    cuts: list[tuple[int, int]] = []
    start = filled = 0
    for at, count in enumerate(words):
        filled += count
        if filled >= ngram:
            cuts.append((start, at + 1))
            start, filled = at + 1, 0
    return cuts or [(0, len(words))]
