"""Withdraw pages, domains and files from all later corpora, and take that back.

To withdraw is to add an entry to the store's list (`storage.exclusions`): no other file is written, and no document is
touched. Runs made after leave out what is on the list (`corpus.leave_out_withdrawn`); who holds it now, `holdings`
tells.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from pipeline_lib.withdrawn.targets import UnclearTarget, parse_target
from storage.exclusions import (
    Exclusion,
    ExclusionEntry,
    ExclusionKind,
    Exclusions,
    publish_exclusions,
    read_exclusions,
)
from storage.store import Store
from storage.wrong_request import WrongRequest

_NAMED = 3


class NotWithdrawn(WrongRequest):
    """What is to be restored is not on the list."""


def parse_targets(words: Sequence[str], kind: ExclusionKind | None = None) -> list[Exclusion]:
    """What words mean (see `targets.parse_target`), each once.

    Raises:
        UnclearTarget: one of them means nothing.
    """
    return list(dict.fromkeys(parse_target(word, kind) for word in words))


def parse_list(lines: Iterable[str], place: str, kind: ExclusionKind | None = None) -> list[Exclusion]:
    """What the lines of a list mean, each once; empty ones, and those that begin with `#`, say nothing.

    Raises:
        UnclearTarget: lines that mean nothing, by number; or none that means something.
    """
    found: dict[Exclusion, None] = {}
    wrong = []
    for number, line in enumerate(lines, 1):
        word = line.strip()
        if word and not word.startswith("#"):
            try:
                found[parse_target(word, kind)] = None
            except UnclearTarget as error:
                wrong.append(f"line {number}: {error}")
    if wrong:
        more = f"\nand {len(wrong) - _NAMED:,} more lines" if len(wrong) > _NAMED else ""
        raise UnclearTarget(f"{place}: nothing was done, for\n" + "\n".join(wrong[:_NAMED]) + more)
    if not found:
        raise UnclearTarget(f"{place} names nothing: expected a URL, a domain or a file on each line")
    return list(found)


def withdraw(
    store: Store, asked: Sequence[Exclusion], reason: str = "", *, dry_run: bool = False
) -> ExclusionEntry | None:
    """Put on the list what is not on it yet, as one entry; None where all of it is.

    Raises:
        DamagedExclusion: the list cannot be read.
    """
    new = sorted(set(asked) - read_exclusions(store).in_force.keys())
    if not new:
        return None
    entry = ExclusionEntry(act="withdraw", exclusions=tuple(new), made_at=_now(), reason=reason)
    if not dry_run:
        publish_exclusions(store, entry)
    return entry


def restore(store: Store, asked: Sequence[Exclusion], reason: str = "", *, dry_run: bool = False) -> ExclusionEntry:
    """Take off the list what is on it.

    Raises:
        NotWithdrawn: some of it is not, and nothing is restored; the message says what withdraws it all the same.
        DamagedExclusion: the list cannot be read.
    """
    exclusions = read_exclusions(store)
    missing = sorted(set(asked) - exclusions.in_force.keys())
    if missing:
        named = ", ".join(map(str, missing[:_NAMED]))
        more = f" and {len(missing) - _NAMED:,} more" if len(missing) > _NAMED else ""
        raise NotWithdrawn(
            f"{named}{more}: not on the list, so nothing was restored{_wider(missing[0], exclusions)}. "
            "`gristmill forget --list` shows what is on it"
        )
    entry = ExclusionEntry(
        act="restore",
        exclusions=tuple(sorted(set(asked))),
        made_at=_now(),
        reason=reason,
        restores=tuple(sorted({name for each in asked for name in exclusions.in_force[each]})),
    )
    if not dry_run:
        publish_exclusions(store, entry)
    return entry


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _wider(asked: Exclusion, exclusions: Exclusions) -> str:
    """What withdraws a page or host that is not on the list itself."""
    if asked.kind == "file":
        return ""
    labels = asked.value.partition("/")[0].partition(":")[0].split(".")
    for start in range(len(labels)):
        domain = Exclusion("domain", ".".join(labels[start:]))
        if domain in exclusions.in_force:
            return f"; it is withdrawn with the domain {domain.value}"
    return ""
