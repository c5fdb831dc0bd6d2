"""The verbs that begin with a recipe: `run` and `recipe`."""

import json
from typing import Any

import click

from flows.clear_errors import clear_errors
from flows.end_signal import end_signal_as_ctrl_c
from flows.verbs.options import (
    dask_address_option,
    json_option,
    ray_address_option,
    runner_option,
    set_option,
    store_option,
    workers_option,
)
from flows.verbs.runs import run_json
from storage.runs import Run
from storage.store import Store


@click.command()
@click.argument("recipe", default="demo")
@set_option("the recipe")
@store_option
@workers_option("Parts worked on at once")
@runner_option
@dask_address_option
@ray_address_option
@click.option("--again", is_flag=True, help="With source.crawl=latest: also where that crawl is built already.")
@json_option
def run(
    recipe: str,
    overrides: tuple[str, ...],
    store_url: str,
    workers: int | None,
    runner: Any,
    dask_address: str | None,
    ray_address: str | None,
    again: bool,
    as_json: bool,
) -> None:
    """Run RECIPE: a built-in one (demo, commoncrawl, minicrawl) or the path of a YAML file.

    What an earlier run published is used, not made again; an interrupted run continues where it stopped. With
    source.crawl=latest the newest crawl is built, deduplicated against those that were built before, and nothing is
    done where it is built already.

    \b
    gristmill run demo
    gristmill run commoncrawl --set source.crawl=CC-MAIN-2026-43 --set source.files=4
    gristmill run commoncrawl --set source.crawl=latest --set source.index.domains=python.org --set goal=corpus
    gristmill run minicrawl --set source.paths=crawl-data/CC-MAIN-2026-43/warc.paths.gz --set source.files=4
    gristmill run my.yaml --set dedup.threshold=0.7 --set goal=corpus
    """
    with clear_errors(), end_signal_as_ctrl_c():
        from flows.process_settings import prepare_process

        prepare_process()
        from flows.increments import describe_built, increment
        from flows.recipe import load_recipe
        from flows.runners import chosen_address, default_workers
        from flows.running import check_request, run_recipe
        from flows.session import RunSettings

        address = chosen_address(runner, dask=dask_address, ray=ray_address)
        loaded = load_recipe(recipe, overrides)
        store = Store(store_url)
        check_request(loaded, store)
        wanted = increment(loaded, store, again=again)
        if wanted.built_by is not None:
            told = f"{describe_built(wanted.crawl, wanted.built_by)}; --again runs it nevertheless"
            click.echo(json.dumps({"is_new": False, **run_json(store, wanted.built_by)}) if as_json else told)
            return
        settings = RunSettings(
            store_url=store.url, runner=runner, workers=workers or default_workers(), address=address
        )
        done = run_recipe(wanted.recipe, settings)
        if as_json:
            click.echo(json.dumps({"is_new": True, **run_json(store, done.run)}))
        else:
            _print_summary(store, done.run, done.ui_url)


@click.command()
@click.argument("recipe", default="demo")
@set_option("the recipe")
def recipe(recipe: str, overrides: tuple[str, ...]) -> None:
    """Print RECIPE as YAML with every default filled in: a file to edit, and the list of all keys."""
    with clear_errors():
        import yaml

        from flows.recipe import load_recipe

        content = load_recipe(recipe, overrides).model_dump(mode="json")
        click.echo(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110), nl=False)


def _print_summary(store: Store, run: Run, ui_url: str) -> None:
    click.echo(f"\nrun       {run.run_id}: {run.status}")
    click.echo(f"corpus    {run.corpus_digest}")
    scores = run.metrics
    if "val_bits_per_byte" in scores:
        click.echo(
            f"model     {scores['val_bits_per_byte']:.3f} bits per byte of held-out text "
            f"(xz -9: {scores['xz_bits_per_byte']:.3f}, gzip -9: {scores['gzip_bits_per_byte']:.3f})"
        )
    drawn = [sample for sample in scores.get("samples", []) if sample["choice"] == "drawn"]
    for sample in drawn[:1]:
        click.echo(f"it wrote  {sample['prompt']}{sample['continuation']}")
    click.echo(f"report    {store.full_path(run.paths['report'])}")
    click.echo(f"UI        {ui_url}/runs/flow-run/{run.flow_run_id}")
    if "checkpoint" in run.paths:
        click.echo('try       gristmill generate latest "The array"')
    else:
        click.echo("try       gristmill what-if latest")
