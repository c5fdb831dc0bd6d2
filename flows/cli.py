"""The `gristmill` command: one function a verb.

Heavy modules are imported by the verbs that need them, so that `--help` answers at once, and Prefect only after the
server's address stands in the environment.
"""

import json
import os
import sys
import webbrowser
from pathlib import Path
from typing import Any

import click

from flows.clear_errors import WORK_FAILED, clear_errors
from flows.crawl_verbs import crawls
from flows.decontaminate_verb import decontaminate
from flows.dedup_verb import dedup
from flows.extract_verb import extract
from flows.file_verbs import judge, train_classifier, train_perplexity
from flows.forget_verb import forget
from flows.index_verb import indexes
from flows.run_verbs import runs, show
from flows.verb_options import (
    DEFAULT_STORE,
    json_option,
    open_store,
    run_argument,
    set_option,
    store_option,
    workers_option,
)
from flows.withdrawn_since import withdrawn_since
from storage.runs import Run, UnknownRun, find_run
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
@click.option(
    "--runner",
    type=click.Choice(["processes", "threads"]),
    default="processes",
    show_default=True,
    help="Where parts are worked on. The result is the same.",
)
def run(recipe: str, overrides: tuple[str, ...], store_url: str, workers: int | None, runner: Any) -> None:
    """Run RECIPE: a built-in one (demo, commoncrawl, minicrawl) or the path of a YAML file.

    What an earlier run published is used, not made again; an interrupted run continues where it stopped.

    \b
    gristmill run demo
    gristmill run commoncrawl --set source.crawl=CC-MAIN-2026-43 --set source.files=4
    gristmill run commoncrawl --set source.crawl=latest --set source.index.domains=python.org --set goal=corpus
    gristmill run minicrawl --set source.paths=crawl-data/CC-MAIN-2026-43/warc.paths.gz --set source.files=4
    gristmill run my.yaml --set dedup.threshold=0.7 --set goal=corpus
    """
    with clear_errors():
        from flows.compiled import keep_compiled_kernels

        keep_compiled_kernels()
        # Threads that wait asleep: spinning ones take the cores from each other where anything else runs beside
        # training (measured with one busy neighbour a core: 4 times the CPU time, a third of the tokens a second).
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

        from flows.recipe import load_recipe
        from flows.runners import default_workers
        from flows.source_checks import check_source
        from pipeline_lib.filters.rule_files import check_rule_files

        loaded = load_recipe(recipe, overrides)
        check_rule_files(loaded.filters)
        store = open_store(store_url)
        store.check_writable()
        loaded = check_source(loaded)

        from flows.server import start_server
        from flows.session import RunSettings, close_dead_runs

        dead = close_dead_runs(store)
        click.echo(f"store {store.url}", err=True)
        server = start_server(_prefect_home(store), _pages_folder(store))
        click.echo(f"Prefect UI {server.ui_url}", err=True)

        from prefect.exceptions import TerminationSignal

        from flows.end_to_end import end_to_end, thread_runner
        from flows.ending import crash_flow_runs

        crash_flow_runs([each.flow_run_id for each in dead if each.flow_run_id])
        settings = RunSettings(
            store_url=store.url, runner=runner, workers=workers or default_workers(), pages_url=server.pages_url
        )
        flow = end_to_end.with_options(task_runner=thread_runner(settings.workers))  # type: ignore[arg-type]  # invariant
        try:
            run_id = flow(loaded, settings)
        except TerminationSignal as error:
            raise KeyboardInterrupt from error
        _print_summary(store, find_run(store, run_id), server.ui_url)


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
        from flows.why import describe_fate, fate_of

        store = open_store(store_url)
        found = find_run(store, run_name)
        captures = fate_of(url, store, found)
        if as_json:
            click.echo(json.dumps({"url": url, "run_id": found.run_id, "captures": captures}))
        else:
            click.echo(describe_fate(url, found, captures))
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
    """Print where the report page of a run is."""
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
            webbrowser.open(Path(full).as_uri() if store.is_local else full)


@main.group()
def ui() -> None:
    """The Prefect server of a store: its pages show runs, tasks, logs and artifacts."""


@ui.command("start")
@store_option
def ui_start(store_url: str) -> None:
    """Start the server, or find it running, and print its address."""
    with clear_errors():
        from flows.server import start_server

        store = open_store(store_url)
        click.echo(start_server(_prefect_home(store), _pages_folder(store)).ui_url)


@ui.command("stop")
@store_option
def ui_stop(store_url: str) -> None:
    """Stop the server. Runs and their results are in the store and stay."""
    with clear_errors():
        from flows.server import stop_server

        click.echo("stopped" if stop_server(_prefect_home(open_store(store_url))) else "was not running")


@ui.command("status")
@store_option
def ui_status(store_url: str) -> None:
    """Print the server's address, or that it is not running (exit code 1)."""
    with clear_errors():
        from flows.server import running_server

        server = running_server(_prefect_home(open_store(store_url)))
        click.echo("not running" if server is None else server.ui_url)
        if server is None:
            sys.exit(WORK_FAILED)


for _verb in (crawls, extract, judge, dedup, decontaminate, forget, indexes, train_classifier, train_perplexity):
    main.add_command(_verb)


def _prefect_home(store: Store) -> Path:
    """Beside the runs on a local store; in the working folder where the store is elsewhere."""
    return (Path(store.root) if store.is_local else Path(DEFAULT_STORE).absolute()) / "prefect"


def _pages_folder(store: Store) -> Path | None:
    return Path(store.root) / "runs" if store.is_local else None


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
