"""The verb that shows the documents of a run as web pages: `browse`."""

import webbrowser
from contextlib import suppress

import click

from flows.clear_errors import clear_errors
from flows.verbs.options import store_option


@click.command()
@click.argument("run", metavar="[RUN]", default="latest")
@click.option(
    "--port", metavar="P", type=click.IntRange(0, 65535), help="Where to listen.  [default: 4280, or any free one]"
)
@click.option(
    "--host",
    metavar="ADDRESS",
    default="127.0.0.1",
    show_default=True,
    help="Whom to listen to: by default this machine alone.",
)
@click.option("--open", "open_browser", is_flag=True, help="Open it in a browser.")
@store_option
def browse(run: str, port: int | None, host: str, open_browser: bool, store_url: str) -> None:
    """Look at the documents of RUN in a browser: what was kept, what was dropped and why, what was edited.

    Runs until Ctrl-C, and writes nothing. A run that is still going may be looked at.

    \b
    gristmill browse latest --open
    gristmill browse weekly-20261122 --port 8080
    """
    with clear_errors("nothing was written"):
        from flows.compiled import keep_compiled_kernels

        keep_compiled_kernels()
        from flows.browse import LOOPBACK, Browser, address_of, listen, serve
        from storage.runs import find_run
        from storage.store import Store

        store = Store(store_url)
        found = find_run(store, run)
        with listen(host, port) as listener:
            browser = Browser(store, found)
            address = address_of(listener)
            click.echo(f"{browser.num_documents:,} documents of {found.run_id}: {address}   (Ctrl-C ends it)")
            if host not in (LOOPBACK, "localhost", "::1"):
                click.echo(f"warning: whoever reaches this machine at {host} can read them all", err=True)
            if open_browser:
                webbrowser.open(address)
            with suppress(KeyboardInterrupt):
                serve(browser, listener, host)
