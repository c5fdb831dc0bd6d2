"""The fate of one page in a run: every capture of it, and what each stage made of it."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from flows.recipe import Recipe
from pipeline_lib.filters.conditions import Condition
from pipeline_lib.filters.stage import read_signals
from pipeline_lib.survivors import TRAIL
from storage.manifests import MissingStage, PublishedStage, open_stage
from storage.runs import Run, UnknownRun, load_run
from storage.schemas import (
    CLUSTERS,
    CORPUS,
    DECISIONS,
    DOCUMENTS,
    DUPLICATES,
    EDITS,
    EVALUATION_MATCHES,
    REJECTED_RECORDS,
)
from storage.store import Store
from storage.wrong_request import WrongRequest

_MATCHES_SHOWN = 5
_ABOUT_CAPTURES = ("request", "metadata", "warcinfo")  # records that belong to a capture and are none


def fate_of(url: str, store: Store, run: Run) -> list[dict[str, Any]]:
    """What became of every capture of a URL, in the order of the crawl; JSON values.

    A URL without a scheme, or with another scheme, `www.` or a closing slash more or less, is found all the same.
    """
    stages = {each.name: open_stage(store, each.address) for each in run.stages}
    if "extract" not in stages:
        raise WrongRequest(f"run {run.run_id} extracted nothing ({run.status}): no page of it has a fate yet")
    conditions = _conditions(run)
    captures = []
    for part in stages["extract"].part_names:
        refused = _rows_of(stages["extract"], "rejected", part, REJECTED_RECORDS, url)
        captures += [row for row in refused if row["record_type"] not in _ABOUT_CAPTURES]
        for row in _rows_of(stages["extract"], "documents", part, DOCUMENTS, url):
            fate = _fate(row, part, stages, conditions)
            duplicate = fate.get("duplicate")
            if duplicate is not None and duplicate["kept_run"] is not None:
                duplicate |= _kept_earlier(duplicate["kept_id"], duplicate["kept_run"], store, run)
            captures.append(fate)
    return captures


def describe_fate(url: str, run: Run, captures: list[dict[str, Any]]) -> str:
    """The same, for people."""
    if not captures:
        return (
            f"{url} was not found in run {run.run_id}: no record of its WARC files has that URL. "
            "`gristmill show` lists what the run read."
        )
    blocks = []
    for capture in captures:
        lines = [f"{capture['url']}", f"  found at   {capture['warc_path']} offset {capture['warc_offset']}"]
        if "text_characters" not in capture:
            lines.append(f"  extract    dropped: {capture['reason']}")
            blocks.append("\n".join(lines))
            continue
        lines.append(
            f"  extract    document {capture['doc_id']}, {capture['text_characters']:,} characters, "
            f"{capture['language']} ({capture['language_score']:.2f}), {capture['charset']}"
        )
        lines += [
            f"  {edit['stage']:<10} {edit['count']} x {edit['rule']}, {edit['bytes']:,} bytes"
            for edit in capture["edits"]
        ]
        decision = capture.get("decision")
        if decision:
            lines.append(
                f"  judge      dropped: {decision['rule']}: {_number(decision['value'])}, "
                f"the line is at {_number(decision['threshold'])}"
            )
        elif "signals" in capture:
            lines.append("  judge      kept: no rule broken")
        duplicate = capture.get("duplicate")
        if duplicate:
            lines.append(f"  {duplicate['stage']:<10} dropped: {_duplicate_of(duplicate)}")
        elif capture.get("cluster_id"):
            lines.append(f"  dedup      kept, of cluster {capture['cluster_id']}")
        elif "split" in capture:
            lines.append("  dedup      kept: nothing like it")
        if capture.get("repeated"):
            repeated = capture["repeated"]
            lines.append(f"  lines      dropped: {repeated['rule']} ({_number(repeated['value'])})")
        lines += _contamination_lines(capture)
        if "split" in capture:
            lines.append(f"  corpus     {capture['split']}, {capture['part']}, row {capture['row']}")
        for rule in capture.get("rules", []):
            value = rule["value"] if isinstance(rule["value"], str) else _number(rule["value"])
            mark = "broken" if rule["broken"] else ""
            lines.append(f"    {rule['rule']:<44} {value:>12}  drops {rule['drops']:<52} {mark}".rstrip())
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _duplicate_of(duplicate: Mapping[str, Any]) -> str:
    """By what rule, of which document, and how alike the two are."""
    kept = [duplicate["kept_id"]]
    if duplicate["kept_run"] is not None:
        kept.append(f"of the earlier run {duplicate['kept_run_id'] or duplicate['kept_run']}")
    said = f"{duplicate['rule']} of {duplicate['kept_url'] or 'a document'} ({', '.join(kept)})"
    if duplicate["similarity"] is None:
        return said
    measure = "cosine" if duplicate["rule"] == "semantic_duplicate" else "similarity"
    return f"{said}, {measure} {duplicate['similarity']:.3f}, the line is at {duplicate['threshold']:.3f}"


def _contamination_lines(capture: Mapping[str, Any]) -> list[str]:
    """What evaluation items the document holds, if it was asked."""
    if not capture.get("evaluation_matches"):
        return []
    dropped = capture["contamination"]
    lines = [
        f"  evaluation dropped: {dropped['rule']}: {_number(dropped['value'])} of an item, the line is at "
        f"{_number(dropped['threshold'])}"
        if dropped
        else "  evaluation kept, with some of an item"
    ]
    lines += [
        f"    {match['set']}:{match['item']} ({match['fields']}): {match['matched']} of {match['of']} n-grams, "
        f"{_one_line(match['excerpt'])!r}"
        for match in capture["evaluation_matches"]
    ]
    return lines


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _conditions(run: Run) -> tuple[Condition, ...]:
    """The rules that the run judged by, in order."""
    try:
        return Recipe.model_validate(run.recipe).filters.conditions()
    except ValidationError as error:
        raise WrongRequest(
            f"the recipe of run {run.run_id} is not one that this version reads; run it again: {error}"
        ) from error


def rules_asked(
    conditions: Sequence[Condition], signals: Mapping[str, Any], row: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Every rule with the document's value beside its line, whether or not an earlier rule had decided already."""
    measured = pl.DataFrame([{"language": row["language"], **signals}])
    answers = {
        kind: measured.select(getattr(each, kind)().alias(each.rule) for each in conditions).row(0, named=True)
        for kind in ("broken", "value", "evidence")
    }
    return [
        {
            "rule": each.rule,
            "value": answers["evidence"].get(each.rule) or answers["value"][each.rule],
            "threshold": each.threshold,
            "drops": each.drops(),
            "broken": answers["broken"][each.rule],
        }
        for each in conditions
    ]


def _fate(
    row: Mapping[str, Any], part: str, stages: Mapping[str, PublishedStage], conditions: Sequence[Condition]
) -> dict[str, Any]:
    doc_id = row["doc_id"]
    fate: dict[str, Any] = {**row, "part": part, "edits": []}
    fate["fetched_at"] = row["fetched_at"].isoformat() if row["fetched_at"] is not None else None
    fate["text_characters"] = len(fate.pop("text"))
    if "signals" in stages:
        found = read_signals(stages["signals"], part)
        (fate["signals"],) = found.filter(pc.equal(found["doc_id"], doc_id)).drop_columns("doc_id").to_pylist()
    if "judge" in stages:
        fate["rules"] = rules_asked(conditions, fate["signals"], row)
        fate["decision"] = next(iter(_by_id(stages["judge"], "decisions", part, DECISIONS, doc_id)), None)
    if "dedup" in stages:
        clusters = stages.get("semantic", stages["dedup"])  # the later one's clusters hold the earlier one's
        cluster = next(iter(_by_id(clusters, "clusters", part, CLUSTERS, doc_id)), None)
        fate["cluster_id"] = cluster["cluster_id"] if cluster else None
        duplicate = None
        for name in ("dedup", "semantic"):
            found = _by_id(stages[name], "duplicates", part, DUPLICATES, doc_id) if name in stages else []
            for duplicate in found:
                is_here = duplicate["kept_run"] is None
                kept_url = _url_of(stages["extract"], duplicate["kept_id"]) if is_here else None
                duplicate.update(stage=name, kept_url=kept_url)
        fate["duplicate"] = duplicate
    if "lines" in stages:
        fate["repeated"] = next(iter(_by_id(stages["lines"], "decisions", part, DECISIONS, doc_id)), None)
    if "decontaminate" in stages:
        fate["contamination"] = next(iter(_by_id(stages["decontaminate"], "decisions", part, DECISIONS, doc_id)), None)
        matches = _by_id(stages["decontaminate"], "matches", part, EVALUATION_MATCHES, doc_id)
        fate["evaluation_matches"] = matches[:_MATCHES_SHOWN]
    for name in TRAIL:
        if name in stages:
            fate["edits"] += _edits(stages[name], name, part, doc_id)
    for split in ("train", "validation"):
        if "corpus" in stages and stages["corpus"].has(split, part):
            ids = stages["corpus"].read(split, part, CORPUS, ["doc_id"])["doc_id"]
            at = pc.index(ids, doc_id).as_py()
            if at >= 0:
                fate.update(split=split, row=at)
    return fate


def _kept_earlier(doc_id: str, entry: str, store: Store, run: Run) -> dict[str, str | None]:
    """Which run the entry of an index stands for, and the URL of its document, as far as the store still has them."""
    run_id = next((each.run_id for each in run.earlier if each.entry == entry), None)
    url = None
    if run_id is not None:
        with suppress(UnknownRun, MissingStage):
            extracted = load_run(store, run_id).stage("extract")
            url = _url_of(open_stage(store, extracted.address), doc_id) if extracted is not None else None
    return {"kept_run_id": run_id, "kept_url": url}


def _rows_of(stage: PublishedStage, table: str, part: str, schema: pa.Schema, url: str) -> list[dict[str, Any]]:
    urls = stage.read(table, part, schema, ["url"])["url"].to_pylist()
    wanted = _plain(url)
    rows = [row for row, found in enumerate(urls) if found is not None and _plain(found) == wanted]
    if not rows:
        return []
    found_rows: list[dict[str, Any]] = stage.read(table, part, schema).take(pa.array(rows)).to_pylist()
    return found_rows


def _plain(url: str) -> str:
    """A URL without what people leave out when they type it."""
    split = urlsplit(url if "://" in url else f"https://{url}")
    host = (split.netloc or "").lower().removeprefix("www.")
    query = f"?{split.query}" if split.query else ""
    return f"{host}{split.path.rstrip('/')}{query}"


def _by_id(stage: PublishedStage, table: str, part: str, schema: pa.Schema, doc_id: str) -> list[dict[str, Any]]:
    if not stage.has(table, part):
        return []
    found = stage.read(table, part, schema)
    rows: list[dict[str, Any]] = found.filter(pc.equal(found["doc_id"], doc_id)).to_pylist()
    return rows


def _edits(stage: PublishedStage, name: str, part: str, doc_id: str) -> list[dict[str, Any]]:
    counts: dict[str, dict[str, Any]] = {}
    for edit in _by_id(stage, "edits", part, EDITS, doc_id):
        entry = counts.setdefault(edit["rule"], {"stage": name, "rule": edit["rule"], "count": 0, "bytes": 0})
        entry["count"] += 1
        entry["bytes"] += edit["end"] - edit["start"]
    return list(counts.values())


def _url_of(extract: PublishedStage, doc_id: str) -> str | None:
    for part in extract.part_names:
        found = extract.read("documents", part, DOCUMENTS, ["doc_id", "url"])
        rows = found.filter(pc.equal(found["doc_id"], doc_id))["url"].to_pylist()
        if rows:
            url: str = rows[0]
            return url
    return None


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"
