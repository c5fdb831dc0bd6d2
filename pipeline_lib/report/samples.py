"""Documents to look at: some that were kept, and some that each rule dropped, with what the rule saw."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.report.blocks import Sample, SampleGroup, Samples
from pipeline_lib.report.drawing import PART, draw, read_drawn, read_extracted
from pipeline_lib.report.excerpts import excerpt, one_line
from pipeline_lib.report.quantities import count, value
from storage.manifests import PublishedStage
from storage.schemas import CORPUS, DECISIONS, REJECTED_RECORDS

_URL_CHARS = 160
_TITLE_CHARS = 120
_EVIDENCE_CHARS = 160
_SPLITS = ("train", "validation")
_SHOWN = ("url", "title", "language", "text")


def sample_rows(
    inputs: Mapping[str, PublishedStage], *, num_kept: int, num_per_rule: int, seed: int, excerpt_chars: int
) -> list[dict[str, Any]]:
    """Documents as rows of JSON values: first kept ones, then dropped ones by rule, the rule that drops most first.

    Keys: verdict (kept, dropped), doc_id, url, title, language, text (an excerpt: of the final text where kept, else of
    the extracted one, with addresses masked), rule, value, threshold, evidence (null for kept ones).
    """
    return [
        *kept_rows(inputs, number=num_kept, seed=seed, excerpt_chars=excerpt_chars),
        *dropped_rows(inputs, per_rule=num_per_rule, seed=seed, excerpt_chars=excerpt_chars),
    ]


def kept_rows(
    inputs: Mapping[str, PublishedStage], *, number: int, seed: int, excerpt_chars: int
) -> list[dict[str, Any]]:
    """Documents of the corpus, of both splits."""
    if "corpus" not in inputs:
        return []
    corpus = inputs["corpus"]
    wanted: list[tuple[str, str, str]] = []
    drawn = draw(_ids(corpus), number=number, seed=seed, purpose="report kept")
    if drawn is not None:
        wanted = [(row["split"], row[PART], row["doc_id"]) for row in drawn.to_pylist()]
    found: dict[str, dict[str, Any]] = {}
    for split in _SPLITS:
        pairs = [(part, doc_id) for of_split, part, doc_id in wanted if of_split == split]
        found.update(_by_id(read_drawn(corpus, split, CORPUS, _SHOWN, pairs)))
    nothing = {"rule": None, "value": None, "threshold": None, "evidence": None}
    return [
        {"verdict": "kept", **_shown(found[doc_id], excerpt_chars), **nothing}
        for _, _, doc_id in wanted
        if doc_id in found
    ]


def dropped_rows(
    inputs: Mapping[str, PublishedStage], *, per_rule: int, seed: int, excerpt_chars: int
) -> list[dict[str, Any]]:
    """Documents that the judge dropped, `per_rule` of each rule, those of the rule that drops most first."""
    if "judge" not in inputs or "extract" not in inputs:
        return []
    drawn = draw(
        _tables(inputs["judge"], "decisions", DECISIONS, DECISIONS.names),
        number=per_rule,
        seed=seed,
        purpose="report dropped",
        each="rule",
    )
    if drawn is None:
        return []
    dropped = inputs["judge"].manifest.account.dropped
    decisions = sorted(drawn.to_pylist(), key=lambda row: (-dropped.get(row["rule"], 0), row["rule"]))
    found = _by_id(read_extracted(inputs, _SHOWN, [(row[PART], row["doc_id"]) for row in decisions]))
    return [
        {
            "verdict": "dropped",
            **_shown(found[row["doc_id"]], excerpt_chars),
            "rule": row["rule"],
            "value": row["value"],
            "threshold": row["threshold"],
            "evidence": None if row["evidence"] is None else one_line(row["evidence"], _EVIDENCE_CHARS),
        }
        for row in decisions
        if row["doc_id"] in found
    ]


def rejected_rows(inputs: Mapping[str, PublishedStage], *, per_reason: int, seed: int) -> list[dict[str, Any]]:
    """WARC records that became no document, by reason: keys reason, url, record_type, warc_path, warc_offset."""
    if "extract" not in inputs:
        return []
    columns = ["reason", "url", "record_type", "warc_path", "warc_offset"]
    tables = (
        (part, table.append_column("place", pc.cast(table["warc_offset"], pa.string())))
        for part, table in _tables(inputs["extract"], "rejected", REJECTED_RECORDS, columns)
    )
    drawn = draw(tables, number=per_reason, seed=seed, purpose="report rejected", by="place", each="reason")
    if drawn is None:
        return []
    counts = inputs["extract"].manifest.account.dropped
    rows = sorted(
        drawn.drop_columns([PART, "place"]).to_pylist(),
        key=lambda row: (-counts.get(row["reason"], 0), row["reason"]),
    )
    return [{**row, "url": one_line(row["url"] or "", _URL_CHARS)} for row in rows]


def browse_command(run_id: str) -> str:
    """What shows every document of a run, not only those that are drawn; empty where the run has no name."""
    return f"gristmill browse {run_id}" if run_id else ""


def kept_samples(rows: Sequence[Mapping[str, Any]], run_id: str = "") -> Samples:
    return Samples(
        command=browse_command(run_id),
        title="Documents of the corpus",
        tone="kept",
        note="Drawn by a seeded hash; the beginning of the final text.",
        groups=[SampleGroup(samples=[_sample(row, [("language", row["language"] or "unknown")]) for row in rows])],
    )


def dropped_samples(rows: Sequence[Mapping[str, Any]], dropped: Mapping[str, int], run_id: str = "") -> Samples:
    """One group a rule, in the order of the rows; `dropped` counts the documents of each rule."""
    drawn = Counter(row["rule"] for row in rows)
    return Samples(
        command=browse_command(run_id),
        title="Dropped documents, by rule",
        tone="dropped",
        note="Drawn by a seeded hash; the beginning of the extracted text, with addresses masked.",
        groups=[
            SampleGroup(
                title=rule,
                note=f"{drawn[rule]} of {count(dropped[rule])}" if rule in dropped else "",
                samples=[_sample(row, _measured(row)) for row in rows if row["rule"] == rule],
            )
            for rule in drawn
        ],
    )


def _measured(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    details = [(name, value(row[name], digits=6)) for name in ("value", "threshold") if row[name] is not None]
    if row["evidence"] is not None:
        details.append(("evidence", row["evidence"]))
    return [*details, ("language", row["language"] or "unknown")]


def _sample(row: Mapping[str, Any], details: Sequence[tuple[str, str]]) -> Sample:
    return Sample(url=row["url"], title=row["title"], text=row["text"], details=[*details, ("document", row["doc_id"])])


def _shown(row: Mapping[str, Any], excerpt_chars: int) -> dict[str, Any]:
    return {
        "doc_id": row["doc_id"],
        "url": one_line(row["url"], _URL_CHARS),
        "title": one_line(row["title"], _TITLE_CHARS),
        "language": one_line(row["language"], 20),
        "text": excerpt(row["text"], excerpt_chars),
    }


def _by_id(rows: pa.Table) -> dict[str, dict[str, Any]]:
    return {row["doc_id"]: row for row in rows.to_pylist()}


def _ids(corpus: PublishedStage) -> Iterator[tuple[str, pa.Table]]:
    for split in _SPLITS:
        for part, table in _tables(corpus, split, CORPUS, ["doc_id"]):
            yield part, table.append_column("split", pa.array([split] * table.num_rows, pa.string()))


def _tables(
    stage: PublishedStage, name: str, schema: pa.Schema, columns: Sequence[str]
) -> Iterator[tuple[str, pa.Table]]:
    for record in stage.manifest.files(name):
        yield record.part, stage.read(name, record.part, schema, columns=columns)
