"""The verb that tells which crawls there are: `crawls`."""

import json

import click

from flows.clear_errors import clear_errors
from flows.verbs.options import json_option


@click.command()
@click.option(
    "--index-server",
    metavar="URL",
    default="https://index.commoncrawl.org",
    show_default=True,
    help="Address or folder that has the list of crawls, collinfo.json.",
)
@json_option
def crawls(index_server: str, as_json: bool) -> None:
    """List the crawls that Common Crawl has published, newest first, with the days they were fetched on.

    \b
    gristmill crawls
    gristmill crawls --index-server mirror/
    """
    with clear_errors("nothing was read"):
        from flows.source_checks import impatient
        from pipeline_lib.crawl.crawls import list_crawls
        from pipeline_lib.crawl.fetching import FetchParameters
        from pipeline_lib.crawl.remote import Remote

        found = list_crawls(Remote(impatient(FetchParameters())), index_server)
        if as_json:
            click.echo(json.dumps({"crawls": [crawl.as_json() for crawl in found]}))
            return
        width = max(len(crawl.crawl_id) for crawl in found)
        for crawl in found:
            first, last = ((time or "?")[:10] for time in (crawl.first, crawl.last))
            click.echo(f"{crawl.crawl_id:<{width}}  {first:<10} to {last:<10}  {crawl.name}")
