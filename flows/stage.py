"""How any stage runs: its key, reuse of what is published, work over the parts, publishing, the account.

The store decides what is done and what is not: Prefect is told, and shows it. A stage whose manifest is there and
whose files have the recorded digests is not run; a part whose record and files are whole is not redone; a damaged one
is named and made again.

A stage may lose something to the world outside: a file that no server gave within its budget. A part says so by rows in
a table `lost`. It is published, so that the run goes on; the next run makes that part again, and what the stages after
it are made of counts as another input as long as something else is lost.

Several runs may work on a store at once. They share the parts of a stage by leases, and whoever publishes first has
made it (see `storage.manifests`); what one reads, no other takes away (see `flows.reuse`).
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.states import Completed
from prefect.utilities.annotations import quote

from flows.code_digest import code_digest
from flows.part_job import PartJob, keep_input
from flows.part_tasks import PartWork, work_on_parts
from flows.reuse import LOST_TABLE, Standing, standing_of
from flows.session import Session, Stopped
from storage.accounts import UnbalancedAccount, add_accounts
from storage.digests import value_digest
from storage.environment import describe_environment, library_versions
from storage.manifests import Manifest, Part, PartRecord, PartResult, PublishedStage, StageAddress, publish_manifest
from storage.parameters import shaping_parameters
from storage.runs import StageOutcome
from storage.store import Store

_KEY_DIGITS = 24  # 96 bits of the key's SHA-256


class StageFailed(RuntimeError):
    """A part could not be made; the message says which, why, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage of a run, as the flows describe it.

    Attributes:
        work: makes one part; a module-level function, unless `in_process`.
        identity: what shapes the output beside parameters and inputs, such as the fingerprints of source files.
        libraries: distributions whose version shapes the output.
        code: modules that shape the output and that the module of `work` does not import.
        continues: the input of which this stage has to account for every document.
        in_process: work in this process even where others are worked on in worker processes.
    """

    name: str
    work: Callable[..., PartResult]
    parts: Sequence[Part]
    parameters: Any
    inputs: Mapping[str, PublishedStage] = field(default_factory=dict)
    identity: Mapping[str, Any] = field(default_factory=dict)
    libraries: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    continues: str | None = None
    in_process: bool = False


def run_stage(session: Session, stage: Stage) -> PublishedStage:
    """The stage's published output: what is there already, or what its work makes now.

    Raises:
        StageFailed: a part failed, after retries where those could help.
    """
    if session.checker is not None:
        return session.checker.check(session, stage)
    began = time.monotonic()
    manifest = unfinished_manifest(stage)
    address = manifest.address
    upstream = [session.futures[name] for name in stage.inputs if name in session.futures]
    session.check_stopping()

    session.use(*(published.manifest.address for published in stage.inputs.values()))
    standing = standing_of(session, address)
    reused = standing.manifest is not None
    num_from_others = 0
    if standing.manifest is not None:
        manifest = standing.manifest
    else:
        session.store.remove_unfinished(address.folder)  # now for the room, afterwards for whoever died meanwhile
        records, upstream, num_from_others = _work_on_parts(session, stage, address, standing, upstream)
        session.store.remove_unfinished(address.folder)
        manifest = _with_parts(manifest, records, stage)
    future = publish_stage.with_options(task_run_name=stage.name).submit(
        quote((session.store, manifest, standing)), wait_for=upstream, return_state=False
    )
    session.num_tasks += 1
    manifest = cast(Manifest, future.result())  # what a State returned by a task holds, is its result
    _compare_rebuilt(session, standing.damaged, manifest)

    seconds = time.monotonic() - began
    session.futures[stage.name] = future
    session.record(
        StageOutcome(
            name=stage.name,
            key=address.key,
            account=manifest.account,
            reused=reused,
            seconds=round(seconds, 3),
            metrics=manifest.metrics,
        ),
        manifest,
    )
    notes = [] if reused else [_fetched(sum(map(_bytes_fetched, manifest.parts)), seconds)]
    if num_from_others:
        notes.append(f"{num_from_others:,} parts made by another run meanwhile")
    session.progress.finished(stage.name, manifest.account, seconds, reused, ", ".join(filter(None, notes)))
    return PublishedStage(store=session.store, manifest=manifest)


def same_parts(upstream: PublishedStage) -> list[Part]:
    """One part for each part of an input."""
    return [Part(name=name) for name in upstream.part_names]


def stage_key(
    name: str,
    parameters: Mapping[str, Any],
    identity: Mapping[str, Any],
    code: str,
    libraries: Mapping[str, str],
    inputs: Mapping[str, str],
) -> str:
    """What a stage's output depends on, as a name: equal keys mean equal output."""
    return value_digest(
        {
            "stage": name,
            "parameters": parameters,
            "identity": identity,
            "code": code,
            "libraries": libraries,
            "inputs": inputs,
        }
    )[:_KEY_DIGITS]


@task(name="publish", cache_policy=NO_CACHE, persist_result=False)
def publish_stage(work: tuple[Store, Manifest, Standing]) -> "State[Manifest]":
    """Publish a stage's manifest, the commit of all its parts; or show that it was there already."""
    store, manifest, standing = work
    if standing.manifest is not None:
        return Completed(name="Cached", message=f"manifest of {manifest.address.folder} verified", data=manifest)
    published = publish_manifest(store, manifest, anew=standing.is_committed)
    return Completed(message=f"{manifest.address.folder}: {len(manifest.parts)} parts", data=published)


def unfinished_manifest(stage: Stage) -> Manifest:
    """The manifest of a stage as far as it is known before any work: its key and what the key is made of."""
    parameters = shaping_parameters(stage.parameters)
    work = stage.work
    while hasattr(work, "func"):  # functools.partial
        work = work.func
    code = code_digest([work.__module__, *stage.code])
    libraries = library_versions(stage.libraries)
    inputs = {name: published.manifest.key for name, published in sorted(stage.inputs.items())}
    lost = {
        name: published.manifest.content_digest(LOST_TABLE)
        for name, published in sorted(stage.inputs.items())
        if published.manifest.files(LOST_TABLE)
    }
    identity = {**stage.identity, **({"lost": lost} if lost else {})}
    key = stage_key(stage.name, parameters, identity, code, libraries, inputs)
    return Manifest(
        stage=stage.name,
        key=key,
        parameters={**parameters, **({"identity": identity} if identity else {})},
        code_digest=code,
        libraries=libraries,
        inputs=inputs,
        parts=(),
        account=add_accounts(()),
        metrics={},
        environment={},
        seconds=0.0,
    )


def _bytes_fetched(part: PartRecord) -> int:
    num_bytes: int = part.metrics.get("bytes_fetched", 0)
    return num_bytes


def _fetched(num_bytes: int, seconds: float) -> str:
    """How much came from servers, and how fast; empty where nothing did."""
    return f"{num_bytes / 1e6:,.1f} MB fetched, {num_bytes / 1e6 / max(seconds, 1e-3):,.1f} MB/s" if num_bytes else ""


def _work_on_parts(
    session: Session,
    stage: Stage,
    address: StageAddress,
    standing: Standing,
    upstream: Sequence[PrefectFuture[Any]],
) -> tuple[list[PartRecord], list[PrefectFuture[Any]], int]:
    """The records of all parts in order, the futures that made them, and how many parts other runs made meanwhile."""
    inputs = {name: published.manifest.address for name, published in stage.inputs.items()}
    versions = {name: published.manifest.version_digest for name, published in stage.inputs.items()}
    for published in stage.inputs.values():
        keep_input(published)

    def job_of(part: Part) -> PartJob:
        return PartJob(
            store_url=session.store.url,
            address=address,
            part=part,
            inputs=inputs,
            versions=versions,
            parameters=stage.parameters,
            work=stage.work,
        )

    missing = [part for part in stage.parts if part.name not in standing.whole]
    began = time.monotonic()
    num_bytes = 0
    lock = threading.Lock()
    with session.progress.stage(stage.name, len(stage.parts)) as progress:

        def advance(record: PartRecord) -> None:
            nonlocal num_bytes
            with lock:
                num_bytes += _bytes_fetched(record)
                progress.advance(_fetched(num_bytes, time.monotonic() - began))

        work = PartWork(
            session=session,
            stage=stage.name,
            address=address,
            standing=standing,
            job_of=job_of,
            in_process=stage.in_process,
            advance=advance,
        )
        progress.reach(len(stage.parts) - len(missing))
        futures, failures = work_on_parts(work, missing, upstream)
    records = {**standing.whole, **work.records}
    real = {name: error for name, error in failures.items() if not isinstance(error, Stopped)}
    if failures:
        name, error = min((real or failures).items())
        raise StageFailed(
            f"stage {stage.name}, {name}: {type(error).__name__}: {error}\n"
            f"{len(records)} of {len(stage.parts)} parts are published and stay; the next run continues from there."
        ) from error
    return [records[part.name] for part in stage.parts], futures or list(upstream), len(work.from_others)


def _with_parts(manifest: Manifest, parts: Sequence[PartRecord], stage: Stage) -> Manifest:
    """The manifest with its parts, after checking that nothing was lost between the input and here."""
    account = add_accounts(part.account for part in parts)
    if stage.continues is not None:
        given = stage.inputs[stage.continues].manifest.account
        if given.documents_out != account.documents_in:
            raise UnbalancedAccount(
                f"stage {stage.name} took {account.documents_in} {account.unit_in}, "
                f"but {stage.continues} gave {given.documents_out} {given.unit_out}"
            )
    return replace(
        manifest,
        parts=tuple(parts),
        account=account,
        metrics=dict(parts[0].metrics) if len(parts) == 1 else {},
        environment=describe_environment(stage.libraries),
        seconds=round(sum(part.metrics.get("seconds", 0.0) for part in parts), 3),
    )


def _compare_rebuilt(session: Session, damaged: Mapping[str, PartRecord], manifest: Manifest) -> None:
    for part in manifest.parts:
        before = damaged.get(part.name)
        if before is not None and _contents(before) != _contents(part):
            session.warn(f"{manifest.stage}: {part.name} was made again with other content than was published before")


def _contents(part: PartRecord) -> list[tuple[str, str]]:
    return [(file.path, "" if file.varies else file.content) for file in part.files]
