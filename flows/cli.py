"""The `gristmill` command: one function a verb.

Heavy modules are imported by the verbs that need them, so that `--help` answers at once, and Prefect only after the
server's address stands in the environment.
"""

import json
import shutil
import sys
import tempfile
import webbrowser
from pathlib import Path
from typing import Any

import click

from flows.backfill_verb import backfill
from flows.browse_verb import browse
from flows.clear_errors import WORK_FAILED, clear_errors
from flows.crawl_verbs import crawls
from flows.decontaminate_verb import decontaminate
from flows.dedup_verb import dedup
from flows.deploy_verb import deploy
from flows.diff_verb import diff
from flows.extract_verb import extract
from flows.file_verbs import judge, train_classifier, train_perplexity
from flows.forget_verb import forget
from flows.gc_verb import gc
from flows.index_verb import indexes
from flows.run_verbs import run_json, runs, show
from flows.schedule_verb import schedule
from flows.trace_verb import trace
from flows.verb_options import (
    dask_address_option,
    json_option,
    open_store,
    ray_address_option,
    run_argument,
    runner_option,
    set_option,
    store_option,
    workers_option,
)
from flows.verify_verb import verify
from flows.withdrawn_since import withdrawn_since
from storage.runs import Run, UnknownRun, find_run, list_runs
from storage.store import Store


class _Verbs(click.Group):
    """Lists verbs in the order they are written here, which is the order a newcomer needs them in."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="gristmill")
def main() -> None:
    """Turn crawl bytes into a trained language model, and account for every document on the way.

    \b
    gristmill run demo            the whole pipeline on the documentation of installed packages
    gristmill show latest         what came out, stage by stage
    gristmill why URL             the fate of one page
    gristmill generate latest "The array"

    RUN is a run's id, a unique beginning of it, or `latest`. Exit codes: 0 done, 1 the work failed, 2 the request
    was wrong.
    """


@main.command()
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
    with clear_errors():
        from flows.process_settings import prepare_process

        prepare_process()
        from flows.increments import built_by, describe_built
        from flows.recipe import load_recipe
        from flows.runners import chosen_address, default_workers
        from flows.running import check_request, run_recipe
        from flows.session import RunSettings
        from flows.source_checks import check_source

        address = chosen_address(runner, dask=dask_address, ray=ray_address)
        loaded = load_recipe(recipe, overrides)
        store = open_store(store_url)
        check_request(loaded, store)
        resolved = check_source(loaded)
        built = built_by(resolved, list_runs(store)) if loaded.is_for_latest and not again else None
        if built is not None:
            told = f"{describe_built(str(resolved.source.crawl), built)}; --again runs it nevertheless"
            click.echo(json.dumps({"is_new": False, **run_json(store, built)}) if as_json else told)
            return
        settings = RunSettings(
            store_url=store.url, runner=runner, workers=workers or default_workers(), address=address
        )
        done = run_recipe(resolved, settings)
        if as_json:
            click.echo(json.dumps({"is_new": True, **run_json(store, done.run)}))
        else:
            _print_summary(store, done.run, done.ui_url)


@main.command()
@click.argument("recipe", default="demo")
@set_option("the recipe")
def recipe(recipe: str, overrides: tuple[str, ...]) -> None:
    """Print RECIPE as YAML with every default filled in: a file to edit, and the list of all keys."""
    with clear_errors():
        import yaml

        from flows.recipe import load_recipe

        content = load_recipe(recipe, overrides).model_dump(mode="json")
        click.echo(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110), nl=False)


main.add_command(runs)
main.add_command(show)


@main.command()
@click.argument("url")
@click.option("--run", "run_name", metavar="RUN", default="latest", show_default=True, help="The run to ask.")
@store_option
@json_option
def why(url: str, run_name: str, store_url: str, as_json: bool) -> None:
    """Tell the fate of the page URL in a run: where it was found, what it was measured at, kept or dropped and why."""
    with clear_errors():
        from flows.why import Fates
        from flows.why_told import describe_absence, describe_fate

        store = open_store(store_url)
        found = find_run(store, run_name)
        fates = Fates(store, found)
        captures = fates.of_url(url)
        absence = None if captures else fates.absence(url)
        if as_json:
            answer = {"url": url, "run_id": found.run_id, "captures": captures}
            click.echo(json.dumps(answer if absence is None else {**answer, "absence": absence}))
        elif absence is None:
            click.echo(describe_fate(url, found, captures))
        else:
            click.echo(describe_absence(url, found, absence))
        if not captures:
            sys.exit(WORK_FAILED)


@main.command("what-if")
@run_argument
@click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="Another value for a key of filters, or filters.preset; repeatable.",
)
@click.option("--rule", metavar="RULE", help="Show documents on both sides of this rule's line.")
@click.option("--samples", metavar="N", type=click.IntRange(min=0), default=3, show_default=True)
@store_option
@json_option
def what_if(
    run: str, overrides: tuple[str, ...], rule: str | None, samples: int, store_url: str, as_json: bool
) -> None:
    """Tell what RUN would keep under other thresholds, from its stored signals: nothing is measured or written.

    \b
    gristmill what-if latest --set filters.gopher_quality.min_words=80
    gristmill what-if latest --set 'filters.custom=[{name: mine, drop_where: num_chars < 300}]'
    gristmill what-if latest --rule gopher_quality.too_few_words
    """
    with clear_errors():
        from flows.compiled import keep_compiled_kernels

        keep_compiled_kernels()
        from flows.filter_settings import change_filters
        from flows.what_if import describe_what_if, judged_filters, what_if

        store = open_store(store_url)
        found = find_run(store, run)
        changed = change_filters(judged_filters(store, found), overrides) if overrides else None
        answer = what_if(store, found, changed, samples=samples, rule=rule)
        click.echo(json.dumps(answer.as_json()) if as_json else describe_what_if(answer))


@main.command()
@click.argument("run")
@click.argument("prompt")
@store_option
@click.option("--greedy", is_flag=True, help="Always the likeliest token.")
@click.option("--temperature", type=click.FloatRange(min=0.0, min_open=True), default=0.8, show_default=True)
@click.option("--top-p", type=click.FloatRange(0.0, 1.0, min_open=True), default=0.95, show_default=True)
@click.option("--max-tokens", type=click.IntRange(min=1), default=120, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@json_option
def generate(
    run: str,
    prompt: str,
    store_url: str,
    greedy: bool,
    temperature: float,
    top_p: float,
    max_tokens: int,
    seed: int,
    as_json: bool,
) -> None:
    """Continue PROMPT with the model of RUN."""
    with clear_errors():
        from flows.generation import generate_text
        from model.parameters import SamplingParameters

        store = open_store(store_url)
        found = find_run(store, run)
        sampling = SamplingParameters(
            max_new_tokens=max_tokens, temperature=0.0 if greedy else temperature, top_p=top_p, seed=seed
        )
        text = generate_text(store, found, prompt, sampling)
        if as_json:
            click.echo(json.dumps({"run_id": found.run_id, "prompt": prompt, "continuation": text}))
        else:
            click.echo(prompt + text)


@main.command()
@run_argument
@store_option
@click.option("--open", "open_it", is_flag=True, help="Open it in a browser.")
def report(run: str, store_url: str, open_it: bool) -> None:
    """Print where the report page of a run is; of a store elsewhere, --open opens a copy."""
    with clear_errors():
        store = open_store(store_url)
        found = find_run(store, run)
        path = found.paths.get("report")
        if path is None:
            raise UnknownRun(f"run {found.run_id} has no report: it is {found.status}; {found.error or ''}".strip())
        full = store.full_path(path)
        click.echo(full)
        for mark in withdrawn_since(store, [found]).values():
            click.echo(f"withdrawn since: {mark.describe()}", err=True)
        if open_it:
            webbrowser.open(_page_here(store, path).as_uri())


def _page_here(store: Store, path: str) -> Path:
    """The report page as a file of this machine: a browser cannot read a bucket, and has no keys to one."""
    if store.is_local:
        return Path(store.full_path(path))
    folder = Path(tempfile.mkdtemp(prefix="gristmill-report-"))  # stays: the browser reads it after this process ends
    with store.local_copy(path) as copy:
        return Path(shutil.copy(copy, folder))


@main.group()
def ui() -> None:
    """The Prefect server of a store: its pages show runs, tasks, logs and artifacts."""


@ui.command("start")
@store_option
def ui_start(store_url: str) -> None:
    """Start the server, or find it running, and print its address."""
    with clear_errors():
        from flows.server import pages_folder, prefect_home, start_server

        store = open_store(store_url)
        click.echo(start_server(prefect_home(store), pages_folder(store)).ui_url)


@ui.command("stop")
@store_option
def ui_stop(store_url: str) -> None:
    """Stop the server. Runs and their results are in the store and stay."""
    with clear_errors():
        from flows.server import prefect_home, stop_server

        click.echo("stopped" if stop_server(prefect_home(open_store(store_url))) else "was not running")


@ui.command("status")
@store_option
def ui_status(store_url: str) -> None:
    """Print the server's address, or that it is not running (exit code 1)."""
    with clear_errors():
        from flows.server import prefect_home, running_server

        server = running_server(prefect_home(open_store(store_url)))
        click.echo("not running" if server is None else server.ui_url)
        if server is None:
            sys.exit(WORK_FAILED)


for _verb in (
    browse,
    crawls,
    extract,
    judge,
    dedup,
    decontaminate,
    forget,
    indexes,
    train_classifier,
    train_perplexity,
    trace,
    backfill,
    schedule,
    diff,
    verify,
    gc,
    deploy,
):
    main.add_command(_verb)


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


if __name__ == "__main__":
    main()
