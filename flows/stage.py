"""How any stage runs: its key, reuse of what is published, work over the parts, publishing, the account.

The store decides what is done and what is not: Prefect is told, and shows it. A stage whose manifest is there and
whose files have the recorded digests is not run; a part whose record and files are whole is not redone; a damaged one
is named and made again.

A stage may lose something to the world outside: a file that no server gave within its budget. A part says so by rows in
a table `lost`. It is published, so that the run goes on; the next run makes that part again, and what the stages after
it are made of counts as another input as long as something else is lost.
"""

import errno
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.futures import PrefectFuture, as_completed
from prefect.states import Completed
from prefect.tasks import Task
from prefect.utilities.annotations import quote

from flows.code_digest import code_digest
from flows.part_job import PartJob, make_part
from flows.part_log import Logged, call_logged, lines_of, say_again
from flows.runners import WorkerDied
from flows.session import Session, Stopped
from storage.accounts import UnbalancedAccount, add_accounts
from storage.digests import value_digest
from storage.environment import describe_environment, library_versions
from storage.manifests import (
    Manifest,
    Part,
    PartRecord,
    PartResult,
    PublishedStage,
    StageAddress,
    damage,
    manifest_path,
    part_record_path,
    publish_manifest,
    read_manifest,
    read_part_record,
)
from storage.parameters import shaping_parameters
from storage.runs import StageOutcome
from storage.store import Store
from storage.tables import DamagedFile
from storage.wrong_request import WrongRequest

LOST_TABLE = "lost"

_KEY_DIGITS = 24  # 96 bits of the key's SHA-256
_RETRIES = 2
_RETRY_SECONDS = [2.0, 10.0]


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
    began = time.monotonic()
    manifest = _unfinished_manifest(stage)
    address = manifest.address
    upstream = [session.futures[name] for name in stage.inputs if name in session.futures]
    session.check_stopping()

    published, damaged = _published_parts(session, stage, address)
    reused = published is not None
    if published is None:
        session.store.remove_unfinished(address.folder)
        records, upstream = _work_on_parts(session, stage, address, upstream)
        manifest = _with_parts(manifest, records, stage)
    else:
        manifest = published
    future = publish_stage.with_options(task_run_name=stage.name).submit(
        quote((session.store, manifest, reused)), wait_for=upstream, return_state=False
    )
    session.num_tasks += 1
    future.result()
    if damaged and not reused:
        _compare_rebuilt(session, damaged, manifest)

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
    fetched = "" if reused else _fetched(sum(map(_bytes_fetched, manifest.parts)), seconds)
    session.progress.finished(stage.name, manifest.account, seconds, reused, fetched)
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
def publish_stage(work: tuple[Store, Manifest, bool]) -> "State[None]":
    """Publish a stage's manifest, the commit of all its parts; or show that it was there already."""
    store, manifest, reused = work
    if reused:
        return Completed(name="Cached", message=f"manifest of {manifest.address.folder} verified")
    publish_manifest(store, manifest)
    return Completed(message=f"{manifest.address.folder}: {len(manifest.parts)} parts")


def _worth_retrying(task: Task[..., Any], task_run: TaskRun, state: "State[Any]") -> bool:
    """Disks and killed workers may do better next time; a wrong input or a full disk will not, nor will a network,
    which was given its time already."""
    error = state.result(raise_on_failure=False)
    if isinstance(error, FileNotFoundError | WrongRequest):
        return False
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return False
    return isinstance(error, OSError | WorkerDied | TimeoutError)


@task(
    name="work",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=_RETRIES,
    retry_delay_seconds=_RETRY_SECONDS,
    retry_condition_fn=_worth_retrying,
)
def work_on_part(work: tuple[Session, Stage, PartJob]) -> "State[PartRecord]":
    """Make one part, unless an earlier run left it whole."""
    session, stage, job = work
    session.check_stopping()
    store = session.store
    found = read_part_record(store, job.address, job.part.name)
    if found is not None:
        wrong = damage(store, job.address, found)
        if wrong is None and not _has_losses(found):
            return Completed(name="Cached", message="part verified", data=found)
        if wrong is not None:
            _warn(session, f"{stage.name}: {job.part.name} is damaged ({wrong}); making it again")
        store.remove(part_record_path(job.address, job.part.name))
        for file in found.files:
            if file.table == LOST_TABLE:  # perhaps nothing is lost this time, and nobody writes over it
                store.remove(f"{job.address.folder}/{file.path}")
    record = _make_watched(session, stage, job)
    return Completed(message=f"{record.account.documents_out:,} {record.account.unit_out}", data=record)


def _make_watched(session: Session, stage: Stage, job: PartJob) -> PartRecord:
    """Make one part where the runner works, and say in this task's log what was logged there."""
    logger = get_run_logger()
    try:
        logged: Logged[PartRecord] = session.runner.call(call_logged, make_part, job, in_process=stage.in_process)
    except Exception as error:
        say_again(lines_of(error), job.part.name, logger)
        raise
    say_again(logged.lines, job.part.name, logger)
    worst = max(logged.lines, key=lambda line: line.level, default=None)
    if worst is not None and worst.level >= logging.WARNING and stage.name not in session.warned:
        session.warned.add(stage.name)
        session.progress.say(
            f"warning: {stage.name}/{job.part.name}: {worst.first_line} (all of it is in the task's log)"
        )
    return logged.result


def _unfinished_manifest(stage: Stage) -> Manifest:
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


def _published_parts(
    session: Session, stage: Stage, address: StageAddress
) -> tuple[Manifest | None, Mapping[str, PartRecord]]:
    """The committed manifest if all its files are whole; else None and the records of the damaged parts."""
    store = session.store
    try:
        manifest = read_manifest(store, address)
    except DamagedFile as error:
        _warn(session, f"{stage.name}: its manifest is damaged ({error}); parts are checked one by one")
        store.remove(manifest_path(address))
        return None, {}
    if manifest is None:
        return None, {}
    damaged = {}
    for part in manifest.parts:
        wrong = damage(store, address, part)
        if wrong is not None:
            damaged[part.name] = part
            _warn(session, f"{stage.name}: {part.name} is damaged: {wrong}; it is made again")
    if damaged:
        # the manifest goes first: from here on readers see an unfinished stage, not a damaged one
        store.remove(manifest_path(address))
        for name in damaged:
            store.remove(part_record_path(address, name))
        return None, damaged
    lossy = [part.name for part in manifest.parts if _has_losses(part)]
    if lossy:
        _warn(session, f"{stage.name}: trying again what was lost in {', '.join(lossy[:5])}{', …' * (len(lossy) > 5)}")
        store.remove(manifest_path(address))
        return None, {}
    return manifest, {}


def _bytes_fetched(part: PartRecord) -> int:
    num_bytes: int = part.metrics.get("bytes_fetched", 0)
    return num_bytes


def _fetched(num_bytes: int, seconds: float) -> str:
    """How much came from servers, and how fast; empty where nothing did."""
    return f"{num_bytes / 1e6:,.1f} MB fetched, {num_bytes / 1e6 / max(seconds, 1e-3):,.1f} MB/s" if num_bytes else ""


def _has_losses(part: PartRecord) -> bool:
    return any(record.table == LOST_TABLE for record in part.files)


def _work_on_parts(
    session: Session, stage: Stage, address: StageAddress, upstream: Sequence[PrefectFuture[Any]]
) -> tuple[list[PartRecord], list[PrefectFuture[Any]]]:
    """The records of all parts in order, and the futures that made them."""
    inputs = {name: published.manifest.address for name, published in stage.inputs.items()}
    futures: dict[PrefectFuture[Any], str] = {}
    for part in stage.parts:
        job = PartJob(
            store_url=session.store.url,
            address=address,
            part=part,
            inputs=inputs,
            parameters=stage.parameters,
            work=stage.work,
        )
        named = work_on_part.with_options(task_run_name=f"{stage.name}/{part.name}")
        futures[named.submit(quote((session, stage, job)), wait_for=upstream, return_state=False)] = part.name
        session.num_tasks += 1
    records: dict[str, PartRecord] = {}
    failures: dict[str, BaseException] = {}
    began = time.monotonic()
    num_bytes = 0
    with session.progress.stage(stage.name, len(futures)) as progress:
        for future in as_completed(list(futures)):
            outcome = future.result(raise_on_failure=False)
            if isinstance(outcome, PartRecord):
                records[futures[future]] = outcome
                num_bytes += _bytes_fetched(outcome)
            else:
                failures[futures[future]] = outcome
                session.stopping.set()
            progress.advance(_fetched(num_bytes, time.monotonic() - began))
    real = {name: error for name, error in failures.items() if not isinstance(error, Stopped)}
    if failures:
        name, error = min((real or failures).items())
        raise StageFailed(
            f"stage {stage.name}, {name}: {type(error).__name__}: {error}\n"
            f"{len(records)} of {len(futures)} parts are published and stay; the next run continues from there."
        ) from error
    return [records[part.name] for part in stage.parts], list(futures)


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
        if before is not None and [f.content for f in before.files] != [f.content for f in part.files]:
            _warn(session, f"{manifest.stage}: {part.name} was made again with other content than was published before")


def _warn(session: Session, message: str) -> None:
    session.progress.say(f"warning: {message}")
    get_run_logger().warning(message)
