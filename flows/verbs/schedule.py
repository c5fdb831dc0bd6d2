"""The verb that runs a recipe again and again: `schedule`."""

import sys
from pathlib import Path

import click

from flows.clear_errors import WORK_FAILED, clear_errors
from flows.verbs.options import runner_option, set_option, store_option, workers_option


@click.command()
@click.argument("recipe", default="commoncrawl")
@click.option("--cron", metavar="EXPRESSION", help='When to run: "0 3 * * 0" is every Sunday at three.')
@click.option("--every", metavar="LENGTH", help="How often to run instead: 7d, 12h, 30m.")
@click.option("--timezone", metavar="NAME", default="UTC", show_default=True, help="Of the cron expression.")
@click.option("--now", "begin_at_once", is_flag=True, help="Run once at the beginning, too.")
@click.option("--runs", "max_runs", metavar="N", type=click.IntRange(min=1), help="End after so many runs.")
@click.option(
    "--attempts",
    metavar="N",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    help="How often a run that fails is tried; what an attempt published, the next one uses.",
)
@click.option(
    "--pause",
    "pause_seconds",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    help="Between the first two attempts; each pause is five times as long as the one before.",
)
@set_option("the recipe")
@store_option
@workers_option("Parts worked on at once")
@runner_option
def schedule(
    recipe: str,
    cron: str | None,
    every: str | None,
    timezone: str,
    begin_at_once: bool,
    max_runs: int | None,
    attempts: int,
    pause_seconds: float,
    overrides: tuple[str, ...],
    store_url: str,
    workers: int | None,
    runner: str,
) -> None:
    """Run RECIPE at given times, until Ctrl-C or the end signal: the Prefect UI shows it as a deployment.

    With source.crawl=latest each run builds the newest crawl, or does nothing where that is built already. The recipe
    is read anew for each run. A time at which this process was not there is skipped: `gristmill backfill` builds what
    was missed. One run a store is at work at a time; one that ends late is followed by the last of the runs it kept
    waiting. The deployment has the recipe's name: a second schedule of one recipe needs another, by --set name=NAME.

    \b
    gristmill schedule weekly.yaml --cron "0 3 * * 0" --timezone Europe/Berlin
    gristmill schedule commoncrawl --set source.crawl=latest --set source.sample=20 --every 7d --now
    """
    with clear_errors():
        from flows.schedule_times import times_of

        times = times_of(cron, every, timezone)
        from flows.process_settings import prepare_process

        prepare_process()
        from flows.recipe import load_recipe
        from flows.running import check_request, open_server
        from storage.store import Store

        loaded = load_recipe(recipe, overrides)
        store = Store(store_url)
        check_request(loaded, store)
        server = open_server(store)

        from prefect.context import refresh_global_settings_context

        refresh_global_settings_context()  # read when the times were checked, before there was a server
        from flows.schedule import ScheduleProcess, begin_now, deploy, stopped_by_signals

        path = Path(recipe)
        parameters = {
            "recipe": str(path.resolve()) if path.is_file() else recipe,
            "overrides": list(overrides),
            "store": store.url,
            "workers": workers,
            "runner": runner,
            "attempts": attempts,
            "pause_seconds": pause_seconds,
        }
        deployment_id = deploy(loaded.name, times, parameters, loaded.description)
        click.echo(f"recipe {loaded.name}, {times}; {server.ui_url}/deployments/deployment/{deployment_id}", err=True)
        process = ScheduleProcess(
            server=server, deployment_id=deployment_id, say=lambda text: click.echo(text, err=True)
        )
        with stopped_by_signals(process):
            if begin_at_once:
                begin_now(server, deployment_id)
            process.work(max_runs)
        if process.stopping.is_set():
            click.echo("the schedule is stopped; what is published stays", err=True)
        if max_runs is not None and process.num_failed:
            sys.exit(WORK_FAILED)
