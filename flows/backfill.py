"""Build every crawl of a range that is not built yet, oldest first, each deduplicated against what is there."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from flows.increments import Increment
from flows.recipe import Recipe
from storage.runs import Run

Fate = Literal["built", "was built", "failed", "not tried"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one crawl. `error` where it failed."""

    crawl: str
    fate: Fate
    run_id: str | None = None
    error: str | None = None

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))


def backfill(
    wanted: Sequence[Increment],
    build: Callable[[Recipe], Run],
    *,
    keep_going: bool,
    say: Callable[[str], None],
) -> Iterator[Outcome]:
    """Build what is not built, in order; an outcome for each crawl, as soon as it is known.

    After a failure nothing more is tried, lest later crawls be deduplicated without an earlier one that is to come;
    with `keep_going` the others are built nevertheless.
    """
    to_build = [each for each in wanted if each.built_by is None]
    stopped = False
    for each in wanted:
        if each.built_by is not None:
            yield Outcome(crawl=each.crawl, fate="was built", run_id=each.built_by.run_id)
            continue
        if stopped:
            yield Outcome(crawl=each.crawl, fate="not tried")
            continue
        say(f"\n{each.crawl} ({to_build.index(each) + 1} of {len(to_build)})")
        try:
            run = build(each.recipe)
        except Exception as error:  # noqa: BLE001 (whatever it is, it is told, and decides about the rest)
            say(f"{each.crawl} failed: {error}")
            stopped = not keep_going
            yield Outcome(crawl=each.crawl, fate="failed", error=f"{type(error).__name__}: {error}")
        else:
            yield Outcome(crawl=each.crawl, fate="built", run_id=run.run_id)


def describe_increments(wanted: Sequence[Increment], index: str | None) -> str:
    """What a backfill will do, crawl by crawl."""
    missing = sum(each.built_by is None for each in wanted)
    lines = [
        f"{each.crawl}  {'to be built' if each.built_by is None else f'built by {each.built_by.run_id}'}"
        for each in wanted
    ]
    against = "each on its own, without an index" if index is None else f"deduplicated by the index {index}"
    return "\n".join([*lines, f"{missing} of {len(wanted)} crawls to be built, oldest first, {against}"])
