"""Runs from judged pages to a corpus and its index, stage by stage, in one store: each against those before it."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import pyarrow as pa
from published_stages import Row, document_row, publish_stage, publish_tables

from pipeline_lib.corpus.parameters import CorpusParameters
from pipeline_lib.corpus.stage import SPLITS, corpus_part
from pipeline_lib.dedup.earlier_runs import earlier_input
from pipeline_lib.dedup.index_stage import IndexParameters, index_part
from pipeline_lib.dedup.parameters import DedupParameters
from pipeline_lib.dedup.signatures import signatures_part
from pipeline_lib.dedup.stage import dedup_part
from storage.manifests import Part, PublishedStage, publish_manifest
from storage.schemas import CLUSTERS, CORPUS, DECISIONS, DOCUMENTS, DUPLICATES, EDITS
from storage.store import Store

Texts = Mapping[int, str]


def corpus_of(stage: PublishedStage) -> dict[str, str]:
    """Text by doc_id."""
    rows: list[Row] = []
    for part in stage.part_names:
        for split in SPLITS:
            rows += stage.read(split, part, CORPUS, ["doc_id", "text"]).to_pylist()
    return {row["doc_id"]: row["text"] for row in rows}


@dataclass(frozen=True, kw_only=True)
class IndexedRun:
    """One run. `corpus`: text by doc_id. `duplicates`: rows by doc_id."""

    name: str
    stages: Mapping[str, PublishedStage]
    corpus: Mapping[str, str]
    duplicates: Mapping[str, Row]
    clusters: Mapping[str, Row]


@dataclass(kw_only=True)
class Series:
    """Runs one after another. `parameters` of dedup may be changed between them."""

    parameters: DedupParameters = field(default_factory=DedupParameters)
    store: Store = field(default_factory=lambda: Store(f"memory://{uuid.uuid4().hex}"))
    runs: list[IndexedRun] = field(default_factory=list)

    def run(self, name: str, parts: Sequence[Texts], dropped_late: Sequence[str] = ()) -> IndexedRun:
        """Deduplicate documents, given as texts by number (see `document_row`), against all runs so far.

        Args:
            dropped_late: ids of documents that a stage after dedup drops.
        """
        names = [f"part-{number:05d}" for number in range(len(parts))]
        tables = {
            part: pa.Table.from_pylist([document_row(number, text=text) for number, text in texts.items()], DOCUMENTS)
            for part, texts in zip(names, parts, strict=True)
        }
        late = {
            part: [{"doc_id": each, "rule": "late"} for each in table["doc_id"].to_pylist() if each in dropped_late]
            for part, table in tables.items()
        }
        nothing = {part: {"decisions": (DECISIONS.empty_table(), DECISIONS)} for part in names}
        documents = {part: {"documents": (table, DOCUMENTS)} for part, table in tables.items()}
        stages = {
            "extract": self._tables("extract", name, documents),
            "signals": self._tables("signals", name, {part: {"edits": (EDITS.empty_table(), EDITS)} for part in names}),
            "judge": self._tables("judge", name, nothing),
        }
        every = [Part(name=part) for part in names]

        def make(stage: str, work, parameters, inputs: Mapping[str, PublishedStage], of: Sequence[Part]) -> None:
            stages[stage] = publish_stage(
                self.store,
                stage,
                of,
                lambda part, output: work(part, inputs, output, parameters),
                key=name,
                parameters=asdict(parameters),
                inputs=inputs,
            )
            publish_manifest(self.store, stages[stage].manifest)

        make("signatures", signatures_part, self.parameters.signatures(), dict(stages), every)
        earlier = {
            earlier_input(position, before.name): before.stages["index"]
            for position, before in enumerate(self.runs, start=1)
        }
        make("dedup", dedup_part, self.parameters, {**stages, **earlier}, [Part(name="all")])
        stages["decontaminate"] = self._tables(
            "decontaminate",
            name,
            {part: {"decisions": (pa.Table.from_pylist(rows, DECISIONS), DECISIONS)} for part, rows in late.items()},
        )
        trail = {each: stages[each] for each in ("extract", "signals", "judge", "dedup", "decontaminate")}
        make("corpus", corpus_part, CorpusParameters(), trail, every)
        parameters = IndexParameters(signatures=self.parameters.signatures(), bands=self.parameters.banding().bands)
        make("index", index_part, parameters, {each: stages[each] for each in ("signatures", "corpus")}, every)
        dedup = stages["dedup"]
        run = IndexedRun(
            name=name,
            stages=stages,
            corpus=corpus_of(stages["corpus"]),
            duplicates={
                row["doc_id"]: row for part in names for row in dedup.read("duplicates", part, DUPLICATES).to_pylist()
            },
            clusters={
                row["doc_id"]: row for part in names for row in dedup.read("clusters", part, CLUSTERS).to_pylist()
            },
        )
        self.runs.append(run)
        return run

    def _tables(self, stage: str, key: str, parts) -> PublishedStage:
        published = publish_tables(self.store, stage, parts, key)
        publish_manifest(self.store, published.manifest)
        return published
