"""Which crawls a store has built by a recipe and which are still to be built: runs of one recipe, crawl after crawl."""

from collections.abc import Sequence
from dataclasses import dataclass

from flows.recipe import Recipe
from flows.source_checks import check_source, impatient
from pipeline_lib.crawl.crawls import Crawl, crawls_between, list_crawls
from pipeline_lib.crawl.remote import Remote
from storage.runs import Run, list_runs
from storage.store import Store
from storage.wrong_request import WrongRequest


class NoSeries(WrongRequest):
    """The recipe reads no crawl of a series of crawls."""


@dataclass(frozen=True, kw_only=True)
class Increment:
    """One crawl, the recipe for it, and the run that has built it; None: it is to be built."""

    recipe: Recipe
    built_by: Run | None

    @property
    def crawl(self) -> str:
        crawl = self.recipe.source.crawl
        assert crawl is not None
        return crawl


def built_by(recipe: Recipe, runs: Sequence[Run]) -> Run | None:
    """The last completed run of this very recipe, its name and manners aside; None: there is none."""
    digest = recipe.digest()
    return next((run for run in reversed(runs) if run.status == "completed" and run.recipe_digest == digest), None)


def describe_built(crawl: str, run: Run) -> str:
    """Why nothing is to be done about a crawl, in a line."""
    fetch = run.stage("fetch")
    lost = 0 if fetch is None else sum(fetch.account.dropped.values())
    again = f"; {lost:,} of its files could not be fetched then, and --again tries them" if lost else ""
    return f"nothing new: {crawl} was built by run {run.run_id} on {(run.finished_at or run.created_at)[:10]}{again}"


def increment(recipe: Recipe, store: Store, *, again: bool) -> Increment:
    """A recipe after a look at what it names, and the run that has built it, where it is for the latest crawl.

    Args:
        again: it is to be built in any case.

    Raises:
        WrongRequest: see `check_source`.
    """
    resolved = check_source(recipe)
    built = built_by(resolved, list_runs(store)) if recipe.is_for_latest and not again else None
    return Increment(recipe=resolved, built_by=built)


def increments(recipe: Recipe, store: Store, first: str, last: str) -> list[Increment]:
    """The crawls from one to another, oldest first, as the recipe builds them.

    Raises:
        NoSeries: the recipe's source is no crawl.
        UnknownCrawl, CrawlListError: the list of crawls has one of the two not, or cannot be read.
    """
    crawls = crawls_between(_listed(recipe), first, last)
    runs = list_runs(store)
    found = [recipe.with_crawl(crawl.crawl_id) for crawl in crawls]
    return [Increment(recipe=each, built_by=built_by(each, runs)) for each in found]


def _listed(recipe: Recipe) -> list[Crawl]:
    if recipe.source.kind != "commoncrawl":
        raise NoSeries(
            f"the source of recipe {recipe.name} is of kind {recipe.source.kind}: only a crawl "
            "(source.kind: commoncrawl) comes out again and again"
        )
    return list_crawls(Remote(impatient(recipe.fetch)), recipe.source.index_server)
