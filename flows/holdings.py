"""What a store holds of pages, domains and files: in extracted text, corpora, token shards, indexes and models.

Nothing but the text of a run and its corpus is looked through, each once for all runs that share it, and of these a few
columns. Where a document went from there, its id tells.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.text_files.in_threads import in_order
from pipeline_lib.tokens.shuffle import shard_bounds, shuffle_hashes
from pipeline_lib.withdrawn.holdings import Holding, holdings
from pipeline_lib.withdrawn.rule import COLUMNS, NOT_WITHDRAWN, Matcher, Withdrawn
from storage.exclusions import Exclusion, read_exclusions
from storage.indexes import index_names, read_entries
from storage.manifests import MissingStage, PublishedStage, StageAddress, open_stage
from storage.runs import Run, list_runs
from storage.schemas import DOCUMENTS, DUPLICATES
from storage.store import Store
from storage.tables import DamagedFile, SchemaMismatch

_WORKERS = 4  # reading a few columns waits for the disk or the network
_MAX_NAMED = 1000  # similar pages; all are counted
_PAIRS = {
    **dict.fromkeys(("doc_id", "like", "rule", "kept_run"), pl.String),
    "similarity": pl.Float64,
    "fate": pl.String,
}
_MADE_OF_A_CORPUS = ("tokenizer", "checkpoint", "export", "index", "report")  # of `Run.paths`


@dataclass(frozen=True, kw_only=True)
class RunHolding:
    """What a run holds of what was asked for: at least one document.

    Attributes:
        extracted: documents in the text that it extracted; None where that is in the store no more.
        splits: documents in its corpus, by split.
        files: how many documents each file holds that has any, by path in the store; of the stages extract, corpus and
            tokens, by stage.
        results: what else was made of its corpus, by name, as in `Run.paths`.
    """

    run: Run
    extracted: int | None
    splits: Mapping[str, int]
    files: Mapping[str, Mapping[str, int]]
    results: Mapping[str, str]

    def as_json(self) -> dict[str, Any]:
        return {
            "run_id": self.run.run_id,
            "status": self.run.status,
            "extracted": self.extracted,
            "corpus": dict(self.splits),
            "files": {stage: dict(files) for stage, files in self.files.items()},
            "results": dict(self.results),
        }


@dataclass(frozen=True, kw_only=True)
class IndexHolding:
    """An entry of an index of earlier runs that names such documents, and the runs deduplicated against it."""

    index: str
    entry: str
    run_id: str
    documents: int
    later_runs: Sequence[str]

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "later_runs": list(self.later_runs)}


@dataclass(frozen=True, kw_only=True)
class SimilarPage:
    """A page that dedup found to be like one that was asked for, and that is not withdrawn itself.

    Attributes:
        fate: `stays`: dedup kept it, and removed the other as its copy; `returns`: it was removed as the copy, and will
            be kept by the next run.
        url: None where it is a page of an earlier run, whose entry in the index is `kept_run`.
    """

    run_id: str
    fate: Literal["stays", "returns"]
    doc_id: str
    url: str | None
    kept_run: str | None
    rule: str
    similarity: float | None
    like: str  # doc_id of the page that was asked for

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True, kw_only=True)
class Holdings:
    """All that a store holds.

    Attributes:
        other_runs: how many runs hold nothing.
        num_similar: how many similar pages there are; `similar` are the first thousand.
        unreadable: what could not be looked through, and why.
    """

    runs: Sequence[RunHolding]
    other_runs: int
    indexes: Sequence[IndexHolding]
    similar: Sequence[SimilarPage]
    num_similar: int
    unreadable: Sequence[str]

    def as_json(self) -> dict[str, Any]:
        return {
            "runs": [each.as_json() for each in self.runs],
            "other_runs": self.other_runs,
            "indexes": [each.as_json() for each in self.indexes],
            "similar": [each.as_json() for each in self.similar],
            "num_similar": self.num_similar,
            "unreadable": list(self.unreadable),
        }


def find_holdings(store: Store, asked: Sequence[Exclusion]) -> Holdings:
    """Look through all runs of a store.

    Raises:
        DamagedEntry, DamagedExclusion: an index, or the list of what was withdrawn, cannot be read.
    """
    search = _Search(store, Matcher(Withdrawn.of(asked)))
    runs = list_runs(store)
    found = [holding for run in runs if (holding := _held_by(run, search)) is not None]
    everything = Matcher(Withdrawn.of([*read_exclusions(store).in_force, *asked]))
    similar, num_similar = _similar_pages([each.run for each in found], search, everything)
    return Holdings(
        runs=found,
        other_runs=len(runs) - len(found),
        indexes=_indexes(store, found),
        similar=similar,
        num_similar=num_similar,
        unreadable=search.unreadable,
    )


class _Search:
    """Looks each stage through once, and remembers what cannot be read."""

    def __init__(self, store: Store, matcher: Matcher) -> None:
        self.store = store
        self.unreadable: list[str] = []
        self._matcher = matcher
        self._found: dict[StageAddress, list[Holding] | None] = {}

    def stage(self, run: Run, name: str) -> PublishedStage | None:
        """None where the run has no such stage, or it is in the store no more."""
        outcome = run.stage(name)
        if outcome is None:
            return None
        try:
            return open_stage(self.store, outcome.address)
        except MissingStage:
            return None
        except DamagedFile as error:
            self.note(str(error))
            return None

    def holdings(self, run: Run, name: str) -> list[Holding] | None:
        stage = self.stage(run, name)
        if stage is None:
            return None
        address = stage.manifest.address
        if address not in self._found:
            try:
                self._found[address] = list(holdings(stage, self._matcher, _WORKERS))
            except (DamagedFile, SchemaMismatch) as error:
                self.note(str(error))
                self._found[address] = None
        return self._found[address]

    def note(self, problem: str) -> None:
        if problem not in self.unreadable:
            self.unreadable.append(problem)


def _held_by(run: Run, search: _Search) -> RunHolding | None:
    extracted, corpus = search.holdings(run, "extract"), search.holdings(run, "corpus")
    if not extracted and not corpus:
        return None
    splits: Counter[str] = Counter()
    for holding in corpus or ():
        splits[holding.file.table] += holding.documents.num_rows
    files = {}
    for name, found in (("extract", extracted), ("corpus", corpus)):
        if found:
            outcome = run.stage(name)
            assert outcome is not None
            files[name] = {f"{outcome.address.folder}/{each.file.path}": each.documents.num_rows for each in found}
    tokens = search.stage(run, "tokens")
    if corpus and tokens is not None:
        files["tokens"] = _shard_files(tokens, corpus)
    return RunHolding(
        run=run,
        extracted=None if extracted is None else sum(each.documents.num_rows for each in extracted),
        splits=dict(splits),
        files=files,
        results={name: run.paths[name] for name in _MADE_OF_A_CORPUS if corpus and name in run.paths},
    )


def _shard_files(tokens: PublishedStage, corpus: Sequence[Holding]) -> dict[str, int]:
    """The token shards that documents of a corpus are in: their place in the order says it."""
    seed = tokens.manifest.parameters["seed"]
    found = {}
    for split in dict.fromkeys(holding.file.table for holding in corpus):
        ids = pa.chunked_array(
            [chunk for each in corpus if each.file.table == split for chunk in _ids(each)], pa.string()
        )
        shards = tokens.manifest.files(split)
        ends = np.array([shard_bounds(shard, len(shards))[1] for shard in range(len(shards) - 1)], np.uint64)
        counts = np.bincount(np.searchsorted(ends, shuffle_hashes(ids, seed), side="right"), minlength=len(shards))
        for record, count in zip(shards, counts.tolist(), strict=True):
            if count:
                found[f"{tokens.manifest.address.folder}/{record.path}"] = count
    return found


def _ids(holding: Holding) -> list[pa.Array]:
    chunks: list[pa.Array] = holding.documents["doc_id"].chunks
    return chunks


def _indexes(store: Store, held: Sequence[RunHolding]) -> list[IndexHolding]:
    documents = {
        corpus.key: sum(each.splits.values()) for each in held if (corpus := each.run.stage("corpus")) is not None
    }
    found = []
    for index in index_names(store):
        entries = read_entries(store, index)
        for entry in entries:
            count = documents.get(entry.stages.get("corpus", ""), 0)
            if count:
                later = [each.run_id for each in entries if entry.name in {seen.entry for seen in each.against}]
                found.append(
                    IndexHolding(
                        index=index, entry=entry.name, run_id=entry.run_id, documents=count, later_runs=tuple(later)
                    )
                )
    return found


def _similar_pages(runs: Sequence[Run], search: _Search, withdrawn: Matcher) -> tuple[list[SimilarPage], int]:
    """Pages that dedup found to be like those asked for, each by the newest run that knows it, and how many there are.

    Args:
        withdrawn: those that it finds are none.
    """
    seen: set[StageAddress] = set()
    found = []
    for run in reversed(runs):
        extract, extracted = search.stage(run, "extract"), search.holdings(run, "extract")
        stages = [stage for name in ("dedup", "semantic") if (stage := search.stage(run, name)) is not None]
        new = [stage for stage in stages if stage.manifest.address not in seen]
        if extract is None or not extracted or not new:
            continue
        seen.update(stage.manifest.address for stage in new)
        try:
            asked = pa.concat_arrays([chunk for each in extracted for chunk in _ids(each)])
            pairs = pl.concat([_pairs(stage, asked) for stage in new]).unique(
                "doc_id", keep="first", maintain_order=True
            )
            pages = _pages(extract, pairs["doc_id"].to_arrow(), withdrawn)
        except (DamagedFile, SchemaMismatch) as error:
            search.note(str(error))
            continue
        # a document of an earlier run is in no part of this one
        pairs = pairs.join(pages, on="doc_id", how="left", maintain_order="left").filter(
            pl.col("url").is_not_null() | pl.col("kept_run").is_not_null()
        )
        found.append(pairs.with_columns(run_id=pl.lit(run.run_id)))
    if not found:
        return [], 0
    similar = pl.concat(found).unique("doc_id", keep="first", maintain_order=True)
    return [SimilarPage(**row) for row in similar.head(_MAX_NAMED).iter_rows(named=True)], similar.height


def _pairs(stage: PublishedStage, asked: pa.Array) -> pl.DataFrame:
    """Of each pair of duplicates the one that was not asked for (`doc_id`), where the other was (`like`)."""
    found = [pl.DataFrame(schema=_PAIRS)]
    columns = ["doc_id", "rule", "kept_id", "kept_run", "similarity"]
    for record in stage.manifest.files("duplicates"):
        rows = stage.read("duplicates", record.part, DUPLICATES, columns=columns)
        removed, kept = (pc.is_in(rows[name], value_set=asked) for name in ("doc_id", "kept_id"))
        for fate, is_meant, names in (
            ("stays", pc.and_not(removed, kept), {"doc_id": "like", "kept_id": "doc_id"}),
            ("returns", pc.and_not(kept, removed), {"kept_id": "like"}),
        ):
            pairs = pl.DataFrame(pl.from_arrow(rows.filter(is_meant))).rename(names)
            found.append(pairs.select("doc_id", "like", "rule", "kept_run", "similarity", fate=pl.lit(fate)))
    return pl.concat(found)


def _pages(extract: PublishedStage, doc_ids: pa.Array, withdrawn: Matcher) -> pl.DataFrame:
    """doc_id and url of those of the documents that are not withdrawn."""

    def look(part: str) -> pa.Table:
        documents = extract.read("documents", part, DOCUMENTS, columns=["doc_id", *COLUMNS])
        documents = documents.filter(pc.is_in(documents["doc_id"], value_set=doc_ids))
        is_withdrawn = pa.array(withdrawn.find(documents) != NOT_WITHDRAWN)
        return documents.filter(pc.invert(is_withdrawn)).select(["doc_id", "url"])

    nothing = DOCUMENTS.empty_table().select(["doc_id", "url"])
    parts = extract.part_names if len(doc_ids) else []
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="withdrawn") as pool:
        tables = [nothing, *in_order(look, parts, pool, ahead=_WORKERS)]
    return pl.DataFrame(pl.from_arrow(pa.concat_tables(tables)))
