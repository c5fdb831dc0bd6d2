"""Metrics of a run, for people who compare runs: training step by step, the pipeline stage by stage, scores at the end.

Storage has all of it already; this is a copy in the form that trackers read. So a tracker may fail, or fall behind, and
the run goes on: one thread tells the trackers, and the run does not wait for it before its end.
"""

import json
import math
import queue
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from flows.home import home_of
from flows.tracking.opening import open_tracker
from flows.tracking.tracker import TrackedRun, Tracker, TrackerName, Value
from storage.manifests import Manifest
from storage.runs import Run, StageOutcome
from storage.store import Store

_MAX_WAITING = 50_000  # messages that wait for slow trackers; further ones are let go
_FLUSH_SECONDS = 10.0
_PUBLISH_SECONDS = 60.0  # between copies of the files to a store elsewhere
_CLOSE_SECONDS = 120.0

Tell = Callable[[Tracker], None]


class Tracking:
    """The trackers of one run, begun here. Methods raise nothing, all but `close` return at once, and any thread may
    call them.

    Args:
        rates: other learning rates, as `training_metrics` takes them.
    """

    def __init__(
        self,
        names: Sequence[TrackerName],
        store: Store,
        run: Run,
        rates: Mapping[str, float],
        warn: Callable[[str], None],
    ) -> None:
        self._store = store
        self._run_id = run.run_id
        self._rates = dict(rates)
        self._warn = warn
        self._scratch = None if store.is_local or not names else Path(tempfile.mkdtemp(prefix="gristmill-tracking-"))
        self._queue: queue.Queue[Tell | None] = queue.Queue(_MAX_WAITING)
        self._has_let_go = False
        self._has_failed_to_publish = False
        self._last_step = 0
        self._published: dict[str, tuple[int, int]] = {}  # path -> size and time of the copy in the store
        commit = run.environment.get("git_commit")
        tracked = TrackedRun(
            run_id=run.run_id,
            recipe_name=run.recipe_name,
            parameters=dict(_flat(run.recipe)),
            facts={"recipe_digest": run.recipe_digest, **({"git_commit": str(commit)} if commit else {})},
            folder=self._scratch or Path(store.full_path(f"runs/{run.run_id}")),
            home=home_of(store),
        )
        self._trackers: dict[str, Tracker] = {}
        # In the caller's thread: imports parse source as much as the digest of our code does, and Python 3.11 fails one
        # of two threads that do (`AST constructor recursion depth mismatch`).
        for name in dict.fromkeys(names):
            self._guarded(name, partial(self._open, name, tracked))
        self._thread: threading.Thread | None = None
        if self._trackers:
            self._thread = threading.Thread(target=self._serve, name="tracking", daemon=True)
            self._thread.start()
        elif self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def note(self, **facts: str) -> None:
        """What became known of the run."""
        self._put(lambda tracker: tracker.note(facts))

    def stage(self, outcome: StageOutcome, manifest: Manifest, number: int) -> None:
        """A stage's output is there, as the `number`-th of the run."""
        metrics, now = stage_metrics(outcome, manifest), time.time()
        self._put(lambda tracker: tracker.log(metrics, number, now))

    def training_step(self, row: Mapping[str, Any]) -> None:
        """A step of training is done: a row of its log."""
        self.training_log([row])

    def training_log(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Steps that were done at some time, in order; those that the trackers know already are passed over."""
        new = [row for row in rows if row["step"] > self._last_step]
        if not new:
            return
        self._last_step = new[-1]["step"]
        steps = [
            (row["step"], training_metrics(row, self._rates), at)
            for row, at in zip(new, _times(new, time.time()), strict=True)
        ]

        def tell(tracker: Tracker) -> None:
            for step, metrics, at in steps:
                tracker.log(metrics, step, at)

        self._put(tell)

    def close(self, run: Run) -> None:
        """Tell the trackers how the run ended, within a bound, and publish their files."""
        scores = {name: value for name, value in _numbers(run.metrics).items() if not name.endswith("seconds")}
        status = run.status
        if self._thread is None:
            return
        deadline = time.monotonic() + _CLOSE_SECONDS
        try:
            self._queue.put(lambda tracker: tracker.close(scores, status), timeout=_CLOSE_SECONDS)
            self._queue.put(None, timeout=_CLOSE_SECONDS)
        except queue.Full:
            pass
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            self._warn(f"trackers did not take the end of the run within {_CLOSE_SECONDS:.0f} s")

    def _put(self, tell: Tell) -> None:
        if self._thread is None:
            return
        try:
            self._queue.put_nowait(tell)
        except queue.Full:
            if not self._has_let_go:
                self._has_let_go = True
                self._warn("trackers do not keep up; what they miss is in the run's record and in the training log")

    def _open(self, name: TrackerName, run: TrackedRun) -> None:
        self._trackers[name] = open_tracker(name, run)

    def _serve(self) -> None:
        has_news, published = False, time.monotonic()
        while True:
            try:
                tell = self._queue.get(timeout=_FLUSH_SECONDS if has_news else None)
            except queue.Empty:
                self._tell(lambda tracker: tracker.flush())
                has_news = False
                continue
            if tell is None:
                break
            self._tell(tell)
            has_news = True
            if self._scratch is not None and time.monotonic() - published > _PUBLISH_SECONDS:
                self._tell(lambda tracker: tracker.flush())
                self._publish(self._scratch)
                published = time.monotonic()
        if self._scratch is not None:
            self._publish(self._scratch)
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _tell(self, tell: Tell) -> None:
        for name, tracker in list(self._trackers.items()):
            self._guarded(name, partial(tell, tracker))

    def _guarded(self, name: str, do: Callable[[], object]) -> None:
        """Do something with a tracker; one that fails is let go."""
        try:
            do()
        except Exception as error:  # noqa: BLE001 (libraries of others over files and networks of others: anything)
            self._trackers.pop(name, None)
            reason = (str(error) or type(error).__name__).strip().splitlines()[0]
            self._warn(f"tracking with {name} ends here ({type(error).__name__}: {reason}); the run goes on without it")

    def _publish(self, folder: Path) -> None:
        """Copy the files of trackers that have changed to the store."""
        try:
            for path in sorted(folder.rglob("*")):
                if path.is_symlink() or not path.is_file():
                    continue  # W&B links to the newest of its folders
                found = path.stat()
                name = path.relative_to(folder).as_posix()
                if self._published.get(name) == (found.st_size, found.st_mtime_ns):
                    continue
                with self._store.publishing(f"runs/{self._run_id}/{name}") as unfinished:
                    shutil.copyfile(path, unfinished)
                self._published[name] = (found.st_size, found.st_mtime_ns)
        except Exception as error:  # noqa: BLE001 (object stores raise exceptions of their own libraries)
            if not self._has_failed_to_publish:
                self._has_failed_to_publish = True
                self._warn(f"files of trackers could not be published ({error}); the run goes on")


def training_metrics(row: Mapping[str, Any], rates: Mapping[str, float]) -> dict[str, float]:
    """What trackers show of a training step.

    Args:
        row: of the training log; its `learning_rate` is that of the matrices.
        rates: other learning rates at their full height, as ratios of the matrices'; all follow one schedule.
    """
    known = ("loss", "validation_loss", "learning_rate", "grad_norm", "tokens_per_second", "tokens_seen")
    metrics = _numbers({f"train/{name}": row.get(name) for name in known})
    for name, ratio in rates.items():
        if "train/learning_rate" in metrics:
            metrics[f"train/learning_rate_{name}"] = metrics["train/learning_rate"] * ratio
    return metrics


def stage_metrics(outcome: StageOutcome, manifest: Manifest) -> dict[str, float]:
    """What trackers show of a stage. `seconds` are of work, over all parts, whenever that was; `run_seconds` are those
    that the stage took of this run's time."""
    account = outcome.account
    metrics: dict[str, Any] = {
        "documents_in": account.documents_in,
        "documents_out": account.documents_out,
        **{f"dropped/{reason}": number for reason, number in account.dropped.items()},
        "bytes": sum(record.bytes for record in manifest.files()),
        "parts": len(manifest.parts),
        "seconds": manifest.seconds,
        "run_seconds": outcome.seconds,
        "documents_per_second": account.documents_in / manifest.seconds if manifest.seconds else None,
        "reused": int(outcome.reused),
    }
    return {f"pipeline/{outcome.name}/{name}": value for name, value in _numbers(metrics).items()}


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """Those that are finite numbers."""
    return {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def _times(rows: Sequence[Mapping[str, Any]], until: float) -> list[float]:
    """About when each of some steps ended, the last one at `until`: their pace is in the log, the clock is not."""
    times = [until]
    for later, earlier in zip(reversed(rows), list(reversed(rows))[1:], strict=False):
        pace = later.get("tokens_per_second") or 0.0
        tokens = later.get("tokens_seen", 0) - earlier.get("tokens_seen", 0)
        times.append(times[-1] - (tokens / pace if pace > 0 else 0.0))
    return times[::-1]


def _flat(value: Any, prefix: str = "") -> Iterable[tuple[str, Value]]:
    """Keys and values with dots for groups; lists as JSON."""
    for name, inner in value.items():
        key = f"{prefix}{name}"
        if isinstance(inner, Mapping):
            yield from _flat(inner, f"{key}.")
        elif inner is None or isinstance(inner, str | int | float | bool):
            yield key, inner
        else:
            yield key, json.dumps(inner)
