"""Runs: one JSON file each, from which everything about a run can be found again."""

import contextlib
import re
import secrets
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any, Final, Literal, Self

from storage.accounts import Account
from storage.manifests import PublishedStage, StageAddress, open_stage
from storage.records import parse_record, record_bytes
from storage.rolls import DamagedRoll, Roll
from storage.store import Store
from storage.wrong_request import WrongRequest

NAME_TAKEN: Final = b"{}"  # in place of a record, for the moment between the choice of an id and the first record
RunStatus = Literal["running", "completed", "failed", "interrupted"]
_RUN_VERSION = 2
_RECORDS_AT_ONCE = 8  # a store elsewhere takes its time for each
_KEPT_ON_ROLL = 100  # listings have the others


class UnknownRun(WrongRequest):
    """No run, or more than one, answers to a name."""


@dataclass(frozen=True, kw_only=True)
class StageOutcome:
    """How a run came by one stage's output."""

    name: str
    key: str
    account: Account
    reused: bool
    seconds: float
    metrics: Mapping[str, Any] = field(default_factory=dict)

    @property
    def address(self) -> StageAddress:
        return StageAddress(stage=self.name, key=self.key)

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "key": self.key,
            **self.account.as_json(),
            "reused": self.reused,
            "seconds": self.seconds,
            "metrics": dict(self.metrics),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        return cls(
            name=value["name"],
            key=value["key"],
            account=Account.from_json(value),
            reused=value["reused"],
            seconds=value["seconds"],
            metrics=value["metrics"],
        )


@dataclass(frozen=True, kw_only=True)
class EarlierRun:
    """A run whose documents another was deduplicated against.

    Attributes:
        entry: its entry in the index (see `indexes`), which names it in tables: run ids are never twice the same.
        kept: content digest of what it had kept.
    """

    entry: str
    run_id: str
    kept: str


@dataclass(kw_only=True)
class Run:
    """One run of a recipe. `paths` are relative to the store's root, so that a store may move.

    `earlier`: what it was deduplicated against, in order; empty where its recipe names no index. `exclusions`: names of
    the entries of the list of what was withdrawn (see `exclusions`) that it has seen.
    """

    run_id: str
    recipe_name: str
    recipe: dict[str, Any]
    recipe_digest: str
    created_at: str
    status: RunStatus = "running"
    finished_at: str | None = None
    error: str | None = None
    host: str = ""
    pid: int = 0
    flow_run_id: str | None = None
    corpus_digest: str | None = None
    stages: list[StageOutcome] = field(default_factory=list)
    earlier: list[EarlierRun] = field(default_factory=list)
    exclusions: list[str] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)
    paths: dict[str, str] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    version: int = _RUN_VERSION

    def stage(self, name: str) -> StageOutcome | None:
        return next((stage for stage in self.stages if stage.name == name), None)

    def as_json(self) -> dict[str, Any]:
        value = asdict(self)
        value["stages"] = [stage.as_json() for stage in self.stages]
        return value

    @classmethod
    def from_json(cls, value: Any) -> Self:
        if not isinstance(value, dict) or value.get("version") != _RUN_VERSION:
            raise ValueError(f"not a run record of version {_RUN_VERSION}")
        known = {each.name for each in fields(cls)}
        given = {name: given for name, given in value.items() if name in known}
        stages = [StageOutcome.from_json(stage) for stage in value["stages"]]
        earlier = [EarlierRun(**each) for each in value.get("earlier", [])]
        return cls(**{**given, "stages": stages, "earlier": earlier})


def new_run_id(recipe_name: str, now: datetime) -> str:
    """A name that sorts by time and does not repeat; nothing that a run makes depends on it."""
    safe_name = re.sub(r"[^a-z0-9]+", "-", recipe_name.lower()).strip("-") or "run"
    return f"{safe_name}-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def this_host() -> str:
    return socket.gethostname()


def run_path(run_id: str) -> str:
    return f"runs/{run_id}/run.json"


def save_run(store: Store, run: Run) -> None:
    store.publish_bytes(run_path(run.run_id), record_bytes(run.as_json()))


def begin_run(store: Store, run: Run) -> None:
    """Save a run for the first time: from here on it is found, by a listing or without one."""
    save_run(store, run)
    with contextlib.suppress(DamagedRoll):  # listings have the run before long
        _roll(store).add(run.run_id)


def _roll(store: Store) -> Roll:
    return Roll(store=store, name="runs", keep=_KEPT_ON_ROLL)


def load_run(store: Store, run_id: str) -> Run:
    """Raises UnknownRun where the record is missing or not readable."""
    try:
        return Run.from_json(parse_record(store.read_bytes(run_path(run_id))))
    except FileNotFoundError as error:
        raise UnknownRun(f"no run {run_id!r} in {store.url}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UnknownRun(f"{store.full_path(run_path(run_id))} is not a run record of ours: {error}") from error


def open_stages(store: Store, run: Run) -> dict[str, PublishedStage]:
    """What the stages of a run made, by name, in the run's order.

    Raises:
        MissingStage: one of them is not in the store any more.
    """
    names = [each.name for each in run.stages]
    with ThreadPoolExecutor(_RECORDS_AT_ONCE) as pool:
        opened = pool.map(lambda each: open_stage(store, each.address), run.stages)
        return dict(zip(names, opened, strict=True))


def run_ids(store: Store) -> list[str]:
    """Ids of all runs, whether or not their records can be read, by name.

    Raises:
        DamagedRoll: those that a listing may lack are not known.
    """
    return sorted({*store.names("runs"), *_roll(store).names()})


def list_runs(store: Store) -> list[Run]:
    """All readable runs, oldest first."""
    names = set(store.names("runs"))
    with contextlib.suppress(DamagedRoll):
        names.update(_roll(store).names())

    def load(run_id: str) -> Run | None:
        try:
            return load_run(store, run_id)
        except UnknownRun:
            return None  # a folder without a whole record is no run

    with ThreadPoolExecutor(_RECORDS_AT_ONCE) as pool:
        runs = [run for run in pool.map(load, names) if run is not None]
    return sorted(runs, key=lambda run: (run.created_at, run.run_id))


def unreadable_runs(store: Store) -> dict[str, str]:
    """What is wrong with each record of a run that is there and cannot be read, by the run's id."""
    found = {}
    for run_id in store.names("runs"):
        try:
            load_run(store, run_id)
        except UnknownRun as error:
            if not isinstance(error.__cause__, FileNotFoundError) and store.read_bytes(run_path(run_id)) != NAME_TAKEN:
                found[run_id] = str(error)
    return found


def find_run(store: Store, name: str) -> Run:
    """The run that `name` means: its id, a unique beginning of it, or `latest`.

    Raises:
        UnknownRun: none or several answer to the name; the message lists them.
    """
    if name != "latest":
        with contextlib.suppress(UnknownRun, ValueError):  # not an id, or one that is no name of a file
            return load_run(store, name)
    runs = list_runs(store)
    if not runs:
        raise UnknownRun(f"no runs in {store.url} yet; `gristmill run demo` makes one")
    if name == "latest":
        return runs[-1]
    matching = [run for run in runs if run.run_id.startswith(name)]
    if len(matching) == 1:
        return matching[0]
    listed = ", ".join(run.run_id for run in (matching or runs)[-5:])
    if matching:
        raise UnknownRun(f"{name!r} could be any of {len(matching)} runs: {listed}; give more of the id")
    raise UnknownRun(f"no run {name!r} in {store.url}; the last ones: {listed}")
