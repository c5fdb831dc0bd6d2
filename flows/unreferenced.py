"""What of a store nothing refers to any more, and its removal: stage outputs, and what dead processes left.

Referred to is whatever a kept run or an entry of an index names, and all that this was made of. While a run is going
on, whatever it may still use is, too: every output of a stage that it has not come to yet, since it would take one
that is there rather than make it. A run that begins meanwhile waits (`storage.removal_mark`).

Of a stage its manifest goes first, then the records of its parts, then its files: whoever is killed in between leaves
an unfinished stage, which nobody reads, and the next removal takes the rest.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import psutil

from pipeline_lib.dedup.earlier_runs import stage_of_input
from pipeline_lib.report.quantities import size
from storage.indexes import index_names, read_entries
from storage.leases import Holder, Leases
from storage.manifests import Manifest, StageAddress, manifest_path, read_manifest
from storage.references import reachable
from storage.remote_files import StoredFile
from storage.removal_mark import RemovalMark
from storage.rolls import DamagedRoll
from storage.runs import NAME_TAKEN, Run, UnknownRun, load_run, run_ids, run_path, this_host
from storage.scratch import is_scratch, owner_is_gone
from storage.store import Store, is_abandoned, is_unfinished
from storage.tables import DamagedFile
from storage.wrong_request import WrongRequest

UNFINISHED_DAYS = 7.0
_DAY = 86_400.0
_ADDRESS = re.compile(r"stages/([a-z0-9-]+)/([A-Za-z0-9-]+)")
_WRITE_CHECK = "write-check-"

Kind = Literal["run", "stage", "unfinished stage", "unfinished file", "scratch folder"]


class UnreadableRun(WrongRequest):
    """A run's record cannot be read: what it refers to is not known, so nothing may be removed."""


@dataclass(frozen=True, kw_only=True)
class Garbage:
    """Something that may go. `files`, `bytes`: all that is in it; `why`: for people."""

    kind: Kind
    path: str
    bytes: int
    files: int
    why: str


@dataclass(frozen=True, kw_only=True)
class Removal:
    """What may go, in the order in which it does, and what stays although one might think it goes."""

    garbage: Sequence[Garbage]
    notes: Sequence[str]

    @property
    def bytes(self) -> int:
        return sum(each.bytes for each in self.garbage)

    def as_json(self) -> dict[str, Any]:
        return {
            "bytes": self.bytes,
            "garbage": [asdict(each) for each in self.garbage],
            "notes": list(self.notes),
        }


@dataclass(frozen=True, kw_only=True)
class KeptRuns:
    """Which runs stay. By default all do.

    A run goes where `remove` names it, or where it is beyond both limits that are given: older than the newest
    `last` completed runs of a recipe of its name, and than `days`. One that is going on, or is in an index, stays.
    """

    last: int | None = None
    days: float | None = None
    remove: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.last is not None and self.last < 1) or (self.days is not None and self.days < 0):
            raise WrongRequest(f"keep-last={self.last}, older-than={self.days}: at least 1 run and 0 days are meant")

    def going(self, runs: Sequence[Run], now: datetime) -> list[Run]:
        """Those of the runs, oldest first, that these rules let go; whether they may is another question."""
        going = []
        completed_since: Counter[str] = Counter()
        for run in reversed(runs):
            if run.run_id in self.remove or self._is_beyond_limits(run, completed_since[run.recipe_name], now):
                going.append(run)
            completed_since[run.recipe_name] += run.status == "completed"
        return going[::-1]

    def _is_beyond_limits(self, run: Run, completed_since: int, now: datetime) -> bool:
        if self.last is None and self.days is None:
            return False
        if self.days is not None and datetime.fromisoformat(run.created_at) > now - timedelta(days=self.days):
            return False
        return self.last is None or completed_since >= self.last


def find_unreferenced(
    store: Store,
    kept: KeptRuns,
    *,
    unfinished_days: float = UNFINISHED_DAYS,
    now: datetime | None = None,
) -> Removal:
    """What may be removed from a store now. Nothing is.

    Args:
        unfinished_days: an output that was never finished goes when nothing in it was written for so long.

    Raises:
        WrongRequest: a run that is to be removed is going on, is in an index, or is not there; a record cannot be read.
    """
    now = now or datetime.now(UTC)
    runs = _all_runs(store)
    held = _held_by(store)
    live = [run for run in runs if _is_live(run, held)]
    entries = [entry for index in index_names(store) for entry in read_entries(store, index)]
    indexed = {entry.run_id: f"entry {entry.name} of the index {entry.index}" for entry in entries}
    _check_removable(kept, runs, live, indexed)
    notes = []
    going = []
    for run in kept.going(runs, now):
        if run in live:
            notes.append(f"run {run.run_id} stays: it is going on")
        elif run.run_id in indexed:
            notes.append(f"run {run.run_id} stays: it is {indexed[run.run_id]}")
        else:
            going.append(run)
    staying = [run for run in runs if run not in going]

    folders = [
        StageAddress(stage=stage, key=key) for stage in store.names("stages") for key in store.names(f"stages/{stage}")
    ]
    look_up = cache(lambda address: _manifest(store, address))
    roots = {
        *(stage.address for run in staying for stage in run.stages),
        *(named for run in staying for named in _named_in(run.recipe)),
        *(StageAddress(stage=name, key=key) for entry in entries for name, key in entry.stages.items()),
        *_leased(store),
        *(address for address in folders for run in live if run.stage(address.stage) is None),
    }
    referenced = reachable(roots, lambda address: _inputs(look_up(address)))
    began = min((datetime.fromisoformat(run.created_at).timestamp() for run in live), default=None)

    garbage = [_run_garbage(store, run) for run in going]
    for address in sorted(set(folders) - referenced, key=lambda each: each.folder):
        files = store.files(address.folder)
        newest = max((file.modified or now.timestamp() for file in files), default=0.0)
        is_finished = store.exists(manifest_path(address))
        if began is not None and newest >= began:
            notes.append(f"{address.folder} stays: it was written to since a run began that is going on")
        elif not is_finished and newest > now.timestamp() - unfinished_days * _DAY:
            notes.append(
                f"{address.folder} stays: never finished, but written to in the last {unfinished_days:g} days; the "
                "next run of its recipe continues it"
            )
        else:
            why = "no run and no index refers to it" if is_finished else f"not finished for {unfinished_days:g} days"
            garbage.append(_sum("stage" if is_finished else "unfinished stage", address.folder, files, why))
    garbage += _left_by_the_dead(store, garbage, now, in_use=bool(live))
    return Removal(garbage=garbage, notes=notes)


def remove_unreferenced(store: Store, removal: Removal, mark: RemovalMark) -> Iterator[Garbage]:
    """Remove what may go, one after another; each is given when it is gone.

    Args:
        mark: held since before `removal` was found.

    Raises:
        MarkLost: the rest has to wait for another time.
    """
    for garbage in removal.garbage:
        mark.require()
        match garbage.kind:
            case "run":
                store.remove(f"{garbage.path}/run.json")
                store.remove(garbage.path)
            case "stage" | "unfinished stage":
                stage, key = PurePosixPath(garbage.path).parts[1:]
                store.remove(manifest_path(StageAddress(stage=stage, key=key)))
                for name in ["parts", *store.names(garbage.path)]:
                    mark.require()
                    store.remove(f"{garbage.path}/{name}")
                store.remove(garbage.path)
            case _:
                store.remove(garbage.path)
        yield garbage


def describe_removal(removal: Removal, *, is_done: bool) -> str:
    """The answer, for people."""
    lines = [
        f"{each.kind:<17} {size(each.bytes):>9}  {each.files:>7,} files  {each.path}  ({each.why})"
        for each in removal.garbage
    ]
    lines += removal.notes
    if not removal.garbage:
        lines.append("nothing to remove: everything in the store is referred to, or may still be used")
    elif is_done:
        lines.append(f"removed {size(removal.bytes)}")
    else:
        lines.append(f"{size(removal.bytes)} may go; nothing was removed: say --yes to remove it")
    return "\n".join(lines)


def _held_by(store: Store) -> dict[str, Holder]:
    """The leases that runs hold on themselves while they are going on, by run id."""
    return {holder.run: holder for holder in Leases(store=store, run="").standing("run-").values()}


def _is_live(run: Run, held: Mapping[str, Holder]) -> bool:
    """Whether a run is going on, as far as can be known: of other machines what the record says."""
    if run.status != "running":
        return False
    if run.run_id in held:
        return not held[run.run_id].process.is_dead()
    return not (run.host == this_host() and not psutil.pid_exists(run.pid))


def _all_runs(store: Store) -> list[Run]:
    """All runs, oldest first: one that cannot be read may refer to anything, and stops everything."""
    runs = []
    try:
        known = run_ids(store)
    except DamagedRoll as error:
        raise UnreadableRun(f"{error}. Until then nothing is removed: a run may be on it") from error
    for run_id in known:
        path = run_path(run_id)
        # Removed; or it begins now, has only taken its name, and looks for the mark when its record is written.
        if not store.exists(path) or store.read_bytes(path) == NAME_TAKEN:
            continue
        try:
            runs.append(load_run(store, run_id))
        except UnknownRun as error:
            raise UnreadableRun(
                f"{error}. What it refers to is not known, so nothing is removed: was it written by a later version? "
                f"Otherwise remove {store.full_path(f'runs/{run_id}')} yourself"
            ) from error
    return sorted(runs, key=lambda run: (run.created_at, run.run_id))


def _check_removable(kept: KeptRuns, runs: Sequence[Run], live: Sequence[Run], indexed: Mapping[str, str]) -> None:
    for run_id in kept.remove:
        if run_id not in {run.run_id for run in runs}:
            raise WrongRequest(f"no run {run_id!r}")
        if run_id in {run.run_id for run in live}:
            raise WrongRequest(f"run {run_id} is going on: stop it first")
        if run_id in indexed:
            raise WrongRequest(
                f"run {run_id} is {indexed[run_id]}: later runs are deduplicated against it, and would find nothing. "
                "Remove the entry first: gristmill indexes NAME --remove ENTRY"
            )


def _manifest(store: Store, address: StageAddress) -> Manifest | None:
    try:
        return read_manifest(store, address)
    except DamagedFile as error:
        raise WrongRequest(
            f"{error}. A run refers to it, and what it was made of cannot be told, so nothing is removed: run its "
            "recipe again, which mends it, or let the run go with --remove-run"
        ) from error


def _inputs(manifest: Manifest | None) -> Iterable[StageAddress]:
    if manifest is None:  # a reference to what is not there any more: nothing to follow
        return ()
    return [StageAddress(stage=stage_of_input(name), key=key) for name, key in manifest.inputs.items()]


def _named_in(value: Any) -> Iterator[StageAddress]:
    """Outputs that texts name by their path, as a recipe does that reads an exported model."""
    match value:
        case str():
            for stage, key in _ADDRESS.findall(value):
                yield StageAddress(stage=stage, key=key)
        case Mapping():
            for each in value.values():
                yield from _named_in(each)
        case list() | tuple():
            for each in value:
                yield from _named_in(each)


def _leased(store: Store) -> Iterator[StageAddress]:
    """Whatever those who may be alive say that they make or use."""
    for name, holder in Leases(store=store, run="").standing("").items():
        if not holder.process.is_dead():
            yield from _named_in([name, *holder.uses])


def _run_garbage(store: Store, run: Run) -> Garbage:
    folder = f"runs/{run.run_id}"
    return _sum("run", folder, store.files(folder), f"{run.status}, begun {run.created_at}")


def _left_by_the_dead(store: Store, garbage: Sequence[Garbage], now: datetime, *, in_use: bool) -> Iterator[Garbage]:
    """Unfinished files and scratch folders of processes that ended without a word; local stores alone have them.

    Args:
        in_use: a run is going on, and what is not named after its process may be of it.
    """
    if not store.is_local:
        return
    removed = [f"{each.path}/" for each in garbage]
    a_day_ago = now.timestamp() - _DAY
    for folder in ("stages", "runs", "indexes"):
        for file in store.files(folder):
            name = PurePosixPath(file.path).name
            if not is_unfinished(name) or any(file.path.startswith(each) for each in removed):
                continue
            if is_abandoned(Path(store.full_path(file.path))):
                yield _sum("unfinished file", file.path, [file], "its writer died")
    for name in store.names(""):
        files = store.files(name) if is_scratch(name) else []
        if is_scratch(name):
            gone = owner_is_gone(name)
            is_old = max((file.modified or 0.0 for file in files), default=0.0) < a_day_ago
            if gone or (gone is None and is_old and not in_use):
                yield _sum("scratch folder", name, files, "its process died" if gone else "not used for a day")
        elif name.startswith(_WRITE_CHECK):
            yield Garbage(kind="unfinished file", path=name, bytes=store.size(name), files=1, why="its writer died")


def _sum(kind: Kind, path: str, files: Sequence[StoredFile], why: str) -> Garbage:
    return Garbage(kind=kind, path=path, bytes=sum(file.bytes for file in files), files=len(files), why=why)
