"""A table of all documents of a run that is small enough to be held: codes instead of names, no text.

A document is a *position*: its number in the order of the parts, and of the rows in them. It takes about 40 bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.browse.published import PublishedTables
from pipeline_lib.dedup.doc_ids import format_doc_ids, parse_doc_ids
from pipeline_lib.kernels.shingles import Hashes
from pipeline_lib.survivors import DROPPING_TABLES
from storage.schemas import CLUSTERS, CORPUS, DOCUMENTS, EDITS

Positions = npt.NDArray[np.int32]
Codes = npt.NDArray[np.int32]
Order = Literal["source", "mixed", "host"]
ORDERS: tuple[Order, ...] = ("source", "mixed", "host")

SPLITS = ("train", "validation")
_MAX_EDITORS = 64  # bits of a mask
_NO_IDS: Hashes = np.zeros((0, 2), np.uint64)

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True, kw_only=True)
class Fate:
    """What became of documents: dropped by a rule of a stage, or kept.

    Attributes:
        rule: what dropped them; of kept ones, the split of the corpus they are in, empty before there is a corpus.
    """

    kept: bool
    stage: str
    rule: str

    @property
    def key(self) -> str:
        """What names it in an address."""
        return ":".join(part for part in ("kept" if self.kept else self.stage, self.rule) if part)


@dataclass(frozen=True, kw_only=True)
class Names:
    """A column of names: `names`, sorted, and for each document the index of its own."""

    names: pa.Array
    codes: Codes

    def code(self, name: str) -> int:
        """The index of a name; -1 where no document has it."""
        return int(pc.index(self.names, name).as_py())


@dataclass(frozen=True, kw_only=True)
class DocumentTable:
    """N documents of P parts.

    Attributes:
        starts: int64 (P + 1,): the position of each part's first document; last, N.
        doc_ids: uint64 (N, 2).
        fate: int16 (N,): index in `fates`.
        cluster: int32 (N,): equal for documents of one duplicate cluster; -1: alone.
        edited: uint64 (N,): bit i is set where `editors[i]`, a stage and a rule of it, edited the text.
        has_corpus: whether the run has come to its corpus: who is kept, is kept for good.
    """

    parts: tuple[str, ...]
    starts: npt.NDArray[np.int64]
    doc_ids: Hashes
    hosts: Names
    languages: Names
    files: Names
    fates: tuple[Fate, ...]
    fate: npt.NDArray[np.int16]
    cluster: Codes
    editors: tuple[tuple[str, str], ...]
    edited: npt.NDArray[np.uint64]
    has_corpus: bool
    _orders: dict[Order, Positions] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def num_bytes(self) -> int:
        """Memory of the columns."""
        names = (self.hosts, self.languages, self.files)
        columns: list[npt.NDArray[Any]] = [self.doc_ids, self.fate, self.cluster, self.edited, *self._orders.values()]
        columns += [each.codes for each in names]
        return sum(column.nbytes for column in columns) + sum(int(each.names.nbytes) for each in names)

    def place(self, position: int) -> tuple[str, int]:
        """Part and row."""
        part = int(np.searchsorted(self.starts, position, side="right")) - 1
        return self.parts[part], position - int(self.starts[part])

    def doc_id(self, position: int) -> str:
        found: str = format_doc_ids(self.doc_ids[position : position + 1])[0].as_py()
        return found

    def find(self, doc_id: str) -> int | None:
        """The position of a document; None where the run has no such document.

        Raises:
            ValueError: not 32 lower-case hex digits.
        """
        (wanted,) = parse_doc_ids(pa.array([doc_id], pa.string()), "doc_id")
        found = np.flatnonzero((self.doc_ids[:, 0] == wanted[0]) & (self.doc_ids[:, 1] == wanted[1]))
        return int(found[0]) if len(found) else None

    def fate_of(self, position: int) -> Fate:
        return self.fates[int(self.fate[position])]

    def order(self, name: Order) -> Positions:
        """All positions: as in the sources, mixed (by doc_id, which is a hash), or by host and then as in the sources.

        Mixed, the first documents of a selection are a fair sample of it, and always the same one.
        """
        if name not in self._orders:
            if name == "source":
                order = np.arange(len(self))
            elif name == "mixed":
                order = np.lexsort((self.doc_ids[:, 1], self.doc_ids[:, 0]))
            else:
                order = np.argsort(self.hosts.codes, kind="stable")
            self._orders[name] = order.astype(np.int32)
        return self._orders[name]


def read_document_table(published: PublishedTables) -> DocumentTable:
    """Read the table of a run, whatever stages it has: part by part, and of each file the columns that are needed."""
    fates = _Fates()
    editors: dict[tuple[str, str], int] = {}
    doc_ids: list[Hashes] = []
    named: dict[str, list[pa.Array]] = {"host": [], "language": [], "warc_path": []}
    fate: list[npt.NDArray[np.int16]] = []
    edited: list[npt.NDArray[np.uint64]] = []
    cluster_ids: list[Hashes] = []
    clustered: list[npt.NDArray[np.int64]] = []
    starts = [0]
    for part in published.parts:
        columns = published.columns("extract", "documents", part, DOCUMENTS, ["doc_id", *named])
        ids = columns["doc_id"].combine_chunks()
        doc_ids.append(parse_doc_ids(ids, part))
        for name, chunks in named.items():
            chunks.append(columns[name].combine_chunks().cast(pa.large_string()).dictionary_encode())
        fate.append(_fates_of_part(published, part, ids, fates))
        edited.append(_edits_of_part(published, part, ids, editors))
        rows, of_rows = _clusters_of_part(published, part, ids)
        clustered.append(rows + starts[-1])
        cluster_ids.append(of_rows)
        starts.append(starts[-1] + len(ids))
    num_documents = starts[-1]
    cluster = np.full(num_documents, -1, np.int32)
    cluster[_joined(clustered, np.zeros(0, np.int64))] = _codes_of_ids(_joined(cluster_ids, _NO_IDS))
    return DocumentTable(
        parts=published.parts,
        starts=np.array(starts, np.int64),
        doc_ids=_joined(doc_ids, _NO_IDS),
        hosts=_unified(named["host"]),
        languages=_unified(named["language"]),
        files=_unified(named["warc_path"]),
        fates=fates.listed(),
        fate=_joined(fate, np.zeros(0, np.int16)),
        cluster=cluster,
        editors=tuple(editors),
        edited=_joined(edited, np.zeros(0, np.uint64)),
        has_corpus="corpus" in published.stages,
    )


class _Fates:
    """Fates by number, in the order in which they are met; number 0 is kept, and nothing more is known."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[bool, str, str], int] = {(True, "", ""): 0}

    def number(self, stage: str, rule: str, *, kept: bool = False) -> int:
        return self._numbers.setdefault((kept, stage, rule), len(self._numbers))

    def listed(self) -> tuple[Fate, ...]:
        return tuple(Fate(kept=kept, stage=stage, rule=rule) for kept, stage, rule in self._numbers)


def _fates_of_part(published: PublishedTables, part: str, ids: pa.Array, fates: _Fates) -> npt.NDArray[np.int16]:
    found = np.zeros(len(ids), np.int16)
    for stage in published.trail:
        for table, schema in DROPPING_TABLES.items():
            if not published.has(stage, table, part):
                continue
            dropped = published.columns(stage, table, part, schema, ["doc_id", "rule"])
            rows, of_rows = _rows_of(dropped["doc_id"], ids)
            rules = dropped["rule"].combine_chunks().dictionary_encode()
            numbers = np.array([fates.number(stage, rule) for rule in rules.dictionary.to_pylist()], np.int16)
            chosen = numbers[rules.indices.to_numpy()[of_rows]] if len(numbers) else np.zeros(0, np.int16)
            first = found[rows] == 0  # whoever is dropped once stays dropped by that
            found[rows[first]] = chosen[first]
    if "corpus" in published.stages:
        left = found == 0
        # what the corpus left out without a table of its own: nothing of the text was left
        found[left] = fates.number("corpus", "empty_after_edits")
        for split in SPLITS:
            if published.has("corpus", split, part):
                rows, _ = _rows_of(published.columns("corpus", split, part, CORPUS, ["doc_id"])["doc_id"], ids)
                found[rows] = fates.number("corpus", split, kept=True)
    return found


def _edits_of_part(
    published: PublishedTables, part: str, ids: pa.Array, editors: dict[tuple[str, str], int]
) -> npt.NDArray[np.uint64]:
    found = np.zeros(len(ids), np.uint64)
    for stage in published.trail:
        if not published.has(stage, "edits", part):
            continue
        edits = published.columns(stage, "edits", part, EDITS, ["doc_id", "rule"])
        rows, of_rows = _rows_of(edits["doc_id"], ids)
        rules = edits["rule"].combine_chunks().dictionary_encode()
        indices = rules.indices.to_numpy()[of_rows]
        for index, rule in enumerate(rules.dictionary.to_pylist()):
            bit = editors.setdefault((stage, rule), len(editors)) if len(editors) < _MAX_EDITORS else None
            bit = editors.get((stage, rule), bit)
            if bit is not None:
                found[rows[indices == index]] |= np.uint64(1 << bit)
    return found


def _clusters_of_part(published: PublishedTables, part: str, ids: pa.Array) -> tuple[npt.NDArray[np.int64], Hashes]:
    """The rows of documents that are in a cluster, and its id; the later stage's clusters hold the earlier one's."""
    for stage in ("semantic", "dedup"):
        if published.has(stage, "clusters", part):
            clusters = published.columns(stage, "clusters", part, CLUSTERS, ["doc_id", "cluster_id"])
            rows, of_rows = _rows_of(clusters["doc_id"], ids)
            return rows, parse_doc_ids(clusters["cluster_id"], part)[of_rows]
    return np.zeros(0, np.int64), _NO_IDS


def _rows_of(doc_ids: pa.ChunkedArray, ids: pa.Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Where the documents of a table are in their part, and in the table; those of no such part are passed over."""
    rows = pc.index_in(doc_ids, value_set=ids).combine_chunks()
    known = np.flatnonzero(rows.is_valid().to_numpy(zero_copy_only=False))
    return rows.drop_null().to_numpy().astype(np.int64), known


def _joined(pieces: Sequence[npt.NDArray[Scalar]], nothing: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    """The pieces one after another; `nothing` has the type of all of them."""
    return np.concatenate([nothing, *pieces])


def _codes_of_ids(ids: Hashes) -> Codes:
    """Equal codes for equal ids."""
    if not len(ids):
        return np.zeros(0, np.int32)
    order = np.lexsort((ids[:, 1], ids[:, 0]))
    ordered = ids[order]
    is_new = np.any(ordered[1:] != ordered[:-1], axis=1)
    codes = np.empty(len(ids), np.int32)
    codes[order] = np.concatenate([[0], np.cumsum(is_new)])
    return codes


def _unified(chunks: Sequence[pa.Array]) -> Names:
    if not chunks:
        return Names(names=pa.array([], pa.large_string()), codes=np.zeros(0, np.int32))
    unified = pa.chunked_array(chunks).unify_dictionaries()
    names = unified.chunk(0).dictionary
    order = pc.sort_indices(names).to_numpy()
    ranks = np.empty(len(order), np.int32)
    ranks[order] = np.arange(len(order), dtype=np.int32)
    codes = np.concatenate([chunk.indices.to_numpy() for chunk in unified.chunks])
    return Names(names=names.take(pa.array(order)), codes=ranks[codes] if len(ranks) else codes.astype(np.int32))
