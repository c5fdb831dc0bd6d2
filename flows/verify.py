"""Whether what a run published is what its recipe makes: its story is walked again, its parts are made again elsewhere.

The walk is `turn_the_mill` itself, with a session whose checker answers for every stage: it opens what the run
published, makes parts of it again in a scratch store from the *published* inputs, compares, and gives the published
stage on. So each stage is judged by itself: one that differs makes no later one differ.
"""

import copy
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from flows.end_to_end import turn_the_mill
from flows.part_job import PartJob, make_part
from flows.progress import RunProgress
from flows.recipe import Recipe
from flows.recorded_changes import Change, changed_environment, changed_manifest
from flows.runners import Runner, RunnerName
from flows.session import Session, Stopped
from flows.showing import Showing
from flows.stage import Stage, unfinished_manifest
from flows.tracking.tracking import Tracking
from pipeline_lib.corpus.stage import corpus_digest
from pipeline_lib.dedup.earlier_runs import stage_of_input
from pipeline_lib.report.quantities import size
from storage.digests import table_digest
from storage.environment import describe_environment
from storage.manifests import (
    FileRecord,
    Manifest,
    Part,
    PartRecord,
    PublishedStage,
    StageAddress,
    damage,
    open_stage,
    read_manifest,
)
from storage.read_only import ReadOnlyStore
from storage.runs import Run, StageOutcome
from storage.scratch import scratch_folder
from storage.store import Store
from storage.table_differences import Difference, first_byte_difference, first_line_difference, first_table_difference
from storage.tables import DamagedFile
from storage.wrong_request import WrongRequest

Kind = Literal["damaged", "differs", "not_recomputed"]
Status = Literal["equal", "differs", "damaged", "not recomputed", "not asked for"]

_SOURCES = ("crawl", "select", "fetch")
_SHOWN_FINDINGS = 5  # of one stage, for people


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that is not as it was recorded, or could not be looked at.

    `kind`: `damaged`: published bytes, manifests or records that contradict each other; `differs`: made again, it is
    another; `not_recomputed`: it could not be made again, so that nothing is known.
    """

    stage: str
    kind: Kind
    message: str
    part: str | None = None
    table: str | None = None
    file: str | None = None
    difference: Difference | None = None

    def describe(self) -> str:
        place = [self.part, self.file or self.table]
        where = f"stage {self.stage}{''.join(f', {each}' for each in place if each)}"
        return f"{where}: {self.message}{f': {self.difference.describe()}' if self.difference else ''}"


@dataclass(kw_only=True)
class CheckedStage:
    """What was found of one stage.

    Attributes:
        parts: how many it published.
        recomputed: names of those that were made again.
        bytes_checked: of published files whose digest was taken.
        changes: what shapes or may shape the output and is not what it was: code, parameters, versions, machine.
        may_differ: files that differ for a reason that is no fault, with the reason.
    """

    name: str
    key: str
    status: Status = "not recomputed"
    parts: int = 0
    recomputed: list[str] = field(default_factory=list)
    bytes_checked: int = 0
    seconds: float = 0.0
    findings: list[Finding] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    may_differ: list[str] = field(default_factory=list)

    @property
    def code_changed(self) -> bool:
        return any(change.what == "code" for change in self.changes)


@dataclass(frozen=True, kw_only=True)
class Verification:
    """The answer. `sample`: parts a stage that were made again; None: all. `stages`: in the run's order."""

    run_id: str
    status: str
    sample: int | None
    seed: int
    stages: Sequence[CheckedStage]

    @property
    def findings(self) -> list[Finding]:
        return [finding for stage in self.stages for finding in stage.findings]

    @property
    def is_equal(self) -> bool:
        return not self.findings

    def as_json(self) -> dict[str, Any]:
        first = next(iter(self.findings), None)
        return {
            "run_id": self.run_id,
            "run_status": self.status,
            "equal": self.is_equal,
            "sample": self.sample,
            "seed": self.seed,
            "first": None if first is None else asdict(first),
            "stages": [asdict(stage) | {"code_changed": stage.code_changed} for stage in self.stages],
        }


def verify(
    store: Store,
    run: Run,
    *,
    sample: int | None = None,
    seed: int = 0,
    stages: Sequence[str] = (),
    runner: RunnerName = "processes",
    workers: int = 1,
    scratch: Path | None = None,
) -> Verification:
    """Compare what a run published with what is recorded of it, and with what its recipe makes of the same inputs now.

    The bytes of all published files of the stages asked for are compared with their recorded digests. Nothing in the
    store is changed but for a scratch folder beside the stages, which goes at the end.

    Args:
        sample: make only so many parts of each stage again, drawn by `seed`; None: all.
        stages: look only at these; none: at all.
        scratch: the folder for what is made again, in place of the store's.

    Raises:
        WrongRequest: the run has no such stage, or a recipe that this version does not read.
    """
    recorded = [stage.name for stage in run.stages]
    unknown = [name for name in stages if name not in recorded]
    if unknown:
        raise WrongRequest(
            f"run {run.run_id} ({run.status}) has no stage {unknown[0]!r}: it has {', '.join(recorded) or 'none yet'}"
        )
    try:
        recipe = Recipe.model_validate(run.recipe)
    except ValidationError as error:
        raise WrongRequest(
            f"the recipe of run {run.run_id} is not one that this version reads, so it cannot be made again: {error}"
        ) from error
    with scratch_folder(store, "verify", scratch) as folder:
        progress = RunProgress()
        session = Session(
            store=ReadOnlyStore(store.url),
            run=_as_it_was(run, recipe),
            runner=Runner(name=runner, workers=workers, worker_memory_bytes=recipe.resources.worker_memory_bytes),
            progress=progress,
            showing=Showing(None, progress.say),
            tracking=Tracking((), store, run, rates={}, warn=progress.say),
        )
        checker = _Checker(
            store=session.store,
            scratch=Store(str(folder)),
            run=run,
            sample=sample,
            seed=seed,
            wanted=frozenset(stages or recorded),
            workers=workers,
            progress=progress,
        )
        session.checker = checker
        try:
            with progress:
                _walk(recipe, session, checker)
        except BaseException:
            session.stop()
            raise
        finally:
            session.runner.close()
        checker.look_at_the_rest()
    return Verification(
        run_id=run.run_id, status=run.status, sample=sample, seed=seed, stages=[checker.checked[n] for n in recorded]
    )


def _as_it_was(run: Run, recipe: Recipe) -> Run:
    """The run as it was when its stages were made: its record has all mappings in the order of the alphabet, and some
    of what a run publishes shows them as they came."""
    then = copy.deepcopy(run)
    dumped = recipe.model_dump(mode="json")
    if dumped == then.recipe:
        then.recipe = dumped
    known = [name for name in describe_environment(()) if name in then.environment]
    then.environment = {name: then.environment[name] for name in [*known, *sorted(then.environment.keys() - {*known})]}
    return then


class _WalkEnded(Exception):
    """There is nothing more to look at."""


def _walk(recipe: Recipe, session: Session, checker: "_Checker") -> None:
    if not checker.run.stages:
        return
    try:
        turn_the_mill(recipe, session)
    except _WalkEnded:
        return
    except (WrongRequest, OSError, ValueError, RuntimeError, ImportError) as error:
        # What the story needs beside the stages, such as a model that the recipe names, is not there or is another.
        checker.stopped = f"{type(error).__name__}: {error}"


@dataclass(kw_only=True)
class _Checker:
    """Answers for each stage of a recorded run (`flows.session.StageChecker`)."""

    store: Store
    scratch: Store
    run: Run
    sample: int | None
    seed: int
    wanted: frozenset[str]
    workers: int
    progress: RunProgress
    checked: dict[str, CheckedStage] = field(default_factory=dict)
    stopped: str | None = None  # why the walk could not go on
    _here: Mapping[str, Any] = field(default_factory=lambda: describe_environment(()))
    _unlisted: str | None = None  # why the sources could not be listed

    def check(self, session: Session, stage: Stage) -> PublishedStage:
        outcome = self.run.stage(stage.name)
        if outcome is None:
            if not self._is_done():
                self.stopped = (
                    f"this version has a stage {stage.name}, which the run has not: what comes after it cannot be "
                    "walked through"
                )
            raise _WalkEnded
        manifest = self._manifest(outcome)
        if manifest is None:
            self.stopped = f"stage {stage.name} is not whole in the store, and the stages after it need it"
            raise _WalkEnded
        published = PublishedStage(store=self.store, manifest=manifest)
        if stage.name in self.wanted:
            checked = self._begin(outcome, manifest)
            current = unfinished_manifest(stage)
            checked.changes += changed_manifest(manifest, current)
            checked.changes += changed_environment(manifest.environment, self._here)
            began = time.monotonic()
            self._recompute(session, stage, outcome, manifest, checked)
            checked.seconds = round(time.monotonic() - began, 3)
            _judge(checked)
            self.progress.say(_line(checked))
        if self._is_done():
            raise _WalkEnded
        return published

    def sources(self, find: Callable[[], Mapping[str, PublishedStage]]) -> Mapping[str, PublishedStage]:
        if self.wanted & set(_SOURCES):
            try:
                return find()
            except Stopped:
                raise
            except (WrongRequest, OSError, ValueError, RuntimeError) as error:
                self._unlisted = f"{type(error).__name__}: {error}"
        found = {}
        for outcome in self.run.stages:
            if outcome.name in _SOURCES:
                manifest = self._manifest(outcome)
                if manifest is None:
                    self.stopped = f"stage {outcome.name} is not whole in the store, and the stages after it need it"
                    raise _WalkEnded
                if outcome.name not in self.checked:
                    self._only_bytes(outcome, f"its sources cannot be listed any more ({self._unlisted})")
                found[outcome.name] = PublishedStage(store=self.store, manifest=manifest)
        if self._is_done():
            raise _WalkEnded
        return found

    def earlier_inputs(self) -> Mapping[str, PublishedStage]:
        outcome = self.run.stage("dedup")
        manifest = None if outcome is None else self._manifest(outcome)
        if manifest is None:
            return {}  # the walk ends at that stage
        return {
            name: open_stage(self.store, StageAddress(stage=stage_of_input(name), key=key))
            for name, key in sorted(manifest.inputs.items())
            if stage_of_input(name) != name
        }

    def look_at_the_rest(self) -> None:
        """The bytes of the stages that the walk did not come to."""
        for outcome in self.run.stages:
            if outcome.name not in self.checked:
                self._only_bytes(outcome, self.stopped or "this version makes no such stage of the recipe")

    def _is_done(self) -> bool:
        return self.wanted <= self.checked.keys()

    def _only_bytes(self, outcome: StageOutcome, reason: str) -> None:
        """Compare the bytes of a stage that cannot be made again, and say why it cannot."""
        manifest = self._manifest(outcome)
        if outcome.name not in self.wanted:
            return
        if manifest is not None:
            self._check_bytes(manifest, self._begin(outcome, manifest))
        checked = self.checked[outcome.name]
        checked.findings.append(
            Finding(stage=outcome.name, kind="not_recomputed", message=f"it was not made again: {reason}")
        )
        _judge(checked)
        self.progress.say(_line(checked))

    def _begin(self, outcome: StageOutcome, manifest: Manifest) -> CheckedStage:
        """The stage's entry, with what its manifest and the run's record say of each other."""
        checked = self.checked[outcome.name] = CheckedStage(
            name=outcome.name, key=outcome.key, parts=len(manifest.parts)
        )

        def contradiction(message: str) -> None:
            checked.findings.append(Finding(stage=outcome.name, kind="damaged", message=message))

        if (manifest.stage, manifest.key) != (outcome.name, outcome.key):
            contradiction(f"its manifest is of {manifest.stage}/{manifest.key}, not of {outcome.name}/{outcome.key}")
        if manifest.account != outcome.account:
            contradiction(
                f"the run recorded {_spelled_account(outcome.account)}, its manifest has "
                f"{_spelled_account(manifest.account)}"
            )
        for name, key in sorted(manifest.inputs.items()):
            made_from = self.run.stage(name)
            if made_from is not None and made_from.key != key:
                contradiction(f"it was made from {name}/{key}, but the run has {name}/{made_from.key}")
        if outcome.name == "corpus" and self.run.corpus_digest is not None:
            digest = corpus_digest(manifest)
            if digest != self.run.corpus_digest:
                contradiction(
                    f"the run recorded the corpus digest {self.run.corpus_digest[:12]}…, its manifest has "
                    f"{digest[:12]}…"
                )
        return checked

    def _manifest(self, outcome: StageOutcome) -> Manifest | None:
        """The manifest of a recorded stage; where there is none that can be read, a finding says so."""
        try:
            manifest = read_manifest(self.store, outcome.address)
            problem = "its manifest is gone" if manifest is None else None
        except DamagedFile as error:
            manifest, problem = None, f"its manifest cannot be read: {error}"
        if manifest is None:
            checked = self.checked[outcome.name] = CheckedStage(name=outcome.name, key=outcome.key, status="damaged")
            checked.findings.append(Finding(stage=outcome.name, kind="damaged", message=str(problem)))
        elif outcome.name not in self.wanted:
            self.checked[outcome.name] = CheckedStage(
                name=outcome.name, key=outcome.key, status="not asked for", parts=len(manifest.parts)
            )
        return manifest

    def _check_bytes(self, manifest: Manifest, checked: CheckedStage) -> set[str]:
        """Names of the parts whose published bytes are not those recorded."""
        with ThreadPoolExecutor(self.workers) as pool:
            wrong = list(pool.map(lambda part: damage(self.store, manifest.address, part), manifest.parts))
        for part, problem in zip(manifest.parts, wrong, strict=True):
            checked.bytes_checked += sum(record.bytes for record in part.files)
            if problem is not None:
                checked.findings.append(
                    Finding(stage=manifest.stage, part=part.name, kind="damaged", message=f"published bytes: {problem}")
                )
        return {part.name for part, problem in zip(manifest.parts, wrong, strict=True) if problem is not None}

    def _recompute(
        self, session: Session, stage: Stage, outcome: StageOutcome, manifest: Manifest, checked: CheckedStage
    ) -> None:
        damaged = self._check_bytes(manifest, checked)
        now = {part.name: part for part in stage.parts}
        recorded = {part.name: part for part in manifest.parts}
        if list(now) != list(recorded):
            gained = [name for name in now if name not in recorded]
            lost = [name for name in recorded if name not in now]
            checked.findings.append(
                Finding(
                    stage=stage.name,
                    kind="differs",
                    message=f"it has {len(recorded)} parts, now there would be {len(now)}"
                    + (f"; not there any more: {', '.join(lost[:5])}" if lost else "")
                    + (f"; new: {', '.join(gained[:5])}" if gained else ""),
                )
            )
        chosen = sampled_parts([name for name in recorded if name in now], self.sample, self.seed, stage.name)

        def compare(name: str) -> tuple[list[Finding], list[str], list[Change]]:
            session.check_stopping()
            made = self._make_again(session, stage, manifest, now[name])
            if isinstance(made, Finding):
                return [made], [], []
            return self._compare(manifest, recorded[name], made, outcome, is_damaged=name in damaged)

        with ThreadPoolExecutor(self.workers) as pool, session.progress.stage(stage.name, len(chosen)) as progress:
            try:
                for name, (findings, may_differ, changes) in zip(chosen, pool.map(compare, chosen), strict=True):
                    if not any(finding.kind == "not_recomputed" for finding in findings):
                        checked.recomputed.append(name)
                    checked.findings += findings
                    checked.may_differ += may_differ
                    checked.changes += [change for change in changes if change not in checked.changes]
                    progress.advance()
            except BaseException:
                session.stop()
                pool.shutdown(cancel_futures=True)
                raise

    def _make_again(self, session: Session, stage: Stage, manifest: Manifest, part: Part) -> PartRecord | Finding:
        job = PartJob(
            store_url=self.scratch.url,
            address=manifest.address,  # the recorded one: some tables hold it
            part=part,
            inputs={name: published.manifest.address for name, published in stage.inputs.items()},
            parameters=stage.parameters,
            work=stage.work,
            inputs_url=self.store.url,
        )
        try:
            return session.runner.call(make_part, job, in_process=stage.in_process)
        except Exception as error:  # noqa: BLE001 (whatever work raises, it is the answer for this part)
            session.check_stopping()
            return Finding(
                stage=stage.name,
                part=part.name,
                kind="not_recomputed",
                message=f"it cannot be made again: {type(error).__name__}: {error}",
            )

    def _compare(
        self, manifest: Manifest, recorded: PartRecord, made: PartRecord, outcome: StageOutcome, *, is_damaged: bool
    ) -> tuple[list[Finding], list[str], list[Change]]:
        """Findings of one part, files that may differ, and what of the machine is another by the part's own figures."""
        findings, may_differ = [], []

        def found(message: str, record: FileRecord | None = None, difference: Difference | None = None) -> None:
            findings.append(
                Finding(
                    stage=manifest.stage,
                    part=recorded.name,
                    table=None if record is None else record.table,
                    file=None if record is None else record.path,
                    kind="differs",
                    message=message,
                    difference=difference,
                )
            )

        before, after = ({file.path: file for file in each.files} for each in (recorded, made))
        for path, record in before.items():
            if path not in after:
                found("it was published, and is not made any more", record)
                continue
            if record.sha256 == after[path].sha256:
                continue
            problem = self._compare_files(manifest, record, after[path], is_damaged=is_damaged)
            if problem is None:
                continue
            reason = _why_it_may_differ(manifest.stage, record, outcome, self._texts(manifest, record))
            if reason is not None:
                may_differ.append(f"{record.path}: {reason}")
            else:
                found(problem[0], record, problem[1])
        for path in after.keys() - before.keys():
            found("it is made now, and was not published", after[path])
        if recorded.account != made.account:
            found(f"counted {_spelled_account(recorded.account)}, made again {_spelled_account(made.account)}")
        changes = [
            Change(what=name, recorded=str(recorded.metrics[name]), here=str(made.metrics[name]))
            for name in ("device", "precision", "num_threads")
            if name in recorded.metrics and name in made.metrics and recorded.metrics[name] != made.metrics[name]
        ]
        for file in after.values():
            self.scratch.remove(f"{manifest.address.folder}/{file.path}")
        return findings, may_differ, changes

    def _compare_files(
        self, manifest: Manifest, record: FileRecord, made: FileRecord, *, is_damaged: bool
    ) -> tuple[str, Difference | None] | None:
        """What is wrong between two files of other bytes; None: nothing, they say the same."""
        if is_damaged:  # a finding of its own, and its rows cannot be trusted to be read
            return None if record.content == made.content else ("made again, it is not what was recorded either", None)
        path = f"{manifest.address.folder}/{record.path}"
        with self.store.local_copy(path) as published, self.scratch.local_copy(path) as recomputed:
            return compare_files(published, recomputed, record)

    def _texts(self, manifest: Manifest, record: FileRecord) -> Callable[[], tuple[str, str]]:
        def read() -> tuple[str, str]:
            path = f"{manifest.address.folder}/{record.path}"
            published, recomputed = (store.read_bytes(path).decode() for store in (self.store, self.scratch))
            return published, recomputed

        return read


def sampled_parts(names: Sequence[str], sample: int | None, seed: int, stage: str) -> list[str]:
    """Some of a stage's parts, in their order: those of the smallest hashes of seed, stage and name; None: all."""
    if sample is None or sample >= len(names):
        return list(names)
    drawn = sorted(names, key=lambda name: hashlib.sha256(f"{seed}/{stage}/{name}".encode()).digest())[:sample]
    return [name for name in names if name in set(drawn)]


def compare_files(published: Path, recomputed: Path, record: FileRecord) -> tuple[str, Difference | None] | None:
    """How two files of other bytes differ, by what they hold: rows, lines or bytes. None: they say the same.

    Args:
        record: what is recorded of the published one.
    """
    if published.suffix in (".parquet", ".arrow"):
        read = _read_parquet if published.suffix == ".parquet" else _read_arrow
        try:
            ours, theirs = read(published), read(recomputed)
        except (pa.ArrowException, OSError) as error:
            return f"its published bytes are those recorded, and no table: {error}", None
        difference = first_table_difference(ours, theirs)
        if difference is not None:
            return "differs", difference
        # by the digest of a table's content, where that is what was recorded, and not that of the bytes
        if record.content != record.sha256 and table_digest(ours) != record.content:
            return f"its rows are right, but the recorded content digest {record.content[:12]}… is not theirs", None
        return None
    ours_bytes, theirs_bytes = published.read_bytes(), recomputed.read_bytes()
    if published.suffix in (".json", ".jsonl", ".md", ".html"):
        lines = [each.decode("utf-8", "replace").split("\n") for each in (ours_bytes, theirs_bytes)]
        return "differs", first_line_difference(*lines) or first_byte_difference(ours_bytes, theirs_bytes)
    return "differs", first_byte_difference(ours_bytes, theirs_bytes)


def describe_verification(verification: Verification) -> str:
    """The answer, for people; what was found equal, stage by stage, was told as it was found."""
    lines = []
    for stage in verification.stages:
        lines += [f"  {stage.name}: {each}" for each in stage.may_differ]
    for stage in verification.stages:
        if stage.status != "not asked for" and stage.code_changed:
            lines.append(
                f"  {stage.name}: its code is not the one that made it (a run would give it another key); the content "
                "was compared all the same"
            )
    made_again = sum(len(stage.recomputed) for stage in verification.stages)
    asked = [stage for stage in verification.stages if stage.status != "not asked for"]
    every = sum(stage.parts for stage in asked)
    drawn = "" if verification.sample is None else f", drawn by seed {verification.seed}"
    scope = f"{made_again:,} of {every:,} parts of {len(asked)} stages made again{drawn}"
    if verification.is_equal:
        return "\n".join([*lines, f"run {verification.run_id} is what its recipe makes: {scope}, all equal"])
    for stage in verification.stages:
        lines += [finding.describe() for finding in stage.findings[:_SHOWN_FINDINGS]]
        if len(stage.findings) > _SHOWN_FINDINGS:
            lines.append(f"stage {stage.name}: and {len(stage.findings) - _SHOWN_FINDINGS:,} more like these (--json)")
        if any(finding.kind == "differs" for finding in stage.findings):
            lines += _explanation(stage)
    first = verification.findings[0]
    lines += ["", f"first: {first.describe()}", f"run {verification.run_id} is not verified: {scope}"]
    return "\n".join(lines)


def _explanation(stage: CheckedStage) -> list[str]:
    # another commit explains nothing where the code of the stage is the same
    may_explain = [change for change in stage.changes if stage.code_changed or not change.what.startswith("git ")]
    if not may_explain:
        return [
            "  its code, parameters and libraries are those recorded, and so is the machine: what is published was "
            "changed after it was made, or the stage does not always make the same"
        ]
    return ["  what may explain it:", *(f"    {change.describe()}" for change in may_explain)]


def _line(stage: CheckedStage) -> str:
    how = f"{size(stage.bytes_checked)} read, {stage.seconds:.1f} s"
    counted = f"{len(stage.recomputed):,} of {stage.parts:,} parts made again"
    return f"{stage.name:<16} {stage.status:<15} {counted}, {how}"


def _judge(checked: CheckedStage) -> None:
    kinds = {finding.kind for finding in checked.findings}
    checked.status = (
        "differs"
        if "differs" in kinds
        else "damaged"
        if "damaged" in kinds
        else "not recomputed"
        if "not_recomputed" in kinds
        else "equal"
    )


def _why_it_may_differ(
    stage: str, record: FileRecord, outcome: StageOutcome, read: Callable[[], tuple[str, str]]
) -> str | None:
    """Why two files of one name need not be equal, for those few of which that is so; None: they must be."""
    match stage, record.table, record.path.rsplit("/", 1)[-1]:
        case "train", "log", _:
            one, other = (_untimed(text) for text in read())
            return "the speed of the steps is another; losses and rates are equal" if one == other else None
        case ("export", _, "README.md") | ("report", "report", _) if outcome.reused:
            return "it names the run that made it first, whose output this run used"
    return None


def _untimed(log: str) -> list[dict[str, Any]] | None:
    try:
        return [
            {name: value for name, value in json.loads(line).items() if name != "tokens_per_second"}
            for line in log.splitlines()
        ]
    except (ValueError, AttributeError):
        return None


def _spelled_account(account: Any) -> str:
    dropped = "".join(f", {count:,} {reason}" for reason, count in sorted(account.dropped.items()))
    return f"{account.documents_in:,} {account.unit_in} in, {account.documents_out:,} {account.unit_out} out{dropped}"


def _read_parquet(path: Path) -> pa.Table:
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        return file.read()


def _read_arrow(path: Path) -> pa.Table:
    return pa.ipc.open_file(pa.memory_map(str(path), "r")).read_all()
