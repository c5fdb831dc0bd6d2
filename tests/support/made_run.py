"""A whole run, published by hand: what every stage would leave behind, small, and as hostile as a test asks."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from published_stages import document_row, publish_stage

from pipeline_lib.corpus.statistics import describe
from pipeline_lib.filters.conditions import Bound
from pipeline_lib.filters.parameters import FilterParameters, signal_parameters
from storage.accounts import Account
from storage.manifests import Part, PartResult, PartWriter, PublishedStage
from storage.schemas import (
    CLUSTERS,
    CORPUS,
    DECISIONS,
    DOCUMENTS,
    DUPLICATES,
    EDITS,
    REJECTED_RECORDS,
    SOURCES,
    document_id,
    signals_schema,
)
from storage.store import Store

PARTS = ("part-00000", "part-00001")
HOSTILE = '</script><script>window.broken=1</script><!--<img src=x onerror="window.broken=2">\u202e\x00\'"&'
ADDRESS = "jane.doe@watermill.org"  # in documents that will be dropped, which no stage masks
FACTS = {
    "run_id": "demo-20261122-083000-ab12",
    "recipe_name": "demo",
    "recipe_digest": "1f" * 32,
    "recipe": {"name": "demo", "description": "Documentation of packages.", "dedup": {"threshold": 0.8, "rows": 8}},
    "corpus_digest": "c0ffee" + "0" * 58,
    "environment": {
        "python": "3.11.2",
        "processor": "a processor",
        "cores": 2,
        "memory_bytes": 8_000_000_000,
        "git_commit": None,
        "git_dirty": True,
        "libraries": {"numpy": "2.4.0", "torch": "2.13.0"},
    },
    "created_at": "2026-11-22T08:30:00+00:00",
    "ui_url": "http://127.0.0.1:4200",
}

_WORDS = (  # noqa: SIM905 (words read better in a line)
    "the of and a to in is that for it as with returns array function value each model data when given which type "
    "values from this are default use axis shape not be by an if or on input output number list string object method "
    "class parameter example computes along dimension tensor index column row file path error raised optional length"
).split()
_HOSTS = ("numpy.docs.invalid", "torch.docs.invalid", "polars.docs.invalid", "sympy.docs.invalid", "tiny.docs.invalid")
_LANGUAGES = ("en", "en", "en", "en", "de", "ja")

Stages = dict[str, PublishedStage]


@dataclass(frozen=True)
class MadeRun:
    """The stages of a run, and what is known of its documents."""

    store: Store
    stages: Stages
    documents: pa.Table  # DOCUMENTS and `part`
    dropped: Mapping[str, str]  # doc_id -> rule
    duplicates: Mapping[str, str]  # doc_id -> kept doc_id

    def _repr_pretty_(self, printer, cycle: bool) -> None:
        printer.text("MadeRun()")  # Hypothesis shows it in the message of every failed property

    def text_of(self, doc_id: str) -> str:
        return self.documents["text"][self.documents["doc_id"].to_pylist().index(doc_id)].as_py()


def publish_run(store: Store, *, per_part: int, hostile: str) -> MadeRun:
    """In each part: of ten documents two are dropped by a rule, one is a near-duplicate and one an exact one of the
    document before. `hostile` is put into every piece of text that a page or a recipe could bring."""
    generator = np.random.default_rng(7)
    tables = {part: _documents(part, per_part, generator, hostile) for part in PARTS}
    bounds = [each for each in FilterParameters().conditions() if isinstance(each, Bound)]
    dropped: dict[str, Bound] = {}
    duplicates: dict[str, tuple[str, str]] = {}
    for table in tables.values():
        for row, doc_id in enumerate(table["doc_id"].to_pylist()):
            before = table["doc_id"][row - 1].as_py()
            if row % 10 in (3, 7):
                dropped[doc_id] = bounds[(row // 5) % len(bounds)]
            elif row % 10 in (5, 9):
                duplicates[doc_id] = (before, "near_duplicate" if row % 10 == 5 else "exact_duplicate")
    publisher = _Publisher(store)
    counts = [tables[part].num_rows for part in PARTS]
    stages = {
        "fetch": publisher.publish(
            "fetch",
            [{"sources": (_sources(part), SOURCES)} for part in PARTS],
            [Account(documents_in=1, documents_out=1, unit_in="files", unit_out="files")] * 2,
        ),
        "extract": publisher.publish(
            "extract",
            [
                {"documents": (tables[part], DOCUMENTS), "rejected": (_rejected(part, hostile), REJECTED_RECORDS)}
                for part in PARTS
            ],
            [
                Account(
                    documents_in=count + 5,
                    documents_out=count,
                    dropped={"not_html": 2, "request": 3},
                    unit_in="records",
                )
                for count in counts
            ],
        ),
        "signals": publisher.publish(
            "signals",
            [
                {
                    "signals": (_signals(tables[part], generator), signals_schema(list(FilterParameters().signals()))),
                    "edits": (_edits(tables[part]), EDITS),
                }
                for part in PARTS
            ],
            [Account(documents_in=count, documents_out=count) for count in counts],
            parameters=json.loads(json.dumps(asdict(signal_parameters(FilterParameters())))),
        ),
    }
    decisions = {
        part: [(doc_id, dropped[doc_id]) for doc_id in tables[part]["doc_id"].to_pylist() if doc_id in dropped]
        for part in PARTS
    }
    stages["judge"] = publisher.publish(
        "judge",
        [{"decisions": (_decisions(decisions[part], hostile), DECISIONS)} for part in PARTS],
        [_drop(count, [bound.rule for _, bound in decisions[part]]) for count, part in zip(counts, PARTS, strict=True)],
        parameters=json.loads(json.dumps(asdict(FilterParameters()))),
        metrics={"broken": {bound.rule: 9 for bound in bounds}},
    )
    removed = {part: [each for each in tables[part]["doc_id"].to_pylist() if each in duplicates] for part in PARTS}
    left = sum(counts) - len(dropped)
    stages["dedup"] = publisher.publish(
        "dedup",
        [
            {
                **{f"duplicates {part}": (_duplicates(removed[part], duplicates), DUPLICATES) for part in PARTS},
                **{f"clusters {part}": (_clusters(removed[part], duplicates), CLUSTERS) for part in PARTS},
            }
        ],
        [_drop(left, [rule for _, rule in duplicates.values()])],
    )
    kept = {
        part: tables[part].filter(
            pa.array([each not in dropped and each not in duplicates for each in tables[part]["doc_id"].to_pylist()])
        )
        for part in PARTS
    }
    kept_counts = [kept[part].num_rows for part in PARTS]
    stages["privacy"] = publisher.publish(
        "privacy",
        [{"edits": (EDITS.empty_table(), EDITS)} for _ in PARTS],
        [Account(documents_in=count, documents_out=count) for count in kept_counts],
    )
    splits = {
        part: {"train": _corpus(kept[part].slice(4)), "validation": _corpus(kept[part].slice(0, 4))} for part in PARTS
    }
    stages["corpus"] = publisher.publish(
        "corpus",
        [{split: (table, CORPUS) for split, table in splits[part].items()} for part in PARTS],
        [Account(documents_in=count, documents_out=count) for count in kept_counts],
        part_metrics=[{split: describe(table) for split, table in splits[part].items()} for part in PARTS],
    )
    _publish_model_stages(publisher, stages, sum(kept_counts), hostile)
    documents = pa.concat_tables(
        [table.append_column("part", pa.array([part] * table.num_rows)) for part, table in tables.items()]
    )
    return MadeRun(
        store=store,
        stages=stages,
        documents=documents,
        dropped={doc_id: bound.rule for doc_id, bound in dropped.items()},
        duplicates={doc_id: kept_id for doc_id, (kept_id, _) in duplicates.items()},
    )


def _publish_model_stages(publisher: "_Publisher", stages: Stages, count: int, hostile: str) -> None:
    fit = {"documents": 10, "bytes": 40_000, "tokens": 10_000, "bytes_per_token": 4.0}
    measured = {
        **fit,
        "languages": {"en": fit, f"de{hostile}": {**fit, "bytes_per_token": 3.1}},
        "hosts": {f"a.test{hostile}": fit},
    }
    stages["tokenizer"] = publisher.publish(
        "tokenizer",
        [{}],
        [Account(documents_in=count, documents_out=count)],
        metrics={
            "tokenizer": {"vocab_size": 8192, "digest": "ab"},
            "sample_bytes": 400_000,
            "bytes_per_token": {"train": measured, "validation": measured},
        },
    )
    stages["encode"] = publisher.publish(
        "encode",
        [{}],
        [Account(documents_in=count, documents_out=count)],
        metrics={"train": {"tokens": 90_000}, "validation": {"tokens": 10_000}},
    )
    steps = [
        {
            "step": step,
            "tokens_seen": step * 4096,
            "loss": 3.4 + 5.6 * math.exp(-step / 90) + 0.05 * math.sin(step * 1.7),
            "learning_rate": 0.01,
            "grad_norm": 1.0,
            "tokens_per_second": 5200 + 300 * math.sin(step / 9),
            "validation_loss": 3.5 + 5.6 * math.exp(-step / 90) if step % 100 == 0 else None,
        }
        for step in range(1, 501)
    ]
    log = "".join(json.dumps(step) + "\n" for step in steps)
    stages["train"] = publisher.publish(
        "train",
        [{}],
        [
            Account(
                documents_in=90_000,
                documents_out=89_856,
                dropped={"incomplete_last_row": 144},
                unit_in="tokens",
                unit_out="tokens",
            )
        ],
        metrics={"parameters": 3_400_000, "epochs": 22.7, "seconds": 394.2, "tokens_per_second": 5195.0},
        files={"log": ("log.jsonl", log.encode())},
    )
    sample = {"prompt": "This function returns", "num_tokens": 40, "stopped_by": "max_new_tokens"}
    stages["evaluate"] = publisher.publish(
        "evaluate",
        [{}],
        [Account(documents_in=10, documents_out=8, dropped={"over_limit": 2})],
        metrics={
            "val_bits_per_byte": 1.6543,
            "val_bits_per_byte_interval": [1.61, 1.70],
            "gzip_bits_per_byte": 2.41,
            "xz_bits_per_byte": 2.12,
            "documents": 8,
            "bytes": 40_000,
            "samples": [
                {
                    **sample,
                    "continuation": f" the value of the given axis.{hostile}",
                    "choice": "likeliest",
                    "temperature": 0.0,
                },
                {
                    **sample,
                    "continuation": " a list, or\n\na tensor with as many rows.",
                    "choice": "drawn",
                    "temperature": 0.8,
                },
            ],
        },
    )


class _Publisher:
    def __init__(self, store: Store) -> None:
        self.store = store

    def publish(
        self,
        stage: str,
        parts: Sequence[Mapping[str, tuple[pa.Table, pa.Schema]]],
        accounts: Sequence[Account],
        *,
        parameters: Mapping[str, Any] | None = None,
        metrics: Mapping[str, Any] | None = None,
        part_metrics: Sequence[Mapping[str, Any]] | None = None,
        files: Mapping[str, tuple[str, bytes]] | None = None,
    ) -> PublishedStage:
        """A stage of one part is `all`; a table named "duplicates part-00001" is written for that part."""
        names = PARTS if len(parts) > 1 else ("all",)
        at = {name: number for number, name in enumerate(names)}

        def work(part: Part, output: PartWriter) -> PartResult:
            number = at[part.name]
            for table_name, (table, schema) in parts[number].items():
                output.table(table_name.split()[0], table, schema, part=(table_name.split()[1:] or [None])[0])
            for table_name, (file_name, content) in (files or {}).items():
                with output.file(table_name, file_name) as path:
                    path.write_bytes(content)
            return PartResult(
                account=accounts[number], metrics=(part_metrics[number] if part_metrics else metrics) or {}
            )

        published = publish_stage(self.store, stage, [Part(name=name) for name in names], work, f"{stage}-key")
        manifest = replace(published.manifest, parameters=parameters or {}, code_digest="c0de" * 16, seconds=12.5)
        return replace(published, manifest=manifest)


def _drop(count: int, reasons: Sequence[str]) -> Account:
    dropped = {reason: reasons.count(reason) for reason in reasons}
    return Account(documents_in=count, documents_out=count - len(reasons), dropped=dropped)


def _sources(part: str) -> pa.Table:
    source = {
        "kind": "warc",
        "warc_path": f"{part}.warc.gz",
        "url": f"store:{part}.warc.gz",
        "position": 0,
        "offset": 0,
        "length": -1,
        "wanted": None,
        "bytes": 500_000,
        "fingerprint": "ab",
    }
    return pa.Table.from_pylist([source], SOURCES)


def _documents(part: str, count: int, generator: np.random.Generator, hostile: str) -> pa.Table:
    rows: list[dict[str, Any]] = []
    for row in range(count):
        host = _HOSTS[int(generator.integers(0, 20) ** 2 / 400 * len(_HOSTS))]
        words = [_WORDS[each] for each in generator.integers(0, len(_WORDS), int(generator.lognormal(5, 0.6)))]
        text = f"{hostile}Function {row} of {part}.\n\n" + " ".join(words) + "."
        if row % 10 == 5:
            text = rows[-1]["text"].replace(" value ", " (changed) value ", 2) + "\nOne more line."
            text = text.replace("Function", f"{ADDRESS} Function", 1)
        elif row % 10 == 9:
            text = rows[-1]["text"]
        elif row % 10 in (3, 7):
            text = f"{ADDRESS} {text}"
        rows.append(
            document_row(
                row * 1000,
                doc_id=document_id(f"{part}.warc.gz", row * 1000),
                url=f"https://{host}/reference/function-{row}.html{hostile}",
                host=host + hostile,
                fetched_at=datetime(2026, 11, 22, tzinfo=UTC),
                warc_path=f"{part}.warc.gz",
                language=_LANGUAGES[row % len(_LANGUAGES)] + hostile,
                language_score=0.9,
                title=f"function {row}{hostile}",
                text=text,
            )
        )
    return pa.Table.from_pylist(rows, DOCUMENTS)


def _rejected(part: str, hostile: str) -> pa.Table:
    reasons = ["request", "request", "request", "not_html", "not_html"]
    return pa.Table.from_pylist(
        [
            {
                "warc_path": f"{part}.warc.gz",
                "warc_offset": 100_000 + row,
                "warc_length": 300,
                "record_type": "request" if reason == "request" else "response",
                "url": None if row == 0 else f"https://images.test/{row}.png{hostile}",
                "reason": reason,
            }
            for row, reason in enumerate(reasons)
        ],
        REJECTED_RECORDS,
    )


def _signals(documents: pa.Table, generator: np.random.Generator) -> pa.Table:
    count = documents.num_rows
    columns = {
        name: generator.beta(1.2, 9, count)
        if "ratio" in name or "score" in name
        else np.floor(generator.lognormal(4.5, 1.2, count))
        for name in FilterParameters().signals()
    }
    columns["num_bytes"] = np.array([len(text.as_py().encode()) for text in documents["text"]], np.float64)
    return pa.table({"doc_id": documents["doc_id"], **columns})


def _edits(documents: pa.Table) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {"doc_id": doc_id, "step": 0, "rule": "c4.too_few_words", "start": 0, "end": 8, "replacement": ""}
            for doc_id in documents["doc_id"].to_pylist()[::7]
        ],
        EDITS,
    )


def _decisions(decided: Sequence[tuple[str, Bound]], hostile: str) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "doc_id": doc_id,
                "rule": bound.rule,
                "value": 0.123456789,
                "threshold": bound.threshold,
                "evidence": hostile or None,
            }
            for doc_id, bound in decided
        ],
        DECISIONS,
    )


def _duplicates(removed: Sequence[str], duplicates: Mapping[str, tuple[str, str]]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "doc_id": doc_id,
                "rule": duplicates[doc_id][1],
                "kept_id": duplicates[doc_id][0],
                "similarity": 1.0 if duplicates[doc_id][1] == "exact_duplicate" else 0.8 + 0.003 * (at % 60),
                "threshold": 0.8,
                "bands_shared": 9,
                "cluster_id": min(doc_id, duplicates[doc_id][0]),
            }
            for at, doc_id in enumerate(removed)
        ],
        DUPLICATES,
    )


def _clusters(removed: Sequence[str], duplicates: Mapping[str, tuple[str, str]]) -> pa.Table:
    rows = []
    for doc_id in removed:
        kept_id = duplicates[doc_id][0]
        rows += [
            {"doc_id": each, "cluster_id": min(doc_id, kept_id), "kept": each == kept_id} for each in (doc_id, kept_id)
        ]
    return pa.Table.from_pylist(rows, CLUSTERS)


def _corpus(documents: pa.Table) -> pa.Table:
    edits = pa.array([0] * documents.num_rows, pa.int32())
    return documents.append_column(CORPUS.field("cluster_id"), documents["doc_id"]).append_column(
        CORPUS.field("num_edits"), edits
    )
