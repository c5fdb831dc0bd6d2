"""Deduplication across runs: which earlier runs a run is deduplicated against, and its own entry in their index.

A new run is deduplicated against all entries of its index. A run of sources that have an entry already repeats what
made that entry: it is deduplicated against the same entries as then, so that it gives the same corpus, and never
against itself. Two runs at a time do not see each other: both keep what both have, and `gristmill indexes` says so.

What the corpora of a series of runs have together goes with the order of the runs only where the rules do:
- of equal texts they have one, whatever the order;
- of captures of one URL, and of similar texts, they have those of the run that came first, whatever `dedup.keep` says:
  within a run it decides, but no run takes back what an earlier one kept. In any order whoever was removed has a kept
  document that is verified to be as similar as the threshold, and no two kept ones were found to be; which of them
  stays, and of a chain how many, the order decides.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from flows.recipe import Recipe
from flows.session import Session
from flows.stage import Stage, run_stage, same_parts
from pipeline_lib.dedup.earlier_runs import EarlierRunLost, IndexedDocuments, earlier_input, recorded_parameters
from pipeline_lib.dedup.index_stage import TABLE, IndexParameters, index_part
from storage.digests import value_digest
from storage.indexes import IndexEntry, changed_since, create_entry, entry_path, publish_entry, read_entries
from storage.manifests import MissingStage, PublishedStage, open_stage
from storage.store import Store
from storage.tables import DamagedFile
from storage.wrong_request import WrongRequest

_NAME_DIGITS = 12
_CRAWL = re.compile(r"crawl-data/([A-Za-z0-9][A-Za-z0-9-]{0,63})/")


class IndexMismatch(WrongRequest):
    """The run and its index do not go together; the message says why, and what to do."""


def check_index(session: Session, recipe: Recipe, sources: Mapping[str, PublishedStage]) -> None:
    """Whether this run can be deduplicated against its index, before hours are spent on it.

    Raises:
        IndexMismatch: the sources have an entry that was made by other rules, an entry that they need is gone, or the
            index was signed in another way.
        EarlierRunLost: what an earlier run kept is not in the store any more.
        DamagedEntry: an entry of the index cannot be read.
    """
    if recipe.dedup_index is not None and session.checker is None:
        _open_earlier(session.store, recipe, _entries_before(session.store, recipe, sources))


def earlier_inputs(
    session: Session, recipe: Recipe, judged: Mapping[str, PublishedStage]
) -> Mapping[str, PublishedStage]:
    """The inputs of dedup that are what earlier runs kept; the run's record names them. None without an index."""
    if recipe.dedup_index is None:
        return {}
    if session.checker is not None:
        return session.checker.earlier_inputs()
    entries = _entries_before(session.store, recipe, judged)
    session.run.earlier = [entry.as_earlier_run() for entry in entries]
    if entries:
        session.progress.say(
            f"deduplicated against {sum(entry.documents for entry in entries):,} documents of {len(entries)} earlier "
            f"runs, by the index {recipe.dedup_index}"
        )
    _warn_of_changes(session, recipe.dedup_index)
    return _open_earlier(session.store, recipe, entries)


def index_kept(session: Session, recipe: Recipe, corpus: Mapping[str, PublishedStage]) -> Mapping[str, PublishedStage]:
    """Fingerprints of what is in the corpus, as an entry of the index; without an index, nothing."""
    if recipe.dedup_index is None:
        return corpus
    published = run_stage(
        session,
        Stage(
            name="index",
            work=index_part,
            parts=same_parts(corpus["corpus"]),
            parameters=_parameters(recipe),
            inputs={"signatures": corpus["signatures"], "corpus": corpus["corpus"]},
            libraries=("numba", "numpy", "pyarrow"),
            continues="corpus",
        ),
    )
    stages = {**corpus, "index": published}
    if session.checker is None:
        _add_entry(session, recipe, stages)
    return stages


def _add_entry(session: Session, recipe: Recipe, stages: Mapping[str, PublishedStage]) -> None:
    """Publish the run's entry, unless there is one that says the same."""
    assert recipe.dedup_index is not None
    entries = read_entries(session.store, recipe.dedup_index)
    own = _entry_of(entries, stages)
    against = tuple(session.run.earlier)
    seen = {each.entry for each in against}
    before = max((entry.sequence for entry in entries if entry.name in seen), default=0)
    manifest = stages["index"].manifest
    entry = IndexEntry(
        index=recipe.dedup_index,
        name=own.name if own is not None else _entry_name(recipe, stages),
        sequence=own.sequence if own is not None else before + 1,
        run_id=session.run.run_id,
        recipe_name=session.run.recipe_name,
        sources=_sources_digest(stages),
        rules=recipe.rules_digest(),
        stages={name: stage.manifest.key for name, stage in stages.items()},
        kept=manifest.content_digest(TABLE),
        documents=manifest.account.documents_out,
        bytes=sum(record.bytes for record in manifest.files(TABLE)),
        against=against,
    )
    session.run.paths["index"] = entry_path(entry.index, entry.name)
    if own is None and not create_entry(session.store, entry):
        own = _entry_of(read_entries(session.store, recipe.dedup_index), stages)
    if own is not None:
        _require_same_index(own, entry)
        if replace(entry, run_id=own.run_id, recipe_name=own.recipe_name, sequence=own.sequence) == own:
            return
        publish_entry(session.store, entry)
    _warn_of_changes(session, recipe.dedup_index)


def _require_same_index(own: IndexEntry, entry: IndexEntry) -> None:
    """Refuse to take the place of an entry that another run of the same sources has published since this one began.

    A run of sources that have an entry is deduplicated against what that one was; this one began without.
    """
    theirs, ours = ([each.entry for each in given.against] for given in (own, entry))
    if theirs != ours:
        raise IndexMismatch(
            f"run {own.run_id} has read the same sources meanwhile, and entered in the index {own.index} what it kept "
            f"when deduplicated against {', '.join(theirs) or 'no other run'}; this run was against "
            f"{', '.join(ours) or 'no other run'}. Run again: it gives the corpus that the index names"
        )


def _entries_before(store: Store, recipe: Recipe, sources: Mapping[str, PublishedStage]) -> list[IndexEntry]:
    """The entries that a run of these sources is to be deduplicated against, in order."""
    assert recipe.dedup_index is not None
    entries = read_entries(store, recipe.dedup_index)
    own = _entry_of(entries, sources)
    if own is None:
        return entries
    place = store.full_path(entry_path(own.index, own.name))
    if own.rules != recipe.rules_digest():
        raise IndexMismatch(
            f"run {own.run_id} has read these sources, and what it kept by other rules is in the index {own.index} "
            f"(entry {own.name}). Another corpus in its place would leave later runs without the documents that they "
            "removed for its sake. Take another index (--set dedup_index=NAME), or none (--set dedup_index=null); "
            f"where the corpus of that run is not used any more, remove {place}"
        )
    current = {entry.name: entry for entry in entries}
    gone = [each.entry for each in own.against if each.entry not in current]
    if gone:
        raise IndexMismatch(
            f"run {own.run_id} has read these sources and was deduplicated against {', '.join(gone)}, which the index "
            f"{own.index} has no more: run the recipe of these first, or remove {place} to make this a new run"
        )
    return [current[each.entry] for each in own.against]


def _open_earlier(store: Store, recipe: Recipe, entries: Sequence[IndexEntry]) -> dict[str, PublishedStage]:
    parameters = _parameters(recipe)
    inputs = {}
    for position, entry in enumerate(entries, start=1):
        try:
            index = open_stage(store, entry.address)
            IndexedDocuments(index, entry.name, recipe.dedup.banding()).check()
        except (MissingStage, DamagedFile, EarlierRunLost) as error:
            raise EarlierRunLost(
                f"the index {entry.index} names what run {entry.run_id} kept (entry {entry.name}), which cannot be "
                f"read: {error}. Run the recipe of that run again ({entry.recipe_name}), or remove "
                f"{store.full_path(entry_path(entry.index, entry.name))} where its corpus is not used any more"
            ) from error
        signed = recorded_parameters(index).signatures
        if signed != parameters.signatures:
            raise IndexMismatch(
                f"run {entry.run_id}, which is in the index {entry.index}, has {signed}; this run has "
                f"{parameters.signatures}: such signatures cannot be compared. Give dedup the values of that run, or "
                "take another index (--set dedup_index=NAME)"
            )
        inputs[earlier_input(position, entry.name)] = index
    return inputs


def _warn_of_changes(session: Session, index: str) -> None:
    entries = read_entries(session.store, index)
    for entry in entries:
        changed = changed_since(entry, entries)
        if changed:
            session.progress.say(
                f"warning: index {index}: run {entry.run_id} was deduplicated against what {', '.join(changed)} kept "
                "before it changed; run its recipe again, lest documents be in neither corpus or in both"
            )


def _parameters(recipe: Recipe) -> IndexParameters:
    return IndexParameters(signatures=recipe.dedup.signatures(), bands=recipe.dedup.banding().bands)


def _entry_of(entries: Sequence[IndexEntry], stages: Mapping[str, PublishedStage]) -> IndexEntry | None:
    sources = _sources_digest(stages)
    return next((entry for entry in entries if entry.sources == sources), None)


def _sources_digest(stages: Mapping[str, PublishedStage]) -> str:
    """What is read, whoever reads it and wherever it lies: not the key of the stage, which goes with its code, too."""
    selected = stages["select"].manifest.content_digest("ranges") if "select" in stages else None
    return value_digest({"files": _files(stages), "selected": selected})


def _entry_name(recipe: Recipe, stages: Mapping[str, PublishedStage]) -> str:
    """A name that follows from the sources: their crawl, if it is one, and the beginning of their digest."""
    crawls = {found.group(1) if found else None for found in map(_CRAWL.match, _files(stages))}
    crawl = crawls.pop() if len(crawls) == 1 else None
    return f"{recipe.source.crawl or crawl or recipe.source.kind}-{_sources_digest(stages)[:_NAME_DIGITS]}"


def _files(stages: Mapping[str, PublishedStage]) -> Mapping[str, object]:
    """The whole files that are read, by logical path: size and fingerprint."""
    files: Mapping[str, object] = stages["fetch"].manifest.parameters.get("identity", {})
    return files
