"""Runs whose process ended without a word: found by their leases and processes, and marked as interrupted."""

import contextlib
from collections.abc import Mapping

import psutil

from storage.leases import Holder, Leases
from storage.runs import Run, UnknownRun, list_runs, load_run, save_run, this_host
from storage.scratch import remove_dead_scratch
from storage.store import Store


def run_lease(run_id: str) -> str:
    """The name of the lease that a run holds for as long as it lives; of "", what all such names begin with."""
    return f"run-{run_id}"


def close_dead_runs(store: Store) -> list[Run]:
    """Mark runs of this machine whose process is gone as interrupted; returns them. What they held is free at once, and
    their scratch files go."""
    leases = Leases(store=store, run="")
    leases.remove_dead()
    remove_dead_scratch(store)
    held = leases.standing(run_lease(""))
    dead = []
    for run in list_runs(store):
        if run.status != "running" or run.host != this_host():
            continue
        if run_lease(run.run_id) in held or psutil.pid_exists(run.pid):
            continue
        run = load_run(store, run.run_id)  # it may have ended well while we looked
        if run.status == "running":
            _interrupt(store, run)
            dead.append(run)
    return dead


def beats_elsewhere(leases: Leases) -> Mapping[str, Holder]:
    """The run leases that other machines hold, as they are now: to see at the end of this run which stood still."""
    held = leases.standing(run_lease(""))
    return {name: holder for name, holder in held.items() if not holder.process.is_here()}


def close_silent_runs(leases: Leases, before: Mapping[str, Holder], seconds: float) -> None:
    """Mark runs of other machines as interrupted that have not moved for as long as this run took."""
    now = leases.standing(run_lease("")) if before else {}
    for name, holder in before.items():
        if now.get(name) != holder or seconds < 2 * holder.seconds:
            continue
        with contextlib.suppress(UnknownRun):
            run = load_run(leases.store, holder.run)
            if run.status == "running" and run_lease(run.run_id) == name:
                _interrupt(leases.store, run)
        leases.forget(name)


def _interrupt(store: Store, run: Run) -> None:
    run.status, run.error = "interrupted", "its process ended without a word; run again to continue"
    save_run(store, run)
