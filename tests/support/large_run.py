"""A run of very many documents, published by hand: stage outputs as the mill would leave them, of texts made of a few
words, so that it takes a minute and not a day."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from published_stages import publish_stage

from pipeline_lib.corpus.parameters import CorpusParameters
from pipeline_lib.corpus.stage import corpus_digest, corpus_part
from pipeline_lib.filters.parameters import FilterParameters, signal_parameters
from pipeline_lib.filters.stage import judge_part
from pipeline_lib.privacy.parameters import PrivacyParameters
from pipeline_lib.privacy.stage import privacy_part
from storage.accounts import Account
from storage.manifests import Part, PartResult, PartWriter, PublishedStage, publish_manifest
from storage.runs import Run, StageOutcome, save_run
from storage.schemas import CLUSTERS, DECISIONS, DOCUMENTS, DUPLICATES, EDITS, document_id, signals_schema
from storage.store import Store

FILTERS = FilterParameters(rules=("language", "gopher_quality"))
PRIVACY = PrivacyParameters()
_LANGUAGES = np.array(["en", "en", "en", "en", "en", "en", "en", "en", "en", "de", "fr", "es", "ja"])
_WORDS = (  # noqa: SIM905 (words read better in a line)
    "the of and a to in is that for it as with returns array function value each model data when given which type "
    "values from this are default use axis shape not be by an if or on input output number list string object method"
).split()
_PARAGRAPHS, _MOST_PARAGRAPHS = 5_000, 6
_DUPLICATES = 0.1  # of the documents: each of the one before it


def publish_large_run(
    store: Store, num_documents: int, *, part_documents: int = 25_000, num_hosts: int = 50_000
) -> Run:
    """Extract, signals, judge, dedup, privacy and corpus of so many documents, and the run's record.

    The decisions, masks and the corpus are made by the stages' own code.
    """
    sizes = [part_documents] * (num_documents // part_documents)
    sizes += [rest] if (rest := num_documents % part_documents) else []
    names = {f"part-{number:05d}": (number, size) for number, size in enumerate(sizes)}
    parts = [Part(name=name) for name in names]
    generator = np.random.default_rng(7)
    paragraphs = [
        " ".join(generator.choice(_WORDS, int(generator.integers(20, 60)))).capitalize() + "."
        for _ in range(_PARAGRAPHS)
    ]
    stages: dict[str, PublishedStage] = {}

    def extract(part: Part, output: PartWriter) -> PartResult:
        number, size = names[part.name]
        output.table("documents", _documents(number, size, paragraphs, num_hosts), DOCUMENTS)
        return PartResult(account=_account(size))

    def signals(part: Part, output: PartWriter) -> PartResult:
        documents = stages["extract"].read("documents", part.name, DOCUMENTS, columns=["doc_id", "text"])
        output.table("signals", _signals(documents, part.name), signals_schema(list(FILTERS.signals())))
        output.table("edits", _edits(documents), EDITS)
        return PartResult(account=_account(documents.num_rows))

    stages["extract"] = publish_stage(store, "extract", parts, extract)
    recorded = json.loads(json.dumps(asdict(signal_parameters(FILTERS))))
    stages["signals"] = publish_stage(store, "signals", parts, signals, parameters=recorded)
    recorded = json.loads(json.dumps(asdict(FILTERS)))
    stages["judge"] = publish_stage(
        store, "judge", parts, lambda part, out: judge_part(part, stages, out, FILTERS), parameters=recorded
    )
    stages["dedup"] = publish_stage(
        store, "dedup", [Part(name="all")], lambda _, out: _deduplicate(stages, list(names), out)
    )
    stages["privacy"] = publish_stage(
        store, "privacy", parts, lambda part, out: privacy_part(part, stages, out, PRIVACY), parameters=asdict(PRIVACY)
    )
    stages["corpus"] = publish_stage(
        store, "corpus", parts, lambda part, out: corpus_part(part, stages, out, CorpusParameters())
    )
    return record_run(store, stages)


def record_run(store: Store, stages: Mapping[str, PublishedStage], run_id: str = "made-20261126-100000-0000") -> Run:
    """The manifests of stages that are in memory only, and the record of a run that has them."""
    for stage in stages.values():
        publish_manifest(store, stage.manifest)
    corpus = stages.get("corpus")
    run = Run(
        run_id=run_id,
        recipe_name="made",
        recipe={"name": "made"},
        recipe_digest="1f" * 32,
        created_at="2026-11-26T10:00:00+00:00",
        status="completed",
        corpus_digest=corpus_digest(corpus.manifest) if corpus is not None else None,
        stages=[
            StageOutcome(
                name=name, key=stage.manifest.key, account=stage.manifest.account, reused=False, seconds=1.0, metrics={}
            )
            for name, stage in stages.items()
        ],
    )
    save_run(store, run)
    return run


def _account(documents: int, dropped: Mapping[str, int] | None = None) -> Account:
    dropped = dropped or {}
    return Account(documents_in=documents, documents_out=documents - sum(dropped.values()), dropped=dropped)


def _documents(number: int, size: int, paragraphs: list[str], num_hosts: int) -> pa.Table:
    generator = np.random.default_rng([17, number])
    warc = f"crawl-data/MADE/segments/{number // 100}/warc/{number:05d}.warc.gz"
    hosts = np.minimum(generator.zipf(1.3, size), num_hosts)
    lengths = generator.integers(1, _MOST_PARAGRAPHS + 1, size)
    chosen = np.split(generator.integers(0, len(paragraphs), int(lengths.sum())), np.cumsum(lengths)[:-1])
    copies = generator.random(size) < _DUPLICATES
    texts: list[str] = []
    for row in range(size):
        text = "\n\n".join([paragraphs[each] for each in chosen[row]])
        if row and copies[row]:
            text = f"{texts[-1]}\n\nIt has a last line of its own."
        elif row % 33 == 0:
            text = f"{text}\nWrite to miller{row}@watermill.org."
        texts.append(text)
    offsets = np.arange(size, dtype=np.int64) * 9_000
    urls = [f"https://www.host-{host}.test/pages/{number}/{row}.html" for row, host in enumerate(hosts.tolist())]
    columns = {
        "doc_id": [document_id(warc, offset) for offset in offsets.tolist()],
        "url": urls,
        "host": [f"www.host-{host}.test" for host in hosts.tolist()],
        "fetched_at": pa.array([1_790_000_000_000] * size, pa.timestamp("ms", tz="UTC")),
        "published_at": pa.nulls(size, pa.string()),
        "warc_path": [warc] * size,
        "warc_offset": offsets,
        "warc_length": np.full(size, 8_000),
        "mime": ["text/html"] * size,
        "charset": ["utf-8"] * size,
        "language": _LANGUAGES[generator.integers(0, len(_LANGUAGES), size)].tolist(),
        "language_score": np.full(size, 0.9, np.float32),
        "title": [f"Page {row} of {number}: {text[:40]}" for row, text in enumerate(texts)],
        "text": texts,
    }
    return pa.table([pa.array(columns[field.name], field.type) for field in DOCUMENTS], schema=DOCUMENTS)


def _signals(documents: pa.Table, part: str) -> pa.Table:
    generator = np.random.default_rng([11, int(part.removeprefix("part-"))])
    size = documents.num_rows
    columns: dict[str, npt.NDArray[np.float64]] = {}
    for name in FILTERS.signals():
        if "alphabetic" in name:
            drawn = 1 - generator.beta(1.2, 20, size)
        elif "mean_word" in name:
            drawn = generator.normal(5, 0.7, size)
        elif "ratio" in name:
            drawn = generator.beta(1.2, 40, size)
        else:
            drawn = np.floor(generator.lognormal(5.3, 0.9, size))
        columns[name] = np.round(drawn, 3)
    return pa.table({"doc_id": documents["doc_id"], **columns})


def _edits(documents: pa.Table) -> pa.Table:
    """Of every ninth document, the first paragraph goes."""
    rows = np.arange(0, documents.num_rows, 9)
    texts = documents["text"].take(pa.array(rows))
    ends = [len(text.as_py().partition("\n\n")[0].encode()) for text in texts]
    columns = {
        "doc_id": documents["doc_id"].take(pa.array(rows)),
        "step": np.zeros(len(rows), np.int32),
        "rule": ["c4.too_few_words"] * len(rows),
        "start": np.zeros(len(rows), np.int64),
        "end": np.array(ends, np.int64),
        "replacement": [""] * len(rows),
    }
    return pa.table(columns).cast(EDITS)


def _deduplicate(stages: Mapping[str, PublishedStage], parts: list[str], output: PartWriter) -> PartResult:
    """Copies of the document before them, where both came through the judge."""
    counts: Counter[str] = Counter()
    documents_in = 0
    for part in parts:
        documents = stages["extract"].read("documents", part, DOCUMENTS, columns=["doc_id", "text"])
        dropped = set(stages["judge"].read("decisions", part, DECISIONS, columns=["doc_id"])["doc_id"].to_pylist())
        ids = documents["doc_id"].to_pylist()
        documents_in += len(ids) - len(dropped)
        duplicates, clusters, kept, cluster = [], [], ids[0], ids[0]
        for doc_id, text in zip(ids, documents["text"].to_pylist(), strict=True):
            if doc_id in dropped:
                kept = None
            elif kept is None or not text.endswith("of its own."):
                kept = cluster = doc_id
            else:
                rule = "near_duplicate" if len(duplicates) % 4 else "exact_duplicate"
                similarity = 1.0 if rule == "exact_duplicate" else 0.8 + (len(duplicates) % 20) / 100
                duplicates.append((doc_id, rule, kept, None, similarity, 0.8, 5, cluster))
                if not clusters or clusters[-1][1] != cluster:
                    clusters.append((kept, cluster, True))
                clusters.append((doc_id, cluster, False))
                counts[rule] += 1
        for name, rows, schema in (("duplicates", duplicates, DUPLICATES), ("clusters", clusters, CLUSTERS)):
            arrays = [pa.array([row[at] for row in rows], field.type) for at, field in enumerate(schema)]
            output.table(name, pa.table(arrays, schema=schema), schema, part=part)
    return PartResult(account=_account(documents_in, counts))
