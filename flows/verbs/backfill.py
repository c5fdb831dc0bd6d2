"""The verb that builds the crawls of a range: `backfill`."""

import json
import sys

import click

from flows.clear_errors import WORK_FAILED, clear_errors
from flows.end_signal import end_signal_as_ctrl_c
from flows.verbs.options import json_option, runner_option, set_option, store_option, workers_option


@click.command()
@click.argument("recipe", default="commoncrawl")
@click.option("--from", "first", metavar="CRAWL", required=True, help="The oldest crawl of the range.")
@click.option("--to", "last", metavar="CRAWL", default="latest", show_default=True, help="The newest one.")
@click.option("--dry-run", is_flag=True, help="Only say what would be built.")
@click.option("--keep-going", is_flag=True, help="Build the others although one failed.")
@set_option("the recipe")
@store_option
@workers_option("Parts worked on at once")
@runner_option
@json_option
def backfill(
    recipe: str,
    first: str,
    last: str,
    dry_run: bool,
    keep_going: bool,
    overrides: tuple[str, ...],
    store_url: str,
    workers: int | None,
    runner: str,
    as_json: bool,
) -> None:
    """Build every crawl of a range by RECIPE that the store has not built yet, oldest first.

    Each is deduplicated against those before it, by the recipe's dedup_index or else by one of its own. A backfill
    that was stopped continues with the crawl it was at. Exit code 1 if a crawl failed.

    \b
    gristmill backfill commoncrawl --from CC-MAIN-2026-05 --to CC-MAIN-2026-43 --set source.sample=20 --dry-run
    gristmill backfill weekly.yaml --from CC-MAIN-2026-05
    """
    with clear_errors(), end_signal_as_ctrl_c():
        from flows.process_settings import prepare_process

        prepare_process()
        from flows.backfill import backfill, describe_increments
        from flows.increments import increments
        from flows.recipe import Recipe, load_recipe
        from flows.runners import default_workers
        from flows.running import check_request, run_recipe
        from flows.session import RunSettings
        from flows.source_checks import check_source
        from storage.runs import Run
        from storage.store import Store

        loaded = load_recipe(recipe, (*overrides, "source.crawl=latest"))
        store = Store(store_url)
        check_request(loaded, store)
        wanted = increments(loaded, store, first, last)
        click.echo(describe_increments(wanted, loaded.dedup_index), err=True)
        settings = RunSettings(
            store_url=store.url,
            runner=runner,  # type: ignore[arg-type]  # one of them: click has looked
            workers=workers or default_workers(),
            begun_by="backfill",
        )

        def build(each: Recipe) -> Run:
            return run_recipe(check_source(each), settings).run

        def say(message: str) -> None:
            click.echo(message, err=True)

        tried = () if dry_run else wanted
        outcomes = list(backfill(tried, build, keep_going=keep_going, say=say))
        if as_json:
            told = {
                "index": loaded.dedup_index,
                "crawls": [
                    {"crawl": each.crawl, "built_by": None if each.built_by is None else each.built_by.run_id}
                    for each in wanted
                ],
                "outcomes": [each.as_json() for each in outcomes],
            }
            click.echo(json.dumps(told))
        else:
            for each in outcomes:
                click.echo(f"{each.crawl}  {each.fate}{f' by {each.run_id}' if each.run_id else ''}")
        if any(each.fate == "failed" for each in outcomes):
            sys.exit(WORK_FAILED)
