"""The verb `ui`: the Prefect server of a store."""

import sys

import click

from flows.clear_errors import WORK_FAILED, clear_errors
from flows.verbs.options import store_option
from storage.store import Store


@click.group()
def ui() -> None:
    """The Prefect server of a store: its pages show runs, tasks, logs and artifacts."""


@ui.command("start")
@store_option
def ui_start(store_url: str) -> None:
    """Start the server, or find it running, and print its address."""
    with clear_errors():
        from flows.server import pages_folder, prefect_home, start_server

        store = Store(store_url)
        click.echo(start_server(prefect_home(store), pages_folder(store)).ui_url)


@ui.command("stop")
@store_option
def ui_stop(store_url: str) -> None:
    """Stop the server. Runs and their results are in the store and stay."""
    with clear_errors():
        from flows.server import prefect_home, stop_server

        click.echo("stopped" if stop_server(prefect_home(Store(store_url))) else "was not running")


@ui.command("status")
@store_option
def ui_status(store_url: str) -> None:
    """Print the server's address, or that it is not running (exit code 1)."""
    with clear_errors():
        from flows.server import prefect_home, running_server

        server = running_server(prefect_home(Store(store_url)))
        click.echo("not running" if server is None else server.ui_url)
        if server is None:
            sys.exit(WORK_FAILED)
