"""What the stages of one run share: the store, the run's record, where parts are worked on, the terminal."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psutil

from flows.progress import RunProgress
from flows.recipe import Recipe
from flows.runners import Runner, RunnerName, default_workers
from storage.environment import describe_environment
from storage.manifests import PublishedStage
from storage.runs import Run, RunStatus, StageOutcome, begin_run, list_runs, new_run_id, save_run, this_host
from storage.store import Store

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


class Stopped(RuntimeError):
    """The run is ending: an earlier part failed, or somebody pressed Ctrl-C."""


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How a run is run; nothing here shapes what it makes."""

    store_url: str
    runner: RunnerName = "processes"
    workers: int = field(default_factory=default_workers)
    pages_url: str | None = None  # where the report page can be read in a browser


@dataclass(kw_only=True)
class Session:
    """One run in progress. `stopping` is set when no further work is to be begun."""

    store: Store
    run: Run
    runner: Runner
    progress: RunProgress
    pages_url: str | None = None
    stopping: threading.Event = field(default_factory=threading.Event)
    futures: dict[str, Any] = field(default_factory=dict)  # stage name -> Prefect future of its publishing
    num_tasks: int = 0  # task runs that Prefect was given

    def record(self, outcome: StageOutcome) -> None:
        """Add a stage's outcome to the run's record, in the store at once."""
        self.run.stages.append(outcome)
        save_run(self.store, self.run)

    def note(self, name: str, stage: PublishedStage, path: str = "") -> None:
        """Remember where a result of the run is, relative to the store."""
        self.run.paths[name] = f"{stage.manifest.address.folder}/{path}".rstrip("/")

    def stop(self) -> None:
        """Begin nothing more, and end the workers."""
        self.stopping.set()
        self.runner.close()

    def check_stopping(self) -> None:
        if self.stopping.is_set():
            raise Stopped("the run is ending; what is published stays, and the next run continues from there")


@contextmanager
def open_session(recipe: Recipe, settings: RunSettings, flow_run_id: str | None) -> Iterator[Session]:
    """Begin a run's record, and end it as completed, failed or interrupted, with the reason."""
    store = Store(settings.store_url)
    now = datetime.now(UTC)
    run = Run(
        run_id=new_run_id(recipe.name, now),
        recipe_name=recipe.name,
        recipe=recipe.model_dump(mode="json"),
        recipe_digest=recipe.digest(),
        created_at=now.isoformat(timespec="seconds"),
        host=this_host(),
        pid=os.getpid(),
        flow_run_id=flow_run_id,
        environment=describe_environment(_LIBRARIES),
        settings={"runner": settings.runner, "workers": settings.workers},
    )
    begin_run(store, run)
    session = Session(
        store=store,
        run=run,
        runner=Runner(name=settings.runner, workers=settings.workers),
        progress=RunProgress(),
        pages_url=settings.pages_url,
    )
    status: RunStatus = "failed"
    try:
        with session.progress:
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


def close_dead_runs(store: Store) -> list[Run]:
    """Mark runs of this machine whose process is gone as interrupted; returns them."""
    dead = []
    for run in list_runs(store):
        if run.status == "running" and run.host == this_host() and not psutil.pid_exists(run.pid):
            run.status, run.error = "interrupted", "its process ended without a word; run again to continue"
            save_run(store, run)
            dead.append(run)
    return dead
