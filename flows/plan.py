"""What a recipe will take, before it is run: from a few of its files that are run, or from runs that there were.

The sample is a real run of the recipe on some of its files, in the same store, without the recipe's index and up to the
corpus: what a tokenizer and a model take depends on their parameters, not on the corpus.
"""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from pydantic import ValidationError

from flows.plan_measures import PartMeasure, StageMeasure, measure, totals
from flows.plan_model import Estimate, StageEstimate, Whole, added, estimate, kept_documents, wall_seconds
from flows.recipe import Recipe, SourceParameters
from flows.resources import workers_that_fit
from flows.source_checks import impatient
from pipeline_lib.crawl.addresses import is_local
from pipeline_lib.crawl.listing import choose_paths, list_crawl_files, named_urls
from pipeline_lib.crawl.remote import Remote
from pipeline_lib.text_files.finding import find_files
from storage.environment import describe_environment
from storage.parameters import shaping_parameters
from storage.plans import Plan, list_plans, new_plan_id, save_plan
from storage.runs import Run, list_runs
from storage.store import Store
from storage.wrong_request import WrongRequest

_CHOICE = {"files", "every", "sample", "seed", "crawl", "base_url", "index_server"}
_BASE_MEMORY_BYTES = 1_500_000_000  # the run's own process, Prefect's server, and the system
_BUSY = 1.5  # wall time over CPU time, of parts that wait for no server
_MEMORY_PER_DOCUMENT = 130  # of deduplication, which then uses what `dedup.memory_bytes` allows


class NothingToMeasure(WrongRequest):
    """No sample can be taken of the recipe's source, and no run of it is there."""


@dataclass(frozen=True, kw_only=True)
class Basis:
    """The run that is measured, and how many times as much input the recipe has."""

    run: Run
    kind: str  # `this recipe`, `an earlier run` or `a sample`
    whole: Whole
    measured: int
    of: int
    unit: str


@dataclass(frozen=True, kw_only=True)
class Input:
    """How many files a recipe reads, and of how many bytes together; None where not all say."""

    count: int
    num_bytes: int | None = None


def plan(
    recipe: Recipe,
    store: Store,
    *,
    sample_files: int,
    workers: Sequence[int],
    run_sample: Callable[[Recipe], Run],
    say: Callable[[str], None],
) -> Plan:
    """Make a plan and store it.

    Args:
        recipe: with the id of a crawl, not `latest`.
        run_sample: runs a recipe on the store; called where no earlier run has so many files.

    Raises:
        NothingToMeasure: the source can only be run as a whole, and was not yet.
    """
    basis = _basis(recipe, store, sample_files, run_sample, say)
    measures = measure(store, basis.run)
    stages = estimate(measures, basis.whole)
    now = datetime.now(UTC)
    made = Plan(
        plan_id=new_plan_id(recipe.name, now),
        created_at=now.isoformat(timespec="seconds"),
        recipe_name=recipe.name,
        recipe_digest=recipe.digest(),
        basis={
            "kind": basis.kind,
            "run_id": basis.run.run_id,
            "measured": basis.measured,
            "of": basis.of,
            "unit": basis.unit,
            "scale": round(basis.whole.scale, 4),
            "by": "size" if basis.whole.sizes else "number",
        },
        expected=_expected(recipe, measures, basis.whole, stages, workers),
        stages=tuple(stage.as_json() for stage in stages),
        notes=tuple(_notes(recipe, basis, measures, stages)),
        environment=describe_environment(()),
    )
    save_plan(store, made)
    return made


def sampled(recipe: Recipe, num_files: int, of: int) -> Recipe:
    """The recipe on about so many of its `of` files, spread over all of them, up to the corpus, in no index."""
    source = recipe.source
    step = max(1, of // max(num_files, 1))
    if source.index is not None:
        limit = source.index.max_records
        wanted = num_files * source.work_list.part_records
        source = replace(
            source, index=replace(source.index, max_records=wanted if limit is None else min(limit, wanted))
        )
    elif source.kind in ("commoncrawl", "warc"):
        if source.files is None and source.every == 1:
            wanted = num_files if source.sample is None else min(num_files, source.sample)
            source = replace(source, sample=wanted)
        else:
            source = replace(source, every=source.every * step, files=num_files)
    if source.texts:
        found = find_files(source.texts)
        text_step = max(1, len(found) // max(1, num_files if source.kind == "texts" else -(-len(found) // step)))
        source = replace(source, texts=tuple(found[::text_step]))
    return recipe.model_copy(
        update={"name": f"{recipe.name}-sample", "goal": "corpus", "source": source, "dedup_index": None}
    )


def compare(store: Store, recipe: Recipe) -> list[dict[str, Any]]:
    """Earlier plans of a recipe beside the first run that completed after each: expected, actual, and their ratio."""
    digest = recipe.digest()
    runs = [run for run in list_runs(store) if run.status == "completed" and run.recipe_digest == digest]
    compared = []
    for made in list_plans(store, digest):
        run = next((run for run in runs if run.created_at >= made.created_at), None)
        if run is None or run.run_id == made.basis["run_id"]:
            continue
        actual = totals([stage for stage in measure(store, run) if stage.name in {s["name"] for s in made.stages}])
        compared.append(
            {
                "plan_id": made.plan_id,
                "run_id": run.run_id,
                "quantities": {
                    name: {
                        "expected": made.expected[name]["expected"],
                        "actual": value,
                        "ratio": round(made.expected[name]["expected"] / value, 3) if value else None,
                    }
                    for name, value in actual.items()
                },
            }
        )
    return compared


def _measured_fit(peak_memory_bytes: int, memory_bytes: int) -> int:
    """How many worker processes of such a size a memory has room for, beside the run itself; at least one."""
    return max(1, (memory_bytes - _BASE_MEMORY_BYTES) // max(peak_memory_bytes, 1))


def _expected(
    recipe: Recipe,
    measures: Sequence[StageMeasure],
    whole: Whole,
    stages: Sequence[StageEstimate],
    workers: Sequence[int],
) -> dict[str, Any]:
    documents = kept_documents(measures, whole) or Estimate(expected=0.0)
    requests = sum(stage.requests for stage in stages)
    rate = recipe.fetch.requests_per_second
    peaks = [stage.peak_memory_bytes for stage in stages if stage.peak_memory_bytes and not stage.is_whole]
    memory = psutil.virtual_memory().total
    return {
        "documents": documents.as_json(),
        "cpu_seconds": added(stages, lambda stage: stage.cpu_seconds).as_json(),
        "bytes": added(stages, lambda stage: stage.bytes).as_json(),
        "peak_bytes": Estimate(
            expected=sum(stage.bytes.expected for stage in stages) + max(stage.scratch for stage in stages)
        ).as_json(),
        "fetched": Estimate(expected=sum(stage.fetched for stage in stages)).as_json(),
        "requests": Estimate(expected=requests).as_json(),
        "request_seconds": Estimate(expected=requests / rate).as_json(),
        "wall_seconds": {str(number): wall_seconds(stages, number, rate).as_json() for number in workers},
        "memory": {
            "worker_bytes": max(peaks, default=None),
            "machine_bytes": memory,
            "workers_that_fit": _measured_fit(max(peaks), memory) if peaks else workers_that_fit(recipe, memory),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "dedup_bytes": round(
                min(
                    _MEMORY_PER_DOCUMENT * next((each.documents_in for each in stages if each.name == "dedup"), 0.0),
                    recipe.dedup.memory_bytes or math.inf,
                )
            ),
        },
    }


def _basis(
    recipe: Recipe,
    store: Store,
    sample_files: int,
    run_sample: Callable[[Recipe], Run],
    say: Callable[[str], None],
) -> Basis:
    digest = recipe.digest()
    earlier = [run for run in reversed(list_runs(store)) if run.status == "completed"]
    for run in earlier:
        if run.recipe_digest == digest and (count := len(_files_of(store, run))):
            return Basis(
                run=run,
                kind="this recipe",
                whole=Whole(scale=1.0, num_parts=count),
                measured=count,
                of=count,
                unit="files" if recipe.source.index is None else "parts",
            )
    given = _input(recipe)
    wanted = min(sample_files, given.count)
    alike = [(len(_files_of(store, run)), run) for run in earlier if _is_alike(recipe, run)]
    enough = [(count, run) for count, run in alike if count >= wanted]
    if enough:
        _, run = max(enough, key=lambda each: each[0])
        return _scaled(recipe, store, run, "an earlier run", given)
    what = f"{wanted:,} of {given.count:,} files" if recipe.source.index is None else "records of the index"
    say(f"running a sample: {what}")
    return _scaled(recipe, store, run_sample(sampled(recipe, wanted, given.count)), "a sample", given)


def _scaled(recipe: Recipe, store: Store, run: Run, kind: str, given: Input) -> Basis:
    files = _files_of(store, run)
    select = run.stage("select")
    if select is not None and recipe.source.index is not None:
        there = select.account.documents_out + select.account.dropped.get("over_max_records", 0)
        wanted = min(there, recipe.source.index.max_records or there)
        taken = max(1, select.account.documents_out)
        parts = max(len(files), round(wanted / recipe.source.work_list.part_records))
        whole = Whole(scale=wanted / taken, num_parts=parts)
        return Basis(run=run, kind=kind, whole=whole, measured=taken, of=wanted, unit="records")
    sizes = {part.name: float(part.source_bytes) for part in files}
    if given.num_bytes is not None and all(sizes.values()):
        whole = Whole(scale=given.num_bytes / sum(sizes.values()), num_parts=given.count, sizes=sizes)
    else:
        whole = Whole(scale=given.count / max(len(files), 1), num_parts=given.count)
    return Basis(run=run, kind=kind, whole=whole, measured=len(files), of=given.count, unit="files")


def _files_of(store: Store, run: Run) -> Sequence[PartMeasure]:
    """The parts of fetching of a run: a file each, or a part of a selection of records."""
    fetch = next((stage for stage in measure(store, run) if stage.name == "fetch"), None)
    return () if fetch is None else fetch.parts


def _input(recipe: Recipe) -> Input:
    """The files that the recipe reads; of those that an index selects from, which are not known, one."""
    source = recipe.source
    remote = Remote(impatient(recipe.fetch))
    if source.kind == "documentation":
        raise NothingToMeasure(
            "documentation is rendered as a whole: no sample can be taken of it. Run the recipe, which takes minutes; "
            "after that, `gristmill plan` tells what it took"
        )
    texts = find_files(source.texts) if source.texts else []
    if source.index is not None:
        return Input(count=1 + len(texts))
    if source.kind == "commoncrawl":
        return Input(count=len(list_crawl_files(remote, source.selection())) + len(texts))
    pages = [] if source.kind == "texts" else named_urls(remote, source.paths, base_url=source.base_url)
    chosen = choose_paths(pages, source.files, every=source.every, sample=source.sample, seed=source.seed)
    files = [*chosen, *texts]
    is_known = all(is_local(file) for file in files) and (source.sample is None or len(chosen) == len(pages))
    return Input(count=len(files), num_bytes=sum(Path(file).stat().st_size for file in files) if is_known else None)


def _is_alike(recipe: Recipe, run: Run) -> bool:
    """Whether a run did the same to other files of the same source."""
    try:
        other = Recipe.model_validate(run.recipe)
    except ValidationError:
        return False  # of another version of the program
    return other.rules_digest() == recipe.rules_digest() and _kind_of(other.source) == _kind_of(recipe.source)


def _kind_of(source: SourceParameters) -> Mapping[str, Any]:
    shaping = shaping_parameters(source)
    if shaping["index"] is not None:
        shaping["index"] = {
            name: value for name, value in shaping["index"].items() if name not in ("max_records", "seed")
        }
    return {name: value for name, value in shaping.items() if name not in _CHOICE}


def _notes(
    recipe: Recipe, basis: Basis, measures: Sequence[StageMeasure], stages: Sequence[StageEstimate]
) -> list[str]:
    notes = []
    if basis.whole.scale > 1:
        notes.append(
            "by stage, documents are those of the sample, scaled; those kept are fewer, as more files have more copies "
            "of each other's pages"
        )
    if basis.measured < 3 and basis.whole.scale > 1 and basis.unit == "files":
        notes.append(f"{basis.measured} files show hardly how much files differ: take more with --sample-files")
    whole = [f"{stage.name} (power {stage.exponent:g})" for stage in stages if stage.is_whole]
    if whole:
        notes.append(f"in one process, by a power of the documents: {', '.join(whole)}; all others by their parts")
    if recipe.dedup_index is not None:
        notes.append(f"what earlier runs in the index {recipe.dedup_index} kept is not taken off")
    if recipe.goal != "corpus" and not any(measure.name == "tokens" for measure in measures):
        notes.append("tokenizer, tokens, training and evaluation are not in it: the sample ends with the corpus")
    waited = sum(each.seconds.expected for each in stages) / max(
        1e-9, sum(each.cpu_seconds.expected for each in stages)
    )
    if waited > _BUSY and not sum(stage.requests for stage in stages):
        notes.append(
            f"parts took {waited:.1f} times their CPU time: the machine was busy with something else, and the times on "
            "so many workers are those of such a machine"
        )
    if any(part.peak_memory_bytes is None for measure in measures for part in measure.parts):
        notes.append(
            "some parts were made by a version that measured no CPU time and memory: their wall time stands in"
        )
    if recipe.source.texts and recipe.source.kind != "texts":
        notes.append("WARC files and files of texts are counted alike")
    return notes
