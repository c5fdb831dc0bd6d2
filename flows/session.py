"""What the stages of one run share: the store, the run's record, where parts are worked on, the terminal."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

from flows.flow_run_names import name_with_corpus, tags_at_first, tags_at_last
from flows.lost_runs import beats_elsewhere, close_silent_runs, run_lease
from flows.progress import RunProgress
from flows.recipe import Recipe
from flows.runners import Runner, RunnerName, default_workers
from flows.tracking.opening import check_trackers
from flows.tracking.tracking import Tracking
from storage.environment import describe_environment
from storage.leases import Holder, Lease, Leases
from storage.manifests import Manifest, PublishedStage, StageAddress
from storage.removal_mark import wait_for_removal
from storage.runs import (
    NAME_TAKEN,
    Run,
    RunStatus,
    StageOutcome,
    begin_run,
    new_run_id,
    run_path,
    save_run,
    this_host,
)
from storage.store import Store

if TYPE_CHECKING:
    from flows.showing import Showing
    from flows.stage import Stage

# Recorded with each run, whether or not they shape an output.
_LIBRARIES = (
    "datasketch",
    "fastwarc",
    "fsspec",
    "numba",
    "numpy",
    "polars",
    "prefect",
    "pyarrow",
    "resiliparse",
    "sentencepiece",
    "tokenizers",
    "torch",
    "trafilatura",
)


BegunBy = Literal["run", "schedule", "backfill", "plan"]


class Stopped(RuntimeError):
    """The run is ending: an earlier part failed, or somebody pressed Ctrl-C."""


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How a run is run; nothing here shapes what it makes."""

    store_url: str
    runner: RunnerName = "processes"
    workers: int = field(default_factory=default_workers)
    address: str | None = None  # of a Dask scheduler or Ray cluster that runs already
    pages_url: str | None = None  # where the report page can be read in a browser
    begun_by: BegunBy = "run"


class StageChecker(Protocol):
    """What answers for the stages of a run that is only walked through again: nothing is published, nor recorded."""

    def check(self, session: "Session", stage: "Stage") -> PublishedStage:
        """Look at a stage in place of running it; the published one, from which the walk goes on."""

    def sources(self, find: Callable[[], Mapping[str, PublishedStage]]) -> Mapping[str, PublishedStage]:
        """The stages that `find` gives, or those of the recorded run where its sources cannot be found any more."""

    def earlier_inputs(self) -> Mapping[str, PublishedStage]:
        """What earlier runs kept, that the run was deduplicated against."""


@dataclass(kw_only=True)
class Session:
    """One run in progress. `stopping` is set when no further work is to be begun; `checker`: the run is a recorded one,
    which is walked through again."""

    store: Store
    run: Run
    runner: Runner
    progress: RunProgress
    showing: "Showing"
    tracking: Tracking
    pages_url: str | None = None
    stopping: threading.Event = field(default_factory=threading.Event)
    futures: dict[str, Any] = field(default_factory=dict)  # stage name -> Prefect future of its publishing
    num_tasks: int = 0  # task runs that Prefect was given
    warned: set[str] = field(default_factory=set)  # stages of which the terminal has shown a warning of a worker
    checker: StageChecker | None = None
    leases: Leases = field(init=False)
    _own_lease: Lease | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.leases = Leases(store=self.store, run=self.run.run_id)

    def record(self, outcome: StageOutcome, manifest: Manifest) -> None:
        """Add a stage's outcome to the run's record, in the store at once."""
        self.run.stages.append(outcome)
        save_run(self.store, self.run)
        self.tracking.stage(outcome, manifest, len(self.run.stages))

    def corpus_is(self, digest: str) -> None:
        """Remember the digest of the run's corpus, and call its flow run by it."""
        self.run.corpus_digest = digest
        self.showing.flow_run(name=name_with_corpus(self.run))
        self.tracking.note(corpus_digest=digest)

    def note(self, name: str, stage: PublishedStage, path: str = "") -> None:
        """Remember where a result of the run is, relative to the store."""
        self.run.paths[name] = f"{stage.manifest.address.folder}/{path}".rstrip("/")

    def say(self, message: str) -> None:
        """Tell the person at the terminal, and the run's log on Prefect's pages where this is a flow."""
        self.progress.say(message)
        _log(logging.INFO, message)

    def warn(self, message: str) -> None:
        """Likewise, as a warning."""
        self.progress.say(f"warning: {message}")
        _log(logging.WARNING, message)

    def use(self, *stages: StageAddress) -> None:
        """Tell other runs, before anything is read, that this one reads these stages: they leave them as they are."""
        if self._own_lease is None:
            taken = self.leases.acquire(run_lease(self.run.run_id))
            assert isinstance(taken, Lease), f"run {self.run.run_id} is held by {taken}"
            self._own_lease = taken
        used = dict.fromkeys([*self._own_lease.uses, *(address.folder for address in stages)])
        if len(used) > len(self._own_lease.uses):
            self.leases.tell(self._own_lease, used)

    def other_users(self, address: StageAddress) -> list[Holder]:
        """Runs that are alive and make or read a stage now, besides this one."""
        return self.leases.users(run_lease(""), address.folder)

    def stop(self) -> None:
        """Begin nothing more, and end the workers."""
        self.stopping.set()
        self.runner.close()

    def check_stopping(self) -> None:
        if self.stopping.is_set():
            raise Stopped("the run is ending; what is published stays, and the next run continues from there")


@contextmanager
def open_session(
    recipe: Recipe, settings: RunSettings, flow_run_id: str | None, tags: Sequence[str] = ()
) -> Iterator[Session]:
    """Begin a run's record, and end it as completed, failed or interrupted, with the reason.

    Args:
        tags: that the flow run has already.
    """
    from flows.showing import Showing  # here, not above: it imports Prefect, whose settings must stand before

    store = Store(settings.store_url)
    now = datetime.now(UTC)
    run = Run(
        run_id=_free_run_id(store, recipe.name, now),
        recipe_name=recipe.name,
        recipe=recipe.model_dump(mode="json"),
        recipe_digest=recipe.digest(),
        created_at=now.isoformat(timespec="seconds"),
        host=this_host(),
        pid=os.getpid(),
        flow_run_id=flow_run_id,
        environment=describe_environment(_LIBRARIES),
        settings={
            "runner": settings.runner,
            "workers": settings.workers,
            "address": settings.address,
            "begun_by": settings.begun_by,
        },
    )
    check_trackers(recipe.tracking)
    begin_run(store, run)
    progress = RunProgress()

    def warn(message: str) -> None:
        progress.say(f"warning: {message}")

    showing = Showing(flow_run_id, warn)
    training = recipe.training
    tracking = Tracking(
        recipe.tracking,
        store,
        run,
        rates={"vectors": training.vector_learning_rate / training.matrix_learning_rate},
        warn=warn,
    )
    if "tensorboard" in recipe.tracking:
        run.paths["tensorboard"] = f"runs/{run.run_id}/tensorboard"
    session = Session(
        store=store,
        run=run,
        runner=Runner(
            name=settings.runner,
            workers=settings.workers,
            address=settings.address,
            worker_memory_bytes=recipe.resources.worker_memory_bytes,
        ),
        progress=progress,
        showing=showing,
        tracking=tracking,
        pages_url=settings.pages_url,
    )
    progress.reached = showing.progress
    tags = tags_at_first(recipe, run, store.url, tags)
    showing.flow_run(tags=tags)
    status: RunStatus = "failed"
    began = time.monotonic()
    elsewhere = beats_elsewhere(session.leases)
    with session.leases:
        try:
            session.use()
            session.runner.start(store.url, marker=run_path(run.run_id))
            with session.progress:
                wait_for_removal(store, session.progress.say)  # after the record is written: see there
                yield session
            status = "completed"
        except Exception as error:
            run.error = f"{type(error).__name__}: {error}"
            raise
        except BaseException:  # Ctrl-C, or the end signal, for which Prefect has an exception of its own
            status, run.error = "interrupted", "stopped by hand; run again to continue"
            session.stop()
            raise
        finally:
            run.status = status
            run.finished_at = datetime.now(UTC).isoformat(timespec="seconds")
            save_run(store, run)
            session.runner.close()
            close_silent_runs(session.leases, elsewhere, time.monotonic() - began)
            showing.flow_run(tags=[*tags, *tags_at_last(run)])
            tracking.close(run)
            showing.close()


def _log(level: int, message: str) -> None:
    log = _flow_log()
    if log is not None:
        log.log(level, message)


def task_log() -> "logging.LoggerAdapter[Any] | logging.Logger":
    """The log of this task on Prefect's pages; one of ours where this is none."""
    return _flow_log() or logging.getLogger(__name__)


def _flow_log() -> "logging.LoggerAdapter[Any] | logging.Logger | None":
    # here, not above: this module is imported before the address of Prefect's server stands in the environment
    from prefect import get_run_logger
    from prefect.exceptions import MissingContextError

    try:
        return get_run_logger()
    except MissingContextError:
        return None


def _free_run_id(store: Store, recipe_name: str, now: datetime) -> str:
    """An id that no other run has, also where two begin in the same second."""
    while True:
        run_id = new_run_id(recipe_name, now)
        if store.create_bytes(run_path(run_id), NAME_TAKEN):
            return run_id
