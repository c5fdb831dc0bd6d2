"""Run a loaded recipe from its first check to its record: what `run`, a schedule, a backfill and a plan do alike.

To be imported after `prepare_process` was called.
"""

from dataclasses import dataclass, replace
from functools import partial

import click

from flows.lost_runs import close_dead_runs
from flows.recipe import Recipe
from flows.runners import threads_for
from flows.server import Server, pages_folder, prefect_home, start_server
from flows.session import RunSettings
from flows.tracking.opening import check_trackers
from pipeline_lib.filters.rule_files import check_rule_files
from storage.runs import Run
from storage.store import Store


@dataclass(frozen=True, kw_only=True)
class CompletedRun:
    """A run that came to its end, and where it can be looked at."""

    run: Run
    ui_url: str


def check_request(recipe: Recipe, store: Store) -> None:
    """What can be wrong with a request and is found without a look at its sources.

    Raises:
        WrongRequest: a file of rules or a tracker that the recipe names cannot be used, or the store cannot be written.
    """
    check_rule_files(recipe.filters)
    check_trackers(recipe.tracking)
    store.check_writable()


def open_server(store: Store) -> Server:
    """The Prefect server of a store, running; says where both are."""
    click.echo(f"store {store.url}", err=True)
    server = start_server(prefect_home(store), pages_folder(store))
    click.echo(f"Prefect UI {server.ui_url}", err=True)
    return server


def run_recipe(recipe: Recipe, settings: RunSettings) -> CompletedRun:
    """Run a recipe whose sources were looked at (`check_source`), and return its record.

    Raises:
        KeyboardInterrupt: at Ctrl-C, and at the end signal, too.
        ServerLost, RunFailed: see `run_flow`.
    """
    store = Store(settings.store_url)
    dead = close_dead_runs(store)
    server = open_server(store)

    # Prefect only now: it reads the server's address from the environment when it is imported
    from flows.end_to_end import end_to_end, thread_runner
    from flows.ending import settle_flow_runs
    from flows.lost_server import run_flow

    settle_flow_runs(store, dead)
    settings = replace(settings, pages_url=server.pages_url)
    threads = threads_for(settings.workers, settings.address)
    flow = end_to_end.with_options(task_runner=thread_runner(threads))  # type: ignore[arg-type]  # invariant
    done = run_flow(partial(flow, recipe, settings), store, lambda message: click.echo(f"warning: {message}", err=True))
    return CompletedRun(run=done, ui_url=server.ui_url)
