"""The fate of a page or document in a run, as facts: every capture, and what each stage made of it.

`flows.why_told` says the same in words.
"""

import difflib
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
from pipeline_lib.filters.signal_units import signal_unit
from pipeline_lib.filters.stage import recorded_filters
from pipeline_lib.lookup import Place, rows_of_documents, rows_of_url, urls_of_host
from pipeline_lib.survivors import TRAIL
from pipeline_lib.tokens.places import TokenPlaces
from storage.manifests import MissingStage, PublishedStage, open_stage
from storage.runs import Run, UnknownRun, load_run, open_stages
from storage.schemas import (
    CLUSTERS,
    CORPUS,
    DECISIONS,
    DOCUMENTS,
    DUPLICATES,
    EDITS,
    EVALUATION_MATCHES,
    LOST_SOURCES,
    REJECTED_RECORDS,
    signals_schema,
)
from storage.store import Store
from storage.wrong_request import WrongRequest

_MATCHES_SHOWN = 5
_URLS_SHOWN = 5
_URLS_COMPARED = 1_000
_LOST_SHOWN = 5
_ABOUT_CAPTURES = ("request", "metadata", "warcinfo")  # records that belong to a capture and are none
_SPLITS = ("train", "validation")


def fate_of(url: str, store: Store, run: Run) -> list[dict[str, Any]]:
    """What became of every capture of a URL, in the order of the crawl; JSON values.

    A URL without a scheme, or with another scheme, `www.` or a closing slash more or less, is found all the same.
    """
    return Fates(store, run).of_url(url)


class Fates:
    """What became of the documents of one run. The manifests of its stages are read once, for many questions.

    Raises:
        WrongRequest: the run extracted nothing, or its recipe is not one that this version reads.
        MissingStage: what a stage of the run made is not in the store any more.
    """

    def __init__(self, store: Store, run: Run) -> None:
        self.store = store
        self.run = run
        self.stages: Mapping[str, PublishedStage] = open_stages(store, run)
        if "extract" not in self.stages:
            raise WrongRequest(f"run {run.run_id} extracted nothing ({run.status}): no page of it has a fate yet")
        self._extract = self.stages["extract"]
        self._conditions = _conditions(run)
        self._tokens = (
            {split: TokenPlaces(self.stages["tokens"], split) for split in _SPLITS} if "tokens" in self.stages else {}
        )

    def of_url(self, url: str) -> list[dict[str, Any]]:
        """Every capture of a URL, as `fate_of` gives it: documents, and records that became none."""
        refused = [
            (place.part, row)
            for place, row in self._rows(rows_of_url(self._extract, "rejected", REJECTED_RECORDS, url))
            if row["record_type"] not in _ABOUT_CAPTURES
        ]
        documents = [(place.part, self.at(place)) for place in rows_of_url(self._extract, "documents", DOCUMENTS, url)]
        order = {part: number for number, part in enumerate(self._extract.part_names)}
        captures = sorted([*refused, *documents], key=lambda each: (order[each[0]], each[1]["warc_offset"]))
        return [capture for _, capture in captures]

    def of_document(self, doc_id: str, part: str | None = None) -> dict[str, Any] | None:
        """The fate of one document; None: the run extracted no such document.

        Args:
            part: where it is, if known; else all parts are asked.
        """
        parts = None if part is None else [part]
        place = rows_of_documents(self._extract, "documents", DOCUMENTS, [doc_id], parts).get(doc_id)
        return None if place is None else self.at(place)

    def at(self, place: Place) -> dict[str, Any]:
        """The fate of the document in a row of a part of `documents`."""
        (row,) = self._extract.read_rows("documents", place.part, DOCUMENTS, [place.row]).to_pylist()
        fate = self._fate(row, place)
        duplicate = fate.get("duplicate")
        if duplicate is not None and duplicate["kept_run"] is not None:
            duplicate |= _kept_earlier(duplicate["kept_id"], duplicate["kept_run"], self.store, self.run)
        return fate

    def absence(self, url: str) -> dict[str, Any]:
        """What the run knows of a URL that it has no capture of: what it was to read, what of that it could not."""
        host = urlsplit(url if "://" in url else f"https://{url}").netloc.lower()
        number, urls = urls_of_host(self._extract, "documents", DOCUMENTS, host, _URLS_COMPARED) if host else (0, [])
        lost = [
            {**row, "stage": name}
            for name in ("fetch", "extract")
            if name in self.stages
            for record in self.stages[name].manifest.files("lost")
            for row in self.stages[name].read("lost", record.part, LOST_SOURCES).to_pylist()
        ]
        source = self.run.recipe.get("source", {})
        return {
            "host": host,
            "documents_of_host": number,
            "urls_of_host": difflib.get_close_matches(url, urls, n=_URLS_SHOWN, cutoff=0.0),
            "asked_of_index": source.get("index"),
            "is_host_asked_for": _is_asked_for(host, source.get("index")),
            "sources": {name: source.get(name) for name in ("kind", "crawl", "files", "every", "sample")},
            "num_lost": len(lost),
            "lost": lost[:_LOST_SHOWN],
        }

    def _rows(self, places: Sequence[Place]) -> list[tuple[Place, dict[str, Any]]]:
        """Rejected records, by their places."""
        return [
            (place, self._extract.read_rows("rejected", place.part, REJECTED_RECORDS, [place.row]).to_pylist()[0])
            for place in places
        ]

    def _fate(self, row: Mapping[str, Any], place: Place) -> dict[str, Any]:
        stages, part, doc_id = self.stages, place.part, row["doc_id"]
        fate: dict[str, Any] = {**row, "part": part, "part_row": place.row, "edits": []}
        fate["fetched_at"] = row["fetched_at"].isoformat() if row["fetched_at"] is not None else None
        text = fate.pop("text")
        fate.update(text_characters=len(text), text_bytes=len(text.encode()))
        decisions = {name: self._decision(name, part, doc_id) for name in TRAIL if name in stages}
        if "signals" in stages:
            schema = signals_schema(list(recorded_filters(stages["signals"].manifest).signals()))
            (fate["signals"],) = _by_id(stages["signals"], "signals", part, schema, doc_id)
            del fate["signals"]["doc_id"]
        if "judge" in stages:
            fate["rules"] = rules_asked(self._conditions, fate["signals"], row)
            fate["decision"] = decisions["judge"]
        if "withdrawn" in stages:
            fate["withdrawn"] = decisions["withdrawn"]
        if "dedup" in stages:
            clusters = stages.get("semantic", stages["dedup"])  # the later one's clusters hold the earlier one's
            cluster = next(iter(_by_id(clusters, "clusters", part, CLUSTERS, doc_id)), None)
            fate["cluster_id"] = cluster["cluster_id"] if cluster else None
            fate["duplicate"] = self._duplicate(part, doc_id)
        if "lines" in stages:
            fate["repeated"] = decisions["lines"]
        if "decontaminate" in stages:
            fate["contamination"] = decisions["decontaminate"]
            matches = _by_id(stages["decontaminate"], "matches", part, EVALUATION_MATCHES, doc_id)
            fate["evaluation_matches"] = matches[:_MATCHES_SHOWN]
        fate["dropped"] = _dropped(decisions, fate.get("duplicate"))
        for name in TRAIL:
            if name in stages:
                fate["edits"] += _edits(stages[name], name, part, doc_id)
        for split in _SPLITS:
            if "corpus" in stages:
                found = rows_of_documents(stages["corpus"], split, CORPUS, [doc_id], [part])
                if doc_id in found:
                    fate.update(split=split, row=found[doc_id].row)
                    tokens = self._tokens[split].of_document(doc_id) if self._tokens else None
                    fate["tokens"] = None if tokens is None else tokens.as_json()
        if "corpus" in stages and fate["dropped"] is None and "split" not in fate:
            fate["dropped"] = {"stage": "corpus", "rule": "empty_after_edits"}
        return fate

    def _decision(self, stage: str, part: str, doc_id: str) -> dict[str, Any] | None:
        """Why a stage dropped a document, with how far its value is beyond the line; None: it did not."""
        for decision in _by_id(self.stages[stage], "decisions", part, DECISIONS, doc_id):
            condition = next((each for each in self._conditions if each.rule == decision["rule"]), None)
            return decision | {
                "margin": _margin(decision["value"], decision["threshold"], broken=True),
                "unit": "" if condition is None else _unit(condition),
            }
        return None

    def _duplicate(self, part: str, doc_id: str) -> dict[str, Any] | None:
        for name in ("dedup", "semantic"):
            if name in self.stages:
                for duplicate in _by_id(self.stages[name], "duplicates", part, DUPLICATES, doc_id):
                    is_here = duplicate["kept_run"] is None
                    kept_url = _url_of(self._extract, duplicate["kept_id"]) if is_here else None
                    return duplicate | {"stage": name, "kept_url": kept_url}
        return None


def _dropped(
    decisions: Mapping[str, Mapping[str, Any] | None], duplicate: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """The stage that dropped a document, and its rule: of any stage on the trail, which `decisions` has in order."""
    for name, decision in decisions.items():
        if decision is not None:
            return {"stage": name, **{key: each for key, each in decision.items() if key != "doc_id"}}
        if duplicate is not None and duplicate["stage"] == name:
            shown = {"rule": duplicate["rule"], "value": duplicate["similarity"]}
            margin = _margin(duplicate["similarity"], duplicate["threshold"], broken=True)
            return {"stage": name, **shown, "threshold": duplicate["threshold"], "margin": margin, "unit": ""}
    return None


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
            "margin": _margin(answers["value"][each.rule], each.threshold, broken=answers["broken"][each.rule]),
            "unit": _unit(each),
            "drops": each.drops(),
            "broken": answers["broken"][each.rule],
        }
        for each in conditions
    ]


def _margin(value: float | None, threshold: float | None, *, broken: bool) -> float | None:
    """How far a value is from the line: below 0 where it is on the side that is dropped."""
    if value is None or threshold is None:
        return None
    return threshold - value if broken == (value > threshold) else value - threshold


def _unit(condition: Condition) -> str:
    return signal_unit(condition.columns[0]) if len(condition.columns) == 1 else ""


def _is_asked_for(host: str, index: Mapping[str, Any] | None) -> bool | None:
    """Whether a query of a crawl's index names a host; None: there is no query, or one that is not by host alone."""
    if index is None or index.get("urls") or not (index.get("hosts") or index.get("domains")):
        return None
    plain = host.partition(":")[0].removeprefix("www.")
    hosts = {each.lower().removeprefix("www.") for each in index.get("hosts") or ()}
    domains = [each.lower() for each in index.get("domains") or ()]
    return plain in hosts or any(plain == domain or plain.endswith(f".{domain}") for domain in domains)


def _kept_earlier(doc_id: str, entry: str, store: Store, run: Run) -> dict[str, str | None]:
    """Which run the entry of an index stands for, and the URL of its document, as far as the store still has them."""
    run_id = next((each.run_id for each in run.earlier if each.entry == entry), None)
    url = None
    if run_id is not None:
        with suppress(UnknownRun, MissingStage):
            extracted = load_run(store, run_id).stage("extract")
            url = _url_of(open_stage(store, extracted.address), doc_id) if extracted is not None else None
    return {"kept_run_id": run_id, "kept_url": url}


def _by_id(stage: PublishedStage, table: str, part: str, schema: pa.Schema, doc_id: str) -> list[dict[str, Any]]:
    if not stage.has(table, part):
        return []
    rows = pc.indices_nonzero(pc.equal(stage.read(table, part, schema, ["doc_id"])["doc_id"], doc_id))
    if not len(rows):
        return []
    found: list[dict[str, Any]] = stage.read_rows(table, part, schema, rows.to_pylist()).to_pylist()
    return found


def _edits(stage: PublishedStage, name: str, part: str, doc_id: str) -> list[dict[str, Any]]:
    counts: dict[str, dict[str, Any]] = {}
    for edit in _by_id(stage, "edits", part, EDITS, doc_id):
        entry = counts.setdefault(edit["rule"], {"stage": name, "rule": edit["rule"], "count": 0, "bytes": 0})
        entry["count"] += 1
        entry["bytes"] += edit["end"] - edit["start"]
    return list(counts.values())


def _url_of(extract: PublishedStage, doc_id: str) -> str | None:
    place = rows_of_documents(extract, "documents", DOCUMENTS, [doc_id]).get(doc_id)
    if place is None:
        return None
    url: str = extract.read_rows("documents", place.part, DOCUMENTS, [place.row], ["url"])["url"][0].as_py()
    return url
