"""What differs between two runs, from recipe to scores, and why a document is in one corpus and not in the other."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from flows.recorded_changes import changed_environment, changed_values, dotted
from pipeline_lib.corpus.compared_documents import ComparedDocuments, Ids, TextHashes, compare_documents, joined
from pipeline_lib.corpus.stage import SPLITS
from pipeline_lib.dedup.doc_ids import format_doc_ids, parse_doc_ids
from pipeline_lib.report.excerpts import one_line
from pipeline_lib.report.quantities import count, value
from pipeline_lib.survivors import DROPPING_TABLES, TRAIL
from pipeline_lib.tokenizer.model import load_tokenizer
from storage.manifests import FileRecord, MissingStage, PublishedStage, open_stage
from storage.runs import Run
from storage.schemas import CORPUS, DOCUMENTS, REJECTED_RECORDS, SOURCES
from storage.store import Store
from storage.table_differences import shortened
from storage.tables import DamagedFile

_NAMES_SHOWN = 5
_URL_CHARS = 110
_TITLE_CHARS = 60
_VALUE_CHARS = 70
_TRAIN_SCORES = ("final_loss", "validation_loss")

Stages = Mapping[str, PublishedStage]


@dataclass(frozen=True, kw_only=True)
class Values:
    """One thing of both runs; None: a run has it not."""

    name: str
    a: Any
    b: Any


@dataclass(frozen=True, kw_only=True)
class StageCounts:
    """What went into a stage of both runs, came out, and was dropped, where either has it.

    `same_output`: both have the same output, by its key.
    """

    name: str
    same_output: bool
    documents_in: Values
    documents_out: Values
    dropped: Sequence[Values]

    @property
    def differs(self) -> bool:
        return any(each.a != each.b for each in (self.documents_in, self.documents_out, *self.dropped))


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Source files by logical path. `changed`: of another size, content or choice of records; each list is cut, and
    the numbers are of all."""

    num_gained: int = 0
    num_lost: int = 0
    num_changed: int = 0
    gained: Sequence[str] = ()
    lost: Sequence[str] = ()
    changed: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Example:
    """A document that one corpus has and the other has not, or whose text is another.

    `fate`: what the other run made of it: `stage` and `rule` that dropped it, with what the stage has on it. `texts`:
    both, cut to where they differ first.
    """

    doc_id: str
    url: str
    title: str
    fate: Mapping[str, Any] | None = None
    texts: tuple[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Documents:
    """Documents of the two corpora. `gained`: in B only; `lost`: in A only."""

    a: int
    b: int
    num_gained: int
    num_lost: int
    num_changed: int
    gained: Sequence[Example]
    lost: Sequence[Example]
    changed: Sequence[Example]


@dataclass(frozen=True, kw_only=True)
class TokenizerDiff:
    """`gained`: pieces that only B's vocabulary has, the most frequent first; both lists are cut."""

    values: Sequence[Values]
    num_gained: int
    num_lost: int
    gained: Sequence[str]
    lost: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class RunDiff:
    """All that differs from run A to run B.

    Attributes:
        known: names that only A, and only B, knew of: earlier runs it was deduplicated against, entries of the list of
            what was withdrawn.
        notes: what could not be compared, and why.
    """

    a: str
    b: str
    statuses: Values
    recipe: Sequence[Values]
    code: Sequence[Values]
    libraries: Sequence[Values]
    environment: Sequence[Values]
    inputs: Inputs | None
    known: Sequence[Values]
    stages: Sequence[StageCounts]
    documents: Documents | None
    tokenizer: TokenizerDiff | None
    scores: Sequence[Values]
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def differs(self) -> bool:
        """Whether anything does but the machine, and when and by whom the runs were made."""
        found = self.inputs
        documents = self.documents
        return bool(
            self.recipe
            or self.code
            or self.libraries
            or (found is not None and (found.num_gained or found.num_lost or found.num_changed))
            or self.known
            or any(stage.differs for stage in self.stages)
            or (documents is not None and (documents.num_gained or documents.num_lost or documents.num_changed))
            or self.tokenizer is not None
            or any(each.a != each.b for each in self.scores)
        )

    def as_json(self) -> dict[str, Any]:
        return {"differs": self.differs, **asdict(self)}


def diff_runs(store: Store, a: Run, b: Run, *, examples: int = 3) -> RunDiff:
    """What differs from run `a` to run `b`.

    Corpora are compared part by part where they can be: parts of equal content in both are not read. Of the others all
    ids are held, in some 60 bytes a document.

    Args:
        examples: documents of each kind to show.
    """
    notes: list[str] = []
    stages_a, stages_b = (_open_stages(store, run, notes) for run in (a, b))
    environment = [
        Values(name=change.what, a=change.recorded, b=change.here)
        for change in changed_environment(a.environment, b.environment)
    ]
    return RunDiff(
        a=a.run_id,
        b=b.run_id,
        statuses=Values(name="status", a=a.status, b=b.status),
        recipe=_values(dict(dotted(a.recipe)), dict(dotted(b.recipe))),
        code=_changed_code(stages_a, stages_b),
        libraries=_changed_libraries(stages_a, stages_b),
        environment=environment,
        inputs=_compare_inputs(stages_a, stages_b),
        known=_compare_known(a, b),
        stages=_compare_counts(a, b),
        documents=_compare_corpora(stages_a, stages_b, examples),
        tokenizer=_compare_tokenizers(stages_a, stages_b),
        scores=_compare_scores(a, b),
        notes=notes,
    )


def describe_diff(diff: RunDiff) -> str:
    """The answer, for people: A is before, B after."""
    lines = [f"A  {diff.a}  {diff.statuses.a}", f"B  {diff.b}  {diff.statuses.b}"]
    if diff.a == diff.b:
        return "\n".join([*lines[:1], "nothing differs: it is one run"])
    lines += _titled("recipe", [f"{each.name}: {_short(each.a)} -> {_short(each.b)}" for each in diff.recipe])
    lines += _titled("code of stages", [f"{each.name}: {each.a} -> {each.b}" for each in diff.code])
    lines += _titled("libraries", [f"{each.name}: {each.a} -> {each.b}" for each in diff.libraries])
    lines += _titled("machine and checkout", [f"{each.name}: {each.a} -> {each.b}" for each in diff.environment])
    lines += _titled("inputs", [*_describe_inputs(diff.inputs), *_describe_known(diff.known)])
    lines += _titled("counts", _describe_counts(diff.stages))
    lines += _titled("documents", _describe_documents(diff.documents))
    lines += _titled("tokenizer", _describe_tokenizer(diff.tokenizer))
    lines += _titled("scores", [_side_by_side(each) for each in diff.scores if each.a != each.b])
    lines += ["", *diff.notes] if diff.notes else []
    if not diff.differs:
        lines += ["", "nothing differs: recipe, code, libraries, inputs, counts, documents, tokenizer and scores"]
    return "\n".join(lines)


def _open_stages(store: Store, run: Run, notes: list[str]) -> Stages:
    stages = {}
    for outcome in run.stages:
        try:
            stages[outcome.name] = open_stage(store, outcome.address)
        except (MissingStage, DamagedFile) as error:
            notes.append(f"stage {outcome.name} of run {run.run_id} is not compared: {error}")
    return stages


def _values(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[Values]:
    return [Values(name=key, a=a, b=b) for key, a, b in changed_values(one, other)]


def _changed_code(a: Stages, b: Stages) -> list[Values]:
    digests = [{name: stage.manifest.code_digest[:12] for name, stage in each.items()} for each in (a, b)]
    return [each for each in _values(*digests) if each.name in a and each.name in b]


def _changed_libraries(a: Stages, b: Stages) -> list[Values]:
    """Versions that shaped an output; several where a run used outputs of several times."""

    def versions(stages: Stages) -> dict[str, str]:
        found: dict[str, set[str]] = {}
        for name in a.keys() & b.keys():
            for library, version in stages[name].manifest.libraries.items():
                found.setdefault(library, set()).add(version)
        return {library: ", ".join(sorted(found[library])) for library in sorted(found)}

    return _values(versions(a), versions(b))


def _compare_inputs(a: Stages, b: Stages) -> Inputs | None:
    if "fetch" not in a or "fetch" not in b:
        return None
    if a["fetch"].manifest.content_digest("sources") == b["fetch"].manifest.content_digest("sources"):
        return Inputs()
    before, after = _source_files(a["fetch"]), _source_files(b["fetch"])
    files = before.join(after, on="warc_path", how="full", coalesce=True).sort("warc_path")
    lost = files.filter(pl.col("what_right").is_null())["warc_path"].to_list()
    gained = files.filter(pl.col("what").is_null())["warc_path"].to_list()
    changed = files.filter(pl.col("what") != pl.col("what_right"))["warc_path"].to_list()
    return Inputs(
        num_gained=len(gained),
        num_lost=len(lost),
        num_changed=len(changed),
        gained=gained[:_NAMES_SHOWN],
        lost=lost[:_NAMES_SHOWN],
        changed=changed[:_NAMES_SHOWN],
    )


def _source_files(fetch: PublishedStage) -> pl.DataFrame:
    """`warc_path` and `what`, which is equal where the same of the same file was read; wherever it lies."""
    columns = ["warc_path", "offset", "length", "wanted", "bytes", "fingerprint"]
    parts = []
    for part in fetch.part_names:
        rows = pl.from_arrow(fetch.read("sources", part, SOURCES, columns))
        assert isinstance(rows, pl.DataFrame)
        wanted = pl.col("wanted")
        rows = rows.with_columns(num_wanted=wanted.list.len(), sum_wanted=wanted.list.sum()).drop("wanted")
        what = pl.struct(pl.exclude("warc_path")).hash(seed=0) & ((1 << 40) - 1)  # leaves room for a sum
        parts.append(rows.group_by("warc_path").agg(what=what.sum()))
    return pl.concat(parts).group_by("warc_path").agg(pl.col("what").sum())


def _compare_known(a: Run, b: Run) -> list[Values]:
    names = {
        "deduplicated against": [[each.entry for each in run.earlier] for run in (a, b)],
        "withdrawn": [run.exclusions for run in (a, b)],
    }
    own = [
        Values(name=name, a=[each for each in one if each not in other], b=[each for each in other if each not in one])
        for name, (one, other) in names.items()
    ]
    return [each for each in own if each.a or each.b]


def _compare_counts(a: Run, b: Run) -> list[StageCounts]:
    names = [stage.name for stage in a.stages]
    names += [stage.name for stage in b.stages if stage.name not in names]
    names = [name for name in names if name != "report"]  # it counts stages
    found = []
    for name in names:
        one, other = a.stage(name), b.stage(name)
        accounts = [None if each is None else each.account for each in (one, other)]
        reasons = sorted({reason for each in accounts if each is not None for reason in each.dropped})
        found.append(
            StageCounts(
                name=name,
                same_output=one is not None and other is not None and one.key == other.key,
                documents_in=Values(name="in", a=_of(accounts[0], "documents_in"), b=_of(accounts[1], "documents_in")),
                documents_out=Values(
                    name="out", a=_of(accounts[0], "documents_out"), b=_of(accounts[1], "documents_out")
                ),
                dropped=[
                    Values(
                        name=reason,
                        a=None if accounts[0] is None else accounts[0].dropped.get(reason, 0),
                        b=None if accounts[1] is None else accounts[1].dropped.get(reason, 0),
                    )
                    for reason in reasons
                ],
            )
        )
    return found


def _of(account: Any, name: str) -> Any:
    return None if account is None else getattr(account, name)


def _compare_corpora(a: Stages, b: Stages, num_examples: int) -> Documents | None:
    if "corpus" not in a or "corpus" not in b:
        return None
    files = [
        [(split, record) for split in SPLITS for record in stages["corpus"].manifest.files(split)] for stages in (a, b)
    ]
    contents = [{record.content for _, record in each} for each in files]
    shared = contents[0] & contents[1]
    own = [[(split, record) for split, record in each if record.content not in shared] for each in files]
    found = compare_documents(*(_documents(stages["corpus"], each) for stages, each in zip((a, b), own, strict=True)))
    lost = _examples(found.only_first[:num_examples], a["corpus"], own[0], b)
    gained = _examples(found.only_second[:num_examples], b["corpus"], own[1], a)
    return Documents(
        a=sum(record.rows for _, record in files[0]),
        b=sum(record.rows for _, record in files[1]),
        num_gained=len(found.only_second),
        num_lost=len(found.only_first),
        num_changed=len(found.changed),
        gained=gained,
        lost=lost,
        changed=_changed_texts(found, num_examples, (a["corpus"], own[0]), (b["corpus"], own[1])),
    )


Files = Sequence[tuple[str, FileRecord]]


def _documents(corpus: PublishedStage, files: Files) -> tuple[Ids, TextHashes]:
    pieces = []
    for split, record in files:
        rows = corpus.read(split, record.part, CORPUS, ["doc_id", "text"])
        hashes = pl.Series(rows["text"]).hash(seed=0).to_numpy()
        pieces.append((parse_doc_ids(rows["doc_id"], record.path), hashes))
    return joined(pieces)


def _rows_of(corpus: PublishedStage, files: Files, ids: Ids, columns: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The rows of a few documents, by doc_id."""
    found: dict[str, dict[str, Any]] = {}
    wanted = format_doc_ids(ids)
    for split, record in files if len(ids) else ():
        here = pc.is_in(corpus.read(split, record.part, CORPUS, ["doc_id"])["doc_id"], value_set=wanted)
        if pc.any(here).as_py():
            rows = corpus.read(split, record.part, CORPUS, ["doc_id", *columns]).filter(here)
            found.update({row["doc_id"]: row for row in rows.to_pylist()})
    return found


def _examples(ids: Ids, corpus: PublishedStage, files: Files, other: Stages) -> list[Example]:
    """Documents of one corpus, with what the other run made of them."""
    rows = _rows_of(corpus, files, ids, ["url", "title", "warc_path", "warc_offset"])
    fates = _fates(other, rows) if rows else {}
    return [
        Example(doc_id=doc_id, url=row["url"], title=row["title"], fate=fates[doc_id])
        for doc_id, row in sorted(rows.items())
    ]


def _changed_texts(
    found: ComparedDocuments, num_examples: int, a: tuple[PublishedStage, Files], b: tuple[PublishedStage, Files]
) -> list[Example]:
    before, after = (_rows_of(*each, found.changed[:num_examples], ["url", "title", "text"]) for each in (a, b))
    return [
        Example(
            doc_id=doc_id,
            url=after[doc_id]["url"],
            title=after[doc_id]["title"],
            texts=shortened(row["text"], after[doc_id]["text"]),
        )
        for doc_id, row in sorted(before.items())
    ]


def _fates(stages: Stages, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What a run made of documents that are not in its corpus, by doc_id: `stage` and `rule`, and why."""
    fates: dict[str, dict[str, Any]] = {}
    if "extract" not in stages:
        return {doc_id: {"stage": "extract", "rule": "not_known"} for doc_id in rows}
    extract = stages["extract"]
    wanted = pa.array(list(rows), pa.string())
    for part in extract.part_names:
        doc_ids = extract.read("documents", part, DOCUMENTS, ["doc_id"])["doc_id"]
        here = doc_ids.filter(pc.is_in(doc_ids, value_set=wanted)).to_pylist()
        for doc_id in here:
            fates[doc_id] = {"stage": "corpus", "rule": "empty_after_edits"}  # unless a stage before has dropped it
        for name in reversed(TRAIL[1:]) if here else ():
            for table, schema in DROPPING_TABLES.items():
                if name in stages and stages[name].has(table, part):
                    dropped = stages[name].read(table, part, schema)
                    for row in dropped.filter(pc.is_in(dropped["doc_id"], value_set=wanted)).to_pylist():
                        fates[row.pop("doc_id")] = {"stage": name, **row}
    missing = {(row["warc_path"], row["warc_offset"]): doc_id for doc_id, row in rows.items() if doc_id not in fates}
    for part in extract.part_names if missing else ():
        refused = extract.read("rejected", part, REJECTED_RECORDS, ["warc_path", "warc_offset", "reason"])
        at = pc.is_in(refused["warc_offset"], value_set=pa.array([offset for _, offset in missing], pa.int64()))
        for row in refused.filter(at).to_pylist():
            doc_id = missing.get((row["warc_path"], row["warc_offset"]))
            if doc_id is not None:
                fates[doc_id] = {"stage": "extract", "rule": row["reason"]}
    for doc_id in missing.values():
        fates.setdefault(doc_id, {"stage": "fetch", "rule": "not_read"})
    _name_kept(extract, fates)
    return fates


def _name_kept(extract: PublishedStage, fates: Mapping[str, dict[str, Any]]) -> None:
    """Give duplicates the URL of the document that was kept in their place."""
    kept = {fate["kept_id"] for fate in fates.values() if fate.get("kept_id") and fate.get("kept_run") is None}
    urls: dict[str, str] = {}
    for part in extract.part_names if kept else ():
        found = extract.read("documents", part, DOCUMENTS, ["doc_id", "url"])
        found = found.filter(pc.is_in(found["doc_id"], value_set=pa.array(sorted(kept), pa.string())))
        urls.update(zip(found["doc_id"].to_pylist(), found["url"].to_pylist(), strict=True))
    for fate in fates.values():
        if "kept_id" in fate:
            fate["kept_url"] = urls.get(fate["kept_id"])


def _compare_tokenizers(a: Stages, b: Stages) -> TokenizerDiff | None:
    """None where there are not two, or they are one."""
    if "tokenizer" not in a or "tokenizer" not in b:
        return None
    manifests = [each["tokenizer"].manifest for each in (a, b)]
    if manifests[0].content_digest("model") == manifests[1].content_digest("model"):
        return None
    pieces = []
    for stages in (a, b):
        with stages["tokenizer"].local_file("model") as path:
            pieces.append(load_tokenizer(path).pieces)
    known = [frozenset(each) for each in pieces]
    lost = [piece for piece in pieces[0] if piece not in known[1]]
    gained = [piece for piece in pieces[1] if piece not in known[0]]
    figures = [dict(_tokenizer_figures(each.metrics)) for each in manifests]
    return TokenizerDiff(
        values=[Values(name=name, a=figures[0].get(name), b=figures[1].get(name)) for name in figures[1]],
        num_gained=len(gained),
        num_lost=len(lost),
        gained=gained[: 2 * _NAMES_SHOWN],
        lost=lost[: 2 * _NAMES_SHOWN],
    )


def _tokenizer_figures(metrics: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "vocab_size", metrics["tokenizer"]["vocab_size"]
    yield "digest", metrics["tokenizer"]["digest"][:12]
    for split, measured in metrics.get("bytes_per_token", {}).items():
        yield f"bytes_per_token ({split})", measured.get("bytes_per_token")


def _compare_scores(a: Run, b: Run) -> list[Values]:
    scores = []
    for run in (a, b):
        trained = run.stage("train")
        found = {name: trained.metrics.get(name) for name in _TRAIN_SCORES} if trained is not None else {}
        scores.append({**found, **run.metrics})
    names = [*scores[0], *(name for name in scores[1] if name not in scores[0])]
    names = [name for name in names if name != "seconds"]
    return [
        Values(name=name, a=scores[0].get(name), b=scores[1].get(name))
        for name in names
        if any(isinstance(each.get(name), int | float) for each in scores)
    ]


def _titled(title: str, lines: Sequence[str]) -> list[str]:
    return ["", title, *(f"  {line}" for line in lines)] if lines else []


def _describe_inputs(inputs: Inputs | None) -> list[str]:
    if inputs is None:
        return []
    lines = []
    for what in ("lost", "gained", "changed"):
        number, names = getattr(inputs, f"num_{what}"), getattr(inputs, what)
        if number:
            lines.append(f"{what} {count(number)}: {', '.join(names)}{', …' if number > len(names) else ''}")
    return lines


def _describe_known(known: Sequence[Values]) -> list[str]:
    return [
        f"{each.name}, by {run} only: {', '.join(own[:_NAMES_SHOWN])}{', …' * (len(own) > _NAMES_SHOWN)}"
        for each in known
        for run, own in (("A", each.a), ("B", each.b))
        if own
    ]


def _describe_counts(stages: Sequence[StageCounts]) -> list[str]:
    lines = []
    for run, own in (
        ("A", [stage.name for stage in stages if stage.documents_in.b is None]),
        ("B", [stage.name for stage in stages if stage.documents_in.a is None]),
    ):
        lines += [f"only {run} has {', '.join(own)}"] if own else []
    for stage in stages:
        if not stage.differs or stage.documents_in.a is None or stage.documents_in.b is None:
            continue
        rows = [Values(name=f"{stage.name} {each.name}", a=each.a, b=each.b) for each in _counts_of(stage)]
        lines += [_side_by_side(each) for each in rows if each.a != each.b]
    return lines


def _counts_of(stage: StageCounts) -> Iterable[Values]:
    return [stage.documents_in, *stage.dropped, stage.documents_out]


def _describe_documents(documents: Documents | None) -> list[str]:
    if documents is None or not (documents.num_gained or documents.num_lost or documents.num_changed):
        return []
    lines = [
        f"{count(documents.a)} -> {count(documents.b)}: {count(documents.num_lost)} lost, "
        f"{count(documents.num_gained)} gained, {count(documents.num_changed)} with another text"
    ]
    for title, run, examples in (("lost", "B", documents.lost), ("gained", "A", documents.gained)):
        for each in examples:
            lines.append(f"{title:<8}{_named(each)}")
            lines.append(f"{'':<8}{run}: {_fate_in_words(each.fate or {})}")
    for each in documents.changed:
        lines.append(f"{'changed':<8}{_named(each)}")
        lines += [f"{'':<8}{run}: {text!r}" for run, text in zip("AB", each.texts or (), strict=False)]
    return lines


def _named(example: Example) -> str:
    title = f"  {one_line(example.title, _TITLE_CHARS)!r}" if example.title else ""
    return f"{one_line(example.url, _URL_CHARS)}{title}  {example.doc_id}"


def _fate_in_words(fate: Mapping[str, Any]) -> str:
    if fate.get("rule") == "not_read":
        return "was not read: no record of its files is that document"
    said = f"dropped at {fate.get('stage')}: {fate.get('rule')}"
    if fate.get("kept_id") is not None:
        earlier = f" of the earlier run {fate['kept_run']}" if fate.get("kept_run") else ""
        said += f" of {one_line(fate.get('kept_url') or fate['kept_id'], _URL_CHARS)}{earlier}"
        if fate.get("similarity") is not None:
            said += f", similarity {fate['similarity']:.3f}, the line is at {fate['threshold']:.3f}"
    elif fate.get("value") is not None:
        said += f", {value(fate['value'])}, the line is at {value(fate.get('threshold'))}"
    return f"{said} ({one_line(fate['evidence'], _VALUE_CHARS)})" if fate.get("evidence") else said


def _describe_tokenizer(tokenizer: TokenizerDiff | None) -> list[str]:
    if tokenizer is None:
        return []
    lines = [
        _side_by_side(each) if isinstance(each.a, int | float) else f"{each.name}: {each.a} -> {each.b}"
        for each in tokenizer.values
        if each.a != each.b
    ]
    for what in ("lost", "gained"):
        number, pieces = getattr(tokenizer, f"num_{what}"), getattr(tokenizer, what)
        if number:
            lines.append(f"{count(number)} pieces {what}: {' '.join(map(repr, pieces))}")
    return lines


def _side_by_side(values: Values) -> str:
    a, b = values.a, values.b
    is_whole = all(isinstance(each, int) for each in (a, b) if each is not None)
    numbers = ["-" if each is None else count(each) if is_whole else f"{each:,.4f}" for each in (a, b)]
    by = ""
    if isinstance(a, int | float) and isinstance(b, int | float):
        by = f"{b - a:+,}" if is_whole else f"{b - a:+,.4f}"
    return f"{values.name:<44} {numbers[0]:>14} {numbers[1]:>14} {by:>12}".rstrip()


def _short(each: Any) -> str:
    return one_line(json.dumps(each, ensure_ascii=False), _VALUE_CHARS)
