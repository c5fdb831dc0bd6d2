"""A run as a deployment begins it: simple parameters, which the UI has a form for, and the recipe read anew each time.

The run itself is the flow that `gristmill run` starts, as a child of this one: an attempt each.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import httpx
from prefect import flow, get_client, tags
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, GlobalConcurrencyLimitUpdate
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import State, StateType
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.runtime import flow_run
from prefect.states import Completed

from flows.process_settings import prepare_process
from flows.retrying import attempt_repeatedly
from flows.runners import RunnerName
from storage.digests import value_digest
from storage.store import Store

NAME = "scheduled-gristmill"
TAG = "scheduled"

_WAIT_SECONDS = 24 * 3600.0  # for another run to end
_LIMIT_DIGITS = 8


def run_name() -> str:
    """The recipe's name, without the folder it is in."""
    return Path(str(flow_run.get_parameters().get("recipe", "gristmill"))).stem


@flow(name=NAME, flow_run_name=run_name, persist_result=False)
def scheduled_run(
    recipe: str = "commoncrawl",
    overrides: list[str] | None = None,
    store: str = ".gristmill",
    workers: int | None = None,
    runner: RunnerName = "processes",
    address: str | None = None,
    again: bool = False,
    attempts: int = 4,
    pause_seconds: float = 60.0,
) -> "State[Any]":
    """Run a recipe, one run a store at a time; with `source.crawl=latest`, only where that crawl is not built yet.

    Args:
        recipe: a built-in recipe, or the path of a YAML file, as the process sees it that works; read when it begins.
        overrides: keys of the recipe, such as source.crawl=latest.
        store: folder or fsspec URL that holds stages and runs.
        workers: parts worked on at once; empty: as many as cores.
        runner: where parts are worked on; the result is the same.
        address: of a Dask scheduler or Ray cluster that runs already, for the runners of these names.
        again: also where the latest crawl is built already.
        attempts: how often it is tried; what an attempt published, the next one uses.
        pause_seconds: between the first two attempts; each pause is five times as long as the one before.
    """
    prepare_process()
    # heavy, and not before the process is prepared
    from flows.increments import describe_built, increment
    from flows.recipe import load_recipe
    from flows.runners import default_workers
    from flows.running import check_request, run_recipe
    from flows.session import RunSettings

    opened = Store(store)

    def attempt() -> "State[Any]":
        loaded = load_recipe(recipe, overrides or ())
        check_request(loaded, opened)
        wanted = increment(loaded, opened, again=again)
        if wanted.built_by is not None:
            return Completed(name="NothingNew", message=describe_built(wanted.crawl, wanted.built_by))
        settings = RunSettings(
            store_url=opened.url,
            runner=runner,
            workers=workers or default_workers(),
            address=address,
            begun_by="schedule",
        )
        with tags(TAG):
            run = run_recipe(wanted.recipe, settings).run
        return Completed(message=f"run {run.run_id} of {wanted.recipe.source.crawl or wanted.recipe.name}")

    with alone_in(opened):
        return attempt_repeatedly(attempt, attempts=attempts, pause_seconds=pause_seconds)


def store_limit(store: Store) -> str:
    """The name of the concurrency limit that the scheduled runs of a store share."""
    return f"gristmill-{value_digest(store.url)[:_LIMIT_DIGITS]}"


@contextlib.contextmanager
def alone_in(store: Store) -> Iterator[None]:
    """Wait until no other scheduled run of this store is at work, on any machine of the same Prefect server.

    They would not harm each other's results. But machines know nothing of each other's requests: two at once would ask
    a host at twice the rate that a recipe allows. A team that wants more at once raises the limit in Prefect's UI.
    """
    name = store_limit(store)
    _make_limit(name)
    # a lease that cannot be renewed, since the server is away, ends no run
    lease = concurrency(name, timeout_seconds=_WAIT_SECONDS, raise_on_lease_renewal_failure=False)
    try:
        lease.__enter__()
    except TimeoutError:
        click.echo(f"another run has held the limit {name} for a day; beginning beside it", err=True)
        yield
        return
    try:
        yield
    finally:
        with contextlib.suppress(httpx.HTTPError):  # it ends by itself in some minutes
            lease.__exit__(None, None, None)


def _make_limit(name: str) -> None:
    """Have the server know the limit, and take back what nobody holds.

    A server that keeps leases in its memory, as Prefect's own settings have it, forgets with them, when it is started
    again, who holds a limit, and never gives it back.
    """
    with get_client(sync_client=True) as client:
        try:
            limit = client.read_global_concurrency_limit_by_name(name)
        except ObjectNotFound:
            with contextlib.suppress(ObjectAlreadyExists):
                client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=1))
            return
        if limit.active_slots < limit.limit:
            return
        running = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[NAME])),
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING]))
            ),
        )
        others = [each.name for each in running if str(each.id) != flow_run.get_id()]
        if others:
            click.echo(f"waiting for {', '.join(others)} to end; cancel in the Prefect UI what is dead", err=True)
        else:
            client.update_global_concurrency_limit(name, GlobalConcurrencyLimitUpdate(active_slots=0))
