"""The work on the parts of a stage: some parts to a Prefect task, each part under a lease that other runs see.

A task costs Prefect 5 to 40 ms of CPU, its server's included, so that a task a part would cost more than the work on
small parts. Tasks get smaller towards the end of a stage: no worker is left alone with many parts.

A part that another run is making is put back, and looked at again when the others of the task are done.
"""

import errno
import logging
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.futures import PrefectFuture, as_completed
from prefect.states import Completed
from prefect.tasks import Task
from prefect.utilities.annotations import quote

from flows.engines.failures import WorkerDied
from flows.part_job import PartJob, make_part
from flows.part_log import Logged, call_logged, lines_of, say_again
from flows.reuse import Standing
from flows.session import Session, Stopped, task_log
from storage.leases import Holder
from storage.manifests import Part, PartRecord, StageAddress, damage, read_part_record
from storage.wrong_request import WrongRequest

_TASKS_PER_WORKER = 8
_MAX_TASKS = 256
_RETRIES = 2
_RETRY_SECONDS = [2.0, 10.0]
_FIRST_LOOK_SECONDS = 0.1
_LAST_LOOK_SECONDS = 2.0


class PartFailed(RuntimeError):
    """A part could not be made, and why."""

    def __init__(self, part: str, cause: Exception) -> None:
        super().__init__(f"{part}: {type(cause).__name__}: {cause}")
        self.part = part
        self.cause = cause


@dataclass(kw_only=True)
class PartWork:
    """The work on the parts of one stage; its methods may be called from any thread.

    Attributes:
        job_of: what a worker needs to make a part, but for lease and damage.
        advance: hears of every part that is done, with its record.
        records: the parts that are done.
        from_others: names of parts that another run made while this one waited for them.
    """

    session: Session
    stage: str
    address: StageAddress
    standing: Standing
    job_of: Callable[[Part], PartJob]
    in_process: bool
    advance: Callable[[PartRecord], None]
    records: dict[str, PartRecord] = field(default_factory=dict)
    from_others: set[str] = field(default_factory=set)
    _told: set[str] = field(default_factory=set, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def finish(self, parts: Sequence[Part]) -> int:
        """Have all of these parts made; how many of them were made here.

        Raises:
            PartFailed: one of them failed. Where trying again may help, the others were made first.
            Stopped: the run is ending.
        """
        made = 0
        failed: list[PartFailed] = []
        waiting = [part for part in parts if part.name not in self.records]
        pause = _FIRST_LOOK_SECONDS
        while waiting:
            held = []
            for part in waiting:
                self.session.check_stopping()
                try:
                    outcome = self._part(part)
                except Stopped:
                    raise
                except Exception as error:
                    failed.append(PartFailed(part.name, error))
                    failed[-1].__cause__ = error
                    if not is_worth_retrying(error):
                        raise failed[-1] from error
                    continue
                if outcome is None:
                    held.append(part)
                else:
                    made += outcome
            pause = _FIRST_LOOK_SECONDS if len(held) < len(waiting) else min(2 * pause, _LAST_LOOK_SECONDS)
            waiting = held
            if waiting:
                self.session.stopping.wait(pause)
        if failed:
            raise failed[0]
        return made

    def _part(self, part: Part) -> bool | None:
        """Whether a part was made here, False where it was there; None where another run is making it."""
        name = part.name
        damaged = self.standing.damaged.get(name)
        found = None if damaged is not None else self.standing.recorded.get(name)
        if found is not None:
            wrong = damage(self.session.store, self.address, found)
            if wrong is None:
                self._done(found)
                return False
            self.session.warn(f"{self.stage}: {name} is damaged ({wrong}); making it again")
            damaged = found
        taken = self.session.leases.acquire(f"{self.address.stage}-{self.address.key}-{name}")
        if isinstance(taken, Holder):
            self._tell_of(taken, name)
            return None
        try:
            record = self._made_meanwhile(name, damaged)
            is_ours = record is None
            if record is None:
                job = replace(self.job_of(part), claim=taken.claim)
                if damaged is not None:
                    alone = not self.session.other_users(self.address)
                    job = replace(job, damaged=damaged, may_change=alone)
                record = self._make(job)
            else:
                self.from_others.add(name)
        finally:
            self.session.leases.release(taken)
        self._done(record)
        return is_ours

    def _make(self, job: PartJob) -> PartRecord:
        """Make one part where the runner works, and say in this task's log what was logged there."""
        logger, part = task_log(), job.part.name
        try:
            logged: Logged[PartRecord] = self.session.runner.call(
                call_logged, make_part, job, in_process=self.in_process
            )
        except Exception as error:
            say_again(lines_of(error), part, logger)
            raise
        say_again(logged.lines, part, logger)
        worst = max(logged.lines, key=lambda line: line.level, default=None)
        if worst is not None and worst.level >= logging.WARNING and self.stage not in self.session.warned:
            self.session.warned.add(self.stage)
            self.session.progress.say(
                f"warning: {self.stage}/{part}: {worst.first_line} (all of it is in the task's log)"
            )
        return logged.result

    def _made_meanwhile(self, name: str, damaged: PartRecord | None) -> PartRecord | None:
        """The record of a part that another run has made, or mended, since this one looked."""
        record = read_part_record(self.session.store, self.address, name)
        if record is not None and damaged is not None and damage(self.session.store, self.address, record) is not None:
            return None
        return record

    def _done(self, record: PartRecord) -> None:
        self.records[record.name] = record
        self.advance(record)

    def _tell_of(self, holder: Holder, part: str) -> None:
        with self._lock:
            if holder.run in self._told:
                return
            self._told.add(holder.run)
        self.session.say(f"{self.stage}: waits for {part}, which {holder} is making")


def work_on_parts(
    work: PartWork, parts: Sequence[Part], upstream: Sequence[PrefectFuture[Any]]
) -> tuple[list[PrefectFuture[Any]], dict[str, BaseException]]:
    """Give all parts to Prefect and wait for them: the futures, and why which parts failed.

    After the first failure nothing more is begun.
    """
    session = work.session
    futures: dict[PrefectFuture[Any], str] = {}
    for batch in batches(parts, session.runner.places()):
        named = work_on_batch.with_options(task_run_name=f"{work.stage}/{batch_name(batch)}")
        futures[named.submit(quote((work, batch)), wait_for=upstream, return_state=False)] = batch[0].name
        session.num_tasks += 1
    failures: dict[str, BaseException] = {}
    for future in as_completed(list(futures)):
        outcome = future.result(raise_on_failure=False)
        if isinstance(outcome, PartFailed):
            failures[outcome.part] = outcome.cause
        elif isinstance(outcome, BaseException):
            failures[futures[future]] = outcome
        if failures:
            session.stopping.set()
    return list(futures), failures


def batches(parts: Sequence[Part], workers: int) -> list[Sequence[Part]]:
    """Parts in tasks: the first hold an equal share of eight for each worker, the last ones less and less."""
    largest = math.ceil(len(parts) / min(_TASKS_PER_WORKER * workers, _MAX_TASKS))
    found = []
    start = 0
    while start < len(parts):
        left = len(parts) - start
        size = min(largest, math.ceil(left / (2 * workers)))
        found.append(parts[start : start + size])
        start += size
    return found


def batch_name(batch: Sequence[Part]) -> str:
    first, last = batch[0].name, batch[-1].name
    return first if len(batch) == 1 else f"{first}..{last}"


def is_worth_retrying(error: BaseException) -> bool:
    """Disks and killed workers may do better next time; a wrong input or a full disk will not, nor will a network,
    which was given its time already."""
    if isinstance(error, FileNotFoundError | WrongRequest):
        return False
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return False
    return isinstance(error, OSError | WorkerDied | TimeoutError)


def _retry_condition(task: Task[..., Any], task_run: TaskRun, state: "State[Any]") -> bool:
    error = state.result(raise_on_failure=False)
    return isinstance(error, PartFailed) and is_worth_retrying(error.cause)


@task(
    name="work",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=_RETRIES,
    retry_delay_seconds=_RETRY_SECONDS,
    retry_condition_fn=_retry_condition,
)
def work_on_batch(given: tuple[PartWork, Sequence[Part]]) -> "State[None]":
    """Have some parts made, unless an earlier run left them whole or another makes them."""
    work, parts = given
    made = work.finish(parts)
    if not made:
        return Completed(name="Cached", message=f"{len(parts)} parts were there")
    return Completed(message=f"{made} of {len(parts)} parts made")
